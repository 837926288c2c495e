"""Who is measured: each asks all nodes the same questions, the way its own documentation would have it.

fabric, testinfra and pyinfra send a question at a time. Ansible's ten tasks carry a tenth of the questions each, which
is kind to it: a task a question would take six times as long. ansible-core is under the GPL: it is executed here, and
is no part of this project.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nodes import Nodes
from recording import Answers

TEN = 10
ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
ENVIRONMENT = "export LC_ALL=C LANG=C TERM=dumb; "
OF_THE_TESTS = ("hypothesispytest", "xdist", "xdist.looponfail", "timeout", "typeguard")
"""Plugins of pytest that the tests and other contenders need, and who uses the tool does not have: loading them takes a
fifth of checks/."""


@dataclass(frozen=True)
class Task:
    """What a contender is given. ``batches``: node → all its questions as one shell text."""

    directory: Path
    nodes: Nodes
    ports: Mapping[str, int]
    answers: Mapping[str, Answers]

    @property
    def names(self) -> list[str]:
        """The nodes in order."""
        return list(self.answers)

    def batch(self, node: str) -> str:
        """All questions of a node as one shell text."""
        return ENVIRONMENT + "; ".join(shlex.join(argv) for argv in self.answers[node])

    def questions(self, node: str) -> list[str]:
        """The questions of a node, each as a shell line."""
        return [ENVIRONMENT + shlex.join(argv) for argv in self.answers[node]]

    def ten(self, node: str) -> list[str]:
        """The questions of a node as ten shell lines."""
        argvs = list(self.answers[node])
        return [ENVIRONMENT + "; ".join(shlex.join(argv) for argv in argvs[i::TEN]) for i in range(TEN)]

    def ssh_config(self, *extra: str) -> Path:
        """The ssh_config to use."""
        return self.nodes.write_ssh_config(self.ports, *extra)

    def lines_file(self) -> Path:
        """The questions of every node, as JSON."""
        file = self.directory / "lines.json"
        file.write_text(json.dumps({node: self.questions(node) for node in self.names}))
        return file

    def script(self, name: str, text: str) -> Path:
        """A file of this contender's own."""
        file = self.directory / name
        file.write_text(text)
        return file


Argv = list[str | Path]


@dataclass(frozen=True)
class Contender:
    """``needs``: the command or module without which it cannot be measured; ``is_slow``: one turn will do."""

    name: str
    prepare: Callable[[Task], Argv]
    needs: str = ""
    is_slow: bool = True

    @property
    def is_here(self) -> bool:
        """Whether it is installed beside the running Python."""
        return not self.needs or (BIN / self.needs).exists() or shutil.which(self.needs) is not None


def _ours(task: Task) -> Argv:
    return [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        *(f"-pno:{plugin}" for plugin in OF_THE_TESTS),
        "--rootdir",
        ROOT,
        "-c",
        ROOT / "pyproject.toml",
        ROOT / "checks",
        f"--hosts={','.join(task.names)}",
        f"--ssh-config={task.ssh_config()}",
        f"--records={_fresh(task.directory / 'records')}",
    ]


def _fresh(directory: Path) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    return directory


def _ssh(task: Task) -> Argv:
    config = task.ssh_config()
    lines = [
        f"ssh -F {config} {node} {shlex.quote(task.batch(node))} >{task.directory}/{node}.out 2>&1 &"
        for node in task.names
    ]
    return ["sh", task.script("floor.sh", "\n".join([*lines, "wait"]) + "\n")]


FABRIC = """
import json, sys
import fabric

lines = json.load(open(sys.argv[2]))
config = fabric.Config(runtime_ssh_path=sys.argv[1])
group = fabric.ThreadingGroup(*lines, config=config)
for question in next(iter(lines.values())):
    group.run(question, hide=True, warn=True, in_stream=False)
group.close()
"""


def _fabric(task: Task) -> Argv:
    return [sys.executable, task.script("with_fabric.py", FABRIC), task.ssh_config(), task.lines_file()]


