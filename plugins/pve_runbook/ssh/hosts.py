"""The words of --hosts, as targets: where each node's SSH server is, and the name the node goes by in
reports.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

_PORT = re.compile(r"[0-9]{1,5}")
_LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9._-]+)?")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@$\\-]*")


class TargetError(ValueError):
    """--hosts holds something that is not the address of a node; one line that says what to write."""


class Target(Struct, frozen=True):
    """One node as it was named by the operator.

    `name` stands in ids and reports: the text without scheme and user, with the port only if one was given.
    `user` and `port` are None where ssh_config or the defaults decide; `host` may be an alias of ssh_config.
    """

    name: str
    user: str | None
    port: int | None
    host: str


def parse_hosts(spec: list[str] | str) -> tuple[Target, ...]:
    """Read `pve1`, `root@pve1:2222`, `ssh://root@pve1:2222`, `[2001:db8::1]:22`, as a list or with commas.

    Raises TargetError for any other scheme, empty entries, bad ports and the same node named twice.
    """
    values = [spec] if isinstance(spec, str) else spec
    entries = [entry for value in values for entry in value.split(",")]
    if not entries:
        raise TargetError("--hosts names no node; write --hosts=pve1,pve2,pve3")
    targets = tuple(_parse_entry(entry) for entry in entries)
    _refuse_duplicates(targets)
    return targets


def _parse_entry(entry: str) -> Target:
    shown = repr(entry)
    if not entry.strip():
        raise TargetError("--hosts has an empty entry; write --hosts=pve1,pve2,pve3 without doubled or final commas")
    if any(character.isspace() or not character.isprintable() for character in entry):
        raise TargetError(f"--hosts entry {shown} holds white space or a control character; separate nodes by commas")
    text = entry
    if "://" in entry:
        scheme, _, text = entry.partition("://")
        if scheme.lower() != "ssh":
            raise TargetError(
                f"--hosts entry {shown}: nodes are reached over ssh only, not {scheme}; write ssh://root@pve1"
            )
        text = text.removesuffix("/")
    user, address = _split_user(text, shown)
    host, port = _split_port(address, shown)
    name = address.strip("[]") if port is None else address
    return Target(name=name, user=user, port=port, host=host)


def _split_user(text: str, shown: str) -> tuple[str | None, str]:
    user, at, address = text.rpartition("@")
    if not at:
        return None, address
    if ":" in user:
        raise TargetError("--hosts entry with a password in it; never write one there, give --ask-password instead")
    if not _USER.fullmatch(user):
        raise TargetError(f"--hosts entry {shown} has no usable user name before the @; write root@pve1")
    return user, address


def _split_port(address: str, shown: str) -> tuple[str, int | None]:
    host, port_text = address, None
    if address.startswith("["):
        host, bracket, rest = address[1:].partition("]")
        if not bracket or not _IPV6.fullmatch(host) or (rest and not rest.startswith(":")):
            raise TargetError(f"--hosts entry {shown} has no IPv6 address in its brackets; write [2001:db8::1]:22")
        port_text = rest[1:] if rest else None
    elif address.count(":") == 1:
        host, _, port_text = address.partition(":")
    if not (_HOST.fullmatch(host) or _IPV6.fullmatch(host)):
        raise TargetError(f"--hosts entry {shown} does not name a host; write pve1, root@pve1:2222 or [2001:db8::1]:22")
    if port_text is None:
        return host, None
    if not _PORT.fullmatch(port_text) or not 1 <= int(port_text) <= 65535:
        raise TargetError(f"--hosts entry {shown} has the port {port_text!r}; a port is a number from 1 to 65535")
    return host, int(port_text)


def _refuse_duplicates(targets: Iterable[Target]) -> None:
    seen: dict[tuple[str | None, str, int | None], Target] = {}
    for target in targets:
        key = (target.user, target.host.lower(), target.port)
        if key in seen:
            raise TargetError(f"--hosts names {target.name} twice; name every node once")
        seen[key] = target
