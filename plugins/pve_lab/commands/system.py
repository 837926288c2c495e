"""The rest of a node's tools: hostname, id, date, sleep, sync, wget, uptime, and what only passes a command on."""

from __future__ import annotations

import time

from pve_lab.commands.base import Call, Result, Table
from pve_lab.model.file_answers import Hung


def hostname(call: Call) -> Result:
    """hostname [--fqdn]."""
    fqdn = "--fqdn" in call.argv or "-f" in call.argv
    return Result(f"{call.node.hostname}.lab.local\n" if fqdn else f"{call.node.hostname}\n")


def id_(call: Call) -> Result:
    """id -u, as root."""
    return Result("0\n" if "-u" in call.argv else "uid=0(root) gid=0(root) groups=0(root)\n")


def date(call: Call) -> Result:
    """date [+FORMAT], in model time and UTC."""
    wall = call.node.wall
    form = next((a[1:] for a in call.argv if a.startswith("+")), "%a %b %e %H:%M:%S UTC %Y")
    form = form.replace("%N", f"{int(wall % 1 * 1e9):09d}").replace("%s", str(int(wall)))
    return Result(time.strftime(form, time.gmtime(wall)) + "\n")


def sleep(call: Call) -> Result:
    """sleep SECONDS: model time passes, real time does not."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    total = 0.0
    for item in call.argv:
        factor = units.get(item[-1:], 0)
        try:
            total += float(item[:-1]) * factor if factor else float(item)
        except ValueError:
            return Result("", f"sleep: invalid time interval '{item}'\n", 1)
    call.session.sleep(total)
    return Result(seconds=0.0)


def timeout(call: Call) -> Result:
    """timeout [-k SECONDS] [-s SIGNAL] SECONDS COMMAND...: limits model time."""
    rest = list(call.argv)
    killed = 124
    while rest and rest[0].startswith("-"):
        item = rest.pop(0)
        if item in ("-k", "-s", "--kill-after", "--signal"):
            killed = 137 if rest.pop(0) in ("KILL", "SIGKILL", "9") else killed
    limit = float(rest.pop(0).rstrip("s"))
    try:
        return call.session.run(rest, call.piped)
    except Hung:
        call.session.sleep(limit)
        return Result(exit_status=killed, seconds=0.0)


def sync(call: Call) -> Result:
    """sync."""
    return Result(seconds=0.01)


def wget(call: Call) -> Result:
    """wget -q -O /dev/null https://localhost:8006/: 0 when pveproxy answers, 4 when it does not."""
    return Result(exit_status=0 if call.node.units.get("pveproxy").is_active else 4, seconds=0.05)


def not_installed(call: Call) -> Result:
    """A tool that a fresh PVE does not have (recorded)."""
    return Result("", f"bash: line 1: {call.name}: command not found\n", 127)


def uptime(call: Call) -> Result:
    """uptime."""
    wall = time.strftime("%H:%M:%S", time.gmtime(call.node.wall))
    return Result(
        f" {wall} up {int(call.node.processes.uptime // 60)} min,  0 users,  load average: 0.42, 0.35, 0.30\n"
    )


def nproc(call: Call) -> Result:
    """nproc."""
    return Result("8\n")


def uname(call: Call) -> Result:
    """uname [-s|-m|-r|-a]."""
    kernel = call.node.version.kernel
    if "-r" in call.argv:
        return Result(f"{kernel}\n")
    if "-m" in call.argv:
        return Result("x86_64\n")
    name = call.node.hostname
    return Result(
        f"Linux {name} {kernel} #1 SMP PREEMPT_DYNAMIC x86_64 GNU/Linux\n" if "-a" in call.argv else "Linux\n"
    )


def sshd(call: Call) -> Result:
    """sshd -T (recorded)."""
    return Result(
        "port 22\nmaxsessions 10\npermitrootlogin yes\npubkeyauthentication yes\npasswordauthentication yes\n"
        "authorizedkeysfile .ssh/authorized_keys .ssh/authorized_keys2\n"
    )


TABLE: Table = {
    "hostname": hostname,
    "id": id_,
    "date": date,
    "sleep": sleep,
    "timeout": timeout,
    "sync": sync,
    "wget": wget,
    "curl": not_installed,
    "uptime": uptime,
    "nproc": nproc,
    "uname": uname,
    "sshd": sshd,
}
