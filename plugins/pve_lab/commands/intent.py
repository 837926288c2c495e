"""Whether a command means to change its node: decided from its command line, before it runs.

A refused or failing attempt counts as well. Changes of /run, /tmp, /dev, /root and the runbook's own folder do not.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pve_lab.commands.base import Call, options

_SCRATCH = ("/run", "/tmp", "/dev", "/var/lib/pve-runbook", "/root")
_WRITING_SQL = re.compile(r"\s*(insert|update|delete|replace|drop|create|alter)\b", re.I)
_READING_VERBS = {
    "systemctl": (
        "is-active",
        "is-enabled",
        "is-failed",
        "is-system-running",
        "show",
        "list-jobs",
        "list-units",
        "list-unit-files",
        "status",
        "cat",
    ),
    "qm": ("list", "status", "config", "pending", "showcmd", "help"),
    "pct": ("list", "status", "config", "pending", "help"),
    "pvesm": ("status", "list", "path", "help"),
    "ha-manager": ("status", "config", "help"),
    "pvecm": ("status", "nodes", "help"),
    "pvesh": ("get", "ls", "usage", "help"),
}
_VALUES: dict[str, tuple[str, tuple[str, ...]]] = {
    "touch": ("dtr", ()),
    "mkdir": ("m", ("mode",)),
    "cp": ("t", ()),
    "mv": ("t", ()),
    "install": ("mog", ("mode", "owner", "group")),
    "tar": ("Cf", ("directory", "file")),
    "systemctl": ("pHMtos", ("property", "type", "state", "output", "signal")),
    "mount": ("to", ()),
}


def changes_node(path: str) -> bool:
    """Whether a change of this path counts as a change of the node."""
    return not any(path == prefix or path.startswith(prefix + "/") for prefix in _SCRATCH)


def _any_counts(call: Call, names: list[str]) -> bool:
    files = call.node.files

    def place(path: str) -> str:
        try:
            return files.resolve(path, follow=False)
        except OSError:
            return path

    return any(changes_node(place(call.path(name))) for name in names)


def _operands(call: Call) -> tuple[dict[str, str], list[str]]:
    return options(call.argv, *_VALUES.get(call.name, ("", ())))


def _verb(call: Call) -> bool:
    _, operands = _operands(call)
    return bool(operands) and operands[0] not in _READING_VERBS[call.name]


def _all_names(call: Call) -> bool:
    return _any_counts(call, _operands(call)[1])


def _last_name(call: Call) -> bool:
    return _any_counts(call, _operands(call)[1][-1:])


def _chmod(call: Call) -> bool:
    return _any_counts(call, call.argv[1:])


def _tar(call: Call) -> bool:
    given, _ = _operands(call)
    if "t" in given:
        return False
    return _any_counts(call, [given.get("C", "/") if "x" in given else given.get("f", "/")])


def _sqlite(call: Call) -> bool:
    operands = [a for a in call.argv if not a.startswith("-")]
    if "-readonly" in call.argv or not any(_WRITING_SQL.match(s) for s in operands[1:]):
        return False
    return changes_node(call.path(operands[0].removeprefix("file:").partition("?")[0]))


def _signal(call: Call) -> bool:
    return not any(a in ("-0", "-s0") for a in call.argv)


def _always(_call: Call) -> bool:
    return True


def _expected(call: Call) -> bool:
    return any(a.startswith("-") and "e" in a for a in call.argv)


def _mount(call: Call) -> bool:
    return bool(_operands(call)[1])


_RULES: dict[str, Callable[[Call], bool]] = {
    **dict.fromkeys(_READING_VERBS, _verb),
    **dict.fromkeys(("rm", "rmdir", "mv", "touch", "mkdir", "tee"), _all_names),
    **dict.fromkeys(("cp", "install", "ln", "scp"), _last_name),
    **dict.fromkeys(("pkill", "killall", "kill"), _signal),
    **dict.fromkeys(("pmxcfs", "systemd-run", "umount", "iptables", "ifreload"), _always),
    "chmod": _chmod,
    "tar": _tar,
    "sqlite3": _sqlite,
    "corosync-quorumtool": _expected,
    "mount": _mount,
}


def intends_change(call: Call) -> bool:
    """Whether the command means to change its node. Raises Hung as the command itself would."""
    rule = _RULES.get(call.name)
    return rule is not None and rule(call)
