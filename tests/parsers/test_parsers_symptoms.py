"""What corosync, pmxcfs and the kernel say of the reason: texts of their sources, as journalctl shows them."""

from __future__ import annotations

import json
import re

import pytest
from captured_files import FOLDER
from parsers_captures import steps
from pve_runbook.parsers.corosync_log import SIGNS_PATTERN, Sign, parse_symptoms
from pve_runbook.parsers.output import Output, ParseError

LINES = {
    "1795415523.254290 kernel: NETDEV WATCHDOG: eno1 (e1000e): transmit queue 0 timed out": (Sign.CARD_HANGS, "eno1"),
    "1795415523.3 kernel: e1000e 0000:00:1f.6 eno1: NETDEV WATCHDOG: CPU: 3: transmit queue 0 timed out 5123 ms": (
        Sign.CARD_HANGS,
        "eno1",
    ),
    "1795415523.3 kernel: e1000e 0000:00:1f.6 eno1: Detected Hardware Unit Hang:": (Sign.CARD_HANGS, "eno1"),
    "1795415523.4 kernel: e1000e 0000:00:1f.6 eno1: NIC Link is Down": (Sign.CARD_DOWN, "eno1"),
    "1795415523.4 kernel: igb 0000:01:00.0 eno2: igb: eno2 NIC Link is Down": (Sign.CARD_DOWN, "eno2"),
    "1795415523.4 kernel: e1000e: eno3 NIC Link is Down": (Sign.CARD_DOWN, "eno3"),
    "1795415523.5 kernel: r8169 0000:02:00.0 enp2s0: Link is Down": (Sign.CARD_DOWN, "enp2s0"),
    "1795415523.5 kernel: bnx2 0000:01:00.0: eth0: NIC Copper Link is Down": (Sign.CARD_DOWN, "eth0"),
    "1795415523.5 kernel: bnx2: eth1 NIC Copper Link is Down": (Sign.CARD_DOWN, "eth1"),
    "1795415523.5 kernel: tg3 0000:02:00.1 eno2: Link is down": (Sign.CARD_DOWN, "eno2"),
    "1795415523.5 kernel: mlx5_core 0000:01:00.0 enp1s0f0np0: Link down": (Sign.CARD_DOWN, "enp1s0f0np0"),
    "1795415523.6 corosync[1204]:   [TOTEM ] FAILED TO RECEIVE": (Sign.NOTHING_RECEIVED, ""),
    "1795415523.7 corosync[1204]:   [TOTEM ] Process pause detected for 4812 ms, flushing membership messages.": (
        Sign.PAUSED,
        "4812",
    ),
    "1795415523.8 corosync[1204]:   [KNET  ] rx: Packet rejected from 10.99.0.93:5405": (
        Sign.REJECTED,
        "10.99.0.93:5405",
    ),
    "1795415523.9 corosync[1]: [CMAP  ] Received config version (4) is different than my config version (3)! Exiting": (
        Sign.OLDER_CONFIG,
        "",
    ),
    "1795415524.0 pmxcfs[811]: [main] crit: memdb_open failed - unable to open database '/var/lib/x'": (
        Sign.PMXCFS,
        "memdb_open failed - unable to open database '/var/lib/x'",
    ),
}


@pytest.mark.parametrize("line", LINES)
def test_a_line_says_what_of_which(line: str) -> None:
    (found,) = parse_symptoms(Output(line + "\n", "", 0))
    assert (found.sign, found.what) == LINES[line]


def test_the_oldest_comes_first_and_nothing_is_an_answer() -> None:
    lines = list(LINES)
    found = parse_symptoms(Output("\n".join(reversed(lines)) + "\n", "", 0))
    assert [s.sign for s in found] == [sign for sign, _ in LINES.values()]
    assert parse_symptoms(Output("-- No entries --\n", "", 1)) == ()


@pytest.mark.parametrize(
    "said",
    [
        "everything is fine",
        "pcieport 0000:00:1c.4: pciehp: Slot(12): Link Down",
        "ata5: SATA link down (SStatus 4 SControl 300)",
        "e1000e: eno1 NIC Link is Up 1000 Mbps Full Duplex, Flow Control: Rx/Tx",
        "bonding: bond0: link status definitely down for interface eno1, disabling it",
        "vmbr0: port 1(eno1) entered disabled state",
    ],
)
def test_a_line_that_says_nothing_of_it_is_not_read(said: str) -> None:
    with pytest.raises(ParseError):
        parse_symptoms(Output(f"1795415524.0 kernel: {said}\n", "", 0))


def test_the_journals_that_were_recorded_in_other_states_say_none_of_it() -> None:
    """Quorum lost and forced, corosync stopped, the window, the article's way: pmxcfs says "crit" in all of them."""
    read = 0
    for name in sorted(path.name.removesuffix(".json") for path in FOLDER.glob("*.pve?.json")):
        for step in steps(name):
            if step.command.startswith("journalctl -o json"):
                for entry in map(json.loads, step.output.stdout.splitlines()):
                    read += 1
                    assert re.search(SIGNS_PATTERN.replace("(?<", "(?P<"), entry["MESSAGE"]) is None, (name, entry)
    assert read > 500
