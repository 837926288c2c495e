"""What is wrong in a starting state, by the ids of its causes, and what is to be done about it: the truth that checks
are measured by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["healthy", "wait", "repair in place", "dismantle", "half-dismantled", "standalone", "unknown"]


@dataclass(frozen=True)
class Expected:
    """`causes` explain what is seen or forbid a repair, `warnings` only want to be known."""

    verdict: Verdict
    causes: frozenset[str] = frozenset()
    warnings: frozenset[str] = frozenset()


def _expect(verdict: Verdict, *causes: str, warnings: tuple[str, ...] = ("single-link",)) -> Expected:
    return Expected(verdict, frozenset(causes), frozenset(warnings))


_MIXED = ("shared-link", "several-gateways", "ambiguous-names")
_BY_NAME = ("single-link", "ring-by-name")

EXPECTED: dict[str, Expected] = {
    # The default cluster: several root causes at once. While it is quorate they are warnings.
    "broken": _expect("dismantle", *_MIXED),
    "flapping": _expect("dismantle", *_MIXED),
    "quorate": _expect("healthy", *_MIXED),
    "half-dismantled": _expect("half-dismantled", *_MIXED),
    # The article's root causes, one at a time.
    "shared-link": _expect("dismantle", "shared-link"),
    "shared-vlan": _expect("dismantle", "shared-link"),
    "two-gateways": _expect("dismantle", "several-gateways"),
    "gateway-in-files": _expect("dismantle", "several-gateways"),
    "routed": _expect("dismantle", "routed"),
    "names-differ": _expect("dismantle", "ambiguous-names", "routed", warnings=_BY_NAME),
    "names-on-loopback": _expect("dismantle", "ambiguous-names"),
    "name-twice": _expect("dismantle", "ambiguous-names"),
    "other-interface": _expect("dismantle", "unexpected-interface", warnings=_BY_NAME),
    "address-twice": _expect("dismantle", "unexpected-interface"),
    # A cause of one line in a network that is in order.
    "authkey-lost": _expect("repair in place", "authkey-lost"),
    "config-older": _expect("repair in place", "config-older"),
    "votes-edited": _expect("repair in place", "votes-edited"),
    "filtered-port": _expect("repair in place", "filtered-udp"),
    "filtered-all": _expect("repair in place", "filtered-udp"),
    "dead-link": _expect("repair in place", "dead-link"),
    # The other link keeps everybody together.
    "dead-link-of-two": _expect("healthy", "dead-link", warnings=()),
    "dead-port-of-two": _expect("healthy", "dead-link", warnings=()),
    # A root cause beside a cause of one line.
    "authkey-lost-shared": _expect("dismantle", "shared-link", "authkey-lost"),
    "filtered-two-gateways": _expect("dismantle", "several-gateways", "filtered-udp"),
    "config-older-names": _expect("dismantle", "ambiguous-names", "config-older"),
    "votes-edited-routed": _expect("dismantle", "routed", "votes-edited"),
    "dead-link-loopback": _expect("dismantle", "ambiguous-names", "dead-link"),
    # Neither a root cause nor one of the causes that are mended in one line.
    "large-packets": _expect("unknown", "mtu-mismatch"),
    "far-apart": _expect("unknown", "token-too-short"),
    "no-cause": _expect("unknown"),
    "settling": _expect("wait"),
    # Healthy, and looking otherwise.
    "own-link": _expect("healthy"),
    "hung-nas": _expect("healthy"),
    "two-links": _expect("healthy", warnings=()),
    "weighted-votes": _expect("healthy"),
    "ranked-gateways": _expect("healthy", warnings=("single-link", "spare-gateway")),
    "firewall-on": _expect("healthy"),
    "firewall-with-states": _expect("healthy"),
    "own-vlan": _expect("healthy"),
    "two-families": _expect("healthy"),
}
