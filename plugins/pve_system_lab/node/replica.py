"""One node's database as a member of a group that keeps all its databases equal (what dcdb.c and dfsm.c do).

Pure: messages come in and go out as bytes. When the membership changes every member tells its version; the highest one
leads, and the others take its tree over. A change is applied by each member when it is delivered, in the one order of
the group.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from pve_lab.model.database import DIRECTORY, Database, Row

Json = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """One change of the tree; `time` in Unix seconds."""

    kind: str
    path: str
    time: int
    data: bytes = b""
    offset: int = 0
    to: str = ""

    def dump(self) -> Json:
        """As it travels."""
        data = base64.b64encode(self.data).decode()
        where = {"path": self.path, "to": self.to, "offset": self.offset}
        return {"kind": self.kind, "time": self.time, "data": data, **where}

    @classmethod
    def load(cls, value: Json) -> Change:
        """From how it travels."""
        data = base64.b64decode(value["data"])
        return cls(value["kind"], value["path"], value["time"], data, value["offset"], value["to"])


def apply(database: Database, change: Change, writer: int) -> int:
    """Make one change; 0, or the errno that the writer gets."""
    stamp = {"writer": writer, "mtime": change.time}
    row = database.get(change.path)
    parent = change.path.rpartition("/")[0]
    if change.kind in ("create", "mkdir"):
        if row is not None:
            return errno.EEXIST
        if parent and database.get(parent) is None:
            return errno.ENOENT
        if change.kind == "mkdir":
            database.mkdir(change.path, **stamp)
        else:
            database.write(change.path, b"", **stamp)
        return 0
    if row is None:
        return errno.ENOENT
    if change.kind == "write":
        old = row.data or b""
        filled = old[: change.offset].ljust(change.offset, b"\0")
        new = filled + change.data + old[change.offset + len(change.data) :]
        database.write(change.path, new, **stamp)
    elif change.kind == "truncate":
        old = row.data or b""
        database.write(change.path, old[: change.offset].ljust(change.offset, b"\0"), **stamp)
    elif change.kind == "touch":
        if row.type != DIRECTORY:
            database.write(change.path, row.data or b"", **stamp)
    elif change.kind == "remove":
        if row.type == DIRECTORY and any(r.parent == row.inode for r in database.rows.values()):
            return errno.ENOTEMPTY
        database.delete(change.path, **stamp)
    elif change.kind == "rename":
        database.rename(change.path, change.to, **stamp)
    return 0


class Replica:
    """The member of the group; `synced` once its database equals the others'."""

    def __init__(self, database: Database, own: int, name: str, address: str, send: Callable[[bytes], None]) -> None:
        self.database = database
        self.own, self.name, self.address = own, name, address
        self.members: tuple[int, ...] = ()
        self.synced = False
        self.addresses: dict[str, str] = {}
        self.names: dict[int, str] = {}
        self.values: dict[str, Json] = {}
        self._send = send
        self._states: dict[int, Json] = {}
        self._results: dict[str, Callable[[int], None]] = {}

    # -- membership ---------------------------------------------------------------------------

    def configured(self, members: Sequence[int]) -> None:
        """The group's members are these now."""
        self.members = tuple(sorted(members))
        self.synced = False
        self._states = {}
        head = self.database.head
        self._tell(
            "state",
            order=[head.version, head.mtime],
            sum=self._sum(),
            name=self.name,
            address=self.address,
        )

    def _sum(self) -> str:
        digest = hashlib.sha256()
        for inode in sorted(self.database.rows):
            digest.update(repr(astuple(self.database.rows[inode])).encode())
        return digest.hexdigest()

    def _tell(self, kind: str, **content: Any) -> None:
        self._send(json.dumps({"message": kind, "members": self.members, **content}).encode())

    def delivered(self, sender: int, message: bytes) -> None:
        """A message of the group, in its order."""
        content = json.loads(message)
        kind = content["message"]
        if kind == "value":
            self.values[content["name"]] = content["value"]
        elif kind == "change":
            self._changed(sender, content)
        elif tuple(content["members"]) != self.members:
            return
        elif kind == "state":
            self._states[sender] = content
            self.names[sender] = content["name"]
            self.addresses[content["name"]] = content["address"]
            if set(self._states) == set(self.members):
                self._lead_or_follow()
        elif kind == "tree":
            if sender != self.own:
                self.database.replace([_row(values) for values in content["rows"]])
            self.synced = True

    def _lead_or_follow(self) -> None:
        leader = max(self._states, key=lambda n: (self._states[n]["order"], -n))
        if self.name in self.values:
            self.publish(self.values[self.name])
        if len({state["sum"] for state in self._states.values()}) == 1:
            self.synced = True
        elif leader == self.own:
            self._tell("tree", rows=[_values(row) for row in self.database.rows.values()])

    # -- changes ------------------------------------------------------------------------------

    def submit(self, ident: str, change: Change, done: Callable[[int], None]) -> None:
        """Send a change; `done` gets 0 or an errno when it was delivered here."""
        self._results[ident] = done
        try:
            self._tell("change", ident=ident, change=change.dump())
        except BaseException:
            del self._results[ident]
            raise

    def publish(self, value: Json) -> None:
        """Tell all members what this node says of itself (its guests); told again to those who join."""
        self.values[self.name] = value
        if self.members:
            self._tell("value", name=self.name, value=value)

    def abandon(self, number: int) -> None:
        """The group is gone: every change under way ends with that errno."""
        results, self._results = self._results, {}
        for done in results.values():
            done(number)

    def _changed(self, sender: int, content: Json) -> None:
        done = self._results.pop(content["ident"], None) if sender == self.own else None
        if not self.synced or tuple(content["members"]) != self.members:
            result = errno.EBUSY
        else:
            result = apply(self.database, Change.load(content["change"]), sender)
        if done is not None:
            done(result)


def _values(row: Row) -> list[Any]:
    data = None if row.data is None else base64.b64encode(row.data).decode()
    return [*astuple(row)[:-1], data]


def _row(values: Sequence[Any]) -> Row:
    inode, parent, version, writer, mtime, kind, name, data = values
    content = None if data is None else base64.b64decode(data)
    return Row(inode, parent, version, writer, mtime, kind, name, content)
