"""Host keys, strictly: a node is spoken to only if its key stands in known_hosts.

The files and their format are OpenSSH's (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT; ssh_config(5),
UserKnownHostsFile, GlobalKnownHostsFile, HostKeyAlias). StrictHostKeyChecking is not read: there is no way to
switch the check off.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import getpass
import hashlib
import hmac
import os
import re
import shlex
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

_USER_FILES = "~/.ssh/known_hosts ~/.ssh/known_hosts2"
_GLOBAL_FILES = "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"
_append_lock = threading.Lock()
_RSA_SIGNATURES = ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa")


class HostKeyError(Exception):
    """A host key that is not trusted; `seen`, `why` and `advice` are one line each, str() is all three."""

    def __init__(self, seen: str, why: str, advice: str) -> None:
        super().__init__(f"{seen}; {why}; {advice}")
        self.seen = seen
        self.why = why
        self.advice = advice


class UnknownHostKey(HostKeyError):
    """No known_hosts file has any key of this node."""


class ChangedHostKey(HostKeyError):
    """known_hosts has other keys for this node, or has this key as revoked."""


class HostKey(Struct, frozen=True):
    """A public key as the wire and known_hosts have it: its type (`ssh-ed25519`) and its blob."""

    type: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """`SHA256:…`, as ssh-keygen -lf prints it."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode("ascii")
        return "SHA256:" + digest.rstrip("=")

    @property
    def kind(self) -> str:
        """The type in the short words of ssh-keyscan -t and of the files in /etc/ssh: ed25519, rsa, ecdsa."""
        return "ecdsa" if self.type.startswith("ecdsa-") else self.type.removeprefix("ssh-")

    def __str__(self) -> str:
        return f"{self.type} {self.fingerprint}"


class HostName(Struct, frozen=True):
    """What a node is called in known_hosts: ssh_config's HostName and Port, or its HostKeyAlias."""

    host: str
    port: int = 22
    alias: str | None = None
    jumped: bool = False
    """Whether a jump host stands in front of it: ssh-keyscan cannot reach through one."""

    @property
    def entry(self) -> str:
        """The name a new line of known_hosts gets."""
        if self.alias is not None:
            return self.alias
        host = self.host.lower()
        return host if self.port == 22 else f"[{host}]:{self.port}"


class _Line(Struct, frozen=True):
    """One usable line of a known_hosts file."""

    names: tuple[str, ...]
    key: HostKey
    revoked: bool

    def matches(self, name: str) -> bool:
        matched = False
        for pattern in self.names:
            if pattern.startswith("|1|"):
                matched = matched or _hashed_name_is(pattern, name)
            elif pattern.startswith("!"):
                if _glob(pattern[1:], name):
                    return False
            else:
                matched = matched or _glob(pattern, name)
        return matched


