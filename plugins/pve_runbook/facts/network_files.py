"""What a node's files say of gateways and of the order in which names are looked up."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pve_runbook.facts.answers import lines_of, stdout_of, unread
from pve_runbook.facts.output import Output

_IFACE = re.compile(r"iface\s+(?P<name>\S+)\s+(?P<family>inet6?)\s+\S+.*")
_GATEWAY = re.compile(r"gateway\s+(?P<gateway>\S+)")
_METRIC = re.compile(r"metric\s+(?P<metric>\d+)")
_HOSTS = re.compile(r"hosts:(?P<services>.*)")
_ACTION = re.compile(r"\[[^\]]*\]")


@dataclass(frozen=True, slots=True)
class Gateway:
    """One `gateway` of /etc/network/interfaces or a file it includes; `family` is "inet" or "inet6"."""

    file: str
    iface: str
    family: str
    address: str
    metric: int | None


def parse_gateway_lines(output: Output) -> tuple[Gateway, ...]:
    """Read `grep -rHE` of the lines iface, gateway and metric (interfaces(5)); () if there is none (status 1).

    Raises ParseError.
    """
    if output.exit_status == 1 and not output.stdout and not output.stderr:
        return ()
    found: list[Gateway] = []
    where: tuple[str, str, str] | None = None
    for line in lines_of(stdout_of(output, "grep of the interfaces files")):
        file, colon, text = line.partition(":")
        text = text.partition("#")[0].strip()
        if not colon:
            raise unread("grep of the interfaces files", line)
        if text.startswith("iface"):
            iface = _IFACE.fullmatch(text)
            where = (file, iface["name"], iface["family"]) if iface is not None else None
        elif where is None or where[0] != file:
            continue
        elif gateway := _GATEWAY.fullmatch(text):
            found.append(Gateway(*where, address=gateway["gateway"], metric=None))
        elif (metric := _METRIC.fullmatch(text)) and found and (found[-1].file, found[-1].iface) == where[:2]:
            last = found.pop()
            found.append(Gateway(*where, address=last.address, metric=int(metric["metric"])))
    return tuple(found)


def parse_nsswitch(output: Output) -> tuple[str, ...]:
    """Read `cat /etc/nsswitch.conf`: the services that are asked for a host's address, in their order; glibc's own
    default ("dns", "files") where the file does not say (nsswitch.conf(5)). Raises ParseError."""
    for line in lines_of(stdout_of(output, "cat /etc/nsswitch.conf")):
        hosts = _HOSTS.fullmatch(line.partition("#")[0].strip())
        if hosts is not None:
            return tuple(_ACTION.sub(" ", hosts["services"]).split())
    return ("dns", "files")
