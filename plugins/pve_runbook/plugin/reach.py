"""How the nodes of a run are reached: each by its key, then as far as need be in another way, one login each."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pve_runbook.cluster.cluster import Cluster
from pve_runbook.plugin.run import Run
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import known
from pve_runbook.probes.probe import Group
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.usage import usage_error
from pve_runbook.ssh.errors import MAY_BAR, ConnectFailed, Failure

Failed = dict[str, ConnectFailed]
"""Node name → why it was not reached."""

UNREACHED = (
    "not every node was reached; nothing was changed on any. If one is powered off: see --absent. If one lives "
    "and refuses root's key, it may be without pve-cluster, for the keys lie in /etc/pve: checks/ say so, and its "
    "console or --ask-password opens it.\n{lines}"
)
NEED_PASSWORD = "--ask-password: the password of {names} can only be typed at a terminal"
PROMPT = "SSH password for {names}: "
WANT_A_PASSWORD = (Failure.AUTHENTICATION, Failure.PASSPHRASE, Failure.SUDO)
MOST_KEYS = 5
"""sshd ends a connection at the sixth key that it refuses (MaxAuthTries, sshd_config(5))."""
ALONE = "it refuses the key that {took} took{neither}"
NEITHER = ", and the password"
WAY_ON = "add --ask-password, which is asked for only where the key is refused, or "
ALONE_ADVICE = (
    "root's authorized_keys lies in /etc/pve, which is not there while pve-cluster does not run: {way_on}"
    f"type at its console: systemctl status pve-cluster ({MAY_BAR})"
)


def reach(run: Run, cluster: Cluster, *groups: Group, meanwhile: Callable[[], object] = lambda: None) -> Failed:
    """Connect to all nodes; why which of them was not reached. ``groups`` are read on those that take the key at once.

    Raises UsageError where there is no terminal for a password that has to be typed.
    """
    failed = cluster.open(*groups, meanwhile=meanwhile)
    took = ", ".join(n.name for n in cluster.nodes if n.name not in failed)
    if failed and run.options.mode == "runbook":
        _by_the_second_way(run, cluster, failed)
    if run.options.ask_password:
        _by_password(run, cluster, failed)
    for name, error in failed.items():
        if error.kind is Failure.AUTHENTICATION and took and not cluster.connect.sudo:
            failed[name] = _alone(error, took, by_password=run.options.ask_password)
    return failed


def reach_all(run: Run, cluster: Cluster) -> None:
    """Connect to all nodes. Raises UsageError where one of them was not reached."""
    failed = reach(run, cluster)
    if failed:
        raise not_all(failed)


def not_all(failed: Failed) -> pytest.UsageError:
    """What is said where not every node was reached."""
    lines = "\n".join(f"  {error}" for error in failed.values())
    return usage_error(RefusalId.NODES_ARE_NOT_REACHED, UNREACHED.format(lines=lines))


def _by_the_second_way(run: Run, cluster: Cluster, failed: Failed) -> None:
    """Log in with the key of the run that was cut short: where /etc/pve is not mounted, root's own keys are gone."""
    refused = [name for name, error in failed.items() if error.kind is Failure.AUTHENTICATION]
    keys = _keys_of_the_lock(run.options.records, cluster, failed) if refused else []
    options = replace(cluster.connect, keys=tuple(map(str, keys)))
    for name in refused if keys else ():
        if cluster.node(name).line.reopen(replace(options, own_keys=False, password=None), later=options) is None:
            where = " or ".join(key.parents[1].name for key in keys)
            run.notes.note("access", f"logged in by the key of {where}: root's own keys are gone", name)
            del failed[name]


def _keys_of_the_lock(records: Path, cluster: Cluster, failed: Failed) -> list[Path]:
    """The keys that the run made for whom the nodes are locked, the newest first; where no node can say which run that
    is, those of the newest runs that have one."""
    from pve_runbook.procedure.unfinished import records_of

    reached = [n for n in cluster.nodes if n.name not in failed]
    locks = [known(lambda n=n: n.ask(probes.LOCK)) for n in reached]  # type: ignore[misc]
    runs = {lock.run for lock in locks if lock is not None}
    folders = [f for work in runs for f in records_of(work, records)] if reached else sorted(records.glob("*"))
    keys = [folder / "access" / "second-way-in" for folder in reversed(folders)]
    return [key for key in keys if key.is_file()][:MOST_KEYS]


def _by_password(run: Run, cluster: Cluster, failed: Failed) -> None:
    """Log in with the password that is asked for once, where nothing else was taken. Raises UsageError."""
    wanting = [name for name, error in failed.items() if error.kind in WANT_A_PASSWORD]
    if not wanting:
        return
    names = ", ".join(wanting)
    typed = run.screen.ask(PROMPT.format(names=names), getpass.getpass)
    if typed is None:
        lines = "\n".join(f"  {failed[name]}" for name in wanting)
        raise usage_error(RefusalId.NO_PASSWORD, f"{NEED_PASSWORD.format(names=names)}\n{lines}")
    for name in wanting:
        is_refused = failed[name].kind is Failure.AUTHENTICATION
        options = replace(cluster.connect, password=typed, own_keys=not is_refused)
        error = cluster.node(name).line.reopen(options)
        if error is not None:
            failed[name] = error
            continue
        run.notes.note("access", "logged in by password: its key was refused" if is_refused else "by password", name)
        del failed[name]


def _alone(error: ConnectFailed, took: str, *, by_password: bool) -> ConnectFailed:
    """What it means that a node refuses the key which others take."""
    reason = ALONE.format(took=took, neither=NEITHER if by_password else "")
    return ConnectFailed(error.target, error.kind, reason, ALONE_ADVICE.format(way_on="" if by_password else WAY_ON))