class KnownHosts:
    """The keys that the operator trusts, read afresh for each connection.

    `user_files` and `global_files` are read in order; a missing file is an empty one. With `accept_new` an
    unknown key is appended to the first user file instead of refused; a changed key is refused all the same.
    """

    def __init__(
        self, user_files: Sequence[Path], global_files: Sequence[Path] = (), *, accept_new: bool = False
    ) -> None:
        self._user_files = tuple(user_files)
        self._global_files = tuple(global_files)
        self._accept_new = accept_new

    def preferred_algorithms(self, name: HostName, supported: Iterable[str]) -> tuple[str, ...]:
        """`supported` host key algorithms, those of keys that are known for this node first.

        Otherwise a node known by its ed25519 key could show its RSA key and be taken for a stranger.
        """
        known: list[str] = []
        for line in self._lines_for(name):
            known.extend(_RSA_SIGNATURES if line.key.type == "ssh-rsa" else (line.key.type,))
        offered = tuple(supported)
        first = tuple(dict.fromkeys(algorithm for algorithm in known if algorithm in offered))
        return first + tuple(algorithm for algorithm in offered if algorithm not in first)

    def verify(self, name: HostName, key: HostKey) -> None:
        """Return if the key is trusted or was just accepted.

        Raises UnknownHostKey, ChangedHostKey, and OSError for a known_hosts file that cannot be used.
        """
        with _append_lock:
            lines = self._lines_for(name)
            if any(line.revoked and line.key == key for line in lines):
                raise _revoked(name, key)
            trusted = [line.key for line in lines if not line.revoked]
            if key in trusted:
                return
            exact = [line.key for line in self._lines() if not line.revoked and line.matches(name.entry)]
            if exact:
                raise _changed(name, key, exact, self._files(), self._user_files)
            if not self._accept_new or not self._user_files:
                raise _unknown(name, key, self._files(), self._user_files)
            _append(self._user_files[0], name, key)

    def _files(self) -> tuple[Path, ...]:
        return self._user_files + self._global_files

    def _lines(self) -> list[_Line]:
        return [line for file in self._files() for line in _read(file)]

    def _lines_for(self, name: HostName) -> list[_Line]:
        """Lines of the node; a line without a port counts for every port of that host, as in OpenSSH."""
        wanted = {name.entry} if name.alias is not None else {name.entry, name.host.lower()}
        return [line for line in self._lines() if any(line.matches(entry) for entry in wanted)]


class HostKeyCheck:
    """The check in the form paramiko takes: a transport factory, and a policy asked about every key (because
    paramiko's own known hosts are left empty).
    """

    def __init__(
        self, name: HostName, known_hosts: KnownHosts, handshake_seconds: float, make: Callable[..., Any]
    ) -> None:
        """`make` is called as paramiko.Transport is."""
        self._make = make
        self._name = name
        self._known_hosts = known_hosts
        self._handshake_seconds = handshake_seconds

    def transport(self, sock: Any, **kwargs: Any) -> Any:
        """A paramiko.Transport that asks for a known type of key first and whose handshake has a bound."""
        transport = self._make(sock, **kwargs)
        transport.handshake_timeout = self._handshake_seconds
        offer = transport.get_security_options()
        offer.key_types = self._known_hosts.preferred_algorithms(self._name, offer.key_types)
        return transport

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        """paramiko's question; raises UnknownHostKey or ChangedHostKey for a key that is not trusted."""
        self._known_hosts.verify(self._name, HostKey(key.get_name(), key.asbytes()))


def known_hosts_of(
    settings: Mapping[str, Any], name: HostName, *, typed: str, user: str, accept_new: bool
) -> KnownHosts:
    """The files that ssh_config's `settings` name for the host `typed` by the operator, or the defaults."""
    home = os.path.expanduser("~")
    tokens = {"%%": "%", "%d": home, "%h": name.host, "%n": typed, "%k": name.alias or typed}
    tokens |= {"%p": str(name.port), "%r": user, "%u": getpass.getuser()}

    def files(key: str, default: str) -> list[Path]:
        words = shlex.split(settings.get(key, default))
        if [word.lower() for word in words] == ["none"]:
            return []
        filled = (re.sub("%[%a-zA-Z]", lambda token: tokens.get(token[0], token[0]), word) for word in words)
        return [Path(os.path.expanduser(word)) for word in filled]

    user_files = files("userknownhostsfile", _USER_FILES)
    return KnownHosts(user_files, files("globalknownhostsfile", _GLOBAL_FILES), accept_new=accept_new)


def _read(file: Path) -> list[_Line]:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return [line for raw in text.splitlines() if (line := _parse_line(raw)) is not None]


def _parse_line(raw: str) -> _Line | None:
    """One line, or None for what OpenSSH skips as well: comments, broken lines, certificate authorities."""
    fields = raw.split()
    if not fields or fields[0].startswith("#"):
        return None
    marker = fields.pop(0) if fields[0].startswith("@") else None
    if marker not in (None, "@revoked") or len(fields) < 3:
        return None
    names, key_type, encoded = fields[:3]
    try:
        blob = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return None
    return _Line(tuple(names.split(",")), HostKey(key_type, blob), revoked=marker is not None)


