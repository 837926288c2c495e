"""What the journal keeps of answers that may hold a secret: an allow-list for each, never the text as it came."""

from __future__ import annotations

import json
import re

from pve_runbook.parsers.allowed_keys import corosync, scrub
from pve_runbook.parsers.devices.of_processes import drives_over_the_network
from pve_runbook.parsers.guests import guest_program
from pve_runbook.parsers.output import Output, ParseError
from pve_runbook.parsers.pvesh import parse_cluster_resources

_COMMENT = re.compile(r"[ \t]*#.*")
_RULE_TEXT = re.compile(r"(--(?:comment|string|hex-string)) (?:\"(?:[^\"\\]|\\.)*\"|\S+)")
_LEFT_OUT = frozenset({"comment", "handle", "packets", "bytes", "expires", "used"})
"""Of nftables: what people wrote, and what is another number at every look."""
_MOST_ELEMENTS = 64


def storage_cfg(output: Output) -> str:
    """storage.cfg with the options that say where a storage is; no user, password, key or comment."""
    return scrub("storage.cfg", output.stdout)


def corosync_conf(output: Output) -> str:
    """corosync.conf without a key in it (corosync.conf(5), totem.key) and without comments."""
    return corosync(output.stdout)


def without_comments(output: Output) -> str:
    """A file of the network without what people wrote beside it."""
    return "".join(f"{_COMMENT.sub('', line)}\n" for line in output.stdout.splitlines())


def guest_processes(output: Output) -> str:
    """Pid, program and VMID of each guest, and where the disks are that it reaches over the network; the rest of the
    line holds whatever ``args:`` in its config says."""
    lines = (line.partition(" ") for line in output.stdout.splitlines())
    return "".join(f"{pid} {_guest(args)}\n" for pid, _, args in lines)


def _guest(args: str) -> str:
    drives = (f" {key}={address}" for key, address in drives_over_the_network(args))
    return f"{guest_program(args) or 'of no guest'}{''.join(drives)}"


def second_keys(output: Output) -> str:
    """Of each key that this tool made its name; the others are counted."""
    lines = [line for line in output.stdout.splitlines() if line.strip()]
    ours = [words[-1] for words in map(str.split, lines) if words[-1].startswith("pve-runbook-")]
    return "".join(f"{name}\n" for name in (*ours, f"{len(lines) - len(ours)} other lines"))


def packet_filter(output: Output) -> str:
    """Rules without their comments and without the strings that they look for."""
    return _RULE_TEXT.sub(r"\1 (left out)", output.stdout)


def nft_ruleset(output: Output) -> str:
    """Rules and sets as packet_filter keeps them; of a long set (a list of banned addresses) how many it has."""
    try:
        return f"{json.dumps(_of_nftables(json.loads(output.stdout)), separators=(',', ':'))}\n"
    except ValueError:
        return f"{len(output.stdout)} characters that are no ruleset\n"


def _of_nftables(value: object) -> object:
    if isinstance(value, list):
        return [_of_nftables(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    kept: dict[str, object] = {}
    for name, inner in value.items():
        if name == "elem" and isinstance(inner, list) and len(inner) > _MOST_ELEMENTS:
            kept[name] = f"{len(inner)} elements"
        elif name == "log":
            kept[name] = None
        elif name not in _LEFT_OUT:
            kept[name] = _of_nftables(inner)
    return kept


def resources(output: Output) -> str:
    """Of each guest that the API shows what is read of it; its loads and sizes change with every look, and its tags and
    pool are no evidence."""
    try:
        guests = parse_cluster_resources(output)
    except ParseError:
        return f"{len(output.stdout)} characters that are no list of guests\n"
    return "".join(f"{g.type}/{g.vmid} {g.node} {g.status}\n" for g in guests.values())


_STAMP = re.compile(r"(?P<when>\S+) (?P<who>[\w.-]+)(?:\[(?P<pid>\d+)\])?: (?P<said>.*)")
_ADDRESS = r"[0-9A-Fa-f.:%a-z]+"
_SSHD = re.compile(
    rf"(?:Accepted|Failed) \w+ for root from {_ADDRESS}|Connection (?:closed|reset) by .*?{_ADDRESS} port \d+"
    rf"|drop connection .*?{_ADDRESS}|Received disconnect from {_ADDRESS}|Server listening on {_ADDRESS}"
    r"|pam_unix\(sshd:session\): session (?:opened|closed) for user root"
)
_OWN_WORDS: dict[str, re.Pattern[str]] = {
    "systemd": re.compile(
        r"(?:Starting|Started|Stopping|Stopped|Finished|Failed to start|Dependency failed for) [\w@.-]+.*"
        r"|[\w@-]+\.service: .*"
    ),
    "pmxcfs": re.compile(r"\[\w+\] (?:\w+): .*"),
    "corosync": re.compile(r"\s*\[\w+\s*\] .*"),
    "sshd": _SSHD,
    "sshd-session": _SSHD,
}
"""Who writes into the journals of these services → what of it is kept: no key, no name but root."""


def own_words(output: Output) -> str:
    """Of a node's journal what systemd, pmxcfs, corosync and sshd say of themselves; the other lines are counted."""
    kept, left_out = [], 0
    for line in output.stdout.splitlines():
        found = _STAMP.fullmatch(line)
        said = (
            _OWN_WORDS[found["who"]].match(found["said"]) if found is not None and found["who"] in _OWN_WORDS else None
        )
        if found is None or said is None:
            left_out += not line.startswith("-- ")
            continue
        kept.append(f"{found['when']} {found['who']}: {said[0].strip()}\n")
    return "".join([*kept, f"({left_out} other lines)\n"] if left_out else kept)
