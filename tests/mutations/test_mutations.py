"""The mutants themselves: each is code that can be read, under a name of its own, and what is written of them holds."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from known_survivors import PAPER, known
from mutant import Mutant
from named_mutants import Stale, named
from parts import PARTS
from python_mutants import ASSERT, BOOL, CALL, COMPARE, NOT, NUMBER, RAISE, SKIP, changes
from shell_mutants import changes as shell_changes
from trial import KILLED, SURVIVED, Copy, NotGreen

PROJECT = Path(__file__).parents[2]
KINDS = (ASSERT, SKIP, CALL, COMPARE, BOOL, NOT, RAISE, NUMBER)

SOURCE = """\
LIMIT = 5


def test_é(judge):
    if judge:
        judge("ä")


def guard(a, b, *, timeout=2):
    if a == b and not a:
        raise ValueError
    assert a is not None, "é"
    return a not in b
"""


@pytest.fixture(scope="module")
def every() -> list[Mutant]:
    """All mutants of all parts."""
    return [mutant for part in PARTS.values() for mutant in part(PROJECT)]


def test_every_mutant_has_a_name_of_its_own(every: list[Mutant]) -> None:
    assert [name for name, times in Counter(m.id for m in every).items() if times > 1] == []
    assert {m.part for m in every} >= set(PARTS) - {"named"}


def test_the_script_names_them_by_itself(every: list[Mutant]) -> None:
    """Typed in a shell it has none of the paths that pytest has put up for this test."""
    named = subprocess.run(
        [sys.executable, "tests/mutations", "--list"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert named.returncode == 0, named.stderr
    assert [m.id for m in every if f"{m.id}\n" not in named.stdout] == []


def test_every_mutant_of_python_is_python_still(every: list[Mutant]) -> None:
    """One that cannot be read would be killed by whatever imports it."""
    for mutant in every:
        if mutant.file.endswith(".py"):
            ast.parse(mutant.applied_to((PROJECT / mutant.file).read_bytes()))


def test_what_is_said_to_survive_is_a_mutant_still(every: list[Mutant]) -> None:
    assert known() - {m.id for m in every} == set()


def test_the_paper_has_every_part_in_both_tables_and_its_numbers_add_up() -> None:
    lines = [line for line in PAPER.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [row[0] for row in rows if len(row) == 3] == [f"`{part}`" for part in PARTS], "what is broken"
    run = {part: [int(number) for number in numbers] for part, *numbers in rows if len(numbers) == 4}
    assert list(run) == [f"`{part}`" for part in PARTS], "what was run"
    assert [part for part, (all_, *ended) in run.items() if all_ != sum(ended)] == []
    mutants, killed, survive, untried = (sum(column) for column in zip(*run.values(), strict=True))
    total = f"{mutants} mutants: {killed} killed, {survive} survive with a row above, {untried} not tried."
    assert total in PAPER.read_text(encoding="utf-8")


def test_each_kind_is_found_where_letters_take_two_bytes(tmp_path: Path) -> None:
    path = tmp_path / "source.py"
    path.write_text(SOURCE, encoding="utf-8")
    source = path.read_bytes()
    found = {c.name: (source[c.start : c.end].decode(), c.new) for c in changes(path, *KINDS)}
    assert found == {
        "LIMIT:number-1": ("5", "5000"),
        "test_é:call-1": ('judge("ä")', "pass"),
        "guard:number-1": ("2", "2000"),
        "guard:raise-1": ("a == b and not a", "False"),
        "guard:bool-1": ("and", "or"),
        "guard:compare-1": ("==", "!="),
        "guard:not-1": ("not", ""),
        "guard:assert-1": ("a is not None", "True"),
        "guard:compare-2": ("is not", "is"),
        "guard:compare-3": ("not in", "in"),
    }


def test_a_line_of_a_script_is_left_out_and_its_frame_is_not(tmp_path: Path) -> None:
    path = tmp_path / "script.sh"
    path.write_text(
        "set -u\nif x; then\n  must rm -f /é\nfi\nif x; then y; fi\nrun() {\n  run y\n}\n", encoding="utf-8"
    )
    source = path.read_bytes()
    assert [(c.name, source[c.start : c.end].decode()) for c in shell_changes(path)] == [
        ("must-rm-f-é-1", "must rm -f /é"),
        ("if-x-then-y-fi-1", "if x; then y; fi"),
        ("run-y-1", "run y"),
    ]


def test_a_named_mutant_stands_in_its_file_once(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("a = 1\nb = 1\n")
    entry = '[[mutant]]\nid = "x"\nfile = "code.py"\nfind = "{}"\nreplace = "2"\ntests = ["tests/x"]\n'
    (tmp_path / "data.toml").write_text(entry.format("b = 1"))
    [found] = named(tmp_path, tmp_path)
    assert (found.id, found.applied_to(b"a = 1\nb = 1\n")) == ("data:x", b"a = 1\n2\n")
    (tmp_path / "data.toml").write_text(entry.format("= 1"))
    with pytest.raises(Stale, match=r"data\.toml, x: its text stands 2 times in code\.py"):
        list(named(tmp_path, tmp_path))


def test_a_mutant_is_tried_in_a_copy(tmp_path: Path) -> None:
    """It is killed where a test looks, survives where none does, and the files are as they were."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "code_under_test.py").write_text("A, B = 1, 1\n")
    (project / "test_code.py").write_text("from code_under_test import A\n\n\ndef test_a():\n    assert A == 1\n")
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    copy = Copy(project, tmp_path / "copy")
    copy.green(("test_code.py",), 60)
    killed = copy.try_out(Mutant("a", "", "code_under_test.py", 7, 8, "2", ("test_code.py",)), 60)
    survived = copy.try_out(Mutant("b", "", "code_under_test.py", 10, 11, "2", ("test_code.py",)), 60)
    assert (killed.outcome, killed.by) == (KILLED, "test_code.py::test_a")
    assert (survived.outcome, survived.by) == (SURVIVED, "")
    assert (copy.place / "code_under_test.py").read_text() == "A, B = 1, 1\n"
    (copy.place / "code_under_test.py").write_text("A, B = 2, 1\n")
    with pytest.raises(NotGreen, match=r"test_code\.py"):
        copy.green(("test_code.py",), 60)
