"""Whether a node's cluster link comes and goes, settles, or holds: judged from corosync's own log.

Only what goes wrong counts: links that go down, tokens and members that are lost. What comes back is no second event,
so the burst of joins after corosync's start is none either. A member that says that it leaves is no loss.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct, field

from pve_runbook.parsers.corosync_log import CorosyncLog, Event, Kind, Symptom
from pve_runbook.parsers.corosync_stats import Counters

FLAPS = 3
"""So often the same thing has to break to be called flapping: once is a cable, twice is a switch that restarts."""
FLAP_INTERVAL = 8 * 3600.0
"""Seconds between two losses, on average, up to which they belong together: three a day."""
STILL_SECONDS = 3600.0
"""A flapping link is not trusted before it has held for an hour, or twice as long as between its losses."""
QUIET_SECONDS = 300.0
"""Five minutes without a change: 45 token timeouts and consensus rounds of three nodes (8 s, recorded)."""
START_SECONDS = 60.0
"""Joins within a minute after corosync's start are part of it: first contact after 3 s (recorded), later where a
switch port first listens (30 s of spanning tree)."""
STALL_REACH = 15.0
"""Seconds after a stall in which what breaks is its consequence: token timeout and consensus were 8 s (recorded)."""
SLOW_LINK = 5000
"""Microseconds: "latencies under 5 milliseconds (LAN performance)" (pve-docs pvecm.adoc)."""


class Stability(StrEnum):
    """What the log of one node shows of its cluster link."""

    STEADY = "steady"
    """Nothing broke in the window."""
    SETTLING = "settling"
    """Something broke, everyone is back, and it does not flap."""
    LOST = "lost"
    """Members were lost and are not back."""
    STARVED = "starved"
    """It comes and goes with stalls of corosync: processor or disk, not the network."""
    FLAPPING = "flapping"
    """It comes and goes by itself."""


class History(Struct, frozen=True):
    """What one node tells of its past. ``since`` and ``now`` in seconds since the epoch by the node's clock: the log
    is complete between them. ``names`` gives the members' names by nodeid."""

    log: CorosyncLog
    since: float
    now: float
    names: Mapping[int, str]
    counters: Counters | None = None
    """None: corosync does not run, or its counters are unknown; they are evidence, the log decides."""
    symptoms: tuple[Symptom, ...] = ()

    @property
    def stalls(self) -> tuple[Event, ...]:
        """The moments at which corosync noticed that it had not been run."""
        return tuple(e for e in self.log.events if e.kind is Kind.STALL)


class Findings(Struct, frozen=True):
    """The judgement of one node's history; times in seconds."""

    state: Stability
    covered: float
    """How far back the log is complete."""
    quiet_for: float
    """Since the last change of any kind, corosync's own start included."""
    changes: int
    """Changes of the membership, those of a start left out."""
    worst_hour: int
    """The most of them within one hour."""
    lost: tuple[str, ...]
    """Members that were lost and are not back."""
    stalls: tuple[Event, ...]
    packet_size: tuple[str, ...]
    """Links on which packets of the interface's size do not arrive, e.g. ``link 0 to pve2``."""
    evidence: tuple[str, ...]
    """What was seen, a clause each."""
    started_ago: float | None = None
    """Since corosync's last start; None where the window shows none."""
    quorum_lost_ago: float | None = None
    """Since corosync last said that quorum is lost, and did not say since that it is back."""
    symptoms: tuple[Symptom, ...] = ()
    """What corosync, pmxcfs and the kernel said of the reason, the oldest first."""
    now: float = 0.0
    """The node's clock, in seconds since the epoch."""

    @property
    def is_quiet(self) -> bool:
        """Whether nothing changed for so long that it may be called settled."""
        return self.quiet_for >= QUIET_SECONDS

    @property
    def flaps_now(self) -> bool:
        """Whether it comes and goes, and did so within the last five minutes."""
        return self.state is Stability.FLAPPING and not self.is_quiet

    def __str__(self) -> str:
        """One clause for people."""
        return f"in the last {span(self.covered)} {'; '.join(self.evidence)}"


def judge(history: History, stalls_elsewhere: Iterable[Event] = ()) -> Findings:
    """Judge one node's history. ``stalls_elsewhere``: a peer that is not scheduled looks from here like a bad link."""
    seen = _Seen()
    seen.read(history.log.events)
    if history.names:  # who is in no nodelist any more was let go, and is not to come back
        seen.missing &= history.names.keys()
    stalls = history.stalls
    starved = _near_stalls([*stalls, *stalls_elsewhere])
    network = {what: [t for t in times if not starved(t)] for what, times in seen.broken.items()}
    now = history.now
    if any(_comes_and_goes(times, now) for times in network.values()):
        state = Stability.FLAPPING
    elif any(_comes_and_goes(times, now) for times in seen.broken.values()):
        state = Stability.STARVED
    elif seen.missing:
        state = Stability.LOST
    else:
        state = Stability.SETTLING if seen.broken else Stability.STEADY
    last = max(seen.latest, history.since)
    return Findings(
        state=state,
        covered=now - history.since,
        quiet_for=max(now - last, 0.0),
        changes=len(seen.changes),
        worst_hour=_most_within_an_hour(seen.changes),
        lost=tuple(_name(history, i) for i in sorted(seen.missing)),
        stalls=stalls,
        packet_size=tuple(f"link {link} to {_name(history, host)}" for host, link in sorted(seen.packet_size)),
        evidence=tuple(_evidence(history, seen, sum(map(starved, seen.moments)))),
        started_ago=now - seen.starts[-1] if seen.starts else None,
        quorum_lost_ago=_quorum_lost_ago(history),
        symptoms=history.symptoms,
        now=now,
    )


