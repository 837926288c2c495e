"""Tasks of one node: running workers and the file /var/log/pve/tasks/active (pve-common INotify.pm)."""

from __future__ import annotations

from dataclasses import dataclass

from pve_lab.model.host import Host

ACTIVE = "/var/log/pve/tasks/active"


@dataclass
class Task:
    """One task; `pid` is 0 when its worker has ended."""

    upid: str
    kind: str
    ident: str
    started: int
    pid: int = 0
    ended: int = 0
    status: str = ""


class Tasks:
    """The tasks of a node, newest first, as the file shows them."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.tasks: list[Task] = []

    def begin(self, kind: str, ident: str, *, age: float = 0.0) -> Task:
        """Fork a worker: process `task UPID:...`."""
        host = self.host
        process = host.processes.spawn(f"task {kind}"[:15], (), age=age)
        started = int(host.wall - age)
        upid = f"UPID:{host.hostname}:{process.pid:08X}:{process.start:08X}:{started:08X}:{kind}:{ident}:root@pam:"
        host.processes.end(process.pid)
        host.processes.spawn(f"task {upid}"[:15], ("task", upid), age=age, pid=process.pid)
        task = Task(upid, kind, ident, started, process.pid)
        self.tasks.insert(0, task)
        self._log(task, "")
        self._write()
        return task

    def end(self, task: Task, status: str = "OK") -> None:
        """The worker has ended with that status."""
        self.host.processes.end(task.pid)
        task.pid, task.ended, task.status = 0, int(self.host.wall), status
        self._write()

    def record(self, kind: str, ident: str, status: str = "OK") -> None:
        """A task that began and ended within one command."""
        self.end(self.begin(kind, ident), status)

    @property
    def running(self) -> list[Task]:
        """The tasks whose worker lives."""
        return [t for t in self.tasks if t.pid]

    def _log(self, task: Task, text: str) -> None:
        self.host.files.put(f"/var/log/pve/tasks/{task.upid[-2]}/{task.upid}", text)

    def log(self, task: Task, line: str) -> None:
        """Write a line into the task's log."""
        path = f"/var/log/pve/tasks/{task.upid[-2]}/{task.upid}"
        self.host.files.put(path, self.host.files.read(path) + line.encode() + b"\n")

    def _write(self) -> None:
        running = [f"{t.upid} 0\n" for t in self.tasks if t.pid]
        ended = [f"{t.upid} 1 {t.ended:08X} {t.status}\n" for t in self.tasks if not t.pid][:25]
        self.host.files.put(ACTIVE, "".join(running + ended), 0o640)
