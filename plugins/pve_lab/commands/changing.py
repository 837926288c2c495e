"""Changing files: rm, rmdir, cp, mv, touch, mkdir, install, tee, ln, chmod, tar (GNU coreutils)."""

from __future__ import annotations

import contextlib
import errno
import functools
import gzip
import io
import posixpath
import tarfile
from collections.abc import Iterator

from pve_lab.commands.base import Call, Result, Table, options
from pve_lab.model.files import NodeFiles, Remembered

_GZIP_LEVEL = 1
"""What is packed here is small, and read once."""


def _remove_tree(files: NodeFiles, path: str) -> None:
    if files.lstat(path).kind == "directory":
        for name in files.names(path):
            _remove_tree(files, f"{path}/{name}")
    files.remove(path)


def rm(call: Call) -> Result:
    """rm [-f] [-r] FILE..."""
    given, names = options(call.argv)
    files = call.node.files
    errors = ""
    for name in names:
        path = call.path(name)
        try:
            kind = files.lstat(path).kind
            if kind == "directory" and not given.keys() & {"r", "R", "recursive"}:
                errors += f"rm: cannot remove '{name}': Is a directory\n"
                continue
            _remove_tree(files, path)
        except FileNotFoundError as error:
            if "f" not in given:
                errors += f"rm: cannot remove '{name}': {error.strerror}\n"
        except OSError as error:
            errors += f"rm: cannot remove '{name}': {error.strerror}\n"
    return Result("", errors, 1 if errors else 0, 0.01)


def rmdir(call: Call) -> Result:
    """rmdir DIRECTORY..."""
    _, names = options(call.argv)
    errors = ""
    for name in names:
        path = call.path(name)
        try:
            if call.node.files.lstat(path).kind != "directory":
                errors += f"rmdir: failed to remove '{name}': Not a directory\n"
                continue
            call.node.files.remove(path)
        except OSError as error:
            errors += f"rmdir: failed to remove '{name}': {error.strerror}\n"
    return Result("", errors, 1 if errors else 0, 0.005)


def _copy_tree(files: NodeFiles, source: str, target: str) -> None:
    stat = files.lstat(source)
    if stat.kind == "directory":
        if not files.is_directory(target):
            files.mkdir(target, stat.mode)
        for name in files.names(source):
            _copy_tree(files, f"{source}/{name}", f"{target}/{name}")
    elif stat.kind == "symlink":
        files.symlink(stat.target, target, replace=True)
    else:
        files.write(target, files.read(source), stat.mode)


def cp(call: Call) -> Result:
    """cp [-a] [-p] [-r] [-T] SOURCE... TARGET."""
    given, names = options(call.argv, "t")
    files = call.node.files
    *sources, target = names
    into = files.is_directory(call.path(target)) and "T" not in given
    deep = bool(given.keys() & {"a", "r", "R", "archive", "recursive"})
    errors = ""
    for source in sources:
        path = call.path(source)
        place = call.path(target)
        if into:
            place = f"{place.rstrip('/')}/{posixpath.basename(source.rstrip('/'))}"
        try:
            kind = (files.lstat(path) if deep else files.stat(path)).kind
        except OSError as error:
            errors += f"cp: cannot stat '{source}': {error.strerror}\n"
            continue
        if kind == "directory" and not deep:
            errors += f"cp: -r not specified; omitting directory '{source}'\n"
            continue
        try:
            if deep:
                _copy_tree(files, path, place)
            else:
                files.write(place, files.read(path), files.stat(path).mode)
        except OSError as error:
            what = "error writing" if error.errno == errno.ENOSPC else "cannot create regular file"
            errors += f"cp: {what} '{place}': {error.strerror}\n"
    return Result("", errors, 1 if errors else 0, 0.01)


def mv(call: Call) -> Result:
    """mv [-f] [-T] SOURCE... TARGET."""
    given, names = options(call.argv, "t")
    files = call.node.files
    *sources, target = names
    into = files.is_directory(call.path(target)) and "T" not in given
    errors = ""
    for source in sources:
        place = call.path(target)
        if into:
            place = f"{place.rstrip('/')}/{posixpath.basename(source.rstrip('/'))}"
        try:
            files.lstat(call.path(source))
        except OSError as error:
            errors += f"mv: cannot stat '{source}': {error.strerror}\n"
            continue
        try:
            files.rename(call.path(source), place)
        except OSError as error:
            errors += f"mv: cannot move '{source}' to '{target}': {error.strerror}\n"
    return Result("", errors, 1 if errors else 0, 0.01)


