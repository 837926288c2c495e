"""The wire of a run over checks/: known questions go over it, and nothing else does, whoever asks."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pve_runbook.actions import registry as actions
from pve_runbook.probes import allow_list
from pve_runbook.probes import registry as probes
from pve_runbook.probes.allow_list import is_passive, is_registered
from pve_runbook.ssh import sudo
from pve_runbook.ssh.batch import RUNNER, batch_command, read_command, run_batch
from pve_runbook.ssh.connection import Connection
from pve_runbook.ssh.exec import execute
from pve_runbook.ssh.transport import Refused, objection
from ssh_server import Server, Site

PROBES, FAMILIES = allow_list.probes(), allow_list.families()
PASSIVE = [p for p in PROBES if p is not probes.PVESM]
CLOCK = ("clock", 5, probes.CLOCK.argv)


@pytest.fixture
def guarded(server: Server, site: Site) -> Iterator[Connection]:
    """An open connection of a run over checks/."""
    with site.connection(site.host("pve1", server), known=is_passive) as connection:
        yield connection


def test_registered_probes_are_answered(guarded: Connection, server: Server) -> None:
    assert run_batch(guarded, [CLOCK])["clock"].exit_status == 0
    assert server.executed == [batch_command([CLOCK])]


PAST_THE_QUESTIONS: dict[str, Callable[[Connection], object]] = {
    "a command": lambda c: execute(c, "true", timeout=30),
    "a command with input": lambda c: execute(c, "cat > /dev/null", timeout=30, stdin=b"x"),
    "another probe": lambda c: run_batch(c, [CLOCK, ("p", 5, ["touch", "/tmp/x"])]),
    "what mounts": lambda c: run_batch(c, [("pvesm", 90, probes.PVESM.argv)]),
    "something behind the batch": lambda c: execute(c, batch_command([CLOCK]) + "; true", timeout=30),
    "something before the batch": lambda c: execute(c, "true; " + batch_command([CLOCK]), timeout=30),
    "an expansion in other quotes": lambda c: execute(
        c, batch_command([CLOCK]).replace(f" {shlex.quote(probes.CLOCK.argv[1])}", ' "+%s.%N"'), timeout=30
    ),
    "another runner": lambda c: execute(c, batch_command([CLOCK]).replace("wait", "wait; true"), timeout=30),
    "a raw session": lambda c: c.transport.open_session().exec_command("true"),
    "a shell": lambda c: c.transport.open_session().invoke_shell(),
    "a terminal": lambda c: c.transport.open_session().get_pty(),
    "a file transfer": lambda c: c.transport.open_session().invoke_subsystem("sftp"),
    "an environment": lambda c: c.transport.open_session().set_environment_variable("BASH_ENV", "/tmp/x"),
    "a tunnel": lambda c: c.transport.open_channel("direct-tcpip", ("127.0.0.1", 1), ("", 0), timeout=30),
}


@pytest.mark.parametrize("way", PAST_THE_QUESTIONS)
def test_nothing_else_is_sent(guarded: Connection, server: Server, way: str) -> None:
    with pytest.raises(Refused):
        PAST_THE_QUESTIONS[way](guarded)
    assert server.executed == server.forwarded == []
    run_batch(guarded, [CLOCK])  # the line is as good as before


@pytest.mark.parametrize("way", [sudo.WITHOUT_PASSWORD, sudo.WITH_PASSWORD])
def test_sudo_carries_the_same_and_no_more(way: tuple[str, ...]) -> None:
    batch = batch_command([CLOCK])
    assert objection(sudo.wrapped(way, batch), is_passive) == ""
    assert objection(sudo.wrapped(way, sudo.TRIAL), is_passive) == ""
    assert "no batch of probes" in objection(sudo.wrapped(way, "true"), is_passive)
    assert "no batch of probes" in objection(sudo.wrapped(way, batch) + "; true", is_passive)
    assert "no batch of probes" in objection(sudo.wrapped(way, sudo.wrapped(way, batch)), is_passive)


def test_what_is_refused_is_shown_and_cut_where_it_is_long() -> None:
    assert objection("touch /x", is_passive) == "`touch /x` is no batch of probes: it does not begin with the runner"
    assert objection("x" * 120, is_passive).startswith(f"`{'x' * 120}` is no batch")
    assert objection("x" * 121, is_passive).startswith(f"`{'x' * 117}...` is no batch")


def test_no_action_is_a_probe() -> None:
    for template in actions.registry().values():
        assert not is_registered(template.argv), template.name


def test_every_probe_is_known_and_every_family_about_what_it_is_asked() -> None:
    assert all(is_registered(p.argv) for p in PROBES)
    subjects = {
        "entries": "/var/lib/pve-cluster/config.db",
        "proc_stats": "1,22,333",
        "files": "/mnt/pve/nas with a blank",
        "sums": "/var/lib/pve-runbook/20260108T021000Z-1a2b/config.db /etc/corosync/authkey",
        "sizes": "/var/lib/pve-cluster/config.db-wal /etc/pve /root/.ssh",
        "window_status": "/var/lib/pve-runbook/r-1/window-a-1",
        "window_log": "/var/lib/pve-runbook/r-1/window-a-1",
        "target": "/tank",
        "images": "/mnt/pve/nas/vms",
        "rbd": "--pool=vms --mon_host=10.0.0.1,10.0.0.2 --auth_supported=cephx --name=client.pve "
        "--keyring=/etc/pve/priv/ceph/ext.keyring",
        "open_files": "1,22,333",
        "mountinfos": "1,22",
        "zfs_dataset": "tank/guests",
        "own_folder": "r-1",
        "folder_space": "r-1",
    }
    for family in FAMILIES:
        argv = family.argv(subjects.get(family.name, "10"))
        assert is_registered(argv), family.name
        assert not is_registered((*argv, "-delete")), family.name


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("files", "-delete"),
        ("rbd", "--pool=x --image=y"),
        ("rbd", "--pool=x rm y"),
        ("rbd", "--keyring=/etc/shadow"),
        ("open_files", "1/../../etc"),
        ("files", "relative"),
        ("files", "/a\n/b"),
        ("name", "-s"),
        ("name", "a b"),
        ("route_to", "10.0.0.1 table all"),
        ("proc_stats", "1,../../../etc/shadow"),
        ("sums", "/dev/watchdog"),
        ("sums", "/etc/corosync/authkey /etc/shadow"),
        ("sizes", "/"),
        ("entries", "/etc/pve/x.db"),
        ("own_folder", ".."),
        ("pause", "infinity"),
        ("testinfra command -v", "-p"),
    ],
)
def test_a_subject_of_another_form_is_not_asked_about(name: str, subject: str) -> None:
    family = next(f for f in FAMILIES if f.name == name)
    with pytest.raises(ValueError, match="nothing that can be asked about"):
        family.argv(subject)


# --- thrown at it at random; the oracle is one regular expression over all words, made from the registry anew ---


def oracle(argv: list[str]) -> bool:
    """Whether it is a passive probe, judged in another way than the wire does."""
    text = "\0".join(argv)
    if any(text == "\0".join(p.argv) for p in PASSIVE):
        return True
    for family in FAMILIES:
        words = [re.escape(w).replace(r"\{\}", "{}") for w in family.words]
        if family.separator is not None:
            words[-1] = "(?:\0?" + words[-1].replace("{}", f"(?:{family.subject.pattern})") + ")+"
            pattern = "\0".join(words[:-1]) + "\0" + words[-1]
        else:
            pattern = "\0".join(words).replace("{}", f"(?P<s>{family.subject.pattern})", 1).replace("{}", "(?P=s)")
        if re.fullmatch(pattern, text):
            return True
    return False


EVIL = ["rm", "-rf", "/", "-delete", "-exec", ";", "&&", "$(reboot)", "`reboot`", "'", '"', "{}", "", "\n", "--", "ä"]
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
WORDS = st.one_of(st.sampled_from(sorted({w for p in PASSIVE for w in p.argv} | set(EVIL))), st.text(max_size=12))


@st.composite
def nearly_a_probe(draw: st.DrawFn) -> list[str]:
    """A probe, or one of a family about a subject, with words put in, taken away or replaced."""
    argv = list(draw(st.sampled_from([p.argv for p in PROBES] + [f.words for f in FAMILIES])))
    subject = draw(st.one_of(st.from_regex(r"[0-9a-z/:.,-]{1,12}", fullmatch=True), WORDS))
    argv = [w.replace("{}", subject) for w in argv]
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(argv)))
        argv[place : place + draw(st.integers(0, 1))] = draw(st.lists(WORDS, max_size=1))
    return argv


@settings(max_examples=300, suppress_health_check=SLOW)
@given(st.one_of(nearly_a_probe(), st.lists(WORDS, min_size=1, max_size=6)))
@example(["sqlite3", probes.CONFIG_DB, "DELETE FROM tree"])
@example([*probes.CLOCK.argv, "-s", "@0"])
@example(list(probes.PVESM.argv))
def test_no_unregistered_argv_passes(argv: list[str]) -> None:
    if not argv or any("\0" in w for w in argv):
        return
    try:
        command = batch_command([("p0", 1, argv)])
    except (ValueError, UnicodeEncodeError):
        return  # it cannot even be written down
    assert (objection(command, is_passive) == "") == oracle(argv)


@settings(max_examples=200, suppress_health_check=SLOW)
@given(st.data())
def test_no_text_passes_that_is_not_the_runners_own(data: st.DataObject) -> None:
    command = batch_command([CLOCK, ("uid", 10, probes.UID.argv)], {"uid": "0f" * 32})
    place = data.draw(st.integers(0, len(command)))
    put_in = data.draw(
        st.one_of(st.text(min_size=1, max_size=3), st.sampled_from(["; reboot", "$(reboot)", "' '", "#"]))
    )
    changed = command[:place] + put_in + command[place + data.draw(st.integers(0, 2)) :]
    if changed != command and not objection(changed, is_passive):
        read, seen = read_command(changed)  # only other ids, times or hashes are left to be changed
        assert [list(argv) for _, _, argv in read] == [list(probes.CLOCK.argv), list(probes.UID.argv)]
        assert batch_command(read, seen) == changed and RUNNER in shlex.split(changed)


@pytest.mark.parametrize("more", ["'; reboot", " '", '"', "  ", "'\n", "' '", "$'"])
def test_what_is_read_is_all_that_stands_there(more: str) -> None:
    """A shell would run what the words leave out."""
    command = batch_command([CLOCK])
    with pytest.raises(ValueError, match=r"written as the runner's own|no time|invalid literal|not enough values"):
        read_command(f"{command}{more}")
    assert objection(f"{command}{more}", is_passive)


@pytest.mark.parametrize("time", ["x", "-5", "5.5", "5=", "5=ab"])
def test_what_stands_for_a_time_has_to_be_one(time: str) -> None:
    command = batch_command([CLOCK]).replace(" clock 5 ", f" clock {time} ")
    assert objection(command, is_passive).endswith(f"is no batch of probes: {time!r} is no time")


@settings(max_examples=40, suppress_health_check=[*SLOW, HealthCheck.function_scoped_fixture])
@given(st.one_of(nearly_a_probe(), st.text(max_size=60)))
def test_the_node_never_sees_what_is_refused(guarded: Connection, server: Server, thrown: list[str] | str) -> None:
    server.executed.clear()
    try:
        command = thrown if isinstance(thrown, str) else batch_command([("p0", 1, thrown)])
        refused = objection(command, is_passive) != ""
    except ValueError:
        return
    if refused:
        with pytest.raises(Refused):
            execute(guarded, command, timeout=30)
        assert server.executed == []
