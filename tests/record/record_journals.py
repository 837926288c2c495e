"""Journals for the tests of the record, written by hand: what a run leaves, event by event."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from pve_runbook.journal.events import Entry
from pve_runbook.journal.reading import entry_of

NODES = ("pve1", "pve2", "pve3")

PHASES = (
    (0, "freeze: nothing may start, move or be fenced while the cluster comes apart"),
    (1, "authority: choose the node that is given quorum first"),
    (2, "force quorum on the authority, for the moment"),
    (3, "guests intact: what runs, runs on, and its disks are there"),
    (4, "remove corosync, one node at a time, the authority last"),
    (5, "restart services"),
    (6, "standalone: each node is one by itself"),
    (7, "survival: every guest ran through"),
)

GUESTS = (
    (101, "web", "qemu"),
    (102, "mail", "qemu"),
    (103, "dns", "lxc"),
    (104, "build", "qemu"),
    (190, "old-db", "lxc"),
    (201, "shop", "qemu"),
    (202, "queue", "lxc"),
    (203, "cache", "lxc"),
    (290, "template-deb12", "qemu"),
    (301, "monitor", "qemu"),
    (302, "backup-server", "qemu"),
    (303, "files", "lxc"),
    (304, "vpn", "lxc"),
    (390, "windows-2019", "qemu"),
)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Journal:
    """Events with rising numbers and times, filed under the step that runs."""

    def __init__(self) -> None:
        self.events: list[dict[str, object]] = []
        self.now = datetime(2026, 1, 8, 2, 10, tzinfo=UTC)
        self.step: str | None = None
        self.questions: dict[str, int] = {}
        self.said: dict[tuple[str, str, object], int] = {}

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The events as a journal with these lines is read."""
        return tuple(map(entry_of, self.events))

    def add(self, kind: str, **fields: object) -> int:
        self.now += timedelta(milliseconds=140)
        stamp = self.now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        number = len(self.events) + 1
        self.events.append({"n": number, "t": stamp, "kind": kind, "step": self.step, **fields})
        return number

    def run(self, **fields: object) -> None:
        given = {
            "run": "20260108T021000Z",
            "work": "20260108T021000Z",
            "mode": "runbook",
            "folder": "/root/records/2026-01-08T021000Z-prod-CHG-4711",
            "cluster": "prod",
            "hosts": list(NODES),
            "operator": "anna@jump",
            "ticket": "CHG-4711",
            "code": "git 1a2b3c4d",
            "command": "pytest runbook/ --hosts=pve1,pve2,pve3 --ticket=CHG-4711",
            "version": "0.1.0",
        }
        self.add("run", **{**given, **fields})

    def start(self, phase: int | None, phase_title: str, name: str, title: str, node: str | None = None) -> str:
        """Begin a step; what follows is filed under it until :meth:`finish`."""
        nodeid = f"runbook/test_phase{phase}.py::test_{name}" + (f"[{node}]" if node else "")
        self.add("step-start", nodeid=nodeid, phase=phase, phase_title=phase_title, title=title, node=node)
        self.step = nodeid
        return nodeid

    def finish(self, outcome: str = "passed", message: str = "", seconds: float = 0.4) -> None:
        started = next(
            event for event in reversed(self.events) if event["kind"] == "step-start" and event["nodeid"] == self.step
        )
        self.step = None
        self._result(started, outcome, message, seconds)

    def blocked(self, phase: int, phase_title: str, name: str, title: str, node: str) -> None:
        nodeid = f"runbook/test_phase{phase}.py::test_{name}[{node}]"
        given: dict[str, object] = {
            "nodeid": nodeid,
            "phase": phase,
            "phase_title": phase_title,
            "title": title,
            "node": node,
        }
        self._result(given, "blocked", "An earlier step did not pass.", 0.0)

    def _result(self, step: dict[str, object], outcome: str, message: str, seconds: float) -> None:
        names = ("nodeid", "phase", "phase_title", "title", "node")
        self.add("step", **{name: step[name] for name in names}, outcome=outcome, message=message, seconds=seconds)

    def read(self, node: str, answers: dict[str, object]) -> dict[str, int]:
        """One read; an answer is its stdout (once more: the same again), the number of an earlier one, or None."""
        probes: list[object] = [self.questions.get(name) or self._question(name) for name in answers]
        batch = self.add("batch", node=node, probes=probes)
        lines = {}
        same = []
        for name, given in answers.items():
            answer = self.said.get((node, name, given), given)
            fields: dict[str, object] = {"batch": batch, "node": node, "id": name, "seconds": 0.25}
            if answer is None:
                fields |= {"exit_status": None, "stdout": "", "stderr": "", "error": "no answer within 5 s"}
            elif isinstance(answer, int):
                lines[name] = answer
                same.append(answer)
                continue
            else:
                fields |= {"exit_status": 0, "stdout": answer, "stderr": ""}
            lines[name] = self.said[node, name, answer] = self.add("probe", **fields)
        if same:
            self.add("unchanged", batch=batch, node=node, same_as=same, seconds=0.25)
        return lines

    def _question(self, name: str) -> dict[str, object]:
        number = self.questions[name] = len(self.questions) + 1
        return {"q": number, "id": name, "argv": [name, "--flag"], "why": f"Tells {name}."}

    def intent(self, node: str, action: str, argv: list[str], why: str, undo: str) -> int:
        return self.add(
            "action-intent",
            node=node,
            action=action,
            argv=argv,
            why=why,
            undo=undo,
            detached=True,
            stdin_sha256=None,
        )

    def outcome(self, action_id: int, node: str, stdout: str = "", stderr: str = "", exit_status: int = 0) -> None:
        self.add(
            "action",
            action_id=action_id,
            node=node,
            exit_status=exit_status,
            stdout=stdout,
            stderr=stderr,
            seconds=0.8,
            outcome="done" if exit_status == 0 else "failed",
            error=None,
        )

    def continuity(self, phase: int, label: str, restarted: int | None = None, rebooted: str = "") -> None:
        """Compare with the baseline: ``restarted`` is the id of a guest that is not the same any more."""
        rows = []
        for vmid, name, kind in GUESTS:
            node = f"pve{vmid // 100}"
            pid = 1000 + vmid * 7 if vmid % 100 < 90 else None
            same = vmid != restarted
            rows.append(
                {
                    "vmid": vmid,
                    "name": name,
                    "node": node,
                    "kind": kind,
                    "pid_before": pid,
                    "pid_after": pid if same else 99_001,
                    "start_before": 88_000 + vmid,
                    "start_after": 88_000 + vmid if same else 990_000,
                    "config_before": sha(name),
                    "config_after": sha(name),
                    "owner_before": node,
                    "owner_after": node,
                    "volumes_before": 2,
                    "volumes_after": 2,
                    "same": same,
                }
            )
        nodes = [
            {
                "node": node,
                "boot_before": f"3f0c{node}-1111",
                "same": node != rebooted,
                "boot_after": f"3f0c{node}-1111" if node != rebooted else "77aa-2222",
            }
            for node in NODES
        ]
        self.add("continuity", phase=phase, label=label, rows=rows, nodes=nodes)

    def end(self, exit_status: int, verdict: str, following: str, signal: str | None = None) -> None:
        self.add("end", exit_status=exit_status, verdict=verdict, next=following, signal=signal)


