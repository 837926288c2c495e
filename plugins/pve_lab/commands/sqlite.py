"""sqlite3: real SQL on real databases (the shell's list mode and a few of its dot commands)."""

from __future__ import annotations

import contextlib
import errno
import re
import sqlite3

from pve_lab.commands.base import Call, Result, Table
from pve_lab.model.files import DATABASE_MOUNT

_DOT = re.compile(r"\.(\w+)(?:\s+(.*))?")


def sqlite(call: Call) -> Result:
    """sqlite3 [-readonly] [-batch] DATABASE SQL..."""
    read_only = "-readonly" in call.argv
    operands = [a for a in call.argv if not a.startswith("-")]
    if not operands:
        return Result("", "Error: no database given\n", 1)
    name, *statements = operands
    bare = name.removeprefix("file:").partition("?")[0]
    path = call.path(bare)
    state = _state(call, path) if read_only else None
    said = call.node.said.get((name, *statements)) if state is not None else None
    if said is not None and said[0] == state:
        return Result(said[1], "", 0, 0.02)
    try:
        connection, memory = _open(call, name, path, read_only)
    except (OSError, sqlite3.Error):
        return Result("", f'Error: unable to open database "{name}": unable to open database file\n', 1, 0.01)
    output, error, status = "", "", 0
    try:
        before = connection.total_changes
        for statement in statements:
            output += _execute(call, connection, statement)
        changed = connection.total_changes != before
        if memory and changed:
            call.node.files.write(path, connection.serialize(), 0o644)
    except sqlite3.Error as problem:
        status = (problem.sqlite_errorcode & 255) if hasattr(problem, "sqlite_errorcode") else 1
        error = f"Error: in prepare, {problem} ({status})\n"
    except OSError as problem:
        text = "database or disk is full" if problem.errno == errno.ENOSPC else problem.strerror
        status, error = 1, f"Error: {text}\n"
    finally:
        connection.close()
    if state is not None and not error and state == _state(call, path):
        call.node.said[name, *statements] = state, output
    return Result(output, error, status, 0.02)


def _state(call: Call, path: str) -> object:
    """In which state the database of pmxcfs is, in memory and on the disk; None for any other file."""
    try:
        real = call.node.files.resolve(path)
    except OSError:
        return None
    if not real.startswith(DATABASE_MOUNT + "/"):
        return None
    file = call.node.files.database_directory / real[len(DATABASE_MOUNT) + 1 :]
    found: list[object] = [call.node.pmxcfs.database.generation]
    for one in (file, file.with_name(f"{file.name}-wal")):
        try:
            stat = one.stat()
        except OSError:
            found.append(None)
        else:
            found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return found


def _open(call: Call, name: str, path: str, read_only: bool) -> tuple[sqlite3.Connection, bool]:
    files = call.node.files
    real = files.resolve(path)
    if real.startswith(DATABASE_MOUNT + "/"):
        file = files.database_directory / real[len(DATABASE_MOUNT) + 1 :]
        mode = "ro" if read_only else "rwc"
        immutable = "&immutable=1" if "immutable=1" in name else ""
        connection = sqlite3.connect(f"file:{file}?mode={mode}{immutable}", uri=True, isolation_level=None)
        if not read_only:
            try:
                connection.execute("PRAGMA synchronous=OFF")
            except sqlite3.Error:
                connection.close()
                raise
        return connection, False
    if read_only and not files.exists(real):
        raise FileNotFoundError(path)
    connection = sqlite3.connect(":memory:", isolation_level=None)
    if files.exists(real):
        data = bytearray(files.read(real))
        if len(data) > 20:
            data[18:20] = b"\x01\x01"
            connection.deserialize(bytes(data))
    return connection, True


def _execute(call: Call, connection: sqlite3.Connection, statement: str) -> str:
    dot = _DOT.fullmatch(statement.strip())
    if dot is None:
        return _query(connection, statement)
    verb, argument = dot[1], (dot[2] or "").strip().strip("'\"")
    if verb == "backup":
        with contextlib.closing(sqlite3.connect(":memory:")) as copy:
            connection.backup(copy)
            call.node.files.write(call.path(argument), copy.serialize(), 0o644)
        return ""
    if verb == "schema":
        return "".join(f"{row[0]};\n" for row in connection.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL"))
    if verb == "tables":
        return "".join(f"{row[0]}\n" for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'"))
    if verb == "dump":
        return "PRAGMA foreign_keys=OFF;\n" + "".join(f"{line}\n" for line in connection.iterdump())
    return f'Error: unknown command or invalid arguments:  "{verb}". Enter ".help" for help\n'


def _query(connection: sqlite3.Connection, text: str) -> str:
    rows = ""
    statement = ""
    for part in re.split(r"(?<=;)", text):
        statement += part
        if statement.strip() and (sqlite3.complete_statement(statement) or part is text):
            rows += _rows(connection, statement)
            statement = ""
    return rows + (_rows(connection, statement) if statement.strip() else "")


def _rows(connection: sqlite3.Connection, statement: str) -> str:
    return "".join(["|".join(map(_value, row)) + "\n" for row in connection.execute(statement)])


def _value(value: object) -> str:
    if value is None:
        return ""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


TABLE: Table = {"sqlite3": sqlite}
