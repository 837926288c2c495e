"""What is wrong in a starting state, by the ids of its causes, and what is to be done about it: the truth that checks
are measured by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal[
    "healthy",
    "healthy without a member",
    "wait",
    "repair in place",
    "one node is out",
    "power on",
    "configs are missing",
    "split brain",
    "dismantle",
    "half-dismantled",
    "standalone",
    "unknown",
]


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
    "names-differ": _expect("repair in place", "ambiguous-names", "routed", warnings=_BY_NAME),
    "names-on-loopback": _expect("dismantle", "ambiguous-names"),
    "name-twice": _expect("dismantle", "ambiguous-names"),
    "other-interface": _expect("repair in place", "unexpected-interface", warnings=_BY_NAME),
    "address-twice": _expect("dismantle", "unexpected-interface"),
    "udpu-shared": _expect("dismantle", "shared-link"),
    "open-vswitch": _expect("dismantle", "shared-link"),
    # A cause of one line in a network that is in order.
    "authkey-lost": _expect("repair in place", "authkey-lost"),
    "config-older": _expect("repair in place", "config-older"),
    "votes-edited": _expect("repair in place", "votes-edited"),
    "filtered-port": _expect("repair in place", "filtered-udp"),
    "filtered-all": _expect("repair in place", "filtered-udp"),
    "nft-drops": _expect("repair in place", "filtered-udp"),
    "dead-link": _expect("repair in place", "dead-link"),
    # The other link keeps everybody together.
    "dead-link-of-two": _expect("healthy", "dead-link", warnings=()),
    "dead-port-of-two": _expect("healthy", "dead-link", warnings=()),
    # A root cause beside a cause that explains what is seen: it is a risk, and no cause.
    "stanza-in-backup": _expect("repair in place", "authkey-lost"),
    "fail2ban-authkey": _expect("repair in place", "authkey-lost"),
    "authkey-lost-shared": _expect("repair in place", "shared-link", "authkey-lost"),
    "filtered-two-gateways": _expect("repair in place", "several-gateways", "filtered-udp"),
    "config-older-names": _expect("repair in place", "ambiguous-names", "config-older"),
    "votes-edited-routed": _expect("repair in place", "routed", "votes-edited"),
    "dead-link-loopback": _expect("repair in place", "ambiguous-names", "dead-link"),
    # Neither a root cause nor one of the causes that are mended in one line.
    "large-packets": _expect("unknown", "mtu-mismatch"),
    "far-apart": _expect("repair in place", "token-too-short"),
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
    "fail2ban": _expect("healthy"),
    "routed-fabric": _expect("healthy"),
    "bond": _expect("healthy"),
    "bond-uneven": _expect("healthy", warnings=("single-link", "bond-mode")),
    "udpu": _expect("healthy"),
    "proxmox-firewall-nft": _expect("healthy"),
    "own-vlan": _expect("healthy"),
    "two-families": _expect("healthy"),
}

VERDICTS: dict[str, Verdict] = {
    **{name: expected.verdict for name, expected in EXPECTED.items()},
    # A majority is quorate by its own votes: it is never taken apart by itself.
    "ha-quorate": "healthy",
    "ha-quorate-9": "healthy",
    "guest-starting": "healthy",
    "guest-twice": "healthy",
    "member-without-vote": "healthy",
    "two-nodes-mode": "healthy",
    "one-member": "healthy",
    "one-member-device": "healthy",
    "retransmits": "healthy",
    "last-off": "healthy without a member",
    "last-off-shared": "healthy without a member",
    "peer-quorate": "repair in place",
    "one-alone": "repair in place",
    "one-alone-shared": "repair in place",
    "pmxcfs-failed-by-hosts": "repair in place",
    "database-damaged": "repair in place",
    "both-down": "repair in place",
    "address-changed": "repair in place",
    "guide-half-done": "repair in place",
    "conf-with-comment": "repair in place",
    "conf-without-colon": "repair in place",
    "conf-without-nodelist": "repair in place",
    "guide-half-done-own": "repair in place",
    "node-renamed": "repair in place",
    "node-renamed-broken": "repair in place",
    "separated": "one node is out",
    "reinstalled": "one node is out",
    "removed-while-up": "one node is out",
    "corosync-never-stopped": "one node is out",
    # None is.
    "standalone": "standalone",
    "ha-single-node": "standalone",
    "others-off": "power on",
    "databases-wiped": "configs are missing",
    "votes-forced-at-boot": "split brain",
    "corosync-removed-by-hand": "half-dismantled",
    "local-mode": "half-dismantled",
    "local-mode-for-good": "half-dismantled",
    "unmounted": "half-dismantled",
    "standalone-corosync-running": "half-dismantled",
    "leftovers": "half-dismantled",
    "card-hangs-own": "unknown",
    "card-hangs-said": "repair in place",
    "stacked-mount": "unknown",
    "stale-mount": "unknown",
    "hung-pve": "unknown",
}
"""What is to be done in a state; in those that are not named here the cluster is broken, and dismantled."""
