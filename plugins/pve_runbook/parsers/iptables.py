"""What a node's packet filter does to a UDP packet of a peer's corosync: as far as iptables-save shows it.

Both sides send without end, from and to the same port: such a packet belongs to a flow that this node itself keeps
open, and is ESTABLISHED to a filter that keeps states."""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Mapping
from enum import Enum

from msgspec import Struct

from pve_runbook.parsers.output import NOT_INSTALLED, Output, ParseError, lines_of, stdout_of, unread

_DROPS = ("DROP", "REJECT")
_DEPTH = 32
"""Chains that call chains; the kernel refuses loops, a deeper nest is not read."""


class Fate(Enum):
    """What becomes of a packet. MAYBE: it depends on something that the rules' text does not show (ipsets, states)."""

    PASSES = "passes"
    DROPPED = "dropped"
    MAYBE = "maybe"


class Rule(Struct, frozen=True):
    """One rule of the filter table; `words` come after the chain's name."""

    chain: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(("-A", self.chain, *self.words))


class Filter(Struct, frozen=True):
    """The filter table: chains with their rules, and the policies of those that have one."""

    policies: Mapping[str, str]
    chains: Mapping[str, tuple[Rule, ...]]


class Packet(Struct, frozen=True):
    """A UDP packet of an open flow for one of the node's own addresses; it arrives on `dev`."""

    source: str
    destination: str
    dev: str
    port: int


class Outcome(Struct, frozen=True):
    """What becomes of one packet, and the rule that decides it ("" where the policy does)."""

    fate: Fate
    rule: str


def parse_iptables_save(output: Output) -> Filter | None:
    """Read `iptables-save`: the filter table; None where iptables is not installed, no chain where nothing is filtered.

    Raises ParseError.
    """
    if output.exit_status == NOT_INSTALLED:
        return None
    policies: dict[str, str] = {}
    chains: dict[str, tuple[Rule, ...]] = {}
    table = ""
    for line in lines_of(stdout_of(output, "iptables-save")):
        if line.startswith("*"):
            table = line[1:].strip()
        elif table != "filter" or not line.strip() or line.startswith(("#", "COMMIT")):
            continue
        elif line.startswith(":"):
            name, policy, *_ = line[1:].split()
            chains[name] = ()
            if policy != "-":
                policies[name] = policy
        else:
            words = _words(line)
            if len(words) < 2 or words[0] != "-A" or words[1] not in chains:
                raise unread("iptables-save", line)
            chains[words[1]] += (Rule(words[1], tuple(words[2:])),)
    return Filter(policies, chains)


def outcome(rules: Filter, packet: Packet) -> Outcome:
    """What becomes of the packet in INPUT. A DROPPED is sure; a PASSES is one if no rule before was in doubt."""
    decided = _walk(rules, "INPUT", packet, 0)
    if decided is not None:
        return decided
    dropped = rules.policies.get("INPUT", "ACCEPT") == "DROP"
    return Outcome(Fate.DROPPED if dropped else Fate.PASSES, "")


def _walk(rules: Filter, chain: str, packet: Packet, depth: int) -> Outcome | None:
    """How the chain decides; None if it hands the packet back."""
    if depth > _DEPTH:
        return Outcome(Fate.MAYBE, chain)
    for rule in rules.chains.get(chain, ()):
        matches, target, leaves = _match(rule, packet)
        if matches is False or target is None:
            continue
        if target == "RETURN":
            if matches is None:
                return Outcome(Fate.MAYBE, str(rule))
            return None
        if target in _DROPS or target == "ACCEPT":
            decided: Outcome | None = Outcome(Fate.DROPPED if target in _DROPS else Fate.PASSES, str(rule))
        elif target in rules.chains:
            decided = _walk(rules, target, packet, depth + 1)
        else:
            continue
        if decided is not None or leaves:
            return decided if matches else Outcome(Fate.MAYBE, str(rule))
    return None


def _match(rule: Rule, packet: Packet) -> tuple[bool | None, str | None, bool]:
    """Whether the rule matches (None: it depends), where it leads, and whether nothing comes back from there."""
    sure, target, leaves = True, None, False
    words = list(rule.words)
    negated = False
    while words:
        word = words.pop(0)
        if word == "!":
            negated = True
            continue
        if word in ("-j", "-g", "--jump", "--goto"):
            target, leaves = words.pop(0) if words else None, word in ("-g", "--goto")
            break  # what follows belongs to the target
        value = words.pop(0) if words and not words[0].startswith("-") and words[0] != "!" else ""
        answer = _one(word, value, packet)
        if answer is not None and negated:
            answer = not answer
        negated = False
        if answer is False:
            return False, target, leaves
        sure = sure and answer is True
    return (True if sure else None), target, leaves


def _one(option: str, value: str, packet: Packet) -> bool | None:
    if option in ("-p", "--protocol"):
        return value in ("udp", "17", "all")
    if option in ("-i", "--in-interface"):
        return packet.dev.startswith(value[:-1]) if value.endswith("+") else packet.dev == value
    if option in ("-s", "--source", "-d", "--destination"):
        address = packet.source if option in ("-s", "--source") else packet.destination
        try:
            return ipaddress.ip_address(address) in ipaddress.ip_network(value, strict=False)
        except ValueError:
            return None
    if option in ("--dst-type", "--src-type"):
        return value == "UNICAST" or (value == "LOCAL" and option == "--dst-type")
    if option in ("--dport", "--dports"):
        return any(_in_range(packet.port, part) for part in value.split(","))
    if option in ("--ctstate", "--state"):
        return True if "ESTABLISHED" in value.split(",") else None if "NEW" in value.split(",") else False
    return True if option in ("-m", "--match", "--comment") else None


def _in_range(port: int, text: str) -> bool:
    low, colon, high = text.partition(":")
    try:
        return int(low or 0) <= port <= int(high or 65535 if colon else low)
    except ValueError:
        raise ParseError(f"iptables-save shows a port that cannot be read: {text}") from None


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        raise unread("iptables-save", line) from None
