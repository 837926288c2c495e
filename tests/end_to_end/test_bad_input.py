"""What does not fit is refused in one clear text, with no traceback and nothing changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncssh
import pytest

StartLab = Callable[..., Any]
Run = Callable[..., Any]


@pytest.fixture
def lab(start_lab: StartLab) -> Any:
    """A broken cluster of three."""
    return start_lab()


def refused_by_gate(lab: Any, ran: Any, title: str, *words: str) -> None:
    """One failed step, with the words, before any change."""
    assert ran.status == 1, ran.text
    assert [t for t, _ in ran.failed()] == [title]
    assert all(w in ran.failed()[0][1] for w in words), ran.failed()
    assert "Traceback" not in ran.text
    assert lab.mutating() == []


def refused_at_once(lab: Any, ran: Any, *words: str) -> None:
    """Exit status 4, the words, no record, no change."""
    assert ran.status == 4, ran.text
    assert all(w in ran.text for w in words), ran.text
    assert "Traceback" not in ran.text
    assert ran.record is None
    assert lab.mutating() == []


def test_a_member_that_is_missing_from_hosts(lab: Any, run: Run) -> None:
    ran = run("runbook/", "--hosts=pve1,pve2", f"--ssh-config={lab.ssh_config}", "--approve=all")
    title = "--hosts names every member of the cluster, and nobody else."
    refused_by_gate(lab, ran, title, "pve3 is a member in corosync.conf, but not in --hosts", "--hosts=pve1,pve2,pve3")
    assert "next first change this line as the last line of that step says: pytest runbook/ --hosts=" in ran.text


def test_a_node_that_is_no_member(lab: Any, start_lab: StartLab, run: Run, tmp_path: Path) -> None:
    other = start_lab("standalone", nodes=4)
    config = tmp_path / "both"
    config.write_text(Path(lab.ssh_config).read_text() + "\n" + Path(other.ssh_config).read_text())
    ran = run("runbook/", "--hosts=pve1,pve2,pve3,pve4", f"--ssh-config={config}", "--approve=all")
    title = "--hosts names every member of the cluster, and nobody else."
    refused_by_gate(lab, ran, title, "pve4: corosync.conf does not name this node", "--hosts=pve1,pve2,pve3")
    assert other.mutating() == []


def test_two_names_for_one_node(lab: Any, run: Run, tmp_path: Path) -> None:
    config = tmp_path / "alias"
    text = Path(lab.ssh_config).read_text()
    config.write_text(text + "\n" + text.replace("Host pve1", "Host alias1", 1).partition("Host pve2")[0])
    ran = run("runbook/", "--hosts=pve1,alias1,pve2,pve3", f"--ssh-config={config}", "--approve=all")
    title = "No two entries of --hosts lead to the same node."
    refused_by_gate(lab, ran, title, "alias1: this is pve1, the same node as pve1")


def test_an_unknown_host_key_is_refused_with_the_line_that_adds_it(lab: Any, run: Run, tmp_path: Path) -> None:
    empty = tmp_path / "known_hosts"
    empty.touch()
    config = _with_known_hosts(lab, tmp_path, empty)
    ran = run("runbook/", f"--hosts={','.join(lab.hosts)}", f"--ssh-config={config}", "--approve=all")
    refused_at_once(lab, ran, "pve1: ", "ssh-keyscan", "SHA256:")


def test_a_changed_host_key_is_refused_always(lab: Any, run: Run, tmp_path: Path) -> None:
    lines = (Path(lab.ssh_config).parent / "known_hosts").read_text().splitlines()
    names = [line.split(" ", 1)[0] for line in lines]
    keys = [line.split(" ", 1)[1] for line in lines]
    wrong = tmp_path / "known_hosts"
    wrong.write_text("".join(f"{n} {k}\n" for n, k in zip(names, keys[1:] + keys[:1], strict=True)))
    config = _with_known_hosts(lab, tmp_path, wrong)
    ran = run(
        "runbook/",
        f"--hosts={','.join(lab.hosts)}",
        f"--ssh-config={config}",
        "--accept-new-host-keys",
        "--approve=all",
    )
    refused_at_once(lab, ran, "pve1: ", "ssh-keygen -R")


def test_first_contact_can_be_allowed(lab: Any, run: Run, tmp_path: Path) -> None:
    empty = tmp_path / "known_hosts"
    empty.touch()
    config = _with_known_hosts(lab, tmp_path, empty)
    ran = run("checks/", f"--hosts={','.join(lab.hosts)}", f"--ssh-config={config}", "--accept-new-host-keys")
    assert ran.status == 1, ran.text
    assert len(empty.read_text().splitlines()) == 3


def test_a_login_that_is_refused(lab: Any, run: Run, tmp_path: Path) -> None:
    key = tmp_path / "stranger"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(key)
    config = tmp_path / "config"
    config.write_text(
        Path(lab.ssh_config).read_text().replace(str(Path(lab.ssh_config).parent / "id_ed25519"), str(key))
    )
    ran = run("runbook/", f"--hosts={','.join(lab.hosts)}", f"--ssh-config={config}", "--approve=all")
    refused_at_once(lab, ran, "pve1: ", "--ask-password")


def test_a_canary_id_in_use_is_refused(lab: Any, run: Run) -> None:
    ran = run("runbook/", *lab.options, "--approve=all", "--canary=101")
    assert ran.status == 1
    assert [t for t, _ in ran.failed()] == ["The id of the throw-away guest is free on every node and storage."]
    assert lab.mutating() == []


@pytest.mark.sweep
def test_an_authority_whose_database_is_older(start_lab: StartLab, run: Run) -> None:
    lab = start_lab("quorate")
    lab.control.partition([["pve1"], ["pve2", "pve3"]])
    assert lab.control.run("pve2", "touch /etc/pve/written-after-the-split").exit_status == 0
    lab.control.partition([["pve1"], ["pve2"], ["pve3"]])
    before = len(lab.mutating())
    ran = run("runbook/", *lab.options, "--approve=all", "--authority=pve1")
    assert ran.status == 1, ran.text
    title, message = ran.failed()[0]
    assert title.startswith("The authority's configuration database is the newest")
    version = lab.control.state()["pve1"].version
    assert f"--authority=pve1@{version}" in message
    assert not any("expected" in argv for _, argv in lab.mutating()[before:])
    again = run("runbook/", *lab.options, "--approve=all", f"--authority=pve1@{version}")
    assert again.status == 0, again.text
    assert lab.changed_guests() == {}


def _with_known_hosts(lab: Any, tmp_path: Path, known_hosts: Path) -> Path:
    config = tmp_path / "config"
    old = Path(lab.ssh_config).parent / "known_hosts"
    config.write_text(Path(lab.ssh_config).read_text().replace(str(old), str(known_hosts)))
    shutil.copymode(lab.ssh_config, config)
    return config
