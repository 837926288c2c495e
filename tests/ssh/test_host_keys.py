"""known_hosts as OpenSSH writes it, and what is said about a key that is not in it."""

from __future__ import annotations

import base64
import shutil
import stat
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncssh
import pytest
from pve_runbook.ssh.host_keys import (
    ChangedHostKey,
    HostKey,
    HostKeyError,
    HostName,
    KnownHosts,
    UnknownHostKey,
    known_hosts_of,
)

PVE1 = HostName("pve1.example.org", 22)
PVE1_2222 = HostName("PVE1.example.org", 2222)


@pytest.fixture
def key(keys: dict[str, asyncssh.SSHKey]) -> Callable[[str], HostKey]:
    def public(name: str) -> HostKey:
        kind, encoded = keys[name].export_public_key().decode().split()[:2]
        return HostKey(kind, base64.b64decode(encoded))

    return public


@pytest.fixture
def known(tmp_path: Path, key: Callable[[str], HostKey]) -> Callable[..., KnownHosts]:
    """known("pve1 {host}") makes a file of these lines, names in braces filled with public keys."""

    def make(*lines: str, accept_new: bool = False) -> KnownHosts:
        texts = {
            name.replace(" ", "_"): f"{key(name).type} {base64.b64encode(key(name).blob).decode()}"
            for name in ("host", "other host", "rsa host")
        }
        file = tmp_path / "known_hosts"
        file.write_text("".join(line.format(**texts) + "\n" for line in lines))
        return KnownHosts([file], accept_new=accept_new)

    return make


Known = Callable[..., KnownHosts]
Key = Callable[[str], HostKey]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (PVE1, "pve1.example.org {host} a comment"),
        (PVE1, "other,pve1.example.org,10.0.0.1 {host}"),
        (PVE1, "*.example.org {host}"),
        (PVE1, "pve?.example.org\t{host}"),
        (PVE1_2222, "[pve1.example.org]:2222 {host}"),
        (PVE1_2222, "pve1.example.org {host}"),
        (HostName("10.0.0.1", 2222, alias="the-node"), "the-node {host}"),
        (HostName("2001:db8::1", 22), "2001:db8::1 {host}"),
    ],
)
def test_a_known_key_is_trusted(known: Known, key: Key, name: HostName, line: str) -> None:
    known(line).verify(name, key("host"))


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (PVE1, "# pve1.example.org {host}"),
        (PVE1, "pve2.example.org {host}"),
        (PVE1, "!pve1.example.org,*.example.org {host}"),
        (PVE1, "@cert-authority *.example.org {host}"),
        (PVE1, "[pve1.example.org]:2222 {host}"),
        (PVE1, "pve[1].example.org {host}"),
        (PVE1, "pve1.example.org ssh-ed25519"),
        (PVE1, "pve1.example.org ssh-ed25519 not*base64"),
        (PVE1, "|1|broken {host}"),
        (PVE1, "|1|!!!|!!! {host}"),
        (HostName("10.0.0.1", 22, alias="the-node"), "10.0.0.1 {host}"),
    ],
)
def test_a_line_for_something_else_makes_nothing_known(known: Known, key: Key, name: HostName, line: str) -> None:
    with pytest.raises(UnknownHostKey):
        known(line).verify(name, key("host"))


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen to hash names")
@pytest.mark.parametrize("name", [PVE1, PVE1_2222])
def test_names_hashed_by_ssh_keygen_are_found(known: Known, key: Key, tmp_path: Path, name: HostName) -> None:
    hosts = known(f"{name.entry} {{host}}")
    file = tmp_path / "known_hosts"
    subprocess.run(["ssh-keygen", "-H", "-f", str(file)], check=True, capture_output=True, timeout=30)
    assert name.host.lower() not in file.read_text()
    hosts.verify(name, key("host"))
    with pytest.raises(ChangedHostKey):
        hosts.verify(name, key("other host"))


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="compares with ssh-keygen")
def test_the_fingerprint_is_the_one_ssh_keygen_prints(
    keys: dict[str, asyncssh.SSHKey], key: Key, tmp_path: Path
) -> None:
    file = tmp_path / "key.pub"
    file.write_bytes(keys["host"].export_public_key())
    done = subprocess.run(["ssh-keygen", "-lf", str(file)], check=True, capture_output=True, text=True, timeout=30)
    printed = done.stdout
    assert printed.split()[1] == key("host").fingerprint


