"""A run in this process over a lab in this process, opened as pytest opens one; and what its gates ask for by name.

A fixture that acts is left out, and so each gate judges the state as it stands; a run that is carried out sets them up
too, and the lab's nodes are sent what they send.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from _pytest.config.findpaths import parse_override_ini
from gate_states import Kind, State
from lab_wire import LabConnection
from msgspec import structs
from pve_lab.build import build
from pve_lab.machine import Machine, Site
from pve_lab.model.clock import Clock
from pve_lab.model.cluster import Cluster
from pve_lab.scenarios import SCENARIOS
from pve_lab.shell import type_by_hand
from pve_runbook.options.option_types import Mode
from pve_runbook.options.options import read_options
from pve_runbook.plugin import fixtures
from pve_runbook.plugin.early_connections import connect_options
from pve_runbook.plugin.execution import EXECUTION, Execution
from pve_runbook.plugin.open_run import OPENED, OpenRun, open_run
from pve_runbook.plugin.run import Run
from pve_runbook.plugin.steps.order import ABOUT_A_NODE
from pve_runbook.plugin.steps.which_part import nodes_for
from pve_runbook.probes import allow_list
from pve_runbook.procedure import backup, stages

PROJECT = Path(__file__).parents[2]
EPOCH = 1795415359.0
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKlab0000000000000000000000000000000000000000 test"
NAMES = ["pve1", "pve2", "pve3"]
ACTS = "perform"
"""Whatever asks for this fixture sends something."""
PERSON = "approve"
"""A gate that asks for this fixture asks a person, and judges nothing."""
GIVEN = ("pytestconfig", "request", "_leaver")
"""Fixtures whose values are given here: what pytest would make of the command line and of the parameters."""
STANDS_FOR = {"restored": NAMES, "startall_back": NAMES}
"""What an acting fixture gives, where a gate reads it: as if it had acted on every node."""


@dataclass(frozen=True)
class Gate:
    """One test function of checks/ or of a phase."""

    folder: Mode
    module: ModuleType
    function: Callable[..., None]

    @cached_property
    def id(self) -> str:
        """As pytest names it."""
        return f"{self.folder}/{Path(str(self.module.__file__)).name}::{self.function.__name__}"

    @cached_property
    def kind(self) -> Kind:
        """Which kind of run it is asked in."""
        return "rollback" if "_phase8_" in self.id else self.folder

    @cached_property
    def markers(self) -> set[str]:
        """Whom it is about: its own markers, and its module's."""
        own, of_module = getattr(self.function, "pytestmark", []), getattr(self.module, "pytestmark", None)
        return {mark.name for mark in (*own, of_module) if mark is not None}

    @cached_property
    def asks_for(self) -> tuple[str, ...]:
        """The names of its fixtures."""
        return tuple(inspect.signature(self.function).parameters)


@cache
def gates() -> tuple[Gate, ...]:
    """Every gate, in the order of the files."""
    return tuple(
        Gate(folder, module, function)
        for folder in ("checks", "runbook")
        for module in _modules(folder)
        for name, function in vars(module).items()
        if name.startswith("test_") and inspect.isfunction(function)
    )


@cache
def _modules(folder: str) -> tuple[ModuleType, ...]:
    return tuple(_load(folder, path) for path in sorted((PROJECT / folder).glob("test_*.py")))


