"""pve-runbook: `init` writes the runbook into a folder, `lab` keeps an embedded lab up."""

from __future__ import annotations

import argparse
import io
import os
import shlex
import shutil
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path

from pve_runbook.project_copy import write
from pve_runbook.project_copy.manifest import MANIFEST, CopyError

FAILED = 1
FAR = "../../.."
"""From here on a relative path says less than an absolute one."""


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("the folder has no name")
    return Path(text)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pve-runbook", description="Runs are started with pytest; this is what comes before and beside them."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    about = "write runbook/, checks/ and what pytest needs to run them into a folder"
    init = commands.add_parser(
        "init", help=about, description=f"{about[0].upper()}{about[1:]}. Nothing is overwritten."
    )
    init.add_argument(
        "folder", nargs="?", type=_folder, default=Path("."), metavar="DIR", help="the folder (default: this one)"
    )
    init.add_argument(
        "--update",
        action="store_true",
        help="bring a copy to this version; refused where a file of it was changed; files that you added stay",
    )
    commands.add_parser("lab", add_help=False, help="keep a simulated cluster up, to be checked and taken apart")
    return parser


def main() -> int:
    """Run the command line; the exit status is 0, 1 where it could not be done, or 2 for a mistake in the arguments."""
    if sys.argv[1:2] == ["lab"]:
        return _lab(sys.argv[2:])
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a folder's name may be any bytes
    given = _arguments().parse_args()
    again = shlex.join(["pve-runbook", "init", "--update", str(given.folder)])
    now = version("pytest-pve-runbook")
    try:
        folder = given.folder.absolute()
        if given.update:
            _say_updated(folder, write.update(folder, now, again), now)
        else:
            _say_written(given.folder, write.write_new(folder, now, again))
    except CopyError as error:
        print(f"pve-runbook: {error}", file=sys.stderr)
        return FAILED
    except OSError as error:  # what the distribution carries cannot be read, or the folder we are in is gone
        print(f"pve-runbook: {error.filename or given.folder}: {error.strerror}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"pve-runbook: interrupted; if the copy is half-written, to end it: {again}", file=sys.stderr)
        return FAILED
    return 0


def _lab(arguments: list[str]) -> int:
    from pve_runbook.plugin import lab_process

    if not lab_process.is_installed():
        print(f"pve-runbook: {lab_process.NOT_INSTALLED}", file=sys.stderr)
        return FAILED
    return lab_process.run_here(arguments)


def _say_written(folder: Path, names: tuple[str, ...]) -> None:
    count = Counter(name.partition("/")[0] for name in names if "/" in name)
    parts = [*(f"{top}/ ({files} files)" for top, files in count.items()), *(n for n in names if "/" not in n)]
    print(f"wrote     {', '.join(parts)}, {MANIFEST}")
    print(f"into      {folder.absolute()}")
    pytest = _line(folder)
    print(f"try it    {pytest} runbook/ --hosts=lab --approve=all")
    print(f"your own  {pytest} checks/ --hosts=pve1,pve2,pve3")


def _say_updated(folder: Path, done: write.Updated, now: str) -> None:
    for how, names in (("wrote", done.written), ("removed", done.removed)):
        print("".join(f"{how:<10}{name}\n" for name in names), end="")
    if done.written or done.removed or done.before != now:
        print(f"updated   {folder}, from version {done.before} to {now}")
    else:
        print(f"nothing   to do: {folder} is as version {now} wrote it")


def _line(folder: Path) -> str:
    """What to type for pytest in the folder: by its name where that is found, else by the path beside this command."""
    beside = Path(sys.argv[0]).absolute().with_name("pytest")
    found = shutil.which("pytest")
    program = "pytest"
    if beside.is_file() and (found is None or not os.path.samefile(found, beside)):
        near = os.path.relpath(beside, folder.resolve())  # a shell's `cd` follows links
        program = shlex.quote(str(beside) if near.startswith(FAR) else near)
    here = folder.resolve() == Path.cwd()
    return program if here else f"cd {shlex.quote(str(folder))} && {program}"
