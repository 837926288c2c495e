"""What is broken, part by part, and which tests ought to see it first."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import chain, islice, zip_longest
from pathlib import Path

import python_mutants as python
import shell_mutants as shell
from mutant import Mutant
from named_mutants import named

HERE = Path(__file__).parent
GATES = "tests/gates/test_gate_table.py"
MOST_STATES = 12
"""Of the gates' table, for one mutant: for everything that its gate says, the first state in which it does."""
WAY_BACK = ("tests/end_to_end/test_rollback.py",)
ON_THE_WAY_BACK = ("tests/procedure/test_way_back.py",)
ACTIONS = ("tests/end_to_end/test_interrupted.py", "tests/end_to_end/test_plan.py")
"""What the fixtures that act are seen by."""
QUESTIONS = ("tests/end_to_end/test_operator.py::test_names_typed_in_full_take_the_run_to_its_end",)
"""Where every question of a run is answered at a terminal."""
LEAVING = (
    "tests/end_to_end/test_leave.py::test_the_named_nodes_leave_and_the_others_stay_a_cluster[own-link-3-gone0]",
)
ASKED = ("tests/gates/test_persons_asked.py",)
"""What a person is asked, and where there is nothing to be asked."""
MORE = {
    "runbook/test_phase0_freeze.py::test_operator_says_who_is_powered_off": ASKED,
    "runbook/test_phase4_corosync.py::test_operator_approves_the_window": ASKED,
    "runbook/test_phase7_survival.py::test_operator_lets_guests_start": ASKED,
    "runbook/test_phase7_survival.py::test_operator_approves_the_thaw": ASKED,
    "runbook/test_phase0_conditions.py::_have_one_configuration": (
        f"{GATES}::test_every_gate_says_what_is_written[conf-differs]",
    ),
    "runbook/test_phase2_quorum.py::test_operator_approves_the_silence": (*ASKED, *LEAVING),
    "runbook/conftest.py::_ha_lets_go": ("tests/procedure/test_ha_disarmed.py",),
    "runbook/test_phase4_corosync.py::test_nothing_stands_in_the_way": ("tests/procedure/test_live_network.py",),
    "runbook/test_phase6_standalone.py::test_operator_lets_the_nodes_go": LEAVING,
    "runbook/test_phase0_freeze.py::test_backups_are_checked": ("tests/end_to_end/test_backups.py",),
    "runbook/test_phase0_freeze.py::test_operator_means_it_anyway": ("tests/procedure/test_gates_of_phases.py", *ASKED),
    "runbook/test_phase8_rollback.py::test_present_state_is_backed_up": WAY_BACK,
    "runbook/test_phase4_corosync.py::test_there_is_a_second_way_in": ON_THE_WAY_BACK,
    "runbook/test_phase8_rollback.py::test_there_is_a_second_way_in": ON_THE_WAY_BACK,
    "runbook/conftest.py::left_cluster": ("tests/procedure/test_windows.py",),
    "runbook/conftest.py::_ha_is_not_armed": ("tests/procedure/test_gates_of_phases.py",),
}
"""By gate, where the table of the gates leaves one out."""
ON_A_NODE = ("tests/procedure/test_scripts.py", "tests/procedure/test_windows.py")
"""The scripts by themselves, each guard failing once, and the windows of a run."""
AFTER_THE_BASELINE = (
    "guest-killed",
    "reset",
    "guest-removed",
    "scheduler-stopped",
    "broken",
    "back-edited",
    "duplicate-id",
)
SCRIPTS = tuple(f"plugins/pve_runbook/procedure/{name}.sh" for name in ("window", "node", "restore"))
WIRE = {
    "plugins/pve_runbook/ssh/batch.py": ("tests/ssh/test_batch.py", "tests/ssh/test_transport.py"),
    "plugins/pve_runbook/ssh/transport.py": ("tests/ssh/test_transport.py", "tests/ssh/test_connection.py"),
    "plugins/pve_runbook/ssh/sudo.py": ("tests/ssh/test_connection.py",),
    "plugins/pve_runbook/probes/allow_list.py": ("tests/probes", "tests/ssh/test_transport.py"),
    "plugins/pve_runbook/probes/probe.py": ("tests/probes", "tests/cluster", "tests/ssh/test_transport.py"),
    "plugins/pve_runbook/probes/testinfra.py": ("tests/cluster/test_gate_commands.py", "tests/ssh/test_transport.py"),
    "plugins/pve_runbook/cluster/node.py": ("tests/cluster", "tests/ssh/test_node_over_ssh.py"),
}
"""File → tests, the quickest first."""
EVERY_BOUND = (
    "tests/probes/test_probe_bounds.py",
    "tests/actions/test_action_bounds.py",
    "tests/procedure/test_every_wait.py",
)
BOUNDED = ("ssh", "cluster", "probes", "actions", "procedure")
"""Rooms whose numbers bound what is done on a node."""


