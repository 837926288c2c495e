"""Files that a person edited: a stray line changes its own meaning, and nothing else. As Proxmox reads them."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from pve_runbook.parsers import storage
from pve_runbook.parsers.corosync_conf import parse_corosync_conf_text
from pve_runbook.parsers.guests import GuestConfig, parse_guest_config
from pve_runbook.parsers.host import parse_hosts_file
from pve_runbook.parsers.output import Output
from pve_runbook.parsers.section_config import parse_sections, skipped_lines

SEEDED = settings(max_examples=60, derandomize=True, database=None)
CFG = """\
dir: local
	path /var/lib/vz
	content iso,images

lvmthin: local-lvm
	thinpool data
	vgname pve

nfs: nas
	server 10.0.0.9
	export /tank
	content images
"""
VM = """\
boot: order=scsi0
memory: 64
name: web
onboot: 1
scsi0: local-lvm:vm-101-disk-0,size=1G
scsi1: nas:101/vm-101-disk-1.qcow2,size=1G

[before]
memory: 64
scsi0: local-lvm:vm-101-disk-0,size=1G
"""
HOSTS = "127.0.0.1 localhost\n10.0.0.11 pve1.lab pve1\n10.0.0.12 pve2\n"
LINES = st.text(st.characters(exclude_characters="\n"), max_size=20) | st.sampled_from(
    ["hello world", "  token 5000", "scsi9", "bootdisk", "\tshared", "]]", "[", "0", "}", "key = value", "lxc.x"]
)


def with_line(text: str, line: str, at: int) -> tuple[str, int]:
    """The text with one more line in it, and that line's number."""
    lines = text.split("\n")
    place = at % len(lines)
    return "\n".join([*lines[:place], line, *lines[place:]]), place + 1


def meaning(config: GuestConfig) -> tuple[object, ...]:
    return config.name, config.onboot, config.lock, config.template, config.volumes, config.snapshots


@SEEDED
@given(line=LINES, at=st.integers(0, 20))
def test_a_stray_line_in_a_guests_config(line: str, at: int) -> None:
    """What is no section and no `key: value` changes nothing; and nothing is skipped but that line."""
    assume(not (line.startswith("[") and line.rstrip().endswith("]")) and ":" not in line and "=" not in line)
    text, number = with_line(VM, line, at)
    found = parse_guest_config(101, "pve1", "qemu", text.encode(errors="replace"))
    plain = parse_guest_config(101, "pve1", "qemu", VM.encode())
    assert meaning(found) == meaning(plain)
    assert [s.line for s in found.skipped] == ([] if not line.strip() or line.startswith("#") else [number])


@SEEDED
@given(line=LINES, at=st.integers(0, 20))
def test_a_stray_line_in_a_section_file(line: str, at: int) -> None:
    """A line that begins with a blank is an option of its section, an empty one ends it; any other one is none."""
    assume(line and not line[0].isspace() and ":" not in line)
    text, number = with_line(CFG, line, at)
    assert parse_sections(text, "storage.cfg") == parse_sections(CFG, "storage.cfg")
    assert [s.line for s in skipped_lines(text, "storage.cfg")] == ([] if line.startswith("#") else [number])


@SEEDED
@given(key=st.from_regex(r"[a-z]{1,8}", fullmatch=True), value=st.from_regex(r"[a-z0-9]{0,8}", fullmatch=True))
def test_an_option_that_is_not_known_is_one_of_its_section_alone(key: str, value: str) -> None:
    text = CFG.replace("\texport", f"\t{key} {value}\n\texport")
    found, plain = parse_sections(text, "storage.cfg"), parse_sections(CFG, "storage.cfg")
    assert found[:2] == plain[:2]
    assert {k: v for k, v in found[2].options.items() if k != key} == {
        k: v for k, v in plain[2].options.items() if k != key
    }


@SEEDED
@given(line=LINES, at=st.integers(0, 5))
def test_a_stray_line_in_a_hosts_file(line: str, at: int) -> None:
    plain = parse_hosts_file(Output(HOSTS, "", 0))
    found = parse_hosts_file(Output(with_line(HOSTS, line, at)[0], "", 0))
    assert {name: addresses for name, addresses in found.names.items() if name in plain.names} == plain.names


