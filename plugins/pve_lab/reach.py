"""How much of /etc/pve a command line can see by bash's own hands: redirections, globs, tests.

The simulated commands read the model itself. bash reads a copy of it, and with thousands of guests to make that anew
after each change, for shells that never look there, was most of what a window cost.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import IntEnum


class Reach(IntEnum):
    """What of /etc/pve bash has to have a copy of."""

    NOTHING = 0
    FEW = 1
    """All but the guests' configs and the list of them."""
    ALL = 2


_SCRIPT = re.compile(r"(?:\b(?:ba)?sh|\bsource|(?:^|\s)\.)\s+(/[^\s'\";|&)]+)|(/[^\s'\";|&)=]+\.sh)\b", re.M)
_UNREAD = re.compile(
    r"\b(?:cd|pushd|eval)\s|(?:^|[;&|(])\s*/(?!usr/|s?bin/)|qemu-server|/lxc|\$\{?\w+\}?\"?/\S*[*?\[]", re.M
)
"""What leads to where the text does not say, or to the guests' configs by another way than their whole path."""
_MENTION = re.compile(r"/etc/pve(\S*)")
_FEW = re.compile(r"""(?:/(?!nodes\b|lxc|openvz|\.vmlist)[\w.-]+|/ha/[\w$.]+|/nodes/[\w$]+/lrm_status)?["'`;:,.)|]*""")
_REDIRECTS = re.compile(r">\s*[\"']?/etc/pve|\bcd /etc/pve|\bsed -i\b")


def text_of(command: str, script: Callable[[str], str]) -> str:
    """A command line with the scripts that it names and that these name; ``script``: the text of a file, or ""."""
    found, pending, seen = [command], [command], set[str]()
    while pending:
        for match in _SCRIPT.finditer(pending.pop()):
            path = match[1] or match[2]
            if path not in seen:
                seen.add(path)
                found.append(script(path))
                pending.append(found[-1])
    return "\n".join(found)


def reach_of(text: str) -> Reach:
    """What a text can see."""
    if _UNREAD.search(text):
        return Reach.ALL
    mentions = [match[1] for match in _MENTION.finditer(text)]
    if all(_FEW.fullmatch(tail) for tail in mentions):
        return Reach.FEW if mentions else Reach.NOTHING
    return Reach.ALL


def may_redirect(text: str) -> bool:
    """Whether it may write into /etc/pve by itself: after each of its commands it is looked at."""
    return _REDIRECTS.search(text) is not None