def _state(name: str) -> str:
    return f"{GATES}::test_every_gate_says_what_is_written[{name}]"


PROOF: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("plugins/pve_runbook/facts/continuity.py", "plugins/pve_runbook/procedure/survival.py"),
        (
            *("tests/facts", "tests/procedure/test_survival.py", *map(_state, AFTER_THE_BASELINE)),
            "tests/record/test_record_model.py",
        ),
    ),
    **dict.fromkeys(
        ("plugins/pve_runbook/journal/journal.py", "plugins/pve_runbook/journal/reading.py"),
        ("tests/journal", "tests/record/test_record_verify.py"),
    ),
    "plugins/pve_runbook/record/verify.py": (
        *("tests/record/test_record_rebuild.py", "tests/record/test_record_verify.py"),
        "tests/record/test_record_valid.py",
    ),
}
"""File → tests, the quickest first."""


def _python(
    root: Path, part: str, file: str, tests: Callable[[python.Change], Iterable[str]], *kinds: str
) -> Iterator[Mutant]:
    for change in python.changes(root / file, *kinds):
        yield Mutant(f"{file}:{change.name}", part, file, change.start, change.end, change.new, tuple(tests(change)))


def gates(root: Path) -> Iterator[Mutant]:
    """Every assertion and every reason not to ask, in checks/ and runbook/, always holds."""
    table = _Table(root)
    for folder in ("checks", "runbook"):
        for path in sorted((root / folder).glob("*.py")):
            file = f"{folder}/{path.name}"

            def tests(change: python.Change, file: str = file) -> Iterable[str]:
                function = change.name.partition(":")[0]
                more = MORE.get(f"{file}::{function}", ())
                if table.asks_a_person(file, function):
                    return (*more, *(WAY_BACK if "phase8" in file else QUESTIONS))
                if table.acts(file, function):
                    return (*ON_THE_WAY_BACK, *WAY_BACK) if "phase8" in file else (*more, *ACTIONS)
                return (*table.tests_of(file, function), *more)

            yield from _python(root, "gates", file, tests, python.ASSERT, python.SKIP, python.CALL, python.RAISE)


