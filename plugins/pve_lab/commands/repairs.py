"""What people type to mend one node: scp, iptables -D, ifreload, hostnamectl (openssh, iptables-nft, ifupdown2,
systemd)."""

from __future__ import annotations

from pve_lab.commands.base import Call, Result, Table, options


def scp(call: Call) -> Result:
    """scp [-p] NODE:FILE TARGET: root of every member may log in to every other."""
    given, (source, target) = options(call.argv)
    name, _, path = source.partition(":")
    other = call.node.cluster.nodes.get(name)
    if other is None or not other.powered:
        return Result("", f"ssh: connect to host {name} port 22: No route to host\n", 255, 3.0)
    try:
        stat, data = other.files.stat(path), other.files.read(path)
        place = call.path(target)
        if call.node.files.is_directory(place):
            place = f"{place.rstrip('/')}/{path.rpartition('/')[2]}"
        call.node.files.write(place, data, stat.mode if "p" in given else 0o644)
    except OSError as error:
        return Result("", f"scp: {path}: {error.strerror}\n", 1, 0.3)
    return Result(seconds=0.3)


def iptables(call: Call) -> Result:
    """iptables -D CHAIN RULE: the rule as iptables-save words it."""
    verb, *rest = call.argv
    if verb != "-D":
        raise NotImplementedError
    node, rule = call.node, f"-A {' '.join(rest)}"
    if rule not in node.filter_rules:
        return Result("", "iptables: Bad rule (does a matching rule exist in that chain?).\n", 1, 0.01)
    node.filter_rules = tuple(r for r in node.filter_rules if r != rule)
    if not any(r.endswith("-j DROP") or r.startswith(":INPUT DROP") for r in node.filter_rules):
        node.drops = (0, 0)
    node.cluster.form_memberships()
    return Result(seconds=0.01)


def ifreload(call: Call) -> Result:
    """ifreload -a."""
    call.node.reload_network()
    return Result(seconds=1.0)


def hostnamectl(call: Call) -> Result:
    """hostnamectl set-hostname NAME: at once, and in /etc/hostname; what runs keeps the name it began with."""
    if call.argv[:1] != ["set-hostname"] or len(call.argv) != 2:
        raise NotImplementedError
    call.node.hostname = call.argv[1]
    call.node.files.put("/etc/hostname", f"{call.argv[1]}\n")
    return Result(seconds=0.1)


TABLE: Table = {"scp": scp, "iptables": iptables, "ifreload": ifreload, "hostnamectl": hostnamectl}