def touch(call: Call) -> Result:
    """touch FILE..."""
    _, names = options(call.argv, "dtr")
    errors = ""
    for name in names:
        try:
            call.node.files.touch(call.path(name))
        except OSError as error:
            errors += f"touch: cannot touch '{name}': {error.strerror}\n"
    return Result("", errors, 1 if errors else 0, 0.01)


def mkdir(call: Call) -> Result:
    """mkdir [-p] [-m MODE] DIRECTORY..."""
    given, names = options(call.argv, "m", ("mode",))
    mode = int(given.get("m", given.get("mode", "755")), 8)
    errors = ""
    for name in names:
        try:
            _make(call.node.files, call.path(name), mode, parents="p" in given or "parents" in given)
        except OSError as error:
            errors += f"mkdir: cannot create directory '{name}': {error.strerror}\n"
    return Result("", errors, 1 if errors else 0, 0.005)


def _make(files: NodeFiles, path: str, mode: int, *, parents: bool) -> None:
    if parents:
        if files.is_directory(path):
            return
        _make(files, posixpath.dirname(path), 0o755, parents=True)
    files.mkdir(path, mode)


def install(call: Call) -> Result:
    """install -d [-m MODE] DIRECTORY... | install [-m MODE] SOURCE TARGET."""
    given, names = options(call.argv, "mog", ("mode", "owner", "group"))
    mode = int(given.get("m", given.get("mode", "755")), 8)
    files = call.node.files
    if "d" in given:
        for name in names:
            path = call.path(name)
            try:
                _make(files, path, mode, parents=True)
                files.chmod(path, mode)
            except OSError as error:
                return Result("", f"install: cannot create directory '{name}': {error.strerror}\n", 1, 0.01)
        return Result(seconds=0.01)
    source, target = names[0], names[-1]
    place = call.path(target)
    if files.is_directory(place):
        place = f"{place}/{posixpath.basename(source)}"
    try:
        data = call.input() if source in ("/dev/stdin", "-") else files.read(call.path(source))
    except OSError as error:
        return Result("", f"install: cannot stat '{source}': {error.strerror}\n", 1, 0.01)
    try:
        files.write(place, data, mode)
    except OSError as error:
        what = "error writing" if error.errno == errno.ENOSPC else "cannot create regular file"
        return Result("", f"install: {what} '{target}': {error.strerror}\n", 1, 0.01)
    return Result(seconds=0.01)


def tee(call: Call) -> Result:
    """tee [-a] FILE..."""
    given, names = options(call.argv)
    data = call.input()
    files = call.node.files
    errors = ""
    for name in names:
        path = call.path(name)
        try:
            before = files.read(path) if "a" in given and files.exists(path) else b""
            files.write(path, before + data)
        except OSError as error:
            errors += f"tee: {name}: {error.strerror}\n"
    return Result(data.decode(errors="replace"), errors, 1 if errors else 0, 0.005)


def ln(call: Call) -> Result:
    """ln -s [-f] TARGET LINK."""
    given, names = options(call.argv)
    files = call.node.files
    target, link = names[0], names[-1]
    path = call.path(link)
    if files.is_directory(path) and "n" not in given and "T" not in given:
        path = f"{path}/{posixpath.basename(target)}"
    try:
        files.symlink(target, path, replace="f" in given)
    except OSError as error:
        return Result(
            "",
            f"ln: failed to create symbolic link '{link}': {error.strerror}\n",
            1,
            0.005,
        )
    return Result()


def chmod(call: Call) -> Result:
    """chmod MODE FILE... with an octal mode."""
    mode, *names = call.argv
    errors = ""
    for name in names:
        try:
            call.node.files.chmod(call.path(name), int(mode, 8))
        except OSError as error:
            errors += f"chmod: cannot access '{name}': {error.strerror}\n"
    return Result("", errors, 1 if errors else 0, 0.005)


