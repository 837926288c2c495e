"""A plan's hash stands for its commands, its nodes and its code; two plans say in what they differ."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from pve_runbook.journal.rows import Command, Identity
from pve_runbook.plan.by_hand import blocks_of
from pve_runbook.plan.model import Plan, differences, from_json, is_part_of


def command(stage: str, node: str, *argv: str, stdin: str | None = None) -> Command:
    return Command(0, stage, node, argv[-1], argv, "why", "undo", stdin)


PLAN = Plan(
    cluster="labcluster",
    nodes=(Identity("a", "pve1", "boot-1"), Identity("b", "pve2", "boot-2")),
    members=("pve1", "pve2"),
    authority="b",
    code={"runbook/test_phase4_window.py": "1" * 64},
    commands=(
        command("one", "a", "systemctl", "stop", "x"),
        command("one", "b", "systemctl", "stop", "x"),
        command("two", "b", "install", "script", stdin="2" * 64),
    ),
)
SWAPPED = (replace(PLAN.nodes[0], hostname="pve2"), replace(PLAN.nodes[1], hostname="pve1"))
OTHERS = {
    "one byte of a command": replace(
        PLAN, commands=(command("one", "a", "systemctl", "stop", "y"), *PLAN.commands[1:])
    ),
    "a command more": replace(PLAN, commands=(*PLAN.commands, command("two", "a", "true"))),
    "two commands in another order": replace(PLAN, commands=PLAN.commands[::-1]),
    "another text for a script": replace(
        PLAN, commands=(*PLAN.commands[:2], replace(PLAN.commands[2], stdin_sha256="3" * 64))
    ),
    "another node for a command": replace(PLAN, commands=(*PLAN.commands[:2], replace(PLAN.commands[2], node="a"))),
    "two names that lead to each other's machine": replace(PLAN, nodes=SWAPPED),
    "nodes in another order": replace(PLAN, nodes=PLAN.nodes[::-1]),
    "a node that was booted": replace(PLAN, nodes=(replace(PLAN.nodes[0], boot_id="boot-3"), PLAN.nodes[1])),
    "another member": replace(PLAN, members=("pve1", "pve2", "pve3")),
    "another authority": replace(PLAN, authority="a"),
    "another cluster": replace(PLAN, cluster="other"),
    "one byte of the code": replace(PLAN, code={"runbook/test_phase4_window.py": "4" * 64}),
    "a file more": replace(PLAN, code={**PLAN.code, "runbook/conftest.py": "5" * 64}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_every_change_has_another_hash_and_is_said(name: str) -> None:
    other = OTHERS[name]
    assert other.hash != PLAN.hash
    assert differences(PLAN, other), "a difference that is refused is one that is shown"
    assert differences(PLAN, PLAN) == []


def test_what_is_only_said_does_not_change_the_hash() -> None:
    said = replace(PLAN.commands[0], why="other words", undo="other words")
    assert replace(PLAN, commands=(said, *PLAN.commands[1:]), unknown=("x",), texts={"y": "z"}).hash == PLAN.hash


def test_a_difference_names_the_command_on_both_sides() -> None:
    assert differences(PLAN, OTHERS["one byte of a command"]) == [
        "- phase 0 a: systemctl stop x",
        "+ phase 0 a: systemctl stop y",
    ]


def test_a_swapped_machine_is_named() -> None:
    assert differences(PLAN, OTHERS["two names that lead to each other's machine"]) == [
        "node: - a is pve1, boot boot-1",
        "node: - b is pve2, boot boot-2",
        "node: + a is pve2, boot boot-1",
        "node: + b is pve1, boot boot-2",
    ]


def test_a_plan_is_read_back_as_it_was_written() -> None:
    assert from_json(json.loads(json.dumps(PLAN.for_json()))) == PLAN


@pytest.mark.parametrize("key", ["schema", "hash", "commands", "nodes", "code"])
def test_what_is_no_plan_is_not_read(key: str) -> None:
    data = PLAN.for_json()
    assert key in data
    data[key] = {} if key == "code" else []
    with pytest.raises(ValueError, match="not a plan"):
        from_json(data)


@given(st.sets(st.integers(0, 2)))
def test_what_is_left_of_a_plan_is_a_part_of_it(kept: set[int]) -> None:
    left = [c for i, c in enumerate(PLAN.commands) if i in kept]
    assert is_part_of(left, PLAN.commands)
    assert not is_part_of([*left, command("one", "a", "rm")], PLAN.commands)
    assert len(left) < 2 or not is_part_of(left[::-1], PLAN.commands)


def test_without_what_is_done_the_rest_is_left() -> None:
    assert PLAN.without([("one", "a")]) == PLAN.commands[1:]


def test_the_card_puts_a_script_on_every_node_before_it_is_run_on_one() -> None:
    put, run = ("install", "-m", "0700", "/dev/stdin", "/w/window.sh"), ("systemd-run", "--unit=pve-runbook-w", "/w/x")
    commands = [
        replace(command("leave", node, *argv), name=name, stdin_sha256=digest)
        for node in ("a", "b")
        for argv, name, digest in ((put, "put", "6" * 64), (run, "window", None))
    ]
    plan = replace(PLAN, commands=tuple(commands), texts={"6" * 64: "#!/bin/bash\ntrue\n"})
    blocks = blocks_of(plan, {"leave": "It left."}, ())
    assert [b.nodes for b in blocks] == [("a", "b"), ("a", "b")]
    assert blocks[0].lines == (
        "cat <<'END-OF-TEXT' | install -m 0700 /dev/stdin /w/window.sh", "#!/bin/bash", "true", "END-OF-TEXT",
    )  # fmt: skip
    assert blocks[1].lines[-1] == "until [ -e /w/w.status ]; do sleep 1; done; cat /w/w.status"
