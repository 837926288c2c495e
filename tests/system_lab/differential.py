"""The same questions to both labs in the same state, parsed by the same parsers."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import re
import shlex
import sqlite3
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from pve_lab.build import build
from pve_lab.machine import Machine, Site
from pve_lab.model.cluster import Cluster
from pve_lab.model.database import Row
from pve_lab.shell import Channel
from pve_lab.wiring import ONE_FOR_ALL
from pve_runbook.parsers.output import Output, ParseError
from pve_system_lab.cluster import SystemLab
from pve_system_lab.container import Container
from pve_system_lab.inventory import INVENTORY

EPOCH = 1795415359.0
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKlab0000000000000000000000000000000000000000 test"


class Model:
    """The embedded lab without its SSH servers, with the system lab's guests and wiring."""

    def __init__(self, directory: Path, lab: SystemLab, shape: Callable[[Cluster], None]) -> None:
        (directory / "nodes").mkdir(parents=True)
        self.cluster = build(len(lab.nodes), directory, EPOCH, KEY, inventory=INVENTORY, wiring=ONE_FOR_ALL)
        self._site = Site(directory / "unsimulated.log")
        rows = _rows(lab)
        for name, node in self.cluster.nodes.items():
            Machine(node, directory / f"{name}.jsonl", self._site)
            node.pmxcfs.database.replace(rows)
            node.files.put("/etc/corosync/authkey", lab.authkey.read_bytes(), 0o400)
        shape(self.cluster)

    def ask(self, node: str, argv: tuple[str, ...], stdin: bytes = b"") -> Output:
        """Run a command on a node."""
        channel = Channel(self._site.machines[node], lambda done: done(stdin))
        stdout, stderr, status = channel.execute("LC_ALL=C " + shlex.join(argv))
        return Output(stdout, stderr, status)

    def close(self) -> None:
        """End everything."""
        for machine in self._site.machines.values():
            machine.close()
        for node in self.cluster.nodes.values():
            node.pmxcfs.database.close()
            node.files.release()


def _rows(lab: SystemLab) -> list[Row]:
    """The database that the nodes of the system lab began with."""
    with contextlib.closing(sqlite3.connect(lab.template)) as connection:
        return [Row(*values) for values in connection.execute("SELECT * FROM tree ORDER BY inode")]


def real(container: Container, argv: tuple[str, ...], stdin: bytes = b"") -> Output:
    """Run a command on a node of the system lab."""
    done = container.run(*argv, stdin=stdin)
    return Output(done.stdout, done.stderr, done.returncode)


def without(value: Any, keys: Collection[str]) -> Any:
    """Plain data without the keys of those names."""
    if isinstance(value, dict):
        return {k: without(v, keys) for k, v in value.items() if k not in keys}
    return [without(v, keys) for v in value] if isinstance(value, list) else value


def plain(value: Any) -> Any:
    """A parsed answer as plain data."""
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [plain(v) for v in value]
        return sorted(items, key=repr) if isinstance(value, (set, frozenset)) else items
    return value


def parsed(parse: Callable[[Output], Any], output: Output) -> Any:
    """What the parser makes of an answer; an error as its kind."""
    try:
        return plain(parse(output))
    except ParseError as error:
        return {"unknown": re.sub(r"\d+", "N", str(error))}
