"""A second way in: a key pair made for this work, in a place that does not vanish with /etc/pve.

root's authorized_keys is a link into /etc/pve (pve-cluster, Setup.pm), so key logins fail while it is not mounted.
OpenSSH reads authorized_keys2 beside it by default (recorded on PVE 8.3: `sshd -T`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from msgspec import Struct

from pve_runbook.actions import registry as actions
from pve_runbook.actions.action import Action
from pve_runbook.cluster.node import Node
from pve_runbook.probes import registry as probes
from pve_runbook.ssh.connection import Connection, ConnectOptions
from pve_runbook.ssh.errors import ConnectFailed

MARK = "pve-runbook"
"""The comment of our keys: how they are found again after a kill."""


class KeyPair(Struct, frozen=True):
    """``public`` is the line for authorized_keys2."""

    private: Path
    public: str


def make_key(folder: Path, work: str) -> KeyPair:
    """Write a new ed25519 private key into ``folder`` (created 0700). Raises OSError."""
    key = Ed25519PrivateKey.generate()
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / "second-way-in"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return KeyPair(path, f"{line} {MARK}-{work}")


def installation(lines: Iterable[str], public: str) -> tuple[Action, bytes]:
    """What puts the key ``public`` beside the others of authorized_keys2, which holds ``lines`` now."""
    return _put([*_others(lines), public])


def removal(lines: Sequence[str]) -> list[tuple[Action, bytes | None]]:
    """What takes our keys out again, whichever; the file goes when nothing else is in it."""
    others = _others(lines)
    if len(others) == len(lines):
        return []
    return [_put(others) if others else (actions.REMOVE_KEYS.bind(), None)]


def _put(lines: Iterable[str]) -> tuple[Action, bytes]:
    return actions.PUT_KEYS.bind(), ("\n".join(lines) + "\n").encode()


def is_installed(node: Node) -> bool:
    """Whether a key of this tool is on the node, this work's or any that a killed run left. Raises UnknownFact."""
    return any(_is_ours(line) for line in node.facts.get(probes.SECOND_KEYS))


def _others(lines: Iterable[str]) -> list[str]:
    return [line for line in lines if not _is_ours(line)]


def _is_ours(line: str) -> bool:
    return f" {MARK}-" in line


def proven(node: Node, options: ConnectOptions, key: KeyPair) -> str:
    """Log in to ``node`` once more, with this key alone; "" when it works, else why not."""
    alone = replace(options, keys=(str(key.private),), own_keys=False, password=None, sudo=False)
    connection = Connection(node.target, alone)
    try:
        node.line.open_patiently(connection)
    except ConnectFailed as error:
        return error.reason
    connection.close()
    return ""