def tar(call: Call) -> Result:
    """tar -C DIR -czf FILE MEMBER... | -tzf FILE | -C DIR -xzf FILE [MEMBER...]."""
    given, names = options(call.argv, "Cf", ("directory", "file"))
    files = call.node.files
    base = given.get("C", "/")
    archive = call.path(given.get("f", ""))
    if "t" in given or "x" in given:
        return _unpack(call, given, archive, base, names)
    parts = list[bytes]()
    errors = ""
    with _remembering(files):
        for name in names:
            path = posixpath.join(base, name)
            if not files.lexists(path):
                errors += f"tar: {name}: Cannot stat: No such file or directory\n"
                continue
            parts += _members(files, path, name)
    parts.append(bytes(2 * tarfile.BLOCKSIZE))
    packed = b"".join(parts)
    packed += bytes(-len(packed) % tarfile.RECORDSIZE)
    if "z" in given:
        packed = gzip.compress(packed, _GZIP_LEVEL)
    status = 2 if errors and "ignore-failed-read" not in given else 0
    if errors and status:
        errors += "tar: Exiting with failure status due to previous errors\n"
    try:
        files.write(archive, packed, 0o600)
    except OSError as error:
        text = f"tar: {archive}: Cannot open: {error.strerror}\n"
        if error.errno == errno.ENOSPC:
            text = f"gzip: stdout: {error.strerror}\ntar: {archive}: Cannot write: Broken pipe\n"
        return Result("", f"{text}tar: Error is not recoverable: exiting now\n", 2, 0.05)
    return Result("", errors, status, 0.1)


@contextlib.contextmanager
def _remembering(files: NodeFiles) -> Iterator[None]:
    """While nothing is changed: what one path leads to is asked once."""
    before, files.remembered = files.remembered, files.remembered or Remembered()
    try:
        yield
    finally:
        files.remembered = before


def _members(files: NodeFiles, path: str, name: str) -> Iterator[bytes]:
    """The blocks of an entry and of all below it."""
    stat = files.lstat(path)
    if stat.kind == "socket":
        return
    kind = {"directory": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE}.get(stat.kind, tarfile.REGTYPE)
    data = files.read(path) if kind == tarfile.REGTYPE else b""
    yield _header(name, kind, stat.mode, int(stat.mtime), len(data), stat.target)
    yield data + bytes(-len(data) % tarfile.BLOCKSIZE)
    if kind == tarfile.DIRTYPE:
        for child in files.names(path):
            yield from _members(files, f"{path}/{child}", f"{name}/{child}")


@functools.lru_cache(10_000)
def _header(name: str, kind: bytes, mode: int, mtime: int, size: int, target: str) -> bytes:
    """Every node packs the same /etc/pve: to write its headers anew for each was most of what a backup cost."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.mtime, entry.size, entry.linkname = kind, mode, mtime, size, target
    return entry.tobuf(tarfile.GNU_FORMAT)


def _unpack(call: Call, given: dict[str, str], archive: str, base: str, names: list[str]) -> Result:
    files = call.node.files
    try:
        data = files.read(archive)
        with tarfile.open(fileobj=io.BytesIO(data)) as source:
            members = [m for m in source.getmembers() if not names or _is_within(m.name, names)]
            if "t" in given:
                return Result("".join(m.name + ("/" if m.isdir() else "") + "\n" for m in members))
            for member in members:
                path = posixpath.join(base, member.name)
                content = source.extractfile(member) if member.isfile() else None
                if member.isdir() and not files.is_directory(path):
                    files.mkdir(path, member.mode)
                elif content is not None:
                    files.write(path, content.read(), member.mode)
    except (OSError, tarfile.TarError) as error:
        return Result("", f"tar: {archive}: {error}\ntar: Error is not recoverable: exiting now\n", 2)
    return Result(seconds=0.1)


def _is_within(member: str, names: list[str]) -> bool:
    return any(member == name or member.startswith(f"{name}/") for name in names)


TABLE: Table = {
    "rm": rm,
    "rmdir": rmdir,
    "cp": cp,
    "mv": mv,
    "touch": touch,
    "mkdir": mkdir,
    "install": install,
    "tee": tee,
    "ln": ln,
    "chmod": chmod,
    "tar": tar,
}