def _quorum_lost_ago(history: History) -> float | None:
    said = [e for e in history.log.events if e.kind in (Kind.QUORUM_LOST, Kind.QUORUM_GAINED)]
    return history.now - said[-1].time if said and said[-1].kind is Kind.QUORUM_LOST else None


_What = tuple[Kind, int, int]
"""What broke: kind, nodeid, link."""


class _Seen(Struct):
    """The events, sorted by what they mean."""

    broken: dict[_What, list[float]] = field(default_factory=lambda: defaultdict(list))
    changes: list[float] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    late: int = 0
    missing: set[int] = field(default_factory=set)
    packet_size: set[tuple[int, int]] = field(default_factory=set)
    latest: float = 0.0

    @property
    def moments(self) -> list[float]:
        return [t for times in self.broken.values() for t in times]

    def read(self, events: Sequence[Event]) -> None:
        leaving: set[int] = set()
        for position, event in enumerate(events):
            kind, time = event.kind, event.time
            if kind is Kind.MEMBERSHIP:
                after = events[position + 1] if position + 1 < len(events) else None
                unsaid = after.hosts if after is not None and after.kind is Kind.LOST else ()
                leaving.update(set(event.left).difference(unsaid))
                leaving.difference_update(event.hosts)
                self.missing.difference_update(event.hosts)
                self._membership(event)
            elif kind is Kind.SHUT_DOWN:
                leaving.update(event.hosts)
            elif kind is Kind.LOST:
                self.missing.update(event.hosts)
                for host in event.hosts:
                    self._broke((kind, host, 0), time)
            elif kind is Kind.LINK_DOWN and not leaving.intersection(event.hosts):
                self._broke((kind, event.hosts[0], event.link), time)
            elif kind is Kind.TOKEN_LOST:
                self._broke((kind, 0, 0), time)
            elif kind is Kind.TOKEN_LATE:
                self.late += 1
            elif kind is Kind.PACKET_SIZE:
                self.packet_size.add((event.hosts[0], event.link))
            elif kind in (Kind.STARTED, Kind.STOPPED):
                leaving.clear()
                self.missing.clear()
                self.packet_size.clear()
                self.latest = time
                if kind is Kind.STARTED:
                    self.starts.append(time)

    def _broke(self, what: _What, time: float) -> None:
        self.broken[what].append(time)
        self.latest = time

    def _membership(self, event: Event) -> None:
        if not event.hosts and not event.left:
            return
        self.latest = event.time
        is_start = bool(self.starts) and event.time - self.starts[-1] <= START_SECONDS and not event.left
        if not is_start:
            self.changes.append(event.time)


def _near_stalls(stalls: Iterable[Event]) -> Callable[[float], bool]:
    """Whether what broke at a time is a stall's consequence. A stall is logged at its end."""
    spans: list[tuple[float, float]] = []
    for begin, end in sorted((s.time - s.milliseconds / 1000, s.time + STALL_REACH) for s in stalls):
        if spans and begin <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], end))
        else:
            spans.append((begin, end))
    begins = [begin for begin, _ in spans]

    def near(time: float) -> bool:
        position = bisect_right(begins, time) - 1
        return position >= 0 and time <= spans[position][1]

    return near


def _comes_and_goes(times: Sequence[float], now: float) -> bool:
    if len(times) < FLAPS:
        return False
    between = (times[-1] - times[0]) / (len(times) - 1)
    return between <= FLAP_INTERVAL and now - times[-1] < max(STILL_SECONDS, 2 * between)


def _most_within_an_hour(times: Sequence[float]) -> int:
    most = first = 0
    for last, time in enumerate(times):
        while time - times[first] > 3600:
            first += 1
        most = max(most, last - first + 1)
    return most


_BROKE = {
    Kind.LINK_DOWN: "link {link} to {names} went down {times}",
    Kind.TOKEN_LOST: "the token was lost {times}",
    Kind.LOST: "{names} lost {times}",
}


def _evidence(history: History, seen: _Seen, starved: int) -> Iterator[str]:
    if not seen.broken:
        yield "no link, token or member was lost"
    alike: dict[tuple[Kind, int, int], list[int]] = defaultdict(list)
    for (kind, host, link), times in sorted(seen.broken.items()):
        alike[kind, link, len(times)].append(host)
    for (kind, link, count), hosts in alike.items():
        names = ", ".join(_name(history, i) for i in hosts)
        yield _BROKE[kind].format(link=link, names=names, times=_times(count))
    if seen.broken:
        ago = span(history.now - max(seen.moments))
        yield f"the last of these {ago} ago"
    if starved:
        yield f"{starved} of the {len(seen.moments)} while or just after a node did not run corosync"
    if seen.changes:
        yield f"{_many(len(seen.changes), 'membership change')}, at most {_most_within_an_hour(seen.changes)} an hour"
    if seen.late:
        yield _many(seen.late, "late token")
    if seen.starts:
        yield f"corosync was started {_times(len(seen.starts))}, {span(history.now - seen.starts[-1])} ago"
    if seen.missing:
        yield f"not back: {', '.join(_name(history, i) for i in sorted(seen.missing))}"
    for own in history.counters.links if history.counters is not None else ():
        if own.losses > len(seen.broken.get((Kind.LINK_DOWN, own.nodeid, own.link), ())):
            yield (
                f"corosync itself counts {_many(own.losses, 'loss', 'losses')} of link {own.link} to"
                f" {_name(history, own.nodeid)} since its start"
            )


def _name(history: History, nodeid: int) -> str:
    return history.names.get(nodeid, f"node {nodeid}")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _many(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def span(seconds: float) -> str:
    """A duration in the unit that people would use, e.g. ``34 s``, ``12 min``, ``24 h``."""
    if seconds < 120:
        return f"{max(seconds, 0.0):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
