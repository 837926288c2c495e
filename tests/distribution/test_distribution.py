"""Wheel and sdist as a stranger gets them: built, checked, installed into a venv of their own, and used."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import jsonschema
import pytest
from environment import as_typed

pytestmark = pytest.mark.distribution

PROJECT = Path(__file__).parents[2]
BOUND = 600  # seconds
AS = f"pve-runbook {version('pytest-pve-runbook')}"
NO_SOURCE = (
    ".git",
    ".venv*",
    "*.egg-info",
    "build",
    "dist",
    "wheels",
    "records",
    "__pycache__",
    ".*_cache",
    ".hypothesis",
)
COPIED = {f"{folder}/{path.name}" for folder in ("runbook", "checks") for path in (PROJECT / folder).glob("*.py")} | {
    "conftest.py"
}


def typed(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command as from a user's shell, its output as one text."""
    env = {name: value for name, value in as_typed().items() if name not in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")}
    return subprocess.run(
        [str(a) for a in arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BOUND,
        env=env,
        check=False,
    )


def done(*arguments: object, cwd: Path) -> str:
    """What a command said that has to pass."""
    ran = typed(*arguments, cwd=cwd)
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


@dataclass
class Built:
    """What was built, from ``source``; ``said`` on the way."""

    source: Path
    wheel: Path
    sdist: Path
    said: str


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """From a copy of the sources: what an earlier build left beside them is not built again."""
    source, out = tmp_path_factory.mktemp("source") / "project", tmp_path_factory.mktemp("out")
    shutil.copytree(PROJECT, source, ignore=shutil.ignore_patterns(*NO_SOURCE))
    said = done(sys.executable, "-m", "build", "--outdir", out, source, cwd=out)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return Built(source, wheel, sdist, said)


@dataclass
class Installed:
    """A venv with the distribution, in a folder of its user's."""

    folder: Path

    def script(self, name: str) -> Path:
        """One of the venv's commands."""
        return self.folder / ".venv" / "bin" / name


@pytest.fixture(scope="module", params=["wheels", "sdist"])
def installed(request: pytest.FixtureRequest, built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """With the lab: once by the README's two lines for a place without a network, once from the sdist."""
    folder = tmp_path_factory.mktemp(request.param)
    done(sys.executable, "-m", "venv", ".venv", cwd=folder)
    pip = folder / ".venv" / "bin" / "pip"
    if request.param == "sdist":
        done(pip, "install", "-q", f"{built.sdist}[lab]", cwd=folder)
    else:
        done(pip, "wheel", "-q", "-w", folder / "wheels", ".[lab]", cwd=built.source)
        done(pip, "install", "-q", "--no-index", "--find-links=wheels", "pytest-pve-runbook[lab]", cwd=folder)
    return Installed(folder)


def test_the_build_says_nothing_of_what_will_not_do_any_more(built: Built) -> None:
    unwanted = ("deprecat", "warning", "would be ignored")
    lines = [line for line in built.said.splitlines() if any(word in line.lower() for word in unwanted)]
    assert [line for line in lines if "is neither a file nor a directory" not in line] == []  # pip's, of its index


def test_twine_finds_nothing(built: Built) -> None:
    done(sys.executable, "-m", "twine", "check", "--strict", built.wheel, built.sdist, cwd=built.source)


def test_the_wheel_holds_the_runbook_and_no_equipment_of_the_tests(built: Built) -> None:
    names = set(zipfile.ZipFile(built.wheel).namelist())
    assert {f"pve_runbook/project_copy/files/{name}" for name in COPIED} <= names
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"pve_runbook", "pve_lab"}
    ours = {
        path.relative_to(PROJECT / "plugins").as_posix()
        for package in ("pve_runbook", "pve_lab")
        for path in (PROJECT / "plugins" / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert ours <= names


def test_the_sdist_holds_the_sources_and_the_tests(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        held = {member.name.partition("/")[2] for member in archive if member.isfile()}
    wanted = set(_sources(built.source))
    assert wanted - held == set()
    assert {name for name in held - wanted if ".egg-info/" not in name} == {"PKG-INFO", "setup.cfg"}


def _sources(root: Path) -> Iterator[str]:
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if path.is_file() and not name.startswith(".") and "__pycache__" not in name and ".egg-info/" not in name:
            yield name


def test_a_stranger_runs_the_runbook_and_the_checks_on_the_lab(installed: Installed) -> None:
    said = done(installed.script("pve-runbook"), "init", "x", cwd=installed.folder)
    assert "cd x && ../.venv/bin/pytest runbook/ --hosts=lab --approve=all" in said
    copy = installed.folder / "x"
    pytest_there = installed.script("pytest")
    assert "verdict   Every node of labcluster is standalone" in done(
        pytest_there, "runbook/", "--hosts=lab", "--approve=all", cwd=copy
    )
    ran = typed(pytest_there, "checks/", "--hosts=lab", "--records=checked", cwd=copy)
    assert (ran.returncode, "verdict   DISMANTLE" in ran.stdout) == (1, True), ran.stdout
    (record,) = (copy / "records").glob("*/record.json")
    (checked,) = (copy / "checked").glob("*/record.json")
    for path in (record, checked):
        data = json.loads(path.read_text())
        jsonschema.validate(data, json.loads((PROJECT / "docs" / "record.schema.json").read_text()))
        assert data["run"]["code"] == f"{AS}, as distributed"


def test_what_was_changed_is_refused_by_an_update_and_named_in_the_record(installed: Installed) -> None:
    command, copy = installed.script("pve-runbook"), installed.folder / "changed"
    done(command, "init", copy, cwd=installed.folder)
    ran = typed(command, "init", copy, cwd=installed.folder)
    assert ran.returncode == 1 and "nothing was written" in ran.stdout
    assert "nothing   to do" in done(command, "init", "--update", copy, cwd=installed.folder)
    with (copy / "checks/test_ha.py").open("a") as file:
        file.write("# mine\n")
    ran = typed(command, "init", "--update", copy, cwd=installed.folder)
    assert ran.returncode == 1 and "changed: checks/test_ha.py;" in ran.stdout
    typed(installed.script("pytest"), "checks/", "--hosts=lab", cwd=copy)
    (record,) = (copy / "records").glob("*/record.json")
    assert json.loads(record.read_text())["run"]["code"] == f"{AS}, changed: checks/test_ha.py"
    (copy / "checks/test_ha.py").unlink()
    assert "wrote     checks/test_ha.py" in done(command, "init", "--update", copy, cwd=installed.folder)


def test_a_changed_plugin_is_named_in_the_record(installed: Installed) -> None:
    copy = installed.folder / "plugin"
    done(installed.script("pve-runbook"), "init", copy, cwd=installed.folder)
    (module,) = installed.folder.glob(".venv/lib/python*/site-packages/pve_runbook/diagnosis/watch.py")
    before = module.read_text()
    module.write_text(before + "# mine\n")
    try:
        typed(installed.script("pytest"), "checks/", "--hosts=lab", cwd=copy)
    finally:
        module.write_text(before)
    (record,) = (copy / "records").glob("*/record.json")
    found = json.loads(record.read_text())["run"]["code"]
    assert found == f"{AS}, changed: pve_runbook/diagnosis/watch.py"


def test_without_the_extra_the_lab_says_what_to_install(installed: Installed) -> None:
    done(installed.script("pip"), "uninstall", "-q", "-y", "asyncssh", "bashkit", cwd=installed.folder)
    copy = installed.folder / "without"
    done(installed.script("pve-runbook"), "init", copy, cwd=installed.folder)
    for arguments, status in (
        (("pytest", "checks/", "--hosts=lab"), 4),
        (("pytest", "--lab-scenario=list"), 4),
        (("pve-runbook", "lab"), 1),
    ):
        ran = typed(installed.script(arguments[0]), *arguments[1:], cwd=copy)
        assert ran.returncode == status and "pip install 'pytest-pve-runbook[lab]'" in ran.stdout
        assert "Traceback" not in ran.stdout
