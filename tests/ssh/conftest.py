"""The fixtures of this folder; what they are made of is in wire_server.py, under a name of its own."""

from ssh_server import keys, node, server, site, start

__all__ = ["keys", "node", "server", "site", "start"]
