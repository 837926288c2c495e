"""`pve-runbook init` and `--update`, as typed: what they write, and what they refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from environment import as_typed
from pve_runbook.project_copy.carried import carried
from pve_runbook.project_copy.manifest import MANIFEST, sha256

PROJECT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).with_name("pve-runbook")
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""
GATE = "runbook/test_phase1_authority.py"
GONE = "runbook/test_gone.py"


def init(*arguments: str, cwd: Path, largest_file: int | None = None) -> subprocess.CompletedProcess[str]:
    """``largest_file``: bytes, a write of more fails as on a full disk."""
    limited = [] if largest_file is None else [sys.executable, "-c", LIMITED, str(largest_file)]
    return subprocess.run(
        [*limited, sys.executable, "-W", "error", str(COMMAND), "init", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        env=as_typed(),
        check=False,
    )


def refused(ran: subprocess.CompletedProcess[str], *words: str, status: int = 1) -> None:
    """The exit status, and the words in one line."""
    assert (ran.returncode, ran.stdout) == (status, "")
    *usage, line = ran.stderr.splitlines()
    assert line.startswith("pve-runbook") and all(word in line for word in words), line
    assert (status == 2) == bool(usage)


def tree(folder: Path) -> dict[str, bytes]:
    """Name → content of every file."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def files(folder: Path) -> dict[str, bytes]:
    """Every file but the manifest."""
    return {name: content for name, content in tree(folder).items() if name != MANIFEST}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy as this version writes it."""
    assert init("copy", cwd=tmp_path).returncode == 0
    return tmp_path / "copy"


@pytest.fixture
def older(copy: Path) -> Path:
    """A copy as an older version wrote it: a file has another text, one is to come, one will be gone."""
    manifest = json.loads((copy / MANIFEST).read_text())
    for name in (GATE, GONE):
        (copy / name).write_text(f"# {name} of 0.0.9\n")
        manifest["files"][name] = sha256((copy / name).read_bytes())
    (copy / "checks/test_ha.py").unlink()
    del manifest["files"]["checks/test_ha.py"]
    (copy / MANIFEST).write_text(json.dumps(manifest | {"version": "0.0.9"}))
    return copy


def test_a_copy_is_the_repositorys_files(copy: Path) -> None:
    written = files(copy)
    for folder in ("runbook", "checks"):
        for path in (PROJECT / folder).glob("*.py"):
            assert written.pop(f"{folder}/{path.name}") == path.read_bytes()
    assert written.pop("conftest.py") == (PROJECT / "conftest.py").read_bytes()
    assert list(written) == ["pytest.toml"]
    assert json.loads((copy / MANIFEST).read_text())["version"] == version("pytest-pve-runbook")


def test_it_says_what_it_wrote_and_what_to_type_next(tmp_path: Path) -> None:
    ran = init("a b/new", cwd=tmp_path)
    assert ran.returncode == 0 and ran.stderr == ""
    assert "conftest.py, pytest.toml, .pve-runbook.json" in ran.stdout and str(tmp_path / "a b/new") in ran.stdout
    assert "cd 'a b/new' && " in ran.stdout
    assert "pytest runbook/ --hosts=lab --approve=all" in ran.stdout and "pytest checks/ --hosts=" in ran.stdout


def test_in_the_folder_itself_what_is_in_nobodys_way_stays(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    ran = init(cwd=tmp_path)
    assert ran.returncode == 0 and "cd " not in ran.stdout
    assert files(tmp_path) == carried()


@pytest.mark.parametrize("name", ["runbook", "checks", "conftest.py", "pytest.toml"])
def test_what_is_in_the_way_is_named_and_nothing_written(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    refused(init(cwd=tmp_path), f"has {name} already", "nothing was written")
    assert tree(tmp_path) == {name: b"mine"}


def test_a_link_that_leads_nowhere_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "runbook").symlink_to("nowhere")
    refused(init(cwd=tmp_path), "has runbook already")


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (["file"], 1, "is not a folder"),
        (["file/below"], 1, "Not a directory"),
        (["--update", "file"], 1, "is not a folder"),
        (["/proc/nothing"], 1, "No such file"),
        (["new/" + "x" * 300], 1, "File name too long"),
        (["--update", "."], 1, "pve-runbook init` writes one"),
        (["--update", "absent"], 1, "pve-runbook init` writes one"),
        ([""], 2, "no name"),
        (["one", "two"], 2, "unrecognized"),
        (["--force"], 2, "unrecognized"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments: list[str], status: int, word: str) -> None:
    (tmp_path / "file").write_text("mine")
    refused(init(*arguments, cwd=tmp_path), word, status=status)
    assert tree(tmp_path) == {"file": b"mine"}


def test_a_second_init_names_the_line_for_an_update(copy: Path) -> None:
    before = tree(copy)
    refused(init("copy", cwd=copy.parent), "holds a copy", "pve-runbook init --update copy")
    assert tree(copy) == before


def test_an_older_copy_is_brought_to_this_version(older: Path) -> None:
    (older / "runbook/test_mine.py").write_text("mine")
    ran = init("--update", cwd=older)
    assert ran.returncode == 0 and "from version 0.0.9" in ran.stdout
    assert all(line in ran.stdout for line in (f"wrote     {GATE}", "wrote     checks/test_ha.py", f"removed   {GONE}"))
    assert files(older) == carried() | {"runbook/test_mine.py": b"mine"}
    assert "nothing   to do" in init("--update", cwd=older).stdout


@pytest.mark.parametrize("name", [GATE, GONE, "conftest.py"])
def test_a_changed_file_is_refused_by_its_name(older: Path, name: str) -> None:
    (older / name).write_text("mine")
    before = tree(older)
    refused(init("--update", cwd=older), f"changed: {name};", "nothing was written")
    assert tree(older) == before
    (older / name).unlink()
    assert init("--update", cwd=older).returncode == 0
    assert files(older) == carried()


def test_a_users_file_under_a_new_name_of_ours_is_refused(older: Path) -> None:
    (older / "checks/test_ha.py").write_text("mine")
    refused(init("--update", cwd=older), "in the way", "checks/test_ha.py")


def test_a_folder_where_a_file_was_is_a_change(copy: Path) -> None:
    (copy / "conftest.py").unlink()
    (copy / "conftest.py").mkdir()
    refused(init("--update", cwd=copy), "changed: conftest.py")


BROKEN = {
    "empty": "",
    "cut": '{"version": "0.1.0", "fil',
    "no object": "[]",
    "nested": "[" * 100_000,
    "a path that leads out": '{"version": "1", "complete": true, "files": {"../x": "%s"}, "before": {}}' % ("0" * 64),
    "an absolute path": '{"version": "1", "complete": true, "files": {"/etc/x": "%s"}, "before": {}}' % ("0" * 64),
    "no hash": '{"version": "1", "complete": true, "files": {"x": 1}, "before": {}}',
    "no list": '{"version": "1", "complete": true, "files": {}, "before": {"x": 1}}',
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("arguments", [[], ["--update"]])
def test_a_broken_manifest_is_one_line(copy: Path, text: str, arguments: list[str]) -> None:
    (copy / MANIFEST).write_text(text)
    before = tree(copy)
    refused(init(*arguments, cwd=copy), MANIFEST, "cannot be read")
    assert tree(copy) == before


def test_where_not_even_the_manifest_can_be_written_nothing_is(tmp_path: Path) -> None:
    refused(init("new", cwd=tmp_path, largest_file=100), "File too large", "nothing was written")
    assert tree(tmp_path) == {}
    assert init("new", cwd=tmp_path).returncode == 0


def test_an_init_that_was_cut_short_is_ended_by_update(tmp_path: Path) -> None:
    refused(init("new", cwd=tmp_path, largest_file=8_000), "half-written", "pve-runbook init --update new")
    assert set(files(tmp_path / "new")) < set(carried())
    refused(init("new", cwd=tmp_path), "cut short", "pve-runbook init --update new")
    assert init("--update", "new", cwd=tmp_path).returncode == 0
    assert files(tmp_path / "new") == carried()


def test_nothing_of_a_half_written_copy_runs(tmp_path: Path) -> None:
    refused(init("new", cwd=tmp_path, largest_file=8_000), "half-written")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "checks/", "--hosts=lab"],
        cwd=tmp_path / "new",
        capture_output=True,
        text=True,
        timeout=60,
        env=as_typed(),
        check=False,
    )
    said = " ".join(ran.stderr.split())
    assert ran.returncode == 4 and f"pve-runbook init --update {tmp_path / 'new'}" in said, ran.stderr


def test_an_update_that_was_cut_short_knows_its_files_from_the_users(older: Path) -> None:
    large = max(carried(), key=lambda name: len(carried()[name]))
    manifest = json.loads((older / MANIFEST).read_text())
    (older / large).write_text("as in 0.0.9")
    manifest["files"][large] = sha256(b"as in 0.0.9")
    (older / MANIFEST).write_text(json.dumps(manifest))
    refused(init("--update", cwd=older, largest_file=len(carried()[large]) - 1), "half-written")
    assert (older / large).read_text() == "as in 0.0.9" and (older / GONE).exists()
    assert init("--update", cwd=older).returncode == 0
    assert files(older) == carried()


def test_what_a_killed_writing_left_is_taken_away(older: Path) -> None:
    staging = older / ".pve-runbook.part"
    staging.mkdir()
    (staging / "part").write_text("half a fi")
    assert init("--update", cwd=older).returncode == 0
    assert not staging.exists()
