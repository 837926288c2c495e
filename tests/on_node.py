"""A node of a bench with the scripts of the window and of the way back on it, each run as the node runs it."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace

from lab_bench import Bench
from pve_lab.faults import Fault
from pve_lab.fingerprint import fingerprint
from pve_runbook.probes.probe import BACKUP_ROOT
from pve_runbook.procedure.window import Script, script

RUN = "20260101T000000Z-beef"
WORK = f"{BACKUP_ROOT}/{RUN}"
NODE = "pve1"
MEMBERS = ("pve1", "pve2")
DB = "/var/lib/pve-cluster/config.db"
TREE = "SELECT name, version, data FROM tree ORDER BY inode"
WAITS = ("pgrep", "findmnt", "stat", "sleep", "date", "wc", "grep")
"""What a script asks while it waits, as often as it takes."""
READS = ("hostname", "sha256sum")
READS_AS = (("sqlite3", "-readonly"), ("systemctl", "cat"), ("systemctl", "is-enabled"))
"""What else a script asks; all other commands change something."""
ENDLESS = (("pgrep", "-x", "pmxcfs"), ("findmnt", "-n", "/etc/pve"), ("systemctl", "start", "pve-cluster.service"))
"""Commands of its loops: one that goes round four hundred times ends with the node's power."""


class OnNode:
    """A node of a bench, and the scripts on it: what they did, said and left."""

    def __init__(self, bench: Bench, name: str = NODE) -> None:
        self.bench = bench
        self.name = name
        self.node = bench.node(name)
        self.seconds = 0.0
        self.commands: list[str] = []
        self.changing: list[str] = []
        self.waits: list[str] = []
        self._attempts = 0
        self.files = ""

    def type(self, command: str, stdin: bytes = b"") -> str:
        """Run a command line by hand; its output."""
        said = self.bench.run(self.name, command, stdin)
        assert said.exit_status == 0, f"{command}: {said}"
        return said.stdout

    def run(self, name: Script, *faults: Fault) -> str:
        """An attempt of its own at a script, struck by faults: the word that it leaves."""
        self._attempts += 1
        attempt = f"{RUN}-{self._attempts}"
        self.files = f"{WORK}/{name}-{attempt}"
        arguments = MEMBERS if name == "window" else self._backups()
        text = script(name, RUN, attempt, arguments)
        self.type(f"install -d -m 0700 {WORK}; install -m 0700 /dev/stdin {WORK}/{name}.sh", text.encode())
        for fault in (*faults, *(Fault("power_cycle", argv=argv, skip=800) for argv in ENDLESS)):
            argv, command = (tuple(self._own(word) for word in fault.argv)), self._own(fault.command)
            self.bench.site.faults.arm(replace(fault, argv=argv, command=command))
        fired = len(self.bench.site.faults.fired)
        began, line = self.node.clock.now, len(self._log())
        said = self.bench.run(self.name, f"/bin/bash {WORK}/{name}.sh")
        self.seconds = self.node.clock.now - began
        ran = [json.loads(entry)["argv"] for entry in self._log()[line:]]
        self.changing = [shlex.join(a) for a in ran if a[0] not in (*WAITS, *READS) and tuple(a[:2]) not in READS_AS]
        self.commands = [shlex.join(a).replace(self.files, "W") for a in ran if a[0] not in WAITS]
        self.waits = [shlex.join(a) for a in ran if a[0] in WAITS]
        assert len(self.bench.site.faults.fired) - fired == len(faults), "not every fault struck"
        self.bench.site.faults.disarm()
        assert (said.exit_status, said.stdout) == (0, ""), said
        return self.type(f"cat {self.files}.status").replace(self.files, "W").rstrip("\n")

    def _own(self, text: str) -> str:
        """W stands for the attempt's own files."""
        return text.replace("W.", f"{self.files}.")

    def _backups(self) -> tuple[str, ...]:
        """The files to be put back, beside the script: their hashes."""
        return tuple(
            self.type(f"cp -p {WORK}/{held} {self.files}.new.{end}; sha256sum {self.files}.new.{end}").split()[0]
            for held, end in (("config.db", "db"), ("system.tar.gz", "tar.gz"))
        )

    def _log(self) -> list[str]:
        return self.bench.machines[self.name].log.read_text().splitlines()

    def log(self) -> list[str]:
        """The lines of the script's own log, without their times and without what commands said."""
        lines = self.type(f"cat {self.files}.log").replace(self.files, "W").splitlines()
        return [text.partition(" ")[2] for text in lines if text.startswith("20")]

    def said(self) -> str:
        """The script's own log, as it is."""
        return self.type(f"cat {self.files}.log")

    def held(self) -> dict[str, str]:
        """What a script that failed may not leave changed: configuration, corosync's files, units, guests."""
        found = {"mounts": self.type("findmnt -n /etc/pve"), "tree": self.type(f"sqlite3 -readonly {DB} '{TREE}'")}
        for thing, is_now in fingerprint(self.node).items():
            kind, _, name = thing.partition(" ")
            if kind == "unit":
                found[thing] = " ".join(is_now.split()[:3])
            elif (kind == "process" and " -id " in is_now) or (name.startswith("/etc/pve") and "/." not in name):
                found[thing] = is_now
            elif name.startswith(("/etc/corosync", "/var/lib/pve-cluster/config.db.")):
                kind_and_mode, (*_, contents) = is_now.split()[:2], is_now.split()
                found[thing] = f"{kind_and_mode} {contents}"
        return found
