"""Votes are counted, not heads: what is a majority by its own votes, and what is not."""

from __future__ import annotations

import pytest
from pve_runbook.diagnosis.votes import Part, quorate_majority


def part(*members: str, votes: int, configured: int, quorate: bool = True, by_configuration: bool = False) -> Part:
    return Part(members, members, votes, configured, configured, quorate, by_configuration)


def test_more_than_half_of_the_configured_votes_is_a_majority() -> None:
    two = part("pve1", "pve2", votes=2, configured=3)
    assert quorate_majority([two, part("pve3", votes=1, configured=3, quorate=False)]) is two


def test_a_majority_that_is_not_quorate_is_none() -> None:
    """Three of three see each other, and seven votes are expected."""
    assert quorate_majority([part("pve1", "pve2", "pve3", votes=3, configured=3, quorate=False)]) is None


def test_votes_count_and_not_heads() -> None:
    """One node with three votes has the majority over two with one each; two heads without a vote have none."""
    heavy = part("pve1", votes=3, configured=5)
    assert quorate_majority([heavy, part("pve2", "pve3", votes=2, configured=5, quorate=False)]) is heavy
    assert quorate_majority([part("pve1", "pve2", votes=1, configured=3)]) is None


def test_half_is_no_majority_but_for_one_part_that_the_configuration_lets_be_quorate() -> None:
    half = part("pve1", votes=1, configured=2, by_configuration=True)
    assert quorate_majority([half]) is half
    assert quorate_majority([half, part("pve2", votes=1, configured=2, by_configuration=True)]) is None


@pytest.mark.parametrize(
    ("votes", "by_configuration", "forced"), [(1, False, True), (1, True, False), (2, False, False)]
)
def test_quorate_without_a_majority_is_forced(votes: int, by_configuration: bool, forced: bool) -> None:
    found = part("pve1", votes=votes, configured=3, by_configuration=by_configuration)
    assert found.is_forced == forced
    assert quorate_majority([found]) is (None if forced else found)
