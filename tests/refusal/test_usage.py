"""A command line that is refused is read at 80 columns too."""

from __future__ import annotations

from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.usage import usage_error

TEXT = (
    "not every node was reached; nothing was changed on any. Another sentence, so that it takes more than a line.\n"
    "  pve1: nothing listens on its SSH port (connection refused); check the port, and type at its console: "
    "systemctl status ssh"
)


def test_it_is_wrapped_at_words_where_pytest_shows_it_and_whole_where_it_is_asked_for() -> None:
    error = usage_error(RefusalId.NODES_ARE_NOT_REACHED, TEXT)
    assert str(error) == f"{TEXT} [PVE-R242]"
    [message] = error.args
    lines = f"ERROR: {message}".splitlines()
    assert max(map(len, lines)) <= 80
    assert " ".join(" ".join(lines).split()) == "ERROR: " + " ".join(str(error).split())
    assert [line for line in lines if line.startswith("  ")] == [
        "  pve1: nothing listens on its SSH port (connection refused); check the port,",
        "  and type at its console: systemctl status ssh [PVE-R242]",
    ]


def test_a_word_is_never_broken() -> None:
    path = "/a/folder" * 12
    [message] = usage_error(RefusalId.NODES_ARE_NOT_REACHED, f"see {path} and go on").args
    assert path in f"ERROR: {message}".splitlines()


def test_a_long_word_at_the_beginning_stays_behind_what_pytest_writes_before_it() -> None:
    path = "/a/folder" * 12
    [message] = usage_error(RefusalId.NODES_ARE_NOT_REACHED, f"{path}: cannot be read").args
    assert f"ERROR: {message}".splitlines() == [f"ERROR: {path}:", "cannot be read [PVE-R242]"]
