"""What a capture comes to: facts, as the code makes them of its outcomes, beside what was expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

from capture_reading import Outcome, probe_of
from captured_files import Capture
from msgspec import Struct
from pve_runbook.facts.node import NodeFacts
from pve_runbook.facts.node_state import NodeState, StateEvidence, classify, corosync_leftovers
from pve_runbook.parsers.systemd import Unit
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import Missing, UnknownFact, known

STATE = "state"
HAS_CONF = (
    'sqlite3 -readonly /var/lib/pve-cluster/config.db "SELECT count(*) FROM tree WHERE parent=0 AND'
    " name='corosync.conf'\""
)


def disappointed(capture: Capture, outcomes: Sequence[Outcome]) -> list[str]:
    """One line for each expectation of ``capture`` that does not hold, which names the file and the place."""
    facts = facts_of(outcomes)
    lines = (line for key, value in capture.expect.items() for line in _of(key, value, facts, outcomes))
    return [f"{capture.name}: {line}" for line in lines]


def facts_of(outcomes: Sequence[Outcome]) -> NodeFacts:
    """The facts of one node: each probe's own question once, the first answer; the units of all `systemctl show`."""
    facts = NodeFacts(outcomes[0].step.node, {})
    units: dict[str, Unit] = {}
    for outcome in outcomes:
        if probe_of(outcome.step.command) and outcome.kind != "not a probe":
            read = outcome.kind == "read"
            facts.readings.setdefault(outcome.probe, outcome.value if read else Missing(outcome.why))
        elif outcome.probe == probes.UNIT_STATES.name and isinstance(outcome.value, dict):
            units |= outcome.value
    if units:
        facts.readings.setdefault(probes.UNIT_STATES.name, units)
    return facts


def state_of(facts: NodeFacts, outcomes: Sequence[Outcome]) -> NodeState:
    """The state of the node: as the code judges it, and where the whole database was not recorded, with what was
    asked of it instead (HAS_CONF)."""
    if probes.TREE.name in facts.readings:
        return facts.state
    counted = {o.step.output.stdout.strip() for o in outcomes if o.step.command == HAS_CONF}
    return classify(
        StateEvidence(
            mounts=known(lambda: facts.pve_mounts),
            mode=known(lambda: facts.get(probes.PVE_MODE)),
            members=known(lambda: facts.members),
            pvecm=known(lambda: facts.pvecm),
            pmxcfs=known(lambda: facts.pmxcfs_processes),
            corosync_running=known(lambda: facts.is_corosync_running),
            authkey_present=known(lambda: "authkey" in (facts.get(probes.COROSYNC_DIRS)["/etc/corosync"] or ())),
            conf_in_db={"0": False, "1": True}[counted.pop()] if len(counted) == 1 else None,
            leftovers=known(lambda: corosync_leftovers(facts.get(probes.COROSYNC_DIRS))),
        )
    )


def _of(key: str, wanted: object, facts: NodeFacts, outcomes: Sequence[Outcome]) -> Iterator[str]:
    try:
        if key == STATE:
            found: object = state_of(facts, outcomes)
        elif key in facts.readings:
            found = facts.get(next(p for p in probes.registry() if p.name == key))
        elif said := [o for o in outcomes if o.step.command == key and o.kind == "read"]:
            found = said[0].value
        elif isinstance(getattr(NodeFacts, key, None), property):
            found = getattr(facts, key)
        else:
            yield f"{key}: this is no probe that was read here, no recorded command and no fact of a node"
            return
    except UnknownFact as error:
        yield f"{key}: it is unknown: {error}"
        return
    yield from _differences(key, wanted, found)


def _differences(where: str, wanted: Any, found: Any) -> Iterator[str]:
    """A struct must have the fields that are named; a mapping and a sequence are all that there is."""
    if isinstance(found, Struct) and isinstance(wanted, dict):
        names = set(found.__struct_fields__)
        for name, value in wanted.items():
            if name in names:
                yield from _differences(f"{where}.{name}", value, getattr(found, name))
            else:
                yield f"{where}: it has no {name!r}, only {', '.join(sorted(names))}"
    elif isinstance(found, Mapping) and isinstance(wanted, dict):
        content = {str(key): value for key, value in found.items()}
        if set(content) != set(wanted):
            yield f"{where}: {sorted(content)} is there, {sorted(wanted)} was expected"
        for name in sorted(set(content) & set(wanted)):
            yield from _differences(f"{where}.{name}", wanted[name], content[name])
    elif isinstance(found, tuple | list) and isinstance(wanted, list) and len(found) == len(wanted):
        for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from _differences(f"{where}[{number}]", one, other)
    else:
        plain = found.value if isinstance(found, Enum) else list(found) if isinstance(found, tuple) else found
        if plain != wanted or type(plain) is not type(wanted):
            yield f"{where}: {plain!r} was found, {wanted!r} was expected"