def test_an_unknown_key_is_refused_with_the_line_that_adds_it(known: Known, key: Key, tmp_path: Path) -> None:
    with pytest.raises(UnknownHostKey) as refusal:
        known().verify(PVE1_2222, key("host"))
    text = str(refusal.value)
    assert f"[pve1.example.org]:2222 shows the host key ssh-ed25519 {key('host').fingerprint}" in text
    assert "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub" in text
    assert text.endswith(f"ssh-keyscan -p 2222 -t ed25519 PVE1.example.org >> {tmp_path}/known_hosts")
    assert "\n" not in text


@pytest.mark.parametrize(
    "name", [HostName("10.0.0.1", 2222, alias="the-node"), HostName("10.0.0.1", 2222, jumped=True)]
)
def test_where_ssh_keyscan_would_not_do_the_line_adds_the_key_itself(known: Known, key: Key, name: HostName) -> None:
    hosts = known()
    with pytest.raises(UnknownHostKey) as refusal:
        hosts.verify(name, key("host"))
    subprocess.run(["bash", "-c", refusal.value.advice.partition("type: ")[2]], check=True, timeout=30)
    hosts.verify(name, key("host"))


@pytest.mark.parametrize("seen", ["other host", "rsa host"])
@pytest.mark.parametrize("accept_new", [False, True])
def test_another_key_than_the_known_one_is_refused_even_of_another_type_and_when_new_keys_are_accepted(
    known: Known, key: Key, tmp_path: Path, seen: str, accept_new: bool
) -> None:
    hosts = known("[pve1.example.org]:2222 {host}", accept_new=accept_new)
    before = (tmp_path / "known_hosts").read_text()
    with pytest.raises(ChangedHostKey) as refusal:
        hosts.verify(PVE1_2222, key(seen))
    text = str(refusal.value)
    assert key(seen).fingerprint in text and key("host").fingerprint in text
    assert "WARNING" in text
    assert f"ssh-keygen -R '[pve1.example.org]:2222' -f {tmp_path}/known_hosts" in text
    assert (tmp_path / "known_hosts").read_text() == before


def test_a_revoked_key_is_refused_even_if_another_line_trusts_it(known: Known, key: Key) -> None:
    hosts = known("pve1.example.org {host}", "@revoked * {host}", accept_new=True)
    with pytest.raises(ChangedHostKey, match="@revoked"):
        hosts.verify(PVE1, key("host"))


def test_an_accepted_key_is_appended_privately_and_known_from_then_on(key: Key, tmp_path: Path) -> None:
    file = tmp_path / "new directory" / "known_hosts"
    KnownHosts([file], accept_new=True).verify(PVE1_2222, key("host"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    KnownHosts([file]).verify(PVE1_2222, key("host"))
    with pytest.raises(ChangedHostKey):
        KnownHosts([file], accept_new=True).verify(PVE1_2222, key("other host"))


def test_an_accepted_key_starts_a_line_of_its_own(key: Key, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text("# no newline at the end")
    KnownHosts([file], accept_new=True).verify(PVE1, key("host"))
    assert file.read_text().splitlines()[0] == "# no newline at the end"
    KnownHosts([file]).verify(PVE1, key("host"))


def test_a_jump_host_met_by_many_connections_at_once_is_added_once(key: Key, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(KnownHosts([file], accept_new=True).verify, PVE1, key("host")) for _ in range(24)]:
            done.result(30)
    assert len(file.read_text().splitlines()) == 1


def test_types_of_known_keys_are_asked_for_first(known: Known) -> None:
    supported = ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256"]
    assert known("pve1.example.org {rsa_host}").preferred_algorithms(PVE1, supported) == (
        "rsa-sha2-512",
        "rsa-sha2-256",
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
    )
    assert known().preferred_algorithms(PVE1, supported) == tuple(supported)


@pytest.mark.parametrize(
    "settings",
    [
        {"userknownhostsfile": "~/nowhere '~/two words'"},
        {"userknownhostsfile": "%d/two%%20words_%h_%p ~/nowhere"},
        {"userknownhostsfile": "none", "globalknownhostsfile": "~/nowhere ~/global"},
    ],
)
def test_every_file_that_ssh_config_names_is_read(
    known: Known, key: Key, tmp_path: Path, settings: Mapping[str, str]
) -> None:
    known("pve1.example.org {host}")
    for name in ("two words", "two%20words_pve1.example.org_22", "global"):
        shutil.copy(tmp_path / "known_hosts", tmp_path / "home" / name)
    hosts = known_hosts_of(settings, PVE1, typed="pve1", user="root", accept_new=False)
    hosts.verify(PVE1, key("host"))
    nothing = known_hosts_of({"userknownhostsfile": "none"}, PVE1, typed="pve1", user="root", accept_new=True)
    with pytest.raises(HostKeyError):
        nothing.verify(PVE1, key("host"))
