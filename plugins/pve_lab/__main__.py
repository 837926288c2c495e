"""pve-runbook lab: start a lab and keep it up."""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from pve_runbook.facts_file.model import load

from pve_lab.scenarios import SCENARIOS
from pve_lab.server import LabServer

MOST_NODES = 32
LONGEST_SOCKET = 100
"""Bytes of a Unix socket's path that every system takes."""


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pve-runbook lab", description="Simulated Proxmox VE nodes behind a real SSH server."
    )
    parser.add_argument("--nodes", type=int, default=3, help=f"how many nodes, 1 to {MOST_NODES} (default 3)")
    parser.add_argument("--scenario", default="broken", metavar="NAME|list", help="the starting state (default broken)")
    parser.add_argument("--facts", type=Path, metavar="FILE", help="be the twin of the cluster whose facts FILE holds")
    parser.add_argument(
        "--dir",
        type=Path,
        help="where keys, ssh_config and logs go (default: a fresh directory, removed at the end)",
    )
    parser.add_argument("--until-eof", action="store_true", help="print one JSON line, end when standard input closes")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the lab; the exit status is 0, or 2 for a mistake in the arguments."""
    parser = _arguments()
    given = parser.parse_args(argv)
    if given.scenario == "list":
        width = max(len(name) for name in SCENARIOS)
        print("".join(f"{name:<{width}}  {scenario.line}\n" for name, scenario in SCENARIOS.items()), end="")
        return 0
    if given.scenario not in SCENARIOS:
        parser.error(f"there is no scenario {given.scenario!r}; there are: {', '.join(SCENARIOS)}")
    if not 1 <= given.nodes <= MOST_NODES:
        parser.error(f"--nodes must be 1 to {MOST_NODES}, not {given.nodes}")
    portrait = None
    if given.facts is not None:
        try:
            portrait = load(given.facts.read_text(encoding="utf-8"))
            if not portrait.has_a_twin:
                raise ValueError("it holds no node's configuration database")
        except (OSError, ValueError) as error:
            parser.error(f"--facts={given.facts}: {error}")
    if given.dir is not None and given.dir.exists() and any(given.dir.iterdir()):
        parser.error(f"{given.dir} is not empty: name a directory that is new or empty")
    if given.dir is not None and len(str(given.dir.absolute() / "control")) > LONGEST_SOCKET:
        parser.error(f"the path of {given.dir} is too long for the control socket: name a shorter one")
    directory = Path(given.dir or tempfile.mkdtemp(prefix="pve-runbook-lab-")).absolute()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
        lab = functools.partial(LabServer, given.nodes, given.scenario, directory, portrait)
        what = f"scenario {given.scenario}" if portrait is None else f"the twin of {given.facts}"
        asyncio.run(_serve(lab, what, directory, until_eof=given.until_eof))
    except KeyboardInterrupt:
        pass
    finally:
        if given.dir is None:
            shutil.rmtree(directory, ignore_errors=True)
    return 0


async def _serve(start: Callable[[], LabServer], what: str, directory: Path, *, until_eof: bool) -> None:
    lab = start()
    await lab.start()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lab.stop)
    hosts = list(lab.ports)
    if until_eof:
        ready = {
            "hosts": hosts,
            "ssh_config": str(lab.ssh_config),
            "dir": str(directory),
            "control": str(lab.control),
        }
        print(json.dumps(ready), flush=True)
        loop.add_reader(sys.stdin, lambda: None if os.read(sys.stdin.fileno(), 4096) else lab.stop())
    else:
        options = f"--hosts={','.join(hosts)} --ssh-config={lab.ssh_config}"
        print(
            f"The lab is up: {len(hosts)} nodes, {what}. In another terminal:\n\n"
            f"  pytest checks/ {options}\n  pytest runbook/ {options}\n"
            f"  ssh -F {lab.ssh_config} {hosts[0]} pvecm status\n\n"
            f"Logs of the nodes: {directory}/nodes/*.jsonl\nCtrl-C ends it.",
            flush=True,
        )
    await lab.wait()
    if until_eof:
        loop.remove_reader(sys.stdin)
    await lab.close()


if __name__ == "__main__":
    sys.exit(main())
