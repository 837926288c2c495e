"""What a record says was sent, counted from the journal alone."""

from __future__ import annotations

import pytest
from pve_runbook.journal.reading import entry_of
from pve_runbook.probes import registry as probes
from pve_runbook.record.command_counts import Sent, count_sent

Event = dict[str, object]
"""As it stands in a line."""


def batch(number: int, *argvs: tuple[str, ...]) -> Event:
    return {"n": number, "kind": "batch", "probes": [{"id": "x", "argv": list(argv)} for argv in argvs]}


READ = batch(1, probes.UID.argv, probes.CLOCK.argv)
MOUNTS = batch(2, probes.PVESM.argv)
FREE = batch(3, ("rm", "-rf", "/x"), probes.UID.argv)
REFUSED: Event = {"n": 4, "kind": "refused", "batch": 3}
GATE: Event = {"n": 5, "kind": "testinfra", "command": "true"}
CHANGE: Event = {"n": 6, "kind": "action-intent", "argv": ["systemctl", "stop", "x"]}


@pytest.mark.parametrize(
    ("events", "sent", "words"),
    [
        ([], Sent(), "0 commands, all registered probes, 0 changes"),
        ([READ], Sent(2), "2 commands, all registered probes, 0 changes"),
        (
            [READ, MOUNTS],
            Sent(3, activating=1),
            "3 commands, all registered probes, 1 of them `pvesm status`, which mounts and imports "
            "(--activate-storage), 0 changes",
        ),
        (
            [READ, FREE],
            Sent(3, others=1),
            "4 commands, 3 registered probes, 1 command of gates that were added, 0 changes",
        ),
        (
            [READ, FREE, REFUSED],
            Sent(2, refused=1),
            "2 commands, all registered probes, 0 changes, 1 batch refused",
        ),
        (
            [READ, GATE, CHANGE],
            Sent(2, others=1, changes=1),
            "4 commands, 2 registered probes, 1 command of gates that were added, 1 change",
        ),
    ],
)
def test_commands_are_counted_by_kind(events: list[Event], sent: Sent, words: str) -> None:
    assert count_sent(map(entry_of, events)) == sent
    assert str(sent) == words


def test_a_journal_of_another_version_is_counted_as_far_as_it_can_be_read() -> None:
    assert count_sent(map(entry_of, [{"kind": "batch"}, {"kind": "batch", "probes": "?"}, {}])) == Sent()
