"""What checks/ say is to be done, typed as it is said: afterwards the cluster is healthy.

Not tried, for want of a model: the other way of an address that is to stay, and the rules of a firewall's own tool. The
password that `pvecm add` asks for counts as typed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from pve_lab.control import LabControl
from pve_runbook.diagnosis.stability import QUIET_SECONDS

pytestmark = pytest.mark.sweep


@dataclass(frozen=True)
class Move:
    """What somebody does at these words of the advice: a command on a node, or what is done by hand."""

    words: str
    node: str
    does: str | Callable[[LabControl], None]


def _copied(file: str) -> tuple[Move, ...]:
    name = f"/etc/corosync/{file}"
    return (
        Move(f"copy {name} ", "pve3", f"scp -p pve1:{name} /etc/corosync/"),
        Move("`systemctl restart corosync` on pve3 alone", "pve3", "systemctl restart corosync"),
    )


SEEN_WHY = Move("see why on pve2: `journalctl -b -u pve-cluster`", "pve2", "journalctl -b -u pve-cluster")
STARTED = Move("then `systemctl start pve-cluster corosync` there", "pve2", "systemctl start pve-cluster corosync")
DATABASE = "/var/lib/pve-cluster/config.db"
BACKED_UP = f"sqlite3 {DATABASE} '.backup {{}}'"
ADDRESS_BACK = "sed -i s/10.99.0.93/10.99.0.13/ /etc/network/interfaces && ifreload -a"
RULE = "INPUT -i eno3 -p udp -m udp --dport 5405 -j DROP"
VOTES = "sed -i -e '/expected_votes: 7/d' -e 's/config_version: 4/config_version: 5/' /etc/pve/corosync.conf"

CONF = "/etc/corosync/corosync.conf"
MEND = "sed -i 's/  token 5000/  token: 5000/'"
IN_ETC = f"{MEND} {CONF}"
IN_PVE = f"{MEND} /etc/pve/corosync.conf && sed -i 's/config_version: 4/config_version: 5/' /etc/pve/corosync.conf"

MOVES: dict[str, tuple[Move, ...]] = {
    "authkey-lost": _copied("authkey"),
    "guide-half-done": _copied("authkey"),
    "config-older": _copied("corosync.conf"),
    "conf-with-comment": (
        Move(f"copy {CONF} from a node whose", "pve3", f"scp -p pve1:{CONF} /etc/corosync/"),
        Move("`systemctl restart corosync` on pve3", "pve3", "systemctl restart corosync"),
    ),
    "conf-without-colon": (
        *(Move("in the same way on pve1, pve2, pve3", node, IN_ETC) for node in ("pve1", "pve2", "pve3")),
        *(
            Move("`systemctl restart corosync` there", node, "systemctl restart corosync")
            for node in ("pve1", "pve2", "pve3")
        ),
        Move("put it right in /etc/pve/corosync.conf too", "pve1", IN_PVE),
    ),
    "votes-edited": (
        Move("`pvecm expected` with the number of votes that are there, on pve1", "pve1", "pvecm expected 3"),
        Move("put the votes right in /etc/pve/corosync.conf", "pve1", VOTES),
    ),
    "filtered-port": (Move("on pve3: take the rule away", "pve3", f"iptables -D {RULE}"),),
    "dead-link": (Move("fix the link of pve3 (cable, ", "pve3", lambda lab: lab.plug("pve3")),),
    "pmxcfs-failed-by-hosts": (
        Move("write pve2's own name with its address into /etc/hosts", "pve2", "echo 10.55.0.12 pve2 >> /etc/hosts"),
        Move("then `systemctl start pve-cluster corosync` on pve2", "pve2", "systemctl start pve-cluster corosync"),
    ),
    "both-down": (SEEN_WHY, STARTED),
    "database-damaged": (
        Move("keep a copy of /var/lib/pve-cluster of pve2", "pve2", "cp -a /var/lib/pve-cluster /root/kept"),
        Move(f"(`{BACKED_UP.format('FILE')}` there)", "pve1", BACKED_UP.format("/root/member.db")),
        Move("put a quorate member's config.db in its place", "pve2", f"scp -p pve1:/root/member.db {DATABASE}"),
        Move("then `systemctl start pve-cluster corosync` on pve2", "pve2", "systemctl start pve-cluster corosync"),
    ),
    "node-renamed": (
        Move("put the name back on pve2", "pve2", "true"),
        Move("`hostnamectl set-hostname pve2`", "pve2", "hostnamectl set-hostname pve2"),
        Move("pve2 for nodex in /etc/hosts", "pve2", "sed -i s/nodex/pve2/g /etc/hosts"),
        Move("then `systemctl restart pve-cluster` there", "pve2", "systemctl restart pve-cluster"),
    ),
    "address-changed": (Move("give pve3 the address that corosync.conf has for it again", "pve3", ADDRESS_BACK),),
    "other-interface": (Move("`systemctl restart corosync` on pve3", "pve3", "systemctl restart corosync"),),
    "last-off": (Move("powered on, it joins by itself", "pve3", lambda lab: lab.power_on("pve3")),),
    "others-off": (
        Move("power on pve2", "pve2", lambda lab: lab.power_on("pve2")),
        Move("pve3: quorum comes back by itself", "pve3", lambda lab: lab.power_on("pve3")),
    ),
}
NOT_TYPED = {"address-changed": {"systemctl restart corosync"}}
"""Commands of the ways that were not gone."""


def judged(stage: Any, *off: str) -> tuple[str, str]:
    """(verdict, advice), as checks/ note it, with records of its own."""
    stage.turn()
    stage.without(*off).typed("checks/")
    events = [json.loads(line) for line in (stage.record / "journal.jsonl").read_text().splitlines()]
    [text] = [e["text"] for e in events if e["kind"] == "note" and e["topic"] == "verdict"]
    verdict, _, advice = str(text).splitlines()[0].partition(": ")
    return verdict, advice


@pytest.mark.parametrize("scenario", MOVES)
def test_what_is_said_to_be_done_helps(three: Any, scenario: str) -> None:
    three.set(scenario)
    lab: LabControl = three.control
    _, advice = judged(three, *(n.name for n in three.before.values() if not n.powered))
    typed = set()
    for move in MOVES[scenario]:
        assert move.words in advice, advice
        typed |= set(re.findall(r"`([^`]+)`", move.words))
        if callable(move.does):
            move.does(lab)
        else:
            said = lab.run(move.node, move.does)
            assert said.exit_status == 0, (move, said)
        lab.advance(10)
    assert set(re.findall(r"`([^`]+)`", advice)) - NOT_TYPED.get(scenario, set()) - LEAVING <= typed, advice
    lab.advance(2 * QUIET_SECONDS)
    assert judged(three)[0] == "HEALTHY"
    assert all(node.quorate for node in lab.state().values())
    assert three.lost(*(n.name for n in three.before.values() if not n.powered)) == []


ADD = "pvecm add 10.99.0.11 --link0 10.99.0.13"
JOINS_AGAIN = (
    Move("have the others forget it (`pvecm delnode pve3` on pve1)", "pve1", "pvecm delnode pve3"),
    Move(f"join it again: `{ADD}` on it", "pve3", ADD),
)
HA_BACK = ("systemctl enable pve-ha-crm pve-ha-lrm", "systemctl start pve-ha-crm pve-ha-lrm")
"""What was switched off by hand when the node was separated."""


def test_who_is_out_and_empty_joins_again(three: Any) -> None:
    three.set("reinstalled")
    lab: LabControl = three.control
    verdict, advice = judged(three)
    assert verdict == "ONE NODE IS OUT"
    assert set(re.findall(r"`([^`]+)`", advice)) == {move.does for move in JOINS_AGAIN}
    early = lab.run("pve3", ADD)
    assert early.exit_status != 0 and "can't add existing node 'pve3'" in early.stderr
    for move in JOINS_AGAIN:
        assert move.words in advice, advice
        said = lab.run(move.node, str(move.does))
        assert said.exit_status == 0, (move, said)
        lab.advance(10)
    for command in HA_BACK:
        assert lab.run("pve3", command).exit_status == 0
    lab.advance(2 * QUIET_SECONDS)
    assert judged(three)[0] == "HEALTHY"
    assert all(node.quorate for node in lab.state().values())
    assert three.lost() == []


LEAVING = {"pvecm expected 1", "pvecm delnode"}
"""What is typed where nodes do not come back."""

BY_THE_RUNBOOK = "pytest runbook/ --leave=pve3"
LEFT: dict[str, tuple[tuple[str, ...], tuple[Move, ...]]] = {
    "last-off": (
        ("pve3",),
        (Move("pytest runbook/ --hosts=pve1,pve2 --leave=pve3 --absent=pve3", "pve1", "pvecm delnode pve3"),),
    ),
    "separated": (("pve3",), (Move(BY_THE_RUNBOOK, "pve1", "pvecm delnode pve3"),)),
    "reinstalled": (("pve3",), (Move(BY_THE_RUNBOOK, "pve1", "pvecm delnode pve3"),)),
    "others-off": (
        ("pve2", "pve3"),
        (
            *(
                Move(words, "pve1", typed)
                for node in ("pve2", "pve3")
                for words, typed in (
                    ("one after the other: `pvecm expected 1`", "pvecm expected 1"),
                    ("then `pvecm delnode` of it", f"pvecm delnode {node}"),
                )
            ),
        ),
    ),
}
"""State → who is gone, and the way on without them."""


@pytest.mark.parametrize("scenario", LEFT)
def test_the_others_are_a_whole_cluster_without_who_is_gone_for_good(three: Any, scenario: str) -> None:
    three.set(scenario)
    lab: LabControl = three.control
    gone, moves = LEFT[scenario]
    _, advice = judged(three, *(n.name for n in three.before.values() if not n.powered))
    for move in moves:
        assert move.words in advice, advice
        said = lab.run(move.node, str(move.does))
        assert said.exit_status == 0, (move, said)
        lab.advance(10)
    lab.advance(2 * QUIET_SECONDS)
    assert judged(three, *gone)[0] == "HEALTHY"
    assert three.lost(*gone) == []
