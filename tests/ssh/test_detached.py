"""Commands whose outcome the node keeps: nothing runs twice, and no half of an input is used; by real bash."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from bounded import BOUND, first_line
from pve_runbook.parsers.output import Output
from pve_runbook.ssh import detached
from pve_runbook.ssh.connection import Connection
from pve_runbook.ssh.detached import NotStarted, Sent, run_detached


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where outcomes are kept: /run is root's."""
    monkeypatch.setattr(detached, "RUN_ROOT", str(tmp_path / "kept"))
    return tmp_path / "kept" / "run"


def here(tmp_path: Path, *argv: str, stdin: bytes | None = None) -> Sent:
    """A command in the request's own shell."""
    return Sent("1", "run", argv, 20, "here", stdin)


def counting(tmp_path: Path) -> tuple[str, ...]:
    """A command that leaves a line each time that it runs."""
    return ("bash", "-c", f"echo once >>{tmp_path}/ran; echo said; echo loud >&2; exit 3")


def test_what_a_command_says_and_ends_with_is_read(node: Connection, tmp_path: Path) -> None:
    assert run_detached(node, here(tmp_path, *counting(tmp_path))) == Output("said\n", "loud\n", 3)


def test_a_request_that_is_sent_again_waits_for_what_the_first_one_runs(node: Connection, tmp_path: Path) -> None:
    go = tmp_path / "go"
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    script = f"echo once >>{tmp_path}/ran; echo >{begun}; until [ -e {go} ]; do sleep 0.01; done; echo end"
    slow = here(tmp_path, "bash", "-c", script)
    with subprocess.Popen(["bash", "-c", slow.request()], stdout=subprocess.DEVNULL) as first:
        said: list[Output] = []
        with begun.open("r+b", buffering=0) as told:
            first_line(told)
        again = threading.Thread(target=lambda: said.append(run_detached(node, slow, 1)))
        again.start()
        go.touch()
        again.join(BOUND)
        assert first.wait(BOUND) == 0
    assert said == [Output("end\n", "", 0)] and (tmp_path / "ran").read_text() == "once\n"


def test_a_first_request_that_comes_late_does_not_run_what_the_second_one_ran(node: Connection, tmp_path: Path) -> None:
    sent = here(tmp_path, *counting(tmp_path))
    assert run_detached(node, sent, 1).exit_status == 3
    with pytest.raises(NotStarted):
        run_detached(node, sent)
    assert (tmp_path / "ran").read_text() == "once\n"


def test_input_is_received_whole_before_it_is_put_anywhere(node: Connection, tmp_path: Path, kept: Path) -> None:
    data, target = bytes(range(256)) * 999, tmp_path / "file"
    sent = here(tmp_path, "install", "-m", "0600", "/dev/stdin", str(target), stdin=data)
    half = subprocess.run(["bash", "-c", sent.request()], input=data[:1000], capture_output=True, check=False)
    assert (half.returncode, half.stdout) == (1, b"its input did not arrive whole\n")
    assert not target.exists()
    assert run_detached(node, sent, 1) == Output("", "", 0)
    assert target.read_bytes() == data and target.stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in kept.iterdir()) == ["1"]


def test_what_systemd_does_not_take_is_not_started_whoever_asks(start: Any, site: Any, tmp_path: Path) -> None:
    """The environment has a systemd-run that refuses."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "systemd-run").write_text("#!/bin/sh\necho 'no bus' >&2\nexit 1\n")
    (programs / "systemd-run").chmod(0o755)
    server = start(env={"PATH": f"{programs}:/usr/bin:/bin"})
    with site.connection(site.host("pve9", server)) as connection:
        sent = Sent("1", "run", counting(tmp_path), 20)
        for again in (0, 1):
            with pytest.raises(NotStarted, match="not started: no bus"):
                run_detached(connection, sent, again)
    assert not (tmp_path / "ran").exists()
