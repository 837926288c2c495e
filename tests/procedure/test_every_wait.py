"""Whatever the tool waits for by itself, it waits no longer than a person does."""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module

import pytest
from bench_run import MakeRun
from pve_lab.shell import Channel
from pve_runbook.cluster.probe_journal import WORTH_TELLING
from pve_runbook.procedure.authority import LATENCY_SAMPLES
from pve_runbook.procedure.canary import FIRST_ID
from pve_runbook.procedure.database_merge import SHOWN

LONGEST = 300
"""Seconds: a large backup on its way here."""
ROOMS = ("ssh", "cluster", "probes", "procedure")
SECONDS = re.compile(r"\w*seconds|timeout|open_timeout", re.IGNORECASE)


def waits() -> Iterator[tuple[str, float]]:
    """Every constant, and every default of an argument, that is a number of seconds."""
    for room in ROOMS:
        package = import_module(f"pve_runbook.{room}")
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            module = import_module(found.name)
            for name, value in vars(module).items():
                if SECONDS.fullmatch(name) and isinstance(value, int | float):
                    yield f"{found.name}.{name}", value
                for function in (value, *vars(value).values()) if inspect.isclass(value) else (value,):
                    yield from _defaults(function)


def _defaults(function: object) -> Iterator[tuple[str, float]]:
    if inspect.isfunction(function) and function.__module__.startswith("pve_runbook."):
        for name, argument in inspect.signature(function).parameters.items():
            if SECONDS.fullmatch(name) and isinstance(argument.default, int | float):
                yield f"{function.__module__}.{function.__qualname__}({name})", argument.default


def test_no_wait_is_longer_than_five_minutes() -> None:
    found = dict(waits())
    assert len(found) >= 10
    assert {name: seconds for name, seconds in found.items() if not 0 < seconds <= LONGEST} == {}


def test_what_is_asked_and_shown_is_little() -> None:
    assert LATENCY_SAMPLES <= 5, "small questions to every node, one after the other"
    assert SHOWN <= 20, "a question is read on one screen"
    assert WORTH_TELLING <= 16_384, "an answer as large as that does not come a second time"
    assert 100 <= FIRST_ID < 1_000_000, "an id that Proxmox takes, and a person can type"


@pytest.mark.parametrize(("scenario", "most"), [("stacked-mount", 30), ("broken", 1)])
def test_a_state_that_does_not_settle_is_waited_for_some_seconds(
    make_run: MakeRun, scenario: str, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(scenario)
    node = run.cluster.node("pve2")
    began = run.bench.node("pve2").clock.now
    answer = Channel.execute

    def looked(channel: Channel, command: str) -> tuple[str, str, int]:
        settles = [wait.bound for wait in run.cluster.waits.now if wait.what == "whether its state settles"]
        assert settles and max(settles) < most, "a longer wait is seen at its first look, not at its end"
        return answer(channel, command)

    monkeypatch.setattr(Channel, "execute", looked)
    run.members.settle(node)
    assert run.bench.node("pve2").clock.now - began < most
