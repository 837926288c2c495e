"""What runbook/ has beside a run whose nodes are connected: the proof, the procedure, the approvals, the plan."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import cached_property

import pytest
from msgspec.structs import replace

from pve_runbook.journal import events
from pve_runbook.parsers.own_files import Lock
from pve_runbook.plan import files
from pve_runbook.plan.markdown import NOT_EVALUATED, Gate, StageText, plan_md
from pve_runbook.plan.model import Plan, Question
from pve_runbook.plugin import deciding_code, rerun_command
from pve_runbook.plugin.approval import Ahead, Approvals, Asking
from pve_runbook.plugin.cluster_verdict import ClusterVerdict
from pve_runbook.plugin.open_run import OpenRun
from pve_runbook.plugin.perform import Performer
from pve_runbook.plugin.provenance import operator
from pve_runbook.plugin.second_look import SecondLook
from pve_runbook.plugin.steps import step as steps
from pve_runbook.plugin.steps.places import places
from pve_runbook.procedure import authority, left_to_do, planning
from pve_runbook.procedure.forecast import Forecast
from pve_runbook.procedure.planning import Place
from pve_runbook.procedure.questions import Questions
from pve_runbook.procedure.startall.words import DOWN, STARTED
from pve_runbook.procedure.survival import Survival
from pve_runbook.procedure.work import Work


class Execution:
    """Puts together what an unfinished run, the command line and the nodes say."""

    def __init__(self, opened: OpenRun) -> None:
        self._opened = opened
        self._run = opened.run
        self.plan_text = ""
        """The plan that was written last, in words; "" when none was."""
        self.survival = Survival(opened.members, opened.run.notes)
        """The proof that every guest ran on."""
        earlier = opened.unfinished.baseline if opened.unfinished is not None else None
        if earlier is not None:
            self.survival.as_before(earlier)

    @cached_property
    def questions(self) -> Questions:
        """What the operator is asked."""
        opened = self._opened
        against = ClusterVerdict(opened).against
        return Questions(opened.members, self.survival, self._run.options.absent, against)

    @cached_property
    def perform(self) -> Performer:
        """What carries the stages out."""
        return Performer(self._opened.cluster, self._run.notes, self.work)

    @cached_property
    def approve(self) -> Approvals:
        """What asks for an approval, and holds it against the plan."""
        options, back = self._run.options, self._run.rollback
        ahead = Ahead(
            forecasts=self._forecasts,
            work=lambda: replace(self.work(), disarms=self._opened.members.disarms),
            done=self.perform.done,
            places=self._places,
            code=deciding_code.sources(self._run.config.rootpath / "runbook"),
            wanted_authority=self.wanted_authority,
            taken_up=self._opened.unfinished is not None,
        )
        asking = Asking(
            given=options.approve,
            rehearsal=options.rehearse,
            only_plans=options.plan,
            records=options.records,
            folder=self._opened.folder,
            ask=self._ask,
            write=self.write_plan,
            candidates=lambda: authority.candidates(self._opened.members.may_lead),
            second_look=SecondLook(self._opened.members, self.survival, self._law),
            ahead=self.questions.ahead if back is None else lambda plan: (),
        )
        return Approvals(ahead, asking, self._run.notes)

    def _law(self) -> str:
        if self._run.options.anyway:
            return ""
        verdict = ClusterVerdict(self._opened)
        part = verdict.quorate_majority()
        return verdict.law(part) if part is not None else ""

    @cached_property
    def _places(self) -> list[Place]:
        return places(self._run.outcome.steps)

    def tell(self, text: str) -> None:
        """Say on the terminal what a step found that the steps after it rest on."""
        self._run.screen.progress(text)

    def wanted_authority(self, found: Sequence[authority.Candidate]) -> str | None:
        """The node that --authority names, or the one that the run taken up chose, if it is still in the cluster."""
        by_option, earlier = self._run.options.authority, self._opened.unfinished
        if by_option is not None:
            return by_option.node
        return next((c.node for c in found if earlier is not None and c.node == earlier.authority), None)

    def _forecasts(self) -> dict[str, Forecast]:
        return {n.name: Forecast(n) for n in self._opened.cluster.nodes}

    def _ask(self, prompt: str) -> str | None:
        with self._opened.cluster.brakes.asking():
            typed = self._run.screen.ask(prompt)
        if typed is not None:
            self._opened.cluster.forget()  # minutes may have passed
        return typed

    def work(self) -> Work:
        """What the stages' decisions need to know of this run, as far as it is known by now."""
        run, members, back = self._run, self._opened.members, self._run.rollback
        nodes, canary = self._opened.cluster.nodes, run.options.canary
        earlier = self._opened.unfinished if back is None else None
        return Work(
            cluster=members.cluster_name,
            run=self._opened.cluster.work,
            attempt=self._opened.cluster.attempt,
            lock=self._lock.text,
            canary_ids=None if canary == "off" else {n.name: str(canary or planning.VMID) for n in nodes},
            tag=run.id[-4:],
            key=planning.KEY,
            card=planning.CARD,
            backups=self._opened.cluster.work if back is None else run.id,
            held_as=self._opened.cluster.work,
            keeps_backups=earlier is not None and earlier.changed_something,
            members=members.names,
            authority=members.authority.name if members.authority is not None else None,
            standalone_at_start=members.standalone_at_start,
            scheduled=self.survival.scheduled,
            root_login=members.logs_in_as_root,
            back=back.members(nodes) if back is not None else None,
            staying=frozenset(n.name for n in members.staying),
            let_go=members.is_let_go,
        )

    @property
    def _lock(self) -> Lock:
        return Lock(
            self._opened.cluster.work, operator(), f"{self._run.started:%Y-%m-%dT%H:%M:%SZ}", self._opened.folder.name
        )

    def write_plan(self, plan: Plan, first: Question | None = None) -> None:
        """Write plan.md, plan.json and by-hand.md beside the record, and name the plan in the journal.

        ``first``: the question that is about to be asked; on the way back it is the only one that a plan can name.
        Raises OSError, UnknownFact.
        """
        run, outcome = self._run, self._run.outcome
        asked = self.questions.ahead(plan) if run.rollback is None or first is None else (first,)
        plan = plan.with_words(asked, planning.unknown_before(plan))

        def gate(phase: int, title: str) -> Gate:
            return Gate(title, outcome.judged.get((phase, title), NOT_EVALUATED))

        stages = [
            StageText(p.stage.name, p.phase, tuple(gate(p.phase, t) for t in p.before), gate(p.phase, p.after))
            for p in self._places
        ]
        made = f"Made {run.started:%Y-%m-%d %H:%M:%S} UTC by: {rerun_command.again(run.config)}"
        said = (plan, stages, steps.phases_of(outcome.steps), made, outcome.stopped_at or "")
        cluster = self._opened.cluster
        names = (planning.BY_HAND, planning.BY_HAND) if run.options.plan else (cluster.work, cluster.attempt)
        card = self.approve.card(*names) if run.rollback is None else None
        files.write(self._opened.folder, plan, plan_md(*said, folded=False), card)
        run.journal.write(events.Plan(hash=plan.hash, commands=plan.commands, nodes=plan.nodes), sync=True)
        self.plan_text = plan_md(*said, folded=run.config.option.verbose < 1)

    def list_what_is_left(self) -> None:
        """Note what the operator has to do afterwards. Raises UnknownFact."""
        earlier = self._opened.unfinished.events if self._opened.unfinished is not None else ()
        entries = (*self._run.journal.events, *earlier)
        cluster, members, absent = self._opened.cluster, self._opened.members, self._run.options.absent
        if members.staying:
            left = left_to_do.where_others_stay(members, cluster.work, absent)
        else:
            left = left_to_do.what_is_left(cluster.nodes, cluster.work, absent, entries)
        for node, text in (*left, *left_to_do.still_down(entries), *left_to_do.not_applied(entries)):
            self._run.notes.leave(text, node)

    @property
    def changed_something(self) -> bool:
        """Whether a command was sent, by this run or the one it took up, that changes more than our own folder."""
        own = any(map(events.changes_the_node, self._run.journal.events))
        earlier = self._opened.unfinished if self._run.rollback is None else None
        return own or (earlier is not None and earlier.changed_something)

    def forget_key(self) -> None:
        """Delete the private keys of the second way in, this run's and those of the runs it took up."""
        earlier = self._opened.unfinished
        for folder in (self._opened.folder, *(earlier.folders if earlier is not None else ())):
            shutil.rmtree(folder / "access", ignore_errors=True)

    # --- how it went, in words

    @property
    def guests(self) -> str:
        """How guests, nodes, configs and volumes are against the baseline."""
        return self.survival.line

    @property
    def is_compared(self) -> bool:
        """Whether they were held against the baseline."""
        return self.survival.last is not None

    @property
    def lost(self) -> str:
        """Which guests did not run on, and why; "" when all did."""
        names = ", ".join(map(str, self.survival.lost_guests))
        why = f" ({', '.join(self.survival.rebooted)} was rebooted)" if self.survival.rebooted else ""
        return f"{names}{why}" if names else ""

    @property
    def none_ran(self) -> bool:
        """Whether no guest ran when the run began: none could run on."""
        return self.survival.is_taken and not self.survival.running

    @property
    def some_down(self) -> bool:
        """Whether guests were down when the run, or the one that it took up, began, and nobody starts them."""
        earlier = self._opened.unfinished.events if self._opened.unfinished is not None else ()
        noted = events.of_kind((*self._run.journal.events, *earlier), events.Note)
        return any(note.topic == DOWN for note in noted)

    @property
    def started(self) -> tuple[str, ...]:
        """Which guests came up, node by node, once their start was let go."""
        notes = events.of_kind(self._run.journal.events, events.Note)
        return tuple(f"{note.node}: {note.text}" for note in notes if note.topic == STARTED)

    @property
    def asked(self) -> bool:
        """Whether a plan has come to where a run would ask before its first change."""
        return self.approve.asked

    @property
    def plan(self) -> tuple[str, int] | None:
        """Hash and number of commands of the plan that was made or approved last."""
        plan = self.approve.approved
        return (plan.hash, len(plan.commands)) if plan is not None else None


EXECUTION = pytest.StashKey[Execution]()
"""Where the config keeps what only runbook/ has."""
