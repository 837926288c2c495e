"""Addresses, routes, links, names and sockets of one node."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from msgspec import Struct

from pve_runbook.parsers.json_objects import JsonObject, parse_objects
from pve_runbook.parsers.output import Output, ParseError, lines_of, stdout_of, unread

_SOCKET = re.compile(r"\S+\s+\d+\s+\d+\s+(?P<address>\S+):(?P<port>\d+)\s+\S+(\s+users:\((?P<users>.*)\))?(\s+.*)?")
_SOCKET_USER = re.compile(r'\("(?P<process>[^"]*)",')


class Address(Struct, frozen=True):
    """One address of a device; `family` is "inet" or "inet6", `scope` "global", "link" or "host"."""

    dev: str
    address: str
    prefix: int
    family: str
    scope: str
    lasts: bool = True
    """Whether it stays until somebody takes it away; what a router hands out (SLAAC) comes and goes by itself."""


class Device(Struct, frozen=True):
    """One network device as it is now. `is_up` is the administrator's word, not the cable's; `mtu` is in bytes,
    `master` the bridge or bond that it is a port of."""

    name: str
    is_up: bool
    mtu: int
    master: str | None
    addresses: tuple[Address, ...]


class Route(Struct, frozen=True):
    """One route, or one next hop of a route that has several; `dst` is "default", a network or an address. `protocol`
    is who made it ("kernel", "static", "ospf", ...); None where `ip` does not say, as for `ip route get`."""

    dst: str
    gateway: str | None
    dev: str | None
    metric: int | None
    prefsrc: str | None
    protocol: str | None = None


class Link(Struct, frozen=True):
    """One network device. `master` is the bridge or bond it belongs to, `link` the device a VLAN stands on,
    `kind` ("bridge", "bond", "vlan", "tun", "veth", ...) is None for a plain network card, `mtu` is in
    bytes. `packets` and `errors` are counted since the device came up, both ways; None without `-s`. `bond_mode` is
    None for what is no bond."""

    name: str
    mtu: int
    master: str | None
    link: str | None
    kind: str | None
    vlan_id: int | None
    state: str
    packets: int | None = None
    errors: int | None = None
    bond_mode: str | None = None

    @property
    def is_down(self) -> bool:
        """Whether the kernel says that it cannot carry anything: no carrier, or switched off (operstates of RFC 2863;
        drivers that do not know say UNKNOWN)."""
        return self.state in ("DOWN", "LOWERLAYERDOWN", "NOTPRESENT")


class Listener(Struct, frozen=True):
    """One UDP socket that waits for packets; `process` is "" where the kernel itself holds it."""

    process: str
    address: str
    port: int


def parse_ip_addr(output: Output) -> tuple[Device, ...]:
    """Read `ip -j addr`."""
    devices: list[Device] = []
    for device in parse_objects(stdout_of(output, "ip addr"), "ip addr"):
        name, flags = device.text("ifname"), device.anything("flags")
        if not isinstance(flags, list):
            raise unread("ip addr", str(flags))
        addresses = (
            Address(
                dev=name,
                address=info.text("local"),
                prefix=info.number("prefixlen"),
                family=info.text("family"),
                scope=info.text("scope"),
                lasts=info.text("family") == "inet" or "dynamic" not in info,
            )
            for info in device.objects("addr_info")
        )
        devices.append(
            Device(name, "UP" in flags, device.number("mtu"), device.text_or_none("master"), tuple(addresses))
        )
    return tuple(devices)


def parse_ip_route(output: Output) -> tuple[Route, ...]:
    """Read `ip -j route` or `ip -j route get ADDRESS`; () if the kernel knows no route to the address."""
    if output.exit_status == 2 and "Network is unreachable" in output.stderr:
        return ()
    routes: list[Route] = []
    for entry in parse_objects(stdout_of(output, "ip route"), "ip route"):
        hops = entry.objects("nexthops") if "nexthops" in entry else (entry,)
        routes += (
            Route(
                dst=entry.text("dst"),
                gateway=hop.text_or_none("gateway"),
                dev=hop.text_or_none("dev"),
                metric=entry.number("metric") if "metric" in entry else None,
                prefsrc=entry.text_or_none("prefsrc"),
                protocol=entry.text_or_none("protocol"),
            )
            for hop in hops
        )
    return tuple(routes)


def default_routes(routes: Iterable[Route]) -> tuple[Route, ...]:
    """The routes that lead everywhere; more than one is a usual cause of a flapping cluster network."""
    return tuple(route for route in routes if route.dst == "default")


def route_of(routes: Iterable[Route], address: str) -> Route | None:
    """The route of the table that the kernel takes to the address: the one to the smallest network. One whose network
    cannot be read is passed over."""
    wanted = ipaddress.ip_address(address)
    everywhere = "0.0.0.0/0" if wanted.version == 4 else "::/0"
    fitting: list[tuple[int, int, Route]] = []
    for route in routes:
        try:
            network = ipaddress.ip_network(everywhere if route.dst == "default" else route.dst)
        except ValueError:
            continue
        if wanted in network:
            fitting.append((network.prefixlen, -(route.metric or 0), route))
    return max(fitting, key=lambda fit: fit[:2])[2] if fitting else None


def parse_ip_link(output: Output) -> tuple[Link, ...]:
    """Read `ip -j -d [-s] link`."""
    links: list[Link] = []
    for device in parse_objects(stdout_of(output, "ip link"), "ip link"):
        info = device.object("linkinfo") if "linkinfo" in device else None
        kind = info.text_or_none("info_kind") if info is not None else None
        links.append(
            Link(
                name=device.text("ifname"),
                mtu=device.number("mtu"),
                master=device.text_or_none("master"),
                link=device.text_or_none("link"),
                kind=kind,
                vlan_id=info.object("info_data").number("id") if info is not None and kind == "vlan" else None,
                state=device.text("operstate"),
                packets=_counted(device, "packets"),
                errors=_counted(device, "errors"),
                bond_mode=info.object("info_data").text("mode") if info is not None and kind == "bond" else None,
            )
        )
    return tuple(links)


def _counted(device: JsonObject, name: str) -> int | None:
    """A counter of `ip -s`, received and sent together (iproute2: stats64)."""
    if "stats64" not in device:
        return None
    stats = device.object("stats64")
    return stats.object("rx").number(name) + stats.object("tx").number(name)


def parse_getent_ahosts(output: Output) -> tuple[str, ...]:
    """Read `getent ahosts NAME`: every address once, in the order of the resolver; () if the name is unknown
    (exit status 2, getent(1))."""
    if output.exit_status == 2 and not output.stdout.strip() and not output.stderr.strip():
        return ()
    addresses: dict[str, None] = {}
    for line in lines_of(stdout_of(output, "getent ahosts")):
        address = line.split()[0] if line.strip() else ""
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise unread("getent ahosts", line) from None
        addresses[address] = None
    if not addresses:
        raise ParseError("getent ahosts ended with exit status 0 but shows no address.")
    return tuple(addresses)


def parse_ss_udp(output: Output) -> tuple[Listener, ...]:
    """Read `ss -H -ulnp`: one entry for each process of each socket; the address stands without brackets."""
    listeners: list[Listener] = []
    for line in lines_of(stdout_of(output, "ss")):
        match = _SOCKET.fullmatch(line.strip())
        if match is None:
            raise unread("ss", line)
        processes = dict.fromkeys(_SOCKET_USER.findall(match["users"] or "")) or {"": None}
        address = match["address"].replace("[", "").replace("]", "")
        listeners += (Listener(process, address, int(match["port"])) for process in processes)
    return tuple(listeners)