@cache
def _load(folder: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"gates_of_{folder}_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def _fixture(gate: Gate, name: str) -> Any:
    """The definition of a fixture where pytest finds it: beside the gate, in its folder, in the plugin."""
    places = (gate.module, _load(gate.folder, PROJECT / gate.folder / "conftest.py"), fixtures)
    found = [vars(place)[name] for place in places if name in vars(place)]
    assert found, f"{gate.id} asks for {name}, and nothing is called so"
    return found[0]


@cache
def _needs(definition: Any) -> tuple[str, ...]:
    return tuple(inspect.signature(definition._get_wrapped_function()).parameters)


@cache
def _acts(gate: Gate, name: str) -> bool:
    """Whether a fixture, or one that it asks for, sends something."""
    if name == ACTS:
        return True
    if name in GIVEN:
        return False
    return any(_acts(gate, needed) for needed in _needs(_fixture(gate, name)))


@cache
def _is_of_session(gate: Gate, name: str) -> bool:
    return name == "pytestconfig" or _fixture(gate, name)._fixture_function_marker.scope == "session"


@cache
def _is_about_a_node(gate: Gate, name: str) -> bool:
    if name in ABOUT_A_NODE:
        return True
    if name in GIVEN or _acts(gate, name):
        return False
    return any(_is_about_a_node(gate, needed) for needed in _needs(_fixture(gate, name)))


@dataclass
class Opening:
    """A lab in one state, a run over it that is open, and the values of its fixtures so far."""

    config: pytest.Config
    site: Site
    names: list[str]
    cluster: Cluster
    state: State
    records: Path
    """Where it keeps its record."""
    extra: tuple[str, ...] = ()
    """What stands on the command line beside the state's options: the record that it takes up, or rolls back."""
    begun: float = 0.0
    is_carried_out: bool = False
    """Whether fixtures that act are set up too."""
    session: dict[str, Any] = field(default_factory=dict)

    @property
    def clock(self) -> Clock:
        """The lab's time."""
        return self.cluster.clock

    @property
    def has_moved(self) -> bool:
        """Whether time went on in the lab, because a gate waited: what is judged next is another moment."""
        return bool(self.clock.now - self.begun >= 1.0)

    @property
    def unsimulated(self) -> str:
        """What the lab was asked and does not know; empty when all is well."""
        log = self.site.unsimulated
        return log.read_text(encoding="utf-8") if log.exists() else ""

    def subjects(self, gate: Gate) -> Iterator[tuple[str, dict[str, Any]]]:
        """What the gate is asked about: each node with its name, or all of them once, with "" for a name; nothing where
        it has no part in the run."""
        asked = gate.asks_for
        meant = nodes_for(gate.markers, self.opened.run.options)
        if not meant:
            return
        if "leaver" in asked:
            for place, name in enumerate(n.name for n in self._value(gate, "members", {}).leaving):
                yield name, {"_leaver": place}
        elif any(_is_about_a_node(gate, name) for name in asked):
            for name in meant:
                yield name, {"request": SimpleNamespace(config=self.config, param=name)}
        else:
            yield "", {}

    def judge(self, gate: Gate, about: Mapping[str, Any]) -> None:
        """Ask the gate. Raises whatever it, or one of its fixtures, raises."""
        values = dict(about)
        if gate.folder == "runbook":
            for name, first in (("survival", "baseline"), ("members", "chosen"), ("leaver", "chosen")):
                # What the steps before it have made of them by then.
                if name in gate.asks_for and _comes_after(gate, first):
                    self._value(gate, first, values)
        in_turn = sorted(gate.asks_for, key=lambda name: not _is_of_session(gate, name))  # as pytest sets them up
        gate.function(**{name: self._value(gate, name, values) for name in in_turn})

    def _value(self, gate: Gate, name: str, values: dict[str, Any]) -> Any:
        if name == "pytestconfig":
            return self.config
        if name in values:
            return values[name]
        if name in self.session:
            return self.session[name]
        definition = _fixture(gate, name)
        if _acts(gate, name) and not self.is_carried_out:
            return STANDS_FOR.get(name)
        function = definition._get_wrapped_function()
        value = function(**{needed: self._value(gate, needed, values) for needed in _needs(definition)})
        if name == "candidates":  # how long this process took to answer itself is no state of a lab; a stall is one
            value = [
                structs.replace(one, latencies=tuple(x if x > STALL else 0.0 for x in one.latencies)) for one in value
            ]
        kept = self.session if _is_of_session(gate, name) else values
        kept[name] = value
        return value

    @property
    def opened(self) -> OpenRun:
        """The run."""
        return self.config.stash[OPENED]

    def set_up(self, name: str) -> None:
        """Set a fixture of the session up, as the first step that asks for it does."""
        self._value(next(g for g in gates() if name in g.asks_for), name, {})

    def carry_out(self, kind: Kind) -> Iterator[tuple[Gate, str, dict[str, Any]]]:
        """Every gate in turn, with whom it is about, each after what acts before it; a person's answers are given."""
        self.is_carried_out = True
        for gate in gates():
            if gate.kind == kind and PERSON not in gate.asks_for:
                for name, about in self.subjects(gate):
                    yield gate, name, about

    def again(self, kind: Kind, directory: Path, state: State) -> Opening:
        """End this run, and open one with the options, hosts and answers of ``state`` over the same lab."""
        self.end()
        self._forget()
        nodes = self.cluster.nodes
        hosts = state.hosts or {n: n for n, node in nodes.items() if kind == "checks" or node.powered}
        options, mode = (*state.options, f"--records={self.records}", *self.extra), _mode(kind)
        found = _opened(self.cluster, self.site, mode, hosts, directory, options, state, extra=self.extra)
        found.begun = self.begun
        return found

    def end(self) -> None:
        """End the run."""
        self.opened.cluster.close()
        self.opened.run.journal.close()

    def close(self) -> None:
        """End everything."""
        self.end()
        for machine in self.site.machines.values():
            machine.close()
            machine.node.pmxcfs.database.close()
            machine.node.files.release()
        self._forget()

    def _forget(self) -> None:
        self.config._ensure_unconfigure()
        for key in (OPENED, EXECUTION):
            if key in self.config.stash:
                del self.config.stash[key]


STALL = 5.0
"""Seconds after which an answer is late because a state says so."""


@cache
def _comes_after(gate: Gate, fixture: str) -> bool:
    """Whether the gate is asked after the step that asks for the fixture first; a run goes from top to bottom."""
    everyone = [g for g in gates() if g.kind == gate.kind]
    first = next((g for g in everyone if fixture in g.asks_for), None)
    return first is not None and everyone.index(gate) >= everyone.index(first)


def command_line(place: Path, options: Iterable[str]) -> pytest.Config:
    """A command line as pytest reads it, of a project that holds nothing."""
    args = [f"--rootdir={place}", *options, str(place)]
    found = copy(_with_plugins())
    found.option, found.stash, found._cleanup_stack = copy(found.option), pytest.Stash(), ExitStack()
    found._parser.parse(args, namespace=found.option)
    found.args, found._rootpath = [str(place)], place
    found._inicfg, found._inicache = parse_override_ini(found.option.override_ini), {}
    found.invocation_params = pytest.Config.InvocationParams(args=args, plugins=None, dir=Path.cwd())
    return found


@cache
def _with_plugins() -> pytest.Config:
    """pytest with all its plugins: to load them takes fifty times as long as to read a command line."""
    with TemporaryDirectory() as place:
        found = pytest.Config.fromdictargs({}, [f"--rootdir={place}", f"--confcutdir={place}", place])
    found._ensure_unconfigure()  # it hooked itself into the import system
    return found


def opening(state: State, kind: Kind, directory: Path) -> Opening:
    """Build the state's lab below ``directory``, and open a run over it.

    checks/ go on without a node that has no power; the runbook is given the others alone. What is rolled back or taken
    up is a run that made its backups, after which the nodes left.
    """
    shaped = SCENARIOS[state.scenario]
    directory.mkdir(parents=True)
    cluster = build(len(NAMES), directory, EPOCH, KEY, shaped.version, shaped.inventory, state.wiring or shaped.wiring)
    shaped.shape(cluster)
    site = Site(directory / "unsimulated.log")
    for name, node in cluster.nodes.items():
        Machine(node, directory / f"{name}.jsonl", site)
    extra: tuple[str, ...] = ()
    if kind == "rollback" or state.taken_up:
        everyone = {name: name for name in NAMES}
        as_it_was = replace(state, says={})
        record = _backed_up(_opened(cluster, site, "runbook", everyone, directory / "first", state.first, as_it_was))
        extra = (f"--rollback={record}" if kind == "rollback" else f"--records={record.parent}",)
        state.left(cluster)
    if state.shape is not None:
        state.shape(cluster)
    type_on_nodes(site, state.typed)
    hosts = state.hosts or {n: n for n, node in cluster.nodes.items() if kind == "checks" or node.powered}
    options = (*state.options, *extra)
    made = _opened(cluster, site, _mode(kind), hosts, directory / "run", options, state, extra=extra)
    if state.struck or state.strikes is not None:
        made.set_up("baseline")
        type_on_nodes(site, state.struck)
        if state.strikes is not None:
            state.strikes(cluster)
        made.opened.cluster.forget()
    made.begun = cluster.clock.now
    return made


def _mode(kind: Kind) -> Mode:
    return "checks" if kind == "checks" else "runbook"


def _opened(
    cluster: Cluster,
    site: Site,
    mode: Mode,
    hosts: Mapping[str, str],
    place: Path,
    options: Iterable[str],
    state: State,
    extra: tuple[str, ...] = (),
) -> Opening:
    place.mkdir()
    config = command_line(place, [f"--hosts={','.join(hosts)}", f"--records={place / 'records'}", *options])
    found = read_options(config, mode)
    known = allow_list.of_a_reading_run(activate_storage=found.activate_storage)
    connect = connect_options(config, found)
    wired = replace(connect, known=known if mode == "checks" else None)
    ready = [
        LabConnection(target, wired, site.machines[node], state.says.get(node, {}))
        for target, node in zip(found.targets, hosts.values(), strict=True)
    ]
    opened = open_run(Run(config, found, ready), connect)
    assert {n.connection for n in opened.cluster.nodes} <= set(ready), "a node would be reached over the network"
    config.stash[OPENED] = opened
    config.stash[EXECUTION] = Execution(opened)
    return Opening(config, site, list(hosts), cluster, state, found.records, extra)


def _backed_up(run: Opening) -> Path:
    """The record of a run that took its baseline, locked the nodes, and backed them up."""
    run.set_up("baseline")
    opened, perform = run.opened, run.config.stash[EXECUTION].perform
    copies = backup.Copies(perform.work().backups, opened.folder / "backups")
    (opened.folder / "backups").mkdir()
    perform(stages.LOCKED)
    perform(stages.BACKUP_FOLDER)
    perform(stages.BACKUPS, first=copies.note)
    opened.cluster.each(copies.bring)
    run.end()
    return opened.folder


def type_on_nodes(site: Site, lines: Mapping[str, str]) -> None:
    """Node → what another hand types there; it has to succeed."""
    for node, line in lines.items():
        _, said, status = type_by_hand(site.machines[node], line)
        assert status == 0, f"{line}: {said}"
