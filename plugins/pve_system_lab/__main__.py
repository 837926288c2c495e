"""python -m pve_system_lab: start, reset and end a system lab."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pve_system_lab.cluster import DIRECTORY, MOST_NODES, NEEDS_ROOT, SystemLab, alone
from pve_system_lab.errors import SystemLabError
from pve_system_lab.faults import FAULTS, heal, strike
from pve_system_lab.root import CACHE, MIRROR, NODES, ensure
from pve_system_lab.scenarios import SCENARIOS


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pve_system_lab",
        description="Nodes with real OpenSSH, systemd, corosync and QEMU in containers on this machine; needs root.",
    )
    parser.add_argument("--dir", type=Path, default=DIRECTORY, help=f"where the lab lives (default {DIRECTORY})")
    commands = parser.add_subparsers(dest="command", required=True)
    states = ", ".join(SCENARIOS)
    up = commands.add_parser("up", help="make a lab and print how to reach it")
    up.add_argument("--nodes", type=int, default=3, help=f"how many nodes, 1 to {MOST_NODES} (default 3)")
    reset = commands.add_parser("reset", help="put all nodes into a starting state again")
    root = commands.add_parser("root", help="make the Debian root that all labs share, if it is not there yet")
    for command in (up, reset):
        command.add_argument("--scenario", default="broken", choices=SCENARIOS, metavar="NAME", help=f"one of {states}")
    for command in (up, root):
        command.add_argument("--cache", type=Path, default=CACHE, help=f"where the root is kept (default {CACHE})")
        command.add_argument("--mirror", default=MIRROR, help=f"where Debian comes from (default {MIRROR})")
        command.add_argument("--pve", type=int, default=8, choices=NODES, help="what nodes stand for (default 8)")
    kinds = "; ".join(f"{name}: {fault.line}" for name, fault in FAULTS.items())
    for name, line in (("fault", "let something befall a node"), ("heal", "let it be as before that")):
        command = commands.add_parser(name, help=line, description=f"{line}. {kinds}.")
        command.add_argument("fault", choices=FAULTS, metavar="FAULT", help=", ".join(FAULTS))
        command.add_argument("node")
    run = commands.add_parser("run", help="run a command on a node, past SSH")
    run.add_argument("node")
    run.add_argument("argv", nargs=argparse.REMAINDER)
    commands.add_parser("down", help="end the lab; the root is kept")
    return parser


def main(argv: list[str] | None = None) -> int:
    """The command line; 0, 1 when the lab cannot do that, 2 for a mistake in the arguments."""
    parser = _arguments()
    given = parser.parse_args(argv)
    try:
        if os.geteuid() != 0:
            raise SystemLabError(NEEDS_ROOT)
        if given.command == "run":
            return _run(SystemLab(given.dir), given.node, given.argv)
        if given.command == "root":
            print(ensure(given.cache, given.mirror, NODES[given.pve]))
            return 0
        if given.command == "up" and not 1 <= given.nodes <= MOST_NODES:
            parser.error(f"--nodes must be 1 to {MOST_NODES}, not {given.nodes}")
        with alone(given.dir):
            if given.command == "down":
                SystemLab(given.dir).down()
                return 0
            if given.command in ("fault", "heal"):
                container = SystemLab(given.dir).container(given.node)
                (strike if given.command == "fault" else heal)(given.fault, container)
                return 0
            if given.command == "up":
                lab = SystemLab.up(given.nodes, given.dir, given.cache, given.mirror, given.pve)
            else:
                lab = SystemLab(given.dir)
                lab.reset()
            SCENARIOS[given.scenario].shape(lab)
    except SystemLabError as error:
        print(f"pve_system_lab: {error}", file=sys.stderr)
        return 1
    first = next(iter(lab.containers))
    print(
        f"The system lab is up: {len(lab.nodes)} nodes, PVE {lab.pve}, {given.scenario}.\n\n"
        f"  pytest checks/ {lab.options}\n  pytest runbook/ {lab.options}\n"
        f"  ssh -F {lab.ssh_config} {first} pvecm status\n\n"
        "python -m pve_system_lab down   ends it."
    )
    return 0


def _run(lab: SystemLab, node: str, argv: list[str]) -> int:
    done = lab.container(node).run(*argv)
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
