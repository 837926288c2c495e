"""All simulated commands by name."""

from __future__ import annotations

from bashkit import FileSystem

from pve_runbook.lab.commands import (
    api,
    changing,
    cluster,
    guests,
    network,
    processes,
    reading,
    sqlite,
    storage,
    system,
    systemd,
)
from pve_runbook.lab.commands.base import Table

COMMANDS: Table = {
    **reading.TABLE,
    **changing.TABLE,
    **systemd.TABLE,
    **cluster.TABLE,
    **processes.TABLE,
    **network.TABLE,
    **sqlite.TABLE,
    **guests.TABLE,
    **storage.TABLE,
    **api.TABLE,
    **system.TABLE,
}
WITHOUT_SHELL: Table = {**COMMANDS, "grep": network.grep}
"""What a batch of probes may call: no shell can be started inside one, and so none of the interpreter's commands."""
INTERPRETER = (
    "bash",
    "sh",
    "grep",
    "egrep",
    "fgrep",
    "sed",
    "awk",
    "sort",
    "uniq",
    "head",
    "tail",
    "cut",
    "tr",
    "wc",
    "env",
    "xargs",
    "basename",
    "dirname",
    "seq",
    "diff",
    "printf",
    "echo",
    "test",
    "true",
    "false",
    "nohup",
    "sudo",
)
"""Commands that the interpreter brings."""
BINARY_DIRECTORIES = ("/usr/bin", "/usr/sbin", "/bin", "/sbin")


def binaries() -> FileSystem:
    """A directory with a file for every command, so that absolute paths work too."""
    directory = FileSystem()
    bodies = {name: f'{name} "$@"' for name in (*COMMANDS, *INTERPRETER)}
    for name, body in bodies.items():
        directory.write_file(f"/{name}", f"#!/bin/bash\n{body}\n".encode())
        directory.chmod(f"/{name}", 0o755)
    return directory
