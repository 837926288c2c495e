"""All that the verdict is made of, each judged once: situation, history, causes, risks; and what could not be read."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cached_property, partial

from msgspec import Struct, field

from pve_runbook.diagnosis import network
from pve_runbook.diagnosis.cause import Named, Origin, named_causes
from pve_runbook.diagnosis.network import said_once
from pve_runbook.diagnosis.situation import Situation, Way
from pve_runbook.diagnosis.stability import QUIET_SECONDS, Findings, Stability, span
from pve_runbook.facts.guest_starts import GuestStarts
from pve_runbook.facts.node import NodeFacts
from pve_runbook.parsers.corosync_log import Sign, Symptom
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import UnknownFact, known

WATCHDOG_SECONDS = 60.0
MANY_RESENT = 100
"""Messages that were sent again: a few are a start or a replugged cable."""
_SIGNS = {
    Sign.CARD_HANGS: "the kernel says that {what} hangs:",
    Sign.CARD_DOWN: "the kernel says that the link of {what} went down",
    Sign.NOTHING_RECEIVED: "corosync says FAILED TO RECEIVE",
    Sign.PAUSED: "corosync's process was paused, the last time for {what} ms,",
    Sign.REJECTED: "corosync rejects packets from {what}, which its corosync.conf does not have (after a change of "
    "address it is restarted here):",
    Sign.OLDER_CONFIG: "corosync met a newer corosync.conf than its own",
}


def _running(facts: NodeFacts) -> Mapping[int, int]:
    return facts.running


def _down(guests: Sequence[int]) -> str:
    return f"their guests go down with them: {', '.join(map(str, guests))}" if guests else "no guest runs there"


class Case(Struct, dict=True):
    """One cluster at one moment. ``pasts``: node name → what its journal shows, or why it does not; ``absent``: members
    that the operator calls powered off for good."""

    everyone: Sequence[NodeFacts]
    pasts: Mapping[str, Findings | UnknownFact]
    where: Situation
    absent: frozenset[str] = frozenset()
    not_read: list[str] = field(default_factory=list)
    """What is unknown and was not needed, a clause each."""

    @cached_property
    def members(self) -> list[NodeFacts]:
        """The reached nodes that have not left: what is asked of a member cannot be asked of the others."""
        gone = {o.node for o in self.where.out(Way.GONE)}
        return [f for f in self.everyone if f.node not in gone] if len(gone) < len(self.everyone) else []

    # --- history

    @cached_property
    def findings(self) -> dict[str, Findings]:
        """Of the nodes whose journal says something."""
        return {node: found for node, found in self.pasts.items() if isinstance(found, Findings)}

    @cached_property
    def of_the_core(self) -> list[Findings]:
        """The histories of the quorate majority; of all nodes without one. Raises UnknownFact where none is known."""
        inside = self.where.majority.nodes if self.where.majority is not None else tuple(self.pasts)
        found = [self.findings[n] for n in inside if n in self.findings]
        if not found:
            raise next(x for x in self.pasts.values() if isinstance(x, UnknownFact))
        return found

    @property
    def flaps(self) -> bool:
        """Whether a node's link comes and goes, as far as the journals say."""
        return any(found.state is Stability.FLAPPING for found in self.findings.values())

    @property
    def flaps_now(self) -> bool:
        """Whether the members of the majority come and go, and did so within the last five minutes."""
        return any(f.flaps_now for f in self.of_the_core)

    @property
    def is_quiet(self) -> bool:
        """Whether the part that counts has not changed for five minutes, and does not come and go."""
        return all(f.is_quiet and f.state is not Stability.FLAPPING for f in self.of_the_core)

    def began_just_now(self, *nodes: str) -> bool:
        """Whether corosync was started on all of these nodes within the last five minutes."""
        ago = [self.findings[n].started_ago if n in self.findings else None for n in nodes]
        return bool(ago) and all(a is not None and a < QUIET_SECONDS for a in ago)

    # --- causes and risks

    @cached_property
    def causes(self) -> tuple[Named, ...]:
        """The named causes, as far as the facts say; what was not read for them is noted."""
        try:
            return named_causes(self.members, self.where, self.findings)
        except UnknownFact as error:
            self.not_read.append(str(error))
            return ()

    @property
    def own_faults(self) -> list[Named]:
        """What keeps members out that are still members: one that left has no key either, and that is no fault."""
        out = {o.node for o in self.where.out(Way.PMXCFS_DOWN, Way.COROSYNC_DOWN, Way.APART)}
        return [c for c in self.causes_of(Origin.NODE) if out.issuperset(c.nodes)]

    def causes_of(self, *origins: Origin) -> tuple[Named, ...]:
        """Those that lie there."""
        return tuple(cause for cause in self.causes if cause.origin in origins)

    @property
    def explain(self) -> bool:
        """Whether causes of nodes or votes explain what is seen: the nodes that have none see each other."""
        own = self.causes_of(Origin.NODE, Origin.VOTES)
        faulty = {node for cause in own if cause.origin is Origin.NODE for node in cause.nodes}
        together = self.where.parts[0].nodes if self.where.parts else ()
        return bool(own) and all(f.node in faulty or f.node in together for f in self.everyone)

    @cached_property
    def _judged_risks(self) -> tuple[list[network.Finding], UnknownFact | None]:
        found: list[network.Finding] = []
        unknown: UnknownFact | None = None
        for cause in network.ROOT_CAUSES:
            try:
                found += network.find(cause, self.members)
            except UnknownFact as error:
                unknown = unknown or error
        return found, unknown

    @property
    def risks(self) -> list[network.Finding]:
        """What was found of the article's five."""
        return self._judged_risks[0]

    @property
    def risk_not_read(self) -> UnknownFact | None:
        """The first fact that was missing for the others of the five."""
        return self._judged_risks[1]

    @cached_property
    def bonds(self) -> tuple[str, ...]:
        """Bonds below the cluster link of a mode that is advised against, as far as the facts say."""
        return network.in_words(known(partial(network.find, network.Cause.BOND_MODE, self.members)) or ())

    @cached_property
    def rings_by_name(self) -> bool:
        """Whether corosync.conf has names for ring addresses: only then it matters to corosync what they lead to."""
        return bool(network.find(network.Cause.RING_BY_NAME, self.members))

    # --- guests

    @cached_property
    def without_config(self) -> dict[str, tuple[int, ...]]:
        """Node → guests that run there, and whose config no node's database has; an arriving one is none of them."""
        known: set[int] = set()
        running: dict[str, set[int]] = {}
        for facts in self.everyone:
            try:
                known |= facts.all_guests.keys()
                running[facts.node] = facts.running.keys() - set(facts.arriving)
            except UnknownFact as error:
                self.not_read.append(str(error))
                return {}
        return {node: tuple(sorted(pids - known)) for node, pids in running.items() if pids - known}

    @cached_property
    def starts(self) -> dict[str, GuestStarts]:
        """Node → its guests, by what becomes of them; a fact that was not read is kept in words."""
        found = {}
        for facts in self.everyone:
            try:
                found[facts.node] = facts.starts()
            except UnknownFact as error:
                self.not_read.append(str(error))
        return found

    # --- high availability

    @cached_property
    def resets(self) -> tuple[str, ...]:
        """What HA is about to do: a node whose HA is armed, and that has no quorum, is reset about a minute after the
        loss (pve-ha-manager: watchdog-mux, 60 s). The clock is the node's own."""
        when: dict[str, list[NodeFacts]] = {}
        for facts in self.members:
            try:
                if facts.has_watchdog_client and facts.ha_resources and not facts.is_quorate:
                    when.setdefault(self._reset_at(facts.node), []).append(facts)
            except UnknownFact as error:
                self.not_read.append(str(error))
        return tuple(
            f"HA resets {', '.join(f.node for f in nodes)} {at} unless quorum is back, and "
            f"{_down([vmid for f in nodes for vmid in sorted(known(partial(_running, f)) or ())])}"
            for at, nodes in when.items()
        )

    def _reset_at(self, node: str) -> str:
        past = self.findings.get(node)
        if past is None or past.quorum_lost_ago is None or past.quorum_lost_ago >= WATCHDOG_SECONDS:
            return "at any moment"
        at = time.gmtime(past.now - past.quorum_lost_ago + WATCHDOG_SECONDS)
        return f"at about {time.strftime('%H:%M:%S', at)} UTC"

    # --- in words

    @cached_property
    def signs(self) -> tuple[str, ...]:
        """What the journals say of the reason, in numbers, and how often corosync sent messages again."""
        seen: list[tuple[list[str], str]] = []
        for node, found in self.findings.items():
            by_sign: dict[Sign, list[Symptom]] = {}
            for symptom in found.symptoms:
                by_sign.setdefault(symptom.sign, []).append(symptom)
            for sign, symptoms in by_sign.items():
                if sign in _SIGNS:
                    last = symptoms[-1]
                    count = len(symptoms)
                    times = "once" if count == 1 else f"{count} times"
                    ago = span(found.now - last.time)
                    seen.append(([node], f"{_SIGNS[sign].format(what=last.what)} {times}, the last {ago} ago"))
        for facts in self.members:
            counters = known(partial(facts.get, probes.COUNTERS))
            if counters is not None and counters.resent >= MANY_RESENT:
                seen.append(([facts.node], f"{counters.resent} messages were sent again since corosync's start"))
        return said_once(seen)

    @property
    def history(self) -> tuple[str, ...]:
        """What the journals show, alike nodes together."""
        return said_once(([node], str(found)) for node, found in self.findings.items() if str(found))

    @property
    def outs(self) -> tuple[str, ...]:
        """Who is out, and how; without a majority the parts, and who is in none of them."""
        where = self.where
        if where.majority is not None:
            return tuple(map(str, where.outs))
        apart = {o.node for o in where.out(Way.APART)}
        return (*map(str, where.parts), *(str(o) for o in where.outs if o.node not in apart))

    @property
    def off(self) -> tuple[str, ...]:
        """The members that are off."""
        return tuple(o.node for o in self.where.out(Way.OFF))
