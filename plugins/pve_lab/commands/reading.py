"""Reading files and mounts: cat, ls, stat, sha256sum, base64, find, du, df, findmnt (GNU coreutils and util-linux)."""

from __future__ import annotations

import base64
import fnmatch
import functools
import hashlib
import re
import time
from collections.abc import Iterator

from pve_lab.commands.base import Call, Result, Table, options, quote
from pve_lab.model.file_answers import Stat
from pve_lab.model.files import CONFIG_MOUNT
from pve_lab.model.node import Node
from pve_lab.model.storage import Mount

_LETTER = {"directory": "d", "symlink": "l", "socket": "s", "file": "-"}


def _contents(call: Call, names: list[str]) -> tuple[list[tuple[str, bytes]], list[str]]:
    found, errors = [], []
    for name in names or ["-"]:
        if name in ("-", "/dev/stdin"):
            found.append((name, call.input()))
            continue
        try:
            found.append((name, call.node.files.read(call.path(name))))
        except OSError as error:
            errors.append(f"{call.name}: {quote(name)}: {error.strerror}\n")
    return found, errors


def cat(call: Call) -> Result:
    """cat FILE..."""
    _, names = options(call.argv)
    found, errors = _contents(call, names)
    text = b"".join(data for _, data in found).decode(errors="replace")
    return Result(text, "".join(errors), 1 if errors else 0)


def sha256sum(call: Call) -> Result:
    """sha256sum FILE..."""
    _, names = options(call.argv)
    found, errors = _contents(call, names)
    text = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in found)
    return Result(text, "".join(errors), 1 if errors else 0, 0.01)


def base64_(call: Call) -> Result:
    """base64 [-d] [-w COLS] [FILE]."""
    given, names = options(call.argv, "w", ("wrap",))
    found, errors = _contents(call, names[:1])
    if errors:
        return Result("", errors[0], 1)
    data = found[0][1]
    if "d" in given or "decode" in given:
        return Result(base64.b64decode(data).decode(errors="replace"))
    text = base64.b64encode(data).decode()
    columns = int(given.get("w", given.get("wrap", "76")))
    if columns:
        text = "".join(text[i : i + columns] + "\n" for i in range(0, len(text), columns))
    return Result(text)


def _long(node: Node, path: str, name: str, stat: Stat, width: int) -> str:
    bits = "".join(c if stat.mode >> (8 - i) & 1 else "-" for i, c in enumerate("rwxrwxrwx"))
    links = 2 if stat.kind == "directory" else 1
    size = 40 if stat.kind == "directory" and path.startswith("/run/") else stat.size
    group = "www-data" if path.startswith(CONFIG_MOUNT + "/") else "root"
    when = time.strftime("%b %e %H:%M", time.gmtime(stat.mtime))
    arrow = f" -> {stat.target}" if stat.kind == "symlink" else ""
    return f"{_LETTER[stat.kind]}{bits} {links} root {group} {size:>{width}} {when} {name}{arrow}\n"


def ls(call: Call) -> Result:
    """ls [-A] [-a] [-l] [-d] [-1] PATH..."""
    given, names = options(call.argv)
    files = call.node.files
    errors: list[str] = []
    plain: list[tuple[str, str, Stat]] = []
    directories: list[tuple[str, str]] = []
    for name in names or ["."]:
        path = call.path(name)
        try:
            stat = files.lstat(path)
            if stat.kind == "symlink" and "l" not in given and "d" not in given:
                stat = files.stat(path)
        except OSError as error:
            errors.append(f"ls: cannot access '{name}': {error.strerror}\n")
            continue
        if stat.kind == "directory" and "d" not in given:
            directories.append((name, path))
        else:
            plain.append((name, path, stat))
    blocks = []
    if plain:
        width = max(len(str(s.size)) for _, _, s in plain)
        width = 2 if len(plain) == 1 and plain[0][2].kind == "directory" else width
        blocks.append("".join(_long(call.node, p, n, s, width) if "l" in given else f"{n}\n" for n, p, s in plain))
    for name, path in directories:
        text = _directory(call.node, path, given)
        blocks.append(text if len(names) < 2 else f"{name}:\n{text}")
    return Result("\n".join(blocks), "".join(errors), 2 if errors else 0)


