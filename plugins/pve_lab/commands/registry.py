"""All simulated commands by name."""

from __future__ import annotations

from dataclasses import replace

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


AWAITED = 'n=0; until [ -e "$1" ] || [ "$n" -ge 10 ]; do n=$((n + 1)); sleep 0.1; done; cat "$1"'
"""A second's wait for a file."""


def _shell(call: Call) -> Result:
    """sh -c 'command -v "$1"' sh NAME, and sh -c AWAITED sh FILE."""
    head, name = call.argv[:-1], call.argv[-1]
    if head == ["-c", AWAITED, "sh"]:
        left = 10
        while left and not call.node.files.lexists(name):
            left -= 1
            call.session.sleep(0.1)
        return reading.cat(replace(call, name="cat", argv=[name]))
    if head != ["-c", 'command -v "$1"', "sh"]:
        raise NotImplementedError
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
