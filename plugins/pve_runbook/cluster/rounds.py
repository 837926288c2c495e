"""The two round trips: what groups of probes ask, and the questions that the answers raise."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from pve_runbook.facts.config_tree import ConfigTree
from pve_runbook.facts.output import Output
from pve_runbook.work import checkprobes, families, netfacts, probes
from pve_runbook.work.guestfacts import subject_of_pids
from pve_runbook.work.nodefacts import NodeFacts
from pve_runbook.work.probe import Group, Probe, ProbeFamily
from pve_runbook.work.readings import known

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Question(Generic[T_co]):
    """A probe made ready to be asked under ``key``."""

    key: str
    argv: tuple[str, ...]
    timeout: int
    parse: Callable[[Output], T_co]
    why: str
    redact: Callable[[Output], str] | None


def first_round(groups: Collection[Group], since: int) -> list[Question[object]]:
    """What can be asked of ``groups`` without knowing anything; the history is read ``since`` seconds back."""
    asked = [p for p in probes.FIRST_ROUND if p.group in groups]
    questions = [of_probe(p) for p in asked]
    return questions + (history_round(since) if Group.HISTORY in groups else [])


def follow_up(facts: NodeFacts, groups: Collection[Group]) -> list[Question[object]]:
    """What ``facts`` make it possible to ask of ``groups``, and was not asked yet."""
    raised = second_round(facts) if Group.CORE in groups else []
    raised += network_round(facts) if Group.NETWORK in groups else []
    raised += storage_round(facts) if Group.STORAGE in groups else []
    return [q for q in {q.key: q for q in raised}.values() if q.key not in facts.readings]


def second_round(facts: NodeFacts) -> list[Question[object]]:
    """What to ask next. What cannot be asked because its premise is unknown is left out, and so stays unknown."""
    found: list[Question[object]] = []
    tree = tree_probe(facts)
    if tree is not None:
        found.append(of_probe(tree))
    own = known(lambda: facts.hostname)
    found += _about(families.NAME, [own] if own else [])
    pids = known(lambda: facts.running)
    if pids:
        found.append(of_family(families.PROC_STATS, subject_of_pids(pids.values())))
    for family in (families.STORAGE_FILES, families.STORAGE_MOUNT):
        found += _about(family, _paths(facts))
    lock = known(lambda: facts.lock)
    return found + (_about(families.OWN_FOLDER, [lock.run]) if lock is not None else [])


def history_round(seconds: int) -> list[Question[object]]:
    """What is asked with the history group: how the cluster link did, ``seconds`` back."""
    return [of_family(family, str(seconds)) for family in (families.COROSYNC_LOG, families.LINE_BEFORE)]


def network_round(facts: NodeFacts) -> list[Question[object]]:
    """What to ask next about the network: the names that are used in it, and the way to each peer."""
    names = (*_members(facts), *netfacts.names_to_resolve(facts))
    ways = known(lambda: netfacts.peer_addresses(facts)) or {}
    addresses = sorted({address for links in ways.values() for address in links.values()})
    return _about(families.NAME, names) + _about(families.ROUTE_TO, addresses)


def storage_round(facts: NodeFacts) -> list[Question[object]]:
    """What to ask about the storages that there are, of what is not asked about every node."""
    stores = known(lambda: tuple(facts.storages.values())) or ()
    datasets = sorted({s.options["pool"] for s in stores if s.type == "zfspool" and s.options.get("pool")})
    found = _about(families.ZFS_DATASET, datasets)
    if any(s.type == "iscsi" for s in stores):
        found.append(of_probe(checkprobes.ISCSI_SESSIONS))
    if any(s.type in ("rbd", "cephfs") and not s.options.get("monhost") for s in stores):
        found.append(of_probe(checkprobes.CEPH))
    return found


def pause(seconds: int) -> Question[str]:
    """A bounded wait on the node: a round trip that ends after ``seconds``, 1 to 99."""
    return replace(of_family(families.PAUSE, str(seconds)), timeout=seconds + 10)


def of_probe(probe: Probe[T]) -> Question[T]:
    """A probe as a question."""
    return Question(probe.name, probe.argv, probe.timeout, probe.parse, probe.why, probe.redact)


def of_family(family: ProbeFamily[T], subject: str) -> Question[T]:
    """A probe of a family as a question. Raises ValueError for a subject that it does not accept."""
    key = f"{family.name}:{subject}"
    return Question(key, family.argv(subject), family.timeout, family.parse, family.why, None)


def _about(family: ProbeFamily[T], subjects: Iterable[str]) -> list[Question[object]]:
    """What is asked about each; what the family does not accept is not asked, and so stays unknown."""
    return [of_family(family, subject) for subject in subjects if family.accepts(subject)]


def tree_probe(facts: NodeFacts) -> Probe[ConfigTree] | None:
    """The database, opened so that reading leaves no file beside it; None when no such way is known."""
    processes = known(lambda: facts.get(probes.PMXCFS_PROCESS))
    if processes is None:
        return None
    if processes:
        return probes.TREE
    files = known(lambda: facts.get(probes.DB_DIR))
    if not files or "config.db-wal" in files:
        return None
    return probes.TREE_AT_REST


def _members(facts: NodeFacts) -> list[str]:
    """The names of all members: as many questions as nodes, so only asked with what the network is judged by."""
    names: list[str] = []
    for probe in (probes.PVE_COROSYNC_CONF, probes.ETC_COROSYNC_CONF):
        conf = known(lambda p=probe: facts.get(p))  # type: ignore[misc]
        if conf is not None:
            names += [n.name for n in conf.nodes if n.name not in names]
    return names


def _paths(facts: NodeFacts) -> list[str]:
    stores = known(lambda: facts.storages)
    return sorted({s.path for s in (stores or {}).values() if s.path is not None})
