"""What changed between looks at a cluster, in words."""

from __future__ import annotations

from pve_runbook.diagnosis.watch import Look, Watched

ALL = frozenset({"pve1", "pve2", "pve3"})
WHOLE = Look(True, "1.22", ALL)
NOTHING = Look(None, None, None)


def changes(*looks: Look) -> tuple[str, ...]:
    return Watched({"pve1": looks}).changes("pve1")


def test_nothing_changes_between_looks_that_are_alike() -> None:
    assert changes(WHOLE, WHOLE, WHOLE) == ()


def test_a_loss_is_told_with_who_and_when() -> None:
    alone = Look(False, "1.26", frozenset({"pve1"}))
    assert changes(WHOLE, WHOLE, alone, WHOLE) == (
        "quorum went, pve2 went offline, pve3 went offline (second 10)",
        "quorum came, pve2 came online, pve3 came online (second 15)",
    )


def test_a_change_that_was_over_before_the_next_look_shows_in_the_ring() -> None:
    """Every membership has a number of its own."""
    assert changes(WHOLE, Look(True, "1.2a", ALL)) == ("a new membership was formed, 1.22 to 1.2a (second 5)",)


def test_silence_is_no_change_and_is_counted() -> None:
    """What a node does not say is not what it was."""
    assert changes(WHOLE, NOTHING, WHOLE, Look(True, None, ALL)) == ()
    assert changes(WHOLE, NOTHING, Look(False, "1.22", ALL)) == ("quorum went (second 10)",)
    assert Watched({"pve1": (WHOLE, NOTHING, NOTHING)}).silent("pve1") == 2