CONF = """\
logging {
  to_syslog: yes
}

nodelist {
  node {
    name: pve1
    nodeid: 1
    quorum_votes: 2
    ring0_addr: 10.0.0.1
  }
  node {
    name: pve2
    nodeid: 2
    quorum_votes: 1
    ring0_addr: 10.0.0.2
  }
}

quorum {
  provider: corosync_votequorum
}

totem {
  cluster_name: lab
  config_version: 3
  token: 5000
  version: 2
}
"""


@SEEDED
@given(line=LINES, at=st.integers(0, 30))
def test_a_stray_line_in_corosync_conf(line: str, at: int) -> None:
    """Corosync does not start with it, and all else is read."""
    assume(not set(":{}") & set(line))
    text, number = with_line(CONF, line, at)
    found, plain = parse_corosync_conf_text(text), parse_corosync_conf_text(CONF)
    is_none = not line.strip() or line.strip().startswith("#")
    assert [fault.line for fault in found.faults] == ([] if is_none else [number])
    assert replace(found, text=CONF, faults=(), lists_all=True) == plain


@SEEDED
@given(key=st.sampled_from(("quorum_votes: 2", "nodeid: 2", "config_version: 3", "token: 5000")), more=LINES)
def test_what_stands_behind_a_number_in_corosync_conf(key: str, more: str) -> None:
    assume(more.strip() and not set("{}:") & set(more))
    text = CONF.replace(key, f"{key} {more}")
    found, plain = parse_corosync_conf_text(text), parse_corosync_conf_text(CONF)
    assert [fault.line for fault in found.faults] == [CONF[: CONF.index(key)].count("\n") + 1]
    assert replace(found, text=CONF, faults=(), lists_all=True) == plain


ODD = {
    "a stray word": ("dir: a\n\tpath /a\nstray\n\tcontent iso\n", {"a": {"path": "/a", "content": "iso"}}, [3]),
    "an option twice": ("dir: a\n\tpath /a\n\tpath /b\n", {"a": {"path": "/a"}}, [3]),
    "a section twice": ("dir: a\n\tpath /a\n\ndir: a\n\tpath /b\n", {"a": {"path": "/b"}}, [4]),
    "an option that is not indented": ("dir: a\npath /a\n\tcontent iso\n", {"a": {"content": "iso"}}, [2]),
    "an option before the first section": ("\tpath /x\n\ndir: a\n\tpath /a\n", {"a": {"path": "/a"}}, [1]),
    "a header without its colon": ("dir a\n\tpath /a\n\ndir: b\n\tpath /b\n", {"b": {"path": "/b"}}, [1, 2]),
    "no empty line between": ("dir: a\n\tpath /a\nnfs: n\n\tserver x\n", {"a": {"path": "/a", "server": "x"}}, [3]),
    "neither yes nor no": ("dir: a\n\tpath /a\n\tdisable perhaps\n", {"a": {"path": "/a"}}, [3]),
    "a type in capitals": ("DIR: a\n\tpath /a\n", {"a": {"path": "/a"}}, []),
    "a type that is not known": ("linstor: a\n\tcontroller x\n", {"a": {"controller": "x"}}, []),
}
"""As PVE::SectionConfig's parse_config reads them: the sections' options, and the lines that are passed over."""


@pytest.mark.parametrize("what", ODD)
def test_a_section_file_is_read_as_proxmox_reads_it(what: str) -> None:
    text, options, numbers = ODD[what]
    assert {s.id: s.options for s in parse_sections(text, "x.cfg")} == options
    assert [s.line for s in skipped_lines(text, "x.cfg")] == numbers
    assert storage.parse_storage_cfg_text(text)["local"].path == "/var/lib/vz"


def test_a_line_that_is_passed_over_is_not_shown() -> None:
    found = skipped_lines("dir: a\nhunter2 secret\n", "storage.cfg")
    assert [str(s) for s in found] == ["storage.cfg, line 2: it is no option of dir: a"]