def _directory(node: Node, path: str, given: dict[str, str]) -> str:
    hides = "A" not in given and "a" not in given
    if "l" not in given:
        return "".join(f"{n}\n" for n in node.files.names(path) if not (hides and n.startswith(".")))
    stats = [(n, found) for n, found in node.files.entries(path) if not (hides and n.startswith("."))]
    width = max((len(str(s.size)) for _, s in stats), default=1)
    total = sum(-(-s.size // 4096) * 4 for _, s in stats)
    return f"total {total}\n" + "".join(_long(node, f"{path}/{n}", n, s, width) for n, s in stats)


def stat(call: Call) -> Result:
    """stat -c FORMAT FILE... with the directives %a %n %s %Y %F %U %G %h."""
    given, names = options(call.argv, "c", ("format",))
    form = given.get("c", given.get("format", "%n"))
    text, errors = "", ""
    for name in names:
        path = call.path(name)
        try:
            found = call.node.files.stat(path) if "L" in given else call.node.files.lstat(path)
        except OSError as error:
            errors += f"stat: cannot statx '{name}': {error.strerror}\n"
            continue
        kind = {"symlink": "symbolic link", "file": "regular file"}.get(found.kind, found.kind)
        line = form
        for directive, value in (
            ("%a", f"{found.mode:o}"),
            ("%n", name),
            ("%s", str(found.size)),
            ("%Y", str(int(found.mtime))),
            ("%F", kind),
            ("%U", "root"),
            ("%G", "root"),
            ("%h", "1"),
        ):
            line = line.replace(directive, value)
        text += line + "\n"
    return Result(text, errors, 1 if errors else 0)


def test(call: Call) -> Result:
    """test -d PATH."""
    [_, name] = call.argv
    try:
        found = call.node.files.stat(call.path(name)).kind == "directory"
    except OSError:
        found = False
    return Result(exit_status=0 if found else 1)


def readlink(call: Call) -> Result:
    """readlink [-f] PATH."""
    given, names = options(call.argv)
    try:
        if "f" in given or call.name == "realpath":
            return Result(call.node.files.resolve(call.path(names[0])) + "\n")
        found = call.node.files.lstat(call.path(names[0]))
    except OSError:
        return Result(exit_status=1)
    return Result(found.target + "\n") if found.kind == "symlink" else Result(exit_status=1)


def find(call: Call) -> Result:
    """find PATH... [-maxdepth N] [-mindepth N] [-type T] [-name GLOB] [-printf FORMAT] [-exec sha256sum {} +]."""
    argv = list(call.argv)
    summed = argv[-4:] == ["-exec", "sha256sum", "{}", "+"]
    argv = argv[:-4] if summed else argv
    starts = []
    while argv and not argv[0].startswith("-"):
        starts.append(argv.pop(0))
    tests = {argv[i].lstrip("-"): argv[i + 1] for i in range(0, len(argv) - 1, 2)}
    text, errors = "", ""
    for start in starts or ["."]:
        links = _links_below(call.node, start)
        if links is not None:
            wanted = tests.get("type", "l"), tests.get("lname", "*"), tests.get("printf", "%p\\n")
            text += _links_found(start, links, *wanted)
            continue
        try:
            status = call.node.files.lstat(call.path(start))
        except OSError as error:
            errors += f"find: '{start}': {error.strerror}\n"
            continue
        for path, depth, found in _walk(call.node, call.path(start), status, 0, int(tests.get("maxdepth", "99"))):
            text += _found(start, path, depth, found, tests, call.path(start))
    if summed and text:
        contents, _ = _contents(call, text.splitlines())
        text = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in contents)
    return Result(text, errors, 1 if errors else 0, 0.02)


def _links_below(node: Node, start: str) -> tuple[tuple[str, str], ...] | None:
    """(path, target) of what the model knows below /dev and /proc/PID/fd; None for any other place, and where the
    process is none."""
    if start == "/dev":
        return node.guests.devices.sorted_links()
    match = re.fullmatch(r"/proc/(\d+)/fd", start)
    process = node.processes.table.get(int(match[1])) if match else None
    if process is None:
        return None
    targets = node.guests.devices.open_files(process.vmid) if process.vmid is not None else ["/dev/null"]
    return tuple((f"{start}/{number}", target) for number, target in enumerate([*targets, "socket:[41233]"]))


_DIRECTIVE = re.compile(r"(%[yPphl]|\\[nt])")
"""Of find's -printf, those that a link is asked for."""


@functools.lru_cache(1024)
def _links_found(start: str, links: tuple[tuple[str, str], ...], kind: str, lname: str, printf: str) -> str:
    """What find says of links; it is asked the same of hundreds again and again."""
    form = _DIRECTIVE.split(printf)
    text: list[str] = []
    for path, target in links:
        if kind != "l" or not fnmatch.fnmatchcase(target, lname):
            continue
        values = {
            "%y": "l",
            "%P": path.removeprefix(f"{start}/"),
            "%p": path,
            "%h": path.rpartition("/")[0],
            "%l": target,
            "\\n": "\n",
            "\\t": "\t",
        }
        text += [values.get(piece, piece) for piece in form]
    return "".join(text)


def _walk(node: Node, path: str, status: Stat, depth: int, limit: int) -> Iterator[tuple[str, int, Stat]]:
    """A path, how far below the start it is, and what lstat says of it; then all below it."""
    yield path, depth, status
    if depth < limit and status.kind == "directory":
        for name, below in node.files.entries(path):
            yield from _walk(node, f"{path.rstrip('/')}/{name}", below, depth + 1, limit)


def _found(start: str, path: str, depth: int, status: Stat, tests: dict[str, str], base: str) -> str:
    letter = {"file": "f"}.get(status.kind, _LETTER[status.kind])
    name = path.rpartition("/")[2]
    if depth < int(tests.get("mindepth", "0")) or tests.get("type", letter) != letter:
        return ""
    if not fnmatch.fnmatchcase(name, tests.get("name", "*")):
        return ""
    relative = path[len(base) :].lstrip("/")
    shown = f"{start.rstrip('/')}/{relative}" if relative else start
    form = tests.get("printf", "%p\\n")
    for directive, value in (
        ("%y", letter),
        ("%P", relative),
        ("%p", shown),
        ("%f", name),
        ("%s", str(status.size)),
        ("%m", f"{status.mode:o}"),
        ("\\n", "\n"),
        ("\\t", "\t"),
        ("\\0", "\0"),
    ):
        form = form.replace(directive, value)
    return form


def du(call: Call) -> Result:
    """du -sbx PATH...: the bytes of all files below, 4096 for each directory but pmxcfs's, whose size is 0."""
    _, names = options(call.argv)
    files = call.node.files
    text, errors = "", ""
    for name in names:
        try:
            status = files.lstat(call.path(name))
        except OSError as error:
            errors += f"du: cannot access '{name}': {error.strerror}\n"
            continue
        size = 0
        for path, _, found in _walk(call.node, call.path(name), status, 0, 99):
            in_pmxcfs = path == CONFIG_MOUNT or path.startswith(CONFIG_MOUNT + "/")
            size += found.size if found.kind != "directory" else 0 if in_pmxcfs else 4096
        text += f"{size}\t{name}\n"
    return Result(text, errors, 1 if errors else 0, 0.02)


def df(call: Call) -> Result:
    """df -Pk PATH... (format recorded on PVE 8.3)."""
    _, names = options(call.argv)
    node = call.node
    rows, errors = [], ""
    for name in names:
        try:
            node.files.stat(call.path(name))
        except OSError as error:
            errors += f"df: {name}: {error.strerror}\n"
            continue
        mount = node.storages.mount_of(node.files.resolve(call.path(name)))
        free = mount.total - mount.used
        percent = f"{-(-mount.used * 100 // mount.total) if mount.total else 0}%"
        rows.append((mount.source, str(mount.total), str(mount.used), str(free), percent, mount.target))
    head = ("Filesystem", "1024-blocks", "Used", "Available", "Capacity", "Mounted on")
    widths = [max(len(r[i]) for r in [head, *rows]) for i in range(5)]
    lines = [
        f"{r[0]:<{widths[0]}} {r[1]:>{widths[1]}} {r[2]:>{widths[2]}} {r[3]:>{widths[3]}} {r[4]:>{widths[4]}} {r[5]}\n"
        for r in [head, *rows]
    ]
    return Result("".join(lines) if rows else "", errors, 1 if errors else 0, 0.01)


def findmnt(call: Call) -> Result:
    """findmnt [-n] [-o COLUMNS] [-T PATH | MOUNTPOINT]."""
    given, names = options(call.argv, "oTt", ("output", "target"))
    node = call.node
    target = given.get("T", given.get("target"))
    found: list[Mount]
    if target is not None:
        try:
            node.files.stat(call.path(target))
        except OSError:
            return Result(exit_status=1)
        found = [node.storages.mount_of(node.files.resolve(call.path(target)))]
    elif names:
        found = [m for m in node.storages.all_mounts() if m.target == names[0]]
    else:
        found = node.storages.all_mounts()
    columns = (given.get("o") or given.get("output") or "TARGET,SOURCE,FSTYPE,OPTIONS").upper().split(",")
    rows = [
        [{"TARGET": m.target, "SOURCE": m.source, "FSTYPE": m.fstype, "OPTIONS": m.options}[c] for c in columns]
        for m in found
    ]
    if not rows:
        return Result(exit_status=1)
    widths = [max(len(c), *(len(r[i]) for r in rows)) for i, c in enumerate(columns)]
    shown = rows if "n" in given else [columns, *rows]
    lines = [" ".join([*(v.ljust(w) for v, w in zip(r[:-1], widths, strict=False)), r[-1]]) + "\n" for r in shown]
    return Result("".join(lines), seconds=0.01)


TABLE: Table = {
    "cat": cat,
    "sha256sum": sha256sum,
    "base64": base64_,
    "ls": ls,
    "stat": stat,
    "readlink": readlink,
    "realpath": readlink,
    "find": find,
    "du": du,
    "df": df,
    "findmnt": findmnt,
}
