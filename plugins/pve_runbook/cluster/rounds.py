"""The two round trips: what groups of probes ask, and the questions that the answers raise."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from pve_runbook.facts import network as network_facts
from pve_runbook.facts.guests import subject_of_pids
from pve_runbook.facts.node import NodeFacts
from pve_runbook.parsers.config_db import ConfigTree
from pve_runbook.parsers.output import Output, TimedOut
from pve_runbook.parsers.storage import rbd_options
from pve_runbook.probes import checks_only, ha, per_subject, volumes
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import Missing, known
from pve_runbook.probes.probe import IN_PERL, Group, Probe, ProbeFamily

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Question(Struct, Generic[T_co], frozen=True):
    """A probe made ready to be asked under ``key``."""

    key: str
    argv: tuple[str, ...]
    timeout: int
    parse: Callable[[Output], T_co]
    why: str
    redact: Callable[[Output], str] | None


def dear(question: Question[object]) -> tuple[bool, int]:
    """What a question costs its node, to sort by: Proxmox's own tools come last, and else what may take longest."""
    return question.argv[0] in IN_PERL, question.timeout


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
    raised += activating_round(facts) if Group.ACTIVATING in groups else []
    return [q for q in {q.key: q for q in raised}.values() if q.key not in facts.readings]


def second_round(facts: NodeFacts) -> list[Question[object]]:
    """What to ask next. What cannot be asked because its premise is unknown is left out, and so stays unknown."""
    found: list[Question[object]] = []
    tree = tree_probe(facts)
    if tree is not None:
        found.append(of_probe(tree))
    own = known(lambda: facts.hostname)
    found += _about(per_subject.NAME, [own] if own else [])
    pids = known(lambda: facts.running)
    if pids:
        found.append(of_family(per_subject.PROC_STATS, subject_of_pids(pids.values())))
    if unfound := known(lambda: facts.unfound_pids):
        found.append(of_family(per_subject.PROC_STATS, subject_of_pids(unfound)))
    found += processes_round(facts) + volumes_round(facts)
    if known(lambda: facts.has_watchdog_client):
        found.append(of_probe(ha.HA_VERSION))
    lock = known(lambda: facts.lock)
    return found + (_about(per_subject.OWN_FOLDER, [lock.run]) if lock is not None else [])


def processes_round(facts: NodeFacts) -> list[Question[object]]:
    """What the guests that run have open."""
    pids = known(lambda: facts.pids_by_kind) or {}
    vms, containers = pids.get("qemu"), pids.get("lxc")
    found: list[Question[object]] = [of_probe(volumes.DEV_LINKS)] if pids else []
    if vms:
        found.append(of_family(per_subject.OPEN_FILES, subject_of_pids(vms)))
    if containers:
        found.append(of_family(per_subject.MOUNTINFOS, subject_of_pids(containers)))
    mounts = [m for by_pid in facts.about(per_subject.MOUNTINFOS) for one in by_pid.values() for m in one]
    if any(m.source.startswith("/dev/loop") for m in mounts):
        found.append(of_probe(volumes.LOOP_DEVICES))
    return found


def volumes_round(facts: NodeFacts) -> list[Question[object]]:
    """What lies on the storages: the listings that are one for each."""
    stores = (known(lambda: facts.storages) or {}).values()
    paths = sorted({s.path for s in stores if s.path is not None})
    usual = sorted({s.path for s in stores if s.path is not None and not s.has_own_layout})
    own = sorted({s.directory("images") or "" for s in stores if s.has_own_layout})
    found = _about(per_subject.STORAGE_FILES, usual) + _about(per_subject.STORAGE_IMAGES, own)
    found += _about(per_subject.STORAGE_MOUNT, paths)
    if any(s.type == "iscsi" for s in stores):
        found += [of_probe(checks_only.ISCSI_SESSIONS), of_probe(volumes.DEV_LINKS)]
    pools = [s for s in stores if s.type == "rbd"]
    if not pools:
        return found
    found.append(of_probe(volumes.CEPH_FILES))
    keys = known(lambda: facts.ceph_files)
    return found + _about(per_subject.RBD_IMAGES, [rbd_options(s, keys) for s in pools] if keys is not None else [])


def asked_once(facts: NodeFacts) -> dict[str, object]:
    """What a node is not asked again in a run, as readings: which Proxmox VE it is, which no action changes, and the
    listings of storages that did not end within their time."""
    families = (
        per_subject.STORAGE_FILES,
        per_subject.STORAGE_IMAGES,
        per_subject.STORAGE_MOUNT,
        per_subject.RBD_IMAGES,
    )
    names = {family.name for family in families}
    found: dict[str, object] = {
        key: value
        for key, value in facts.readings.items()
        if key.partition(":")[0] in names and isinstance(value, Missing) and issubclass(value.kind, TimedOut)
    }
    version = facts.readings.get(probes.VERSION.name)
    if version is not None and not isinstance(version, Missing):
        found[probes.VERSION.name] = version
    return found


def activating_round(facts: NodeFacts) -> list[Question[object]]:
    """`pvesm status`, unless it would write into /etc/pve."""
    may = known(lambda: not facts.pvesm_would_write)
    return [of_probe(probes.PVESM)] if may else []


def history_round(seconds: int) -> list[Question[object]]:
    """What is asked with the history group: how the cluster link did, ``seconds`` back."""
    return [
        of_family(f, str(seconds)) for f in (per_subject.COROSYNC_LOG, per_subject.LINE_BEFORE, per_subject.SYMPTOMS)
    ]


def network_round(facts: NodeFacts) -> list[Question[object]]:
    """What to ask next about the network: the names that are used in it, and the way to each peer."""
    names = (*_members(facts), *network_facts.names_to_resolve(facts))
    ways = known(lambda: network_facts.peer_addresses(facts)) or {}
    addresses = sorted({address for links in ways.values() for address in links.values()})
    return _about(per_subject.NAME, names) + _about(per_subject.ROUTE_TO, addresses)


def storage_round(facts: NodeFacts) -> list[Question[object]]:
    """What to ask about the storages that there are, of what is not asked about every node."""
    stores = known(lambda: tuple(facts.storages.values())) or ()
    datasets = sorted({s.options["pool"] for s in stores if s.type == "zfspool" and s.options.get("pool")})
    found = _about(per_subject.ZFS_DATASET, datasets)
    named = known(lambda: {v.storage for g in facts.guests.values() for v in g.volumes if v.is_iso}) or ()
    found += _about(per_subject.STORAGE_IMAGES, sorted({s.directory("iso") or "" for s in stores if s.id in named}))
    if any(s.type == "iscsi" for s in stores):
        found.append(of_probe(checks_only.ISCSI_SESSIONS))
    if any(s.type in ("rbd", "cephfs") and not s.options.get("monhost") for s in stores):
        found.append(of_probe(checks_only.CEPH))
    return found


def pause(seconds: int) -> Question[str]:
    """A bounded wait on the node: a round trip that ends after ``seconds``, 1 to 99."""
    return replace(of_family(per_subject.PAUSE, str(seconds)), timeout=seconds + 10)


def of_probe(probe: Probe[T]) -> Question[T]:
    """A probe as a question."""
    return Question(probe.name, probe.argv, probe.timeout, probe.parse, probe.why, probe.redact)


def of_family(family: ProbeFamily[T], subject: str) -> Question[T]:
    """A probe of a family as a question. Raises ValueError for a subject that it does not accept."""
    key = f"{family.name}:{subject}"
    return Question(key, family.argv(subject), family.timeout, family.parse, family.why, family.redact)


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
