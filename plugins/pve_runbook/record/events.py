"""One event of a journal as the part of the record that it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pve_runbook.record import fields
from pve_runbook.record.asked import Asked
from pve_runbook.record.fields import Fields, Scalar
from pve_runbook.record.parts import (
    OUTCOMES,
    Action,
    Answer,
    Approval,
    Continuity,
    End,
    GateCommand,
    GuestRow,
    Header,
    NodeRow,
    Outcome,
    Planned,
    PlannedCommand,
    Transfer,
)

NO_ANSWER = "no answer was recorded"


def line(event: Fields) -> int:
    """Its number in the journal."""
    return fields.integer(event, "n") or 0


def outcome(word: str) -> Outcome:
    """The outcome that a word stands for; one that nobody knows is unknown."""
    return next((outcome for outcome in OUTCOMES if outcome == word), "unknown")


def header(event: Fields) -> Header:
    """The run event: what was to be done, by whom, on which nodes."""
    return Header(
        run=fields.text(event, "run"),
        mode=fields.text(event, "mode") or "runbook",
        work=fields.text(event, "work"),
        folder=fields.text(event, "folder"),
        cluster=fields.text(event, "cluster"),
        hosts=fields.texts(event, "hosts"),
        operator=fields.text(event, "operator"),
        ticket=fields.text_or_none(event, "ticket"),
        code=fields.text(event, "code"),
        command=fields.text(event, "command"),
        version=fields.text(event, "version"),
        started=fields.text(event, "t"),
    )


def answer(event: Fields, asked: Asked) -> Answer:
    """What a node said to a probe."""
    return Answer(
        line=line(event),
        id=asked.id,
        argv=asked.argv,
        why=asked.why,
        exit_status=fields.integer(event, "exit_status"),
        stdout=fields.text(event, "stdout"),
        stderr=fields.text(event, "stderr"),
        seconds=fields.seconds(event),
        error=fields.text_or_none(event, "error"),
    )


def silence(asked: Asked, line: int) -> Answer:
    """A probe of the batch in ``line`` of which no line says what came."""
    return Answer(line=line, id=asked.id, argv=asked.argv, why=asked.why, error=NO_ANSWER)


def intent(event: Fields) -> Action:
    """An action that is about to be sent; what came of it is not known yet."""
    return Action(
        line=line(event),
        node=fields.text(event, "node"),
        name=fields.text(event, "action"),
        argv=fields.texts(event, "argv"),
        why=fields.text(event, "why"),
        undo=fields.text(event, "undo"),
        started=fields.text(event, "t"),
        stdin_sha256=fields.text_or_none(event, "stdin_sha256"),
        error=NO_ANSWER,
    )


def gate_command(event: Fields) -> GateCommand:
    """A command of testinfra's own."""
    return GateCommand(
        line=line(event),
        node=fields.text(event, "node"),
        command=fields.text(event, "command"),
        started=fields.text(event, "t"),
        exit_status=fields.integer(event, "exit_status"),
        stdout=fields.text(event, "stdout"),
        stderr=fields.text(event, "stderr"),
        seconds=fields.seconds(event),
    )


def approval(event: Fields) -> Approval:
    """A question and what was said to it."""
    return Approval(
        phase=fields.integer(event, "phase"),
        subject=fields.text(event, "subject"),
        text=fields.text(event, "text"),
        answer=fields.text(event, "answer"),
        how=fields.text(event, "how"),
        by=fields.text(event, "by"),
        at=fields.text(event, "t"),
        plan=fields.text_or_none(event, "plan"),
    )


def plan(event: Fields) -> Planned:
    """A plan with its commands."""
    return Planned(
        hash=fields.text(event, "hash"),
        commands=tuple(
            PlannedCommand(
                phase=fields.integer(row, "phase"),
                node=fields.text(row, "node"),
                name=fields.text(row, "name"),
                argv=fields.texts(row, "argv"),
                why=fields.text(row, "why"),
                undo=fields.text(row, "undo"),
            )
            for row in fields.rows(event, "commands")
        ),
    )


def transfer(event: Fields) -> Transfer:
    """A backup that was pulled."""
    return Transfer(
        node=fields.text(event, "node"),
        file=fields.text(event, "file"),
        size=fields.integer(event, "size"),
        sha256=fields.text(event, "sha256"),
    )


def continuity(event: Fields, baseline: Mapping[Scalar, GuestRow]) -> Continuity:
    """Guests and nodes, held against the baseline; a guest that the event does not name is as it was."""
    differing = {row.vmid: row for row in _guests(fields.rows(event, "rows"))}
    return Continuity(
        line=line(event),
        at=fields.text(event, "t"),
        phase=fields.integer(event, "phase"),
        label=fields.text(event, "label"),
        guests=tuple({**baseline, **differing}.values()),
        nodes=tuple(_nodes(fields.rows(event, "nodes"))),
    )


def baseline(event: Fields) -> dict[Scalar, GuestRow]:
    """Every guest as it was, beside itself, by its id."""
    found: dict[Scalar, GuestRow] = {}
    for guest in fields.rows(event, "guests"):
        pid, start, config, volumes = (fields.scalar(guest, n) for n in ("pid", "start", "config", "volumes_found"))
        vmid, owner = fields.scalar(guest, "vmid"), fields.text(guest, "node")
        found[vmid] = GuestRow(
            vmid=vmid,
            name=fields.text(guest, "name"),
            node=owner,
            kind=fields.text(guest, "kind"),
            pid_before=pid,
            pid_after=pid,
            start_before=start,
            start_after=start,
            config_before=config,
            config_after=config,
            owner_before=owner,
            owner_after=owner,
            volumes_before=volumes,
            volumes_after=volumes,
            same=True,
        )
    return found


def _guests(rows: Iterable[Fields]) -> Iterable[GuestRow]:
    for row in rows:
        yield GuestRow(
            vmid=fields.scalar(row, "vmid"),
            name=fields.text(row, "name"),
            node=fields.text(row, "node"),
            kind=fields.text(row, "kind"),
            pid_before=fields.scalar(row, "pid_before"),
            pid_after=fields.scalar(row, "pid_after"),
            start_before=fields.scalar(row, "start_before"),
            start_after=fields.scalar(row, "start_after"),
            config_before=fields.scalar(row, "config_before"),
            config_after=fields.scalar(row, "config_after"),
            owner_before=fields.scalar(row, "owner_before"),
            owner_after=fields.scalar(row, "owner_after"),
            volumes_before=fields.scalar(row, "volumes_before"),
            volumes_after=fields.scalar(row, "volumes_after"),
            same=fields.flag(row, "same"),
        )


def _nodes(rows: Iterable[Fields]) -> Iterable[NodeRow]:
    for row in rows:
        yield NodeRow(
            node=fields.text(row, "node"),
            boot_before=fields.scalar(row, "boot_before"),
            boot_after=fields.scalar(row, "boot_after"),
            same=fields.flag(row, "same"),
        )


def end(event: Fields) -> End:
    """How the run ended."""
    return End(
        exit_status=fields.integer(event, "exit_status"),
        verdict=fields.text(event, "verdict"),
        next=fields.text(event, "next"),
        signal=fields.text_or_none(event, "signal"),
        at=fields.text(event, "t"),
    )