def whole_run(text: str = "") -> Journal:
    """A run that passed. ``text`` is added to every text that a node, a guest or a person gave."""
    journal = Journal()
    journal.run(ticket=f"CHG-4711{text}", cluster=f"prod{text}", operator=f"anna@jump{text}", code=f"git 1a2b{text}")
    first = {
        node: journal.read(node, {"hostname": f"{node}\n", "id": "0\n", "version": f"pve-manager/8.3.0{text}"})
        for node in NODES
    }
    for phase, title in PHASES:
        for name, line in (("ready", "The node answers and is a member."), ("holds", "Nothing else moves.")):
            for node in NODES:
                journal.start(phase, title, name, line, node)
                journal.read(node, {**first[node], "quorum": f"Quorate: No ({phase}){text}\n", "qm list": "x" * 300})
                journal.finish()
        if phase == 0:
            _freeze(journal, title, text)
        elif phase == 1:
            journal.start(phase, title, "chosen", "The authority is chosen.")
            journal.add("note", topic="authority", node="pve1", text=f"5 guests run here, the most.{text}")
            journal.add("note", topic="authority", node="pve1", text="Its database is the newest: version 8123.")
            journal.finish()
        elif phase == 4:
            for node in reversed(NODES):
                _window(journal, phase, title, node, text)
        elif phase == 7:
            _survival(journal, phase, title, text)
        journal.add(
            "phase-line",
            phase=phase,
            text=f"guests 14/14 same pid · nodes 3/3 same boot · configs 14/14 same · volumes 31/31{text}",
        )
    journal.end(0, "All three nodes stand alone; no guest was interrupted.", f"pytest checks/ --hosts=pve1{text}")
    return journal