def _glob(pattern: str, name: str) -> bool:
    """OpenSSH's patterns know * and ? only; a [ stands for itself."""
    return fnmatch.fnmatchcase(name.lower(), pattern.lower().replace("[", "[[]"))


def _hashed_name_is(hashed: str, name: str) -> bool:
    """`|1|salt|hash`: HMAC-SHA1 of the name keyed with the salt, both in base64."""
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in hashed.split("|")[2:4])
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), digest)


def _line_to_add(name: HostName, key: HostKey) -> str:
    return f"{name.entry} {key.type} {base64.b64encode(key.blob).decode('ascii')}"


def _append(file: Path, name: HostName, key: HostKey) -> None:
    """Add one line in one write; files and directories that are new are the operator's alone."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = file.read_bytes() if file.exists() else b""
    gap = "" if not before or before.endswith(b"\n") else "\n"
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{gap}{_line_to_add(name, key)}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unknown(name: HostName, key: HostKey, files: Sequence[Path], user_files: Sequence[Path]) -> UnknownHostKey:
    listed = ", ".join(_tilde(file) for file in files) or "any known_hosts file (ssh_config names none)"
    command = _command_to_add(name, key, user_files)
    return UnknownHostKey(
        f"{name.entry} shows the host key {key}, and no key of it is in {listed}",
        "without a known key nobody can tell the node from an impostor on the way",
        f"compare the fingerprint {_at_the_console(key)}; if it is the same, type: {command}",
    )


def _changed(
    name: HostName, key: HostKey, known: Sequence[HostKey], files: Sequence[Path], user_files: Sequence[Path]
) -> ChangedHostKey:
    holders = [file for file in files for line in _read(file) if not line.revoked and line.matches(name.entry)]
    removals = " && ".join(
        f"ssh-keygen -R {shlex.quote(name.entry)} -f {_typed(file)}" for file in dict.fromkeys(holders)
    )
    listed = ", ".join(str(one) for one in dict.fromkeys(known))
    return ChangedHostKey(
        f"{name.entry} shows the host key {key}, but known_hosts has {listed}",
        "WARNING: either the node was installed anew, or someone on the way poses as it",
        f"compare the fingerprint {_at_the_console(key)}; only if it is the same, type: {removals} "
        f"&& {_command_to_add(name, key, user_files)}",
    )


def _revoked(name: HostName, key: HostKey) -> ChangedHostKey:
    return ChangedHostKey(
        f"{name.entry} shows the host key {key}, which known_hosts marks as @revoked",
        "WARNING: whoever revoked it held it for stolen",
        "give the node a new host key at its console, or ask whoever wrote the @revoked line",
    )


def _at_the_console(key: HostKey) -> str:
    return f"with `ssh-keygen -lf /etc/ssh/ssh_host_{key.kind}_key.pub` typed at the node's own console"


def _command_to_add(name: HostName, key: HostKey, user_files: Sequence[Path]) -> str:
    """The line to type: ssh-keyscan, or the key itself where that cannot work (jump host, alias)."""
    file = _typed(user_files[0]) if user_files else "~/.ssh/known_hosts"
    if not name.jumped and name.alias is None:
        return f"ssh-keyscan -p {name.port} -t {key.kind} {shlex.quote(name.host)} >> {file}"
    return f"echo {shlex.quote(_line_to_add(name, key))} >> {file}"


def _tilde(file: Path) -> str:
    home = os.path.expanduser("~")
    text = str(file)
    return "~" + text[len(home) :] if text.startswith(home.rstrip("/") + "/") else text


def _typed(file: Path) -> str:
    """The file as it can be typed into a shell; the tilde must stay outside the quotes."""
    text = _tilde(file)
    return "~/" + shlex.quote(text[2:]) if text.startswith("~/") else shlex.quote(text)
