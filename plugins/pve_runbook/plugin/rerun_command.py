"""The command line as it was typed, and what of it to type next."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator

import pytest

from pve_runbook.options.option_types import Mode
from pve_runbook.options.options import OPTIONS
from pve_runbook.plugin.provenance import program

SELECTING = ("-k=", "-m=", "--deselect=", "--ignore=", "--ignore-glob=", "--lf", "--last-failed")
"""pytest's own ways to run a part."""
OF_ONE_MODE: dict[Mode, tuple[str, ...]] = {
    mode: tuple(f"{o.name}{'=' if o.takes_value else ''}" for o in OPTIONS if o.only == mode)
    for mode in ("runbook", "checks")
}
"""Options that the other mode refuses."""
_NAMES = "|".join(["absent", "hosts", "records", "sudo", *(name.strip("-=") for name in OF_ONE_MODE["runbook"])])
_OPTION = re.compile(rf"(?<![\w-])--(?:{_NAMES})(?![\w-])")


def again(config: pytest.Config, *, without: Iterable[str] = ()) -> str:
    """The same command line without these options (``--option=``: one with a value)."""
    return shlex.join([program(), *_left(map(str, config.invocation_params.args), tuple(without))])


def whole(config: pytest.Config, mode: Mode, *, without: Iterable[str] = (), hosts: str = "") -> str:
    """The command line for all of runbook/ or checks/ on the same nodes, with the options given that it takes.

    ``hosts``: on these instead, where ``without`` takes the others away.
    """
    (other,) = set(OF_ONE_MODE) - {mode}
    dropped = (*SELECTING, *OF_ONE_MODE[other], *without)
    paths = set(map(str, config.option.file_or_dir))
    kept = [a for a in _left(map(str, config.invocation_params.args), dropped) if a not in paths]
    folder = os.path.relpath(config.rootpath / mode, config.invocation_params.dir)
    return shlex.join([program(), f"{folder}/", *([f"--hosts={hosts}"] if hosts else []), *kept])


def names_an_option(text: str) -> bool:
    """Whether ``text`` asks for an option of the runbook: the same command line would be refused again."""
    return _OPTION.search(text) is not None


def _left(arguments: Iterable[str], without: tuple[str, ...]) -> Iterator[str]:
    takes_next = False
    for argument in arguments:
        name = argument.partition("=")[0]
        is_short = len(argument) > 2 and argument[0] == "-" != argument[1] and f"{argument[:2]}=" in without
        if takes_next:
            takes_next = False
        elif f"{argument}=" in without:
            takes_next = True
        elif argument not in without and f"{name}=" not in without and not is_short:
            yield argument
