"""What a family of probes asks about its subjects: about one at a time, or about several in one command."""

from __future__ import annotations

from pve_runbook.probes import per_subject


def test_one_subject_stands_wherever_the_command_has_a_place_for_it() -> None:
    assert per_subject.STORAGE_FILES.argv("/tank")[:3] == ("find", "/tank/images", "/tank/private")


def test_several_subjects_are_a_word_each() -> None:
    assert per_subject.PROC_STATS.argv("1,22,333") == ("cat", "/proc/1/stat", "/proc/22/stat", "/proc/333/stat")