class _Table:
    """In which states a gate says something but yes, by tests/gates/outcomes.txt."""

    def __init__(self, root: Path) -> None:
        # As pytest has them: the folder of the tests themselves, and that of all tests.
        sys.path[:0] = [str(root / "tests" / "gates"), str(root / "tests")]
        from gate_table import OUTCOMES, parse

        self._root = root
        self._table = parse((root / "tests" / "gates" / "outcomes.txt").read_text(encoding="utf-8"))
        self._outcomes = OUTCOMES

    def tests_of(self, file: str, function: str) -> Iterator[str]:
        """The states for a gate; for a fixture beside it, or in conftest.py, those of the gates that ask for it."""
        wanted = set(self._askers(file, function.partition(".")[0]))
        first: dict[str, dict[str, str]] = {outcome: {} for outcome in self._outcomes}
        for state, column in self._table.items():
            for said in (said for gate in wanted & set(column) for said in column[gate]):
                first[said.outcome].setdefault(said.text, state)
        in_turn = chain.from_iterable(zip_longest(*(texts.values() for texts in first.values())))
        for state in islice(dict.fromkeys(filter(None, in_turn)), MOST_STATES):
            yield _state(state)
        yield f"{GATES}::test_a_node_that_answers_slowly_is_refused"

    def acts(self, file: str, function: str) -> bool:
        """Whether it is a fixture that sends something, or a part of one."""
        name = function.partition(".")[0]
        needs = _needs(self._root / file)
        return "perform" in (name, *needs.get(name, ())) or (name.startswith("_") and name in needs)

    def asks_a_person(self, file: str, function: str) -> bool:
        """Whether it asks for what asks the operator."""
        return "approve" in _needs(self._root / file).get(function.partition(".")[0], ())

    def _askers(self, file: str, function: str) -> Iterator[str]:
        folder, _, name = file.partition("/")
        paths = sorted((self._root / folder).glob("test_*.py")) if name == "conftest.py" else [self._root / file]
        for path in paths:
            needs = _needs(path) | (_needs(path.with_name("conftest.py")))
            for gate in _needs(path):
                if gate.startswith("test_") and function in _all_needs(gate, needs):
                    yield f"{folder}/{path.name}::{gate}"


def _needs(path: Path) -> dict[str, set[str]]:
    """Function → the names of its arguments."""
    return _arguments(path.read_bytes())


@cache
def _arguments(source: bytes) -> dict[str, set[str]]:
    tree = ast.parse(source)
    return {f.name: {a.arg for a in f.args.args} for f in tree.body if isinstance(f, ast.FunctionDef)}


def _all_needs(name: str, needs: dict[str, set[str]]) -> set[str]:
    return {name}.union(*(_all_needs(n, needs) for n in needs.get(name, ()) if n != name))


def proof(root: Path) -> Iterator[Mutant]:
    """Every comparison and guard of the proof, and of the journal's chain, is turned round."""
    for file, tests in PROOF.items():

        def those(change: python.Change, tests: tuple[str, ...] = tests) -> Iterable[str]:
            return tests

        yield from _python(root, "proof", file, those, python.COMPARE, python.BOOL, python.NOT, python.RAISE)


def scripts(root: Path) -> Iterator[Mutant]:
    """Every line of what runs on a node by itself is left out."""
    for file in SCRIPTS:
        for change in shell.changes(root / file):
            yield Mutant(f"{file}:{change.name}", "scripts", file, change.start, change.end, change.new, ON_A_NODE)


def wire(root: Path) -> Iterator[Mutant]:
    """Every guard of the line that only reads lets everything through, and every comparison in it is turned round."""
    for file, tests in WIRE.items():
        yield from _python(
            root, "wire", file, lambda change, tests=tests: tests, python.RAISE, python.COMPARE, python.BOOL, python.NOT
        )


def bounds(root: Path) -> Iterator[Mutant]:
    """Every number that bounds something is a thousand times as large."""
    for room in BOUNDED:
        for path in sorted((root / "plugins" / "pve_runbook" / room).glob("*.py")):
            file = str(path.relative_to(root))
            yield from _python(root, "bounds", file, lambda change, file=file: _rooms(root, file), python.NUMBER)


def _rooms(root: Path, file: str) -> tuple[str, ...]:
    """What knows all bounds, then the tests of the room that a file is in, and of the lab it is tried on."""
    room = Path(file).parts[2]
    near = "tests/procedure/test_backups_made.py" if room == "procedure" else f"tests/{room}"
    return tuple(t for t in (*EVERY_BOUND, near, "tests/lab/test_lab_at_rest.py") if (root / t).exists())


PARTS: dict[str, Callable[[Path], Iterator[Mutant]]] = {
    "gates": gates,
    "proof": proof,
    "scripts": scripts,
    "wire": wire,
    "bounds": bounds,
    "named": lambda root: named(root, HERE),
}
