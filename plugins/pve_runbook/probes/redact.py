"""What the journal keeps of answers that may hold a secret: an allow-list for each, never the text as it came."""

from __future__ import annotations

import re

from pve_runbook.facts.api import parse_cluster_resources
from pve_runbook.facts.output import Output, ParseError
from pve_runbook.facts.scrub import corosync, scrub

_COMMENT = re.compile(r"[ \t]*#.*")
_RULE_TEXT = re.compile(r"(--(?:comment|string|hex-string)) (?:\"(?:[^\"\\]|\\.)*\"|\S+)")
_GUEST_PROCESS = re.compile(r"(?m)^(\d+ \S+(?: -F)? -(?:id|n) \d+).*$")


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
    """Pid, program and VMID of each guest; the rest of the line holds whatever ``args:`` in its config says."""
    return _GUEST_PROCESS.sub(r"\1", output.stdout)


def second_keys(output: Output) -> str:
    """Of each key that this tool made its name; the others are counted."""
    lines = [line for line in output.stdout.splitlines() if line.strip()]
    ours = [words[-1] for words in map(str.split, lines) if words[-1].startswith("pve-runbook-")]
    return "".join(f"{name}\n" for name in (*ours, f"{len(lines) - len(ours)} other lines"))


def packet_filter(output: Output) -> str:
    """Rules without their comments and without the strings that they look for."""
    return _RULE_TEXT.sub(r"\1 (left out)", output.stdout)


def resources(output: Output) -> str:
    """Of each guest that the API shows what is read of it; its loads and sizes change with every look, and its tags and
    pool are no evidence."""
    try:
        guests = parse_cluster_resources(output)
    except ParseError:
        return f"{len(output.stdout)} characters that are no list of guests\n"
    return "".join(f"{g.type}/{g.vmid} {g.node} {g.status}\n" for g in guests.values())
