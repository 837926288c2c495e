"""What nftables does to a UDP packet of a peer's corosync: as far as `nft -j list ruleset` shows it.

The format is libnftables-json(5). What is not known there stops nothing: it may hold or not, and that matters only
where the packet's fate depends on it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from enum import Enum

from msgspec import Struct, field

from pve_runbook.parsers.iptables import Fate, Outcome, Packet
from pve_runbook.parsers.json_objects import JsonObject, parse_object
from pve_runbook.parsers.output import NOT_INSTALLED, Output, stdout_of

_IPTABLES_TABLES = frozenset({"filter", "nat", "mangle", "raw", "security", "broute"})
_IPTABLES_CHAINS = frozenset({"INPUT", "PREROUTING"})
_WITHOUT_EFFECT = frozenset(
    {"counter", "log", "mangle", "map", "notrack", "continue", "last", "ct helper", "dup", "set"}
)
"""Statements after which the packet is where it was."""
_HARMLESS_TARGETS = frozenset({"LOG", "NFLOG", "MARK", "CONNMARK", "CT", "NOTRACK", "SET", "TRACE", "CHECKSUM"})
_MAY_NOT_MATCH = frozenset({"xt", "limit", "quota", "ct count", "meter"})
_NOT_OF_UDP = frozenset({"tcp", "icmp", "icmpv6", "igmp", "sctp", "dccp", "ah", "esp", "comp", "udplite", "arp", "gre"})
_UDP = frozenset({"udp", 17})
_UNPRIVILEGED = (1024, 65535)
"""Where a packet of corosync comes from: the same port with knet, any of these with udpu."""
_LENGTH = 160


class Statement(Struct, frozen=True):
    """One part of a rule: its kind ("match", "vmap", "drop", ...), and what stands behind it, as JSON has it."""

    kind: str
    value: object


Rule = tuple[Statement, ...]
Where = tuple[str, str, str]
"""Family, table, and the name of a chain or a set."""


class Base(Struct, frozen=True):
    """A chain that the kernel calls itself; `kind` is "filter", "nat" or "route"."""

    where: Where
    kind: str
    hook: str
    drops: bool


class Ruleset(Struct, frozen=True):
    """All rules; `sets` has the elements of sets and maps, as they were at that moment."""

    bases: tuple[Base, ...] = ()
    chains: Mapping[Where, tuple[Rule, ...]] = field(default_factory=dict)
    sets: Mapping[Where, tuple[object, ...]] = field(default_factory=dict)

    def has_chains(self, family: str, table: str = "") -> bool:
        """Whether the table is there, or any of the family, with a chain at least."""
        return any(where[0] == family and table in ("", where[1]) for where in self.chains)


def parse_nft_ruleset(output: Output) -> Ruleset | None:
    """Read `nft -j list ruleset`; None where nft is not installed. Raises ParseError."""
    if output.exit_status == NOT_INSTALLED:
        return None
    what = "nft -j list ruleset"
    bases: list[Base] = []
    chains: dict[Where, tuple[Rule, ...]] = {}
    sets: dict[Where, tuple[object, ...]] = {}
    dormant: set[tuple[str, str]] = set()
    for entry in parse_object(stdout_of(output, what), what).objects("nftables"):
        for kind in entry.names()[:1]:
            found = entry.object(kind)
            if kind == "table" and "flags" in found and "dormant" in _listed(found.anything("flags")):
                dormant.add((found.text("family"), found.text("name")))
            elif kind == "chain":
                where = _where(found, "name")
                chains.setdefault(where, ())
                if "hook" in found and where[:2] not in dormant:
                    drops = found.text_or_none("policy") == "drop"
                    bases.append(Base(where, found.text("type"), found.text("hook"), drops))
            elif kind == "rule":
                where = _where(found, "chain")
                parts = (Statement(name, e.anything(name)) for e in found.objects("expr") for name in e.names()[:1])
                chains[where] = (*chains.get(where, ()), tuple(parts))
            elif kind in ("set", "map"):
                sets[_where(found, "name")] = _listed(found.anything("elem")) if "elem" in found else ()
    return Ruleset(tuple(bases), chains, sets)


def _where(entry: JsonObject, name: str) -> Where:
    return entry.text("family"), entry.text("table"), entry.text(name)


def _listed(value: object) -> tuple[object, ...]:
    """nft writes a list of one without its brackets."""
    return tuple(value) if isinstance(value, list) else (value,)


def outcome(ruleset: Ruleset, packet: Packet, *, port: str = "", beside_iptables: bool = True) -> Outcome:
    """What becomes of the packet on its way in: a chain that is sure to drop it decides, else the first one that may.

    `port`: the card by which it comes into a bridge, "" where there is none. `beside_iptables`: whether iptables-save
    shows the table `ip filter`, so that it is judged there. A chain of type nat only translates, and sees a flow's
    first packet alone.
    """
    found = Outcome(Fate.PASSES, "")
    for base in ruleset.bases:
        if _concerns(base, packet, port, beside_iptables=beside_iptables):
            said = _Walk(ruleset, base, packet, port).outcome()
            if said.fate is Fate.DROPPED:
                return said
            if found.fate is Fate.PASSES:
                found = said
    return found


def _concerns(base: Base, packet: Packet, port: str, *, beside_iptables: bool) -> bool:
    family, table, chain = base.where
    version = ipaddress.ip_address(packet.destination).version
    if base.kind == "nat" or base.hook not in ("input", "prerouting", "ingress"):
        return False
    if family not in ("inet", "netdev", "ip" if version == 4 else "ip6") and not (family == "bridge" and port):
        return False
    if family in ("ip", "bridge") and table in _IPTABLES_TABLES and chain in _IPTABLES_CHAINS:
        return (family, table) == ("ip", "filter") and not beside_iptables
    return True


class _End(Enum):
    """What may come of one rule, or of one chain."""

    ACCEPTED = "accepted"
    DROPPED = "dropped"
    RETURNED = "goes back to the chain that called this one"
    ON = "goes on with the next rule"


_Ends = frozenset[_End]
_ON, _RETURNED = frozenset({_End.ON}), frozenset({_End.RETURNED})
_EITHER = frozenset({_End.ACCEPTED, _End.DROPPED})
_VERDICTS: Mapping[str, _Ends] = {
    "accept": frozenset({_End.ACCEPTED}),
    "drop": frozenset({_End.DROPPED}),
    "reject": frozenset({_End.DROPPED}),
    "return": _RETURNED,
}
_Subject = tuple[int, int] | frozenset[object] | ipaddress.IPv4Address | ipaddress.IPv6Address | None
"""What a packet has: a number within bounds, one of some words, an address; None where that is not known."""


class _Absent(Exception):
    """The packet has no such field: whatever the rule asks of it, it does not match."""


class _Walk:
    """One packet on its way through one chain that the kernel calls: every end that is possible is followed."""

    def __init__(self, ruleset: Ruleset, base: Base, packet: Packet, port: str) -> None:
        self.ruleset, self.base, self.packet = ruleset, base, packet
        self.table = base.where[:2]
        self.dev = port if base.where[0] == "bridge" else packet.dev
        self.version = ipaddress.ip_address(packet.destination).version
        self.is_tracked = not any(s.kind == "notrack" for rules in ruleset.chains.values() for r in rules for s in r)
        self.known: dict[str, _Ends] = {}
        self.drop = self.doubt = self.doubted_drop = ""

    def outcome(self) -> Outcome:
        """The fate, and the rule that decides it or is in doubt. For which card an ingress chain is there is not
        always shown."""
        name = self.base.where[2]
        ends = self._chain(name)
        if _End.RETURNED in ends and self.base.drops:
            ends |= {_End.DROPPED}
            self.drop = self.drop or self._in_words(name, (Statement("policy", "drop"),))
        elif _End.RETURNED in ends:
            ends |= {_End.ACCEPTED}
        ends &= _EITHER
        if _End.DROPPED not in ends:
            return Outcome(Fate.PASSES, "")
        if _End.ACCEPTED not in ends and self.base.hook != "ingress":
            return Outcome(Fate.DROPPED, self.drop)
        return Outcome(Fate.MAYBE, self.doubted_drop or self.doubt or self.drop)

    def _chain(self, name: str) -> _Ends:
        if name not in self.known:
            self.known[name] = _EITHER | _RETURNED  # while it is walked: the kernel refuses loops
            self.known[name] = self._through(name)
        return self.known[name]

    def _through(self, name: str) -> _Ends:
        ends: _Ends = frozenset()
        for rule in self.ruleset.chains.get((*self.table, name), ()):
            is_sure, possible = self._rule(rule)
            if possible == _ON:
                continue
            text = self._in_words(name, rule)
            if not is_sure:
                self.doubt = self.doubt or text
            if _End.DROPPED in possible and is_sure:
                self.drop = self.drop or text
            elif _End.DROPPED in possible:
                self.doubted_drop = self.doubted_drop or text
            ends |= possible - _ON
            if is_sure and _End.ON not in possible:
                return ends
        return ends | _RETURNED

    def _in_words(self, chain: str, rule: Rule) -> str:
        shown = (f"{s.kind} {_in_words(s.value)}".strip() for s in rule if s.kind not in ("counter", "log"))
        said = f"{' '.join((*self.table, chain))}: {' '.join(part.removeprefix('match ') for part in shown)}"
        return said if len(said) <= _LENGTH else f"{said[:_LENGTH]}..."

    def _rule(self, rule: Rule) -> tuple[bool, _Ends]:
        """Whether it is sure to match, and what comes of it if it does."""
        is_sure = True
        for statement in rule:
            kind, value = statement.kind, statement.value
            if kind == "match":
                answer = self._holds(_at(value, "left"), str(_at(value, "op")), _at(value, "right"))
                if answer is False:
                    return True, _ON
                is_sure = is_sure and answer is True
            elif kind == "vmap":
                is_sure_here, ends = self._by_map(value)
                if ends != _ON:
                    return is_sure and is_sure_here, ends
            elif kind == "xt" and statement is rule[-1]:  # old versions of nft do not say which
                if _at(value, "name") not in _HARMLESS_TARGETS:
                    return False, _EITHER | _ON
            elif kind in _MAY_NOT_MATCH or (kind == "set" and _at(value, "stmt") is not None):
                is_sure = False
            elif kind in ("jump", "goto") or kind in _VERDICTS:
                return is_sure, self._verdict(kind, value)
            elif kind not in _WITHOUT_EFFECT:
                return False, _EITHER | _ON
        return is_sure, _ON

    def _verdict(self, kind: str, value: object) -> _Ends:
        if kind not in ("jump", "goto"):
            return _VERDICTS.get(kind, _EITHER | _ON)
        ends = self._chain(str(_at(value, "target")))
        return (ends - _RETURNED) | _ON if kind == "jump" and _End.RETURNED in ends else ends

    def _by_map(self, value: object) -> tuple[bool, _Ends]:
        """What a map from a field to verdicts comes to."""
        entries = self._elements(_at(value, "data"))
        if entries is None:
            return False, _EITHER | _ON
        is_sure, possible = True, _ON
        for entry in entries:
            key, verdict = entry if isinstance(entry, list) and len(entry) == 2 else (None, None)
            answer = self._holds(_at(value, "key"), "==", key)
            if answer is False or not isinstance(verdict, dict):
                continue
            ends = frozenset().union(*(self._verdict(kind, inner) for kind, inner in verdict.items()))
            if answer:
                return True, ends
            is_sure, possible = False, possible | ends
        return is_sure, possible

    # --- what is asked of the packet

    def _holds(self, left: object, operator: str, right: object) -> bool | None:
        """Whether it does; None where that is not known."""
        elements = self._elements(right)
        fields = _listed(_at(left, "concat") or left)
        try:
            subjects = [self._subject(f) for f in fields]
        except _Absent:
            return False
        if elements is None:
            return None
        if _at(_at(left, "ct"), "key") == "state":  # as iptables' rules are judged: open, or just beginning
            is_open = True if "established" in elements else None if "new" in elements else False
            answer = is_open if self.is_tracked else None
        elif len(fields) > 1:
            rows = [_listed(_at(e, "concat")) for e in elements]
            answer = _any(_all(map(_equals, subjects, row)) if len(row) == len(subjects) else None for row in rows)
        elif operator in ("<", ">", "<=", ">="):
            answer = _any(_equals(subjects[0], _bounds(operator, e)) for e in elements)
        else:
            answer = _any(_equals(subjects[0], e) for e in elements)
        return not answer if operator == "!=" and answer is not None else answer

    def _elements(self, right: object) -> tuple[object, ...] | None:
        """What a field is compared with, one by one; None for a set that is not shown."""
        if isinstance(right, str) and right.startswith("@"):
            found = self.ruleset.sets.get((*self.table, right[1:]))
        else:
            found = _listed(next((v for k in ("set", "|") if (v := _at(right, k)) is not None), right))
        return None if found is None else tuple(e if (v := _at(_at(e, "elem"), "val")) is None else v for e in found)

    def _subject(self, left: object) -> _Subject:
        """What the packet has there. Raises _Absent."""
        for kind, value in left.items() if isinstance(left, dict) else ():
            if kind in ("&", "|", "^", "<<", ">>"):
                self._subject(_listed(value)[0])
            elif kind == "meta":
                return self._of_meta(_at(value, "key"))
            elif kind == "payload":
                return self._of_payload(_at(value, "protocol"), _at(value, "field"))
            elif kind == "fib" and _at(value, "result") == "type":
                asked = _listed(_at(value, "flags"))
                return frozenset({"local"} if "daddr" in asked else {"unicast"})
        return None

    def _of_meta(self, key: object) -> _Subject:
        words: dict[object, frozenset[object]] = {
            **dict.fromkeys(("iifname", "iif"), frozenset({self.dev})),
            "l4proto": _UDP,
            "nfproto": frozenset({f"ipv{self.version}"}),
            "protocol": frozenset({"ip" if self.version == 4 else "ip6"}),
            "pkttype": frozenset({"host", "unicast"}),
        }
        return words.get(key)

    def _of_payload(self, protocol: object, name: object) -> _Subject:
        if protocol in _NOT_OF_UDP or protocol == ("ip6" if self.version == 4 else "ip"):
            raise _Absent
        if protocol in ("udp", "th") and name in ("dport", "sport"):
            return (self.packet.port, self.packet.port) if name == "dport" else _UNPRIVILEGED
        if protocol == "ether" and name == "type":
            return self._of_meta("protocol")
        if protocol not in ("ip", "ip6"):
            return None
        if name in ("saddr", "daddr"):
            return ipaddress.ip_address(self.packet.source if name == "saddr" else self.packet.destination)
        if name in ("protocol", "nexthdr"):
            return _UDP
        return (self.version, self.version) if name == "version" else None


def _at(value: object, key: str) -> object:
    """A member of what may be an object, None without it."""
    return value.get(key) if isinstance(value, dict) else None


def _any(answers: Iterable[bool | None]) -> bool | None:
    said = list(answers)
    return True if True in said else None if None in said else False


def _all(answers: Iterable[bool | None]) -> bool | None:
    said = list(answers)
    return False if False in said else None if None in said else True


def _bounds(operator: str, element: object) -> object:
    """A comparison of numbers as the range that it leaves."""
    if not isinstance(element, int):
        return None
    low = {">": element + 1, ">=": element}.get(operator, 0)
    return {"range": [low, {"<": element - 1, "<=": element}.get(operator, 2**32)]}


def _equals(subject: _Subject, element: object) -> bool | None:
    """Whether what the packet has is this, or lies within it."""
    ends = _at(element, "range")
    low, high = ends if isinstance(ends, list) and len(ends) == 2 else (element, element)
    if isinstance(subject, tuple):
        if not isinstance(low, int) or not isinstance(high, int):
            return None
        if subject[1] < low or subject[0] > high:
            return False
        return True if low <= subject[0] and subject[1] <= high else None
    if isinstance(subject, frozenset):
        if isinstance(element, str) and element.endswith("*"):
            return any(str(word).startswith(element[:-1]) for word in subject)
        return element in subject if isinstance(element, str | int) else None
    if subject is None:
        return None
    prefix = _at(element, "prefix")
    try:
        if prefix is not None:
            return subject in ipaddress.ip_network(f"{_at(prefix, 'addr')}/{_at(prefix, 'len')}", strict=False)
        return int(ipaddress.ip_address(str(low))) <= int(subject) <= int(ipaddress.ip_address(str(high)))
    except ValueError:
        return None


def _in_words(value: object) -> str:
    """A part of a rule, much as nft lists it."""
    if isinstance(value, list):
        return ",".join(map(_in_words, value))
    if not isinstance(value, dict):
        return "" if value is None or value in ("==", "in") else str(value)
    for kind, sign in (("range", "-"), ("prefix", "/"), ("concat", " . "), ("set", ", ")):
        if kind in value:
            inner = value[kind]
            return sign.join(map(_in_words, inner.values() if isinstance(inner, dict) else _listed(inner)))
    parts = [value[k] for k in ("left", "op", "right") if k in value] or ["ct"] * ("ct" in value) + [*value.values()]
    return " ".join(filter(None, map(_in_words, parts)))