def _freeze(journal: Journal, title: str, text: str) -> None:
    journal.start(0, title, "approved", "The operator approves the first change.")
    journal.add(
        "approval",
        phase=0,
        subject="prod",
        answer="approved",
        how="typed",
        by=f"anna@jump{text}",
        text=f"The scheduler and HA stop on pve1, pve2, pve3.\nUndo: systemctl start pvescheduler{text}",
        at="2026-01-08T02:10:20.000Z",
        plan="0123456789ab",
    )
    planned(journal, text)
    journal.finish(seconds=11.2)
    for node in NODES:
        journal.start(0, title, "backup", "The databases and folders are backed up here.", node)
        for file, size in (("config.db", 98_304), ("etc-pve.tar.gz", 12_345), ("system.tar.gz", 45_678)):
            journal.add("transfer", node=node, file=f"{file}{text}", size=size, sha256=sha(node + file))
        journal.finish(seconds=1.9)
    for node in NODES:
        journal.start(0, title, "scheduler_off", "No job starts while the cluster comes apart.", node)
        action = journal.intent(
            node,
            f"stop the scheduler{text}",
            ["systemctl", "stop", "pvescheduler.service"],
            f"A job that is overdue starts within 60 s of quorum.{text}",
            f"systemctl start pvescheduler{text}",
        )
        journal.outcome(action, node, stdout=text, stderr=text)
        journal.add("note", topic="article", node=node, text=f"The article names no command for backups.{text}")
        journal.add("note", topic="scheduler", node=node, text=f"1 job is overdue: vzdump all.{text}")
        journal.finish()


def planned(journal: Journal, text: str = "") -> None:
    """The plan of one command on every node."""
    command = {
        "phase": 0,
        "stage": "scheduler_off",
        "name": "stop-scheduler",
        "argv": ["systemctl", "stop", f"pvescheduler.service{text}"],
        "why": f"nothing starts{text}",
        "undo": f"systemctl start pvescheduler{text}",
        "stdin_sha256": None,
    }
    journal.add("plan", hash=f"0123456789ab{text}", commands=[{**command, "node": n + text} for n in NODES], nodes=[])


def _window(journal: Journal, phase: int, title: str, node: str, text: str) -> None:
    journal.start(phase, title, "approved", "The operator approves this node's window.", node)
    journal.add(
        "approval",
        phase=phase,
        subject=node,
        answer="approved",
        how="--approve",
        by="anna@jump",
        text=f"{node} leaves the cluster.",
        at="2026-01-08T02:12:00.000Z",
    )
    journal.finish(seconds=0.0)
    journal.start(phase, title, "leaves", "The node leaves the cluster in its window.", node)
    action = journal.intent(
        node,
        "window",
        [
            "systemd-run",
            "--no-block",
            "--unit=pve-runbook-window-20260108T021000Z",
            "--collect",
            "-p",
            "Type=oneshot",
            "/bin/bash",
            "/var/lib/pve-runbook/20260108T021000Z/window.sh",
        ],
        "Without the cluster's configuration the node is standalone; guests are not touched.",
        "The window rolls itself back until pve-cluster is started; after that it only goes forward.",
    )
    log = "\n".join(f"02:12:{second:02d} step {second} of the window{text}" for second in range(60))
    journal.outcome(action, node, stdout=log * 4, stderr="Running as unit: pve-runbook-window.service\n")
    journal.read(node, {"pmxcfs": "ok", "slow": None})
    journal.finish(seconds=34.0)
    journal.continuity(phase, f"after {node}")


def _survival(journal: Journal, phase: int, title: str, text: str) -> None:
    journal.start(phase, title, "same", "Every guest ran through.")
    journal.add(
        "testinfra",
        node="pve1",
        command=f"systemctl is-active ssh{text}",
        exit_status=0,
        stdout=f"active{text}",
        stderr="",
        seconds=0.1,
    )
    journal.add("note", topic="left", node=None, text=f"HA stays off: start it when you want it.{text}")
    journal.add("note", topic="left", node="pve2", text="pve2 still trusts the SSH keys of pve1 and pve3.")
    journal.finish()
    journal.continuity(phase, "at the end of the run")


def failed_run(text: str = "") -> Journal:
    """A run that a gate stopped in phase 2, with the rest blocked."""
    journal = Journal()
    journal.run()
    for phase, title in PHASES[:2]:
        for node in NODES:
            journal.start(phase, title, "ready", "The node answers and is a member.", node)
            journal.read(node, {"hostname": node})
            journal.finish()
    phase, title = PHASES[2]
    journal.start(phase, title, "peers_silent", "Corosync is stopped and masked on every peer.", "pve2")
    action = journal.intent(
        "pve2",
        "stop corosync",
        ["systemctl", "stop", "corosync.service"],
        "One rejoin undoes it.",
        "start it",
    )
    journal.outcome(action, "pve2", stderr="Job for corosync.service failed.\n", exit_status=1)
    journal.finish("failed", f"corosync still runs on pve2, pid 812.\nIt would undo the forced quorum.{text}")
    for later, later_title in PHASES[3:]:
        for node in NODES:
            journal.blocked(later, later_title, "ready", "The node answers and is a member.", node)
    journal.continuity(2, "after the failure", restarted=201, rebooted="pve2")
    journal.end(1, "Stopped in phase 2: corosync still runs on pve2.", "systemctl status corosync on pve2")
    return journal
