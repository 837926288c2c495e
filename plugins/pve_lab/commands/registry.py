"""All simulated commands by name."""

from __future__ import annotations

from bashkit import FileSystem

from pve_lab.commands import (
    api,
    changing,
    cluster,
    guests,
    network,
    processes,
    reading,
    repairs,
    sqlite,
    storage,
    system,
    systemd,
)
from pve_lab.commands.base import Call, Result, Table

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
    **repairs.TABLE,
}
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


def _shell(call: Call) -> Result:
    """sh -c 'command -v "$1"' sh NAME."""
    if call.argv[:-1] != ["-c", 'command -v "$1"', "sh"]:
        raise NotImplementedError
    name = call.argv[-1]
    return Result(f"/usr/bin/{name}\n") if name in ("command", *COMMANDS, *INTERPRETER) else Result(exit_status=127)


WITHOUT_SHELL: Table = {**COMMANDS, "grep": network.grep, "test": reading.test, "sh": _shell}
"""What a batch of probes may call: no shell can be started inside one, and so none of the interpreter's commands."""
BINARY_DIRECTORIES = ("/usr/bin", "/usr/sbin", "/bin", "/sbin")


def binaries() -> FileSystem:
    """A directory with a file for every command, so that absolute paths work too."""
    directory = FileSystem()
    bodies = {name: f'{name} "$@"' for name in (*COMMANDS, *INTERPRETER)}
    for name, body in bodies.items():
        directory.write_file(f"/{name}", f"#!/bin/bash\n{body}\n".encode())
        directory.chmod(f"/{name}", 0o755)
    return directory