TESTINFRA = """
import json
import pytest

LINES = json.load(open("lines.json"))


@pytest.mark.parametrize("number", range(len(next(iter(LINES.values())))))
def test_question(host, number):
    host.run(LINES[host.backend.hostname][number])
"""


def _testinfra(backend: str, *extra: str) -> Callable[[Task], Argv]:
    def prepare(task: Task) -> Argv:
        task.lines_file()
        control = [line.format(directory=task.directory) for line in extra]
        return [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:pve_runbook.plugin.plugin",
            "--rootdir",
            task.directory,
            "-c",
            task.script("pytest.ini", "[pytest]\n"),
            task.script("test_questions.py", TESTINFRA),
            f"--hosts={','.join(f'{backend}://{node}' for node in task.names)}",
            f"--ssh-config={task.ssh_config(*control)}",
        ]

    return prepare


PYINFRA_INVENTORY = """
nodes = [(name, {{
    "ssh_config_file": {config!r},
    "ssh_known_hosts_file": {known_hosts!r},
    "ssh_strict_host_key_checking": "yes",
}}) for name in {names!r}]
"""
PYINFRA = """
import json
from pyinfra import host
from pyinfra.facts.server import Command

for line in json.load(open("lines.json"))[host.name]:
    host.get_fact(Command, command="(" + line + ") 2>&1 || true")
"""


def _pyinfra(task: Task) -> Argv:
    task.lines_file()
    config = task.ssh_config()
    text = PYINFRA_INVENTORY.format(
        config=str(config), known_hosts=str(task.nodes.directory / "known_hosts"), names=task.names
    )
    return [BIN / "pyinfra", "-y", task.script("inventory.py", text), task.script("with_pyinfra.py", PYINFRA)]


ANSIBLE_CFG = """
[defaults]
forks = {forks}
pipelining = True
host_key_checking = True
localhost_warning = False
[ssh_connection]
pipelining = True
ssh_common_args = -F {config}
control_path_dir = {directory}/cp
"""


def _ansible(name: str, lines_of: Callable[[Task, str], Sequence[str]]) -> Callable[[Task], Argv]:
    def prepare(task: Task) -> Argv:
        task.script(
            "ansible.cfg",
            ANSIBLE_CFG.format(forks=len(task.names), config=task.ssh_config(), directory=task.directory),
        )
        hosts = {
            node: {
                "ansible_python_interpreter": sys.executable,
                "lines": [f"({line}) 2>&1 || true" for line in lines_of(task, node)],
            }
            for node in task.names
        }
        inventory = task.script("hosts.json", json.dumps({"all": {"hosts": hosts}}))
        count = len(lines_of(task, task.names[0]))
        tasks = [
            {
                "name": f"line {i}",
                "ansible.builtin.shell": {"cmd": "{{ lines[" + str(i) + "] }}"},
                "changed_when": False,
            }
            for i in range(count)
        ]
        play = [{"hosts": "all", "gather_facts": False, "tasks": tasks}]
        return [BIN / "ansible-playbook", "-i", inventory, task.script(f"{name}.json", json.dumps(play))]

    return prepare


OURS = Contender("pytest checks/", _ours, is_slow=False)
FLOOR = Contender("ssh, one batch a host", _ssh, "ssh", is_slow=False)
PYINFRA_FACTS = Contender("pyinfra facts", _pyinfra, "pyinfra")
ANSIBLE_TEN = Contender(
    "ansible-playbook, ten tasks", _ansible("ten", lambda task, node: task.ten(node)), "ansible-playbook"
)
CONTENDERS = (
    OURS,
    FLOOR,
    Contender("fabric ThreadingGroup", _fabric),
    Contender(
        "testinfra ssh, ControlPath",
        _testinfra("ssh", "ControlMaster auto", "ControlPersist 60", "ControlPath {directory}/cm-%C"),
    ),
    Contender("testinfra paramiko", _testinfra("paramiko")),
    PYINFRA_FACTS,
    Contender("ansible-playbook, one task", _ansible("one", lambda task, node: [task.batch(node)]), "ansible-playbook"),
    ANSIBLE_TEN,
)
