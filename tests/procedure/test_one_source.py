"""A stage sends what it says that it sends, and a forecast knows what every action does, or both say so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest
from pve_runbook.actions import registry as actions
from pve_runbook.actions.action import Action
from pve_runbook.cluster.node import Node
from pve_runbook.procedure.forecast import Forecast, Unforeseen
from pve_runbook.procedure.stages import WINDOW, Stage, UndeclaredAction, in_turn
from pve_runbook.procedure.work import Act, Decision, Work

NOBODY = cast(Node, None)
"""What is tried here reads nothing of a node."""


def work(authority: str | None = None) -> Work:
    """The work of a run that has just begun."""
    return Work(
        cluster="labcluster",
        run="RUN",
        attempt="ATTEMPT",
        lock="LOCK",
        canary_ids=None,
        tag="TAG",
        key="KEY",
        card=b"CARD",
        backups="RUN",
        held_as="RUN",
        keeps_backups=False,
        members=("a", "b", "c"),
        authority=authority,
        standalone_at_start=frozenset(),
        scheduled=frozenset(),
        root_login=True,
    )


def stops_corosync(forecast: Forecast, work: Work) -> Iterator[Decision]:
    """A decision that does not look at the node."""
    yield Act(actions.STOP_COROSYNC.bind())


def test_what_a_stage_does_not_declare_is_not_sent() -> None:
    declared = Stage("silent", stops_corosync, sends=(actions.STOP_COROSYNC,))
    assert [d.action.name for d in declared.decisions(Forecast(NOBODY), work()) if isinstance(d, Act)] == [
        "stop-corosync"
    ]
    with pytest.raises(UndeclaredAction, match="silent: stop-corosync"):
        list(Stage("silent", stops_corosync, sends=(actions.STOP_LRM,)).decisions(Forecast(NOBODY), work()))


def test_an_action_that_the_forecast_does_not_know_is_no_guess() -> None:
    new = Action("new", ("touch", "/root/x"), "why", "undo", True, 10, False)
    with pytest.raises(Unforeseen, match="new"):
        Forecast(NOBODY).foresee(new, None)


def test_keys_that_will_be_put_are_foreseen() -> None:
    forecast = Forecast(NOBODY)
    forecast.foresee(actions.PUT_KEYS.bind(), b"one\ntwo\n")
    assert forecast.second_keys == ("one", "two")
    forecast.foresee(actions.REMOVE_KEYS.bind(), None)
    assert forecast.second_keys == ()


def test_the_authority_leaves_last() -> None:
    assert in_turn(WINDOW, ["a", "b", "c"], work(authority="a")) == ["b", "c", "a"]
    assert in_turn(WINDOW, ["a", "b", "c"], work()) == ["a", "b", "c"]
