"""What a node was asked and said, in the journal: a question is written out once, an answer again when it changed."""

from __future__ import annotations

from typing import Any

import pytest
from pve_runbook.cluster.probe_journal import AnswerLog
from pve_runbook.cluster.progress import Waits
from pve_runbook.cluster.rounds import of_probe
from pve_runbook.journal.events import Batch, Probe, Unchanged, of_kind
from pve_runbook.journal.journal import Journal, JournalLost
from pve_runbook.journal.rows import Asked
from pve_runbook.parsers.output import Output
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import Missing
from pve_runbook.record.build import build
from pve_runbook.record.model import Read
from pve_runbook.ssh.batch import NoAnswer, Same, answer_hash
from pve_runbook.terminal.live import Live

WHO, UID = of_probe(probes.HOSTNAME), of_probe(probes.UID)


def said(text: str) -> Output:
    return Output(text, "", 0)


@pytest.fixture
def journal() -> Journal:
    return Journal()


def ask(log: AnswerLog, node: str, hostname: Output | NoAnswer, uid: str) -> dict[str, Any]:
    batch = log.ask(node, [WHO, UID])
    return log.read(node, batch, [(WHO, hostname), (UID, said(uid))], 0.1)


def test_a_question_is_written_out_once(journal: Journal) -> None:
    log = AnswerLog(journal)
    for node in ("pve1", "pve2"):
        ask(log, node, said("pve1\n"), "0\n")
    first, second = (batch.probes for batch in of_kind(journal.events, Batch))
    assert [item.id for item in first if isinstance(item, Asked)] == ["hostname", "uid"]
    assert second == (1, 2)


def test_what_cannot_be_recorded_is_not_asked(journal: Journal) -> None:
    journal.failure = "No space left on device"
    with pytest.raises(JournalLost, match=r"No space left on device\.\nWhat is not recorded is not done"):
        AnswerLog(journal).ask("pve1", [WHO])


def test_what_is_said_again_is_named_by_its_line_and_means_the_same(journal: Journal) -> None:
    log = AnswerLog(journal)
    assert ask(log, "pve1", said("pve1\n"), "0\n") == {"hostname": "pve1", "uid": 0}
    assert ask(log, "pve1", said("pve1\n"), "1000\n") == {"hostname": "pve1", "uid": 1000}
    assert [again.same_as for again in of_kind(journal.events, Unchanged)] == [(2,)]
    record = build(journal.events)
    read = record.outside[1]
    assert isinstance(read, Read)
    assert [(a.id, a.stdout) for a in read.answers] == [("uid", "1000\n")]
    assert [(a.id, a.stdout, a.line) for a in read.repeated] == [("hostname", "pve1\n", 2)]


def test_what_another_node_said_is_named_as_such(journal: Journal) -> None:
    log = AnswerLog(journal)
    ask(log, "pve1", said("pve1\n"), "0\n")
    assert ask(log, "pve2", said("pve2\n"), "0\n") == {"hostname": "pve2", "uid": 0}
    assert ask(log, "pve2", said("pve2\n"), "0\n") == {"hostname": "pve2", "uid": 0}
    told = [(again.same_as, again.as_others) for again in of_kind(journal.events, Unchanged)]
    assert told == [((), (3,)), ((5, 3), ())]
    _, first, again = build(journal.events).outside
    assert isinstance(first, Read) and isinstance(again, Read)
    assert [[a.id for a in answers] for answers in (first.answers, first.repeated, first.alike)] == [
        ["hostname"],
        [],
        ["uid"],
    ]
    assert [a.id for a in again.repeated] == ["hostname", "uid"]


def test_what_nobody_says_any_more_is_forgotten(journal: Journal) -> None:
    """And written out again when somebody does: memory does not grow with a run."""
    log = AnswerLog(journal)
    for uid in ("0\n", "1\n", "0\n"):
        ask(log, "pve1", said("pve1\n"), uid)
    assert [probe.stdout for probe in of_kind(journal.events, Probe) if probe.id == "uid"] == ["0\n", "1\n", "0\n"]


def test_what_nodes_have_in_common_is_read_once_and_written_once(journal: Journal) -> None:
    log = AnswerLog(journal)
    question = of_probe(probes.TREE)
    databases = ["version|1|2|3\nfile|storage.cfg|00\n", "version|1|2|3\nfile|storage.cfg|00\n", "version|2|2|3\n"]
    first, second, other = (
        log.read(f"pve{i}", log.ask(f"pve{i}", [question]), [(question, said(text))], 0.1)["tree"]
        for i, text in enumerate(databases)
    )
    assert first is second and other.version == 2  # type: ignore[union-attr]
    assert [probe.node for probe in of_kind(journal.events, Probe)] == ["pve0", "pve2"]


def test_a_node_is_told_what_it_said_last_where_that_was_long(journal: Journal) -> None:
    log = AnswerLog(journal)
    question, other = of_probe(probes.TREE), of_probe(probes.TREE_AT_REST)
    long = said("version|1|2|3\nfile|storage.cfg|" + "00" * 5000 + "\n")
    assert log.worth_telling("pve1", question) == ""
    first = log.read("pve1", log.ask("pve1", [question, WHO]), [(question, long), (WHO, said("pve1\n"))], 0.1)
    digest = log.worth_telling("pve1", question)
    assert digest == answer_hash(long)
    assert [log.worth_telling(*asked) for asked in (("pve1", WHO), ("pve2", question), ("pve1", other))] == [""] * 3
    again = log.read("pve1", log.ask("pve1", [question]), [(question, Same(digest))], 0.1)
    assert again["tree"] is first["tree"]
    [told] = of_kind(journal.events, Unchanged)
    assert told.same_as == (2,)


def test_a_sameness_with_what_is_forgotten_is_unknown(journal: Journal) -> None:
    log = AnswerLog(journal)
    question = of_probe(probes.TREE)
    value = log.read("pve1", log.ask("pve1", [question]), [(question, Same("0f" * 32))], 0.1)["tree"]
    assert isinstance(value, Missing) and "not at hand" in value.why


def test_silence_is_no_repetition_of_what_was_said_before(journal: Journal) -> None:
    log = AnswerLog(journal)
    ask(log, "pve1", said("pve1\n"), "0\n")
    assert isinstance(ask(log, "pve1", NoAnswer("no answer within 5 s"), "0\n")["hostname"], Missing)
    assert ask(log, "pve1", said("pve1\n"), "0\n")["hostname"] == "pve1"


def test_one_name_asked_in_two_ways_is_two_questions(journal: Journal) -> None:
    log = AnswerLog(journal)
    for probe in (probes.TREE, probes.TREE_AT_REST):
        question = of_probe(probe)
        log.read("pve1", log.ask("pve1", [question]), [(question, said("version|1|2|3\n"))], 0.1)
    argvs = [a.argv for read in build(journal.events).outside if isinstance(read, Read) for a in read.answers]
    assert argvs == [probes.TREE.argv, probes.TREE_AT_REST.argv]


def test_two_names_asked_in_one_way_are_two_questions(journal: Journal) -> None:
    log = AnswerLog(journal)
    asked = [of_probe(probes.CLOCK), of_probe(probes.HISTORY_CLOCK)]
    for node in ("pve1", "pve2"):
        values = log.read(node, log.ask(node, asked), [(question, said("12.5\n")) for question in asked], 0.1)
        assert values == {"clock": 12.5, "history_clock": 12.5}
    for read in build(journal.events).outside:
        assert isinstance(read, Read)
        assert [a.id for a in read.all_answers] == ["clock", "history_clock"]
        assert read.unanswered == ()


def test_a_terminal_knows_what_the_numbers_mean(journal: Journal, capfd: pytest.CaptureFixture[str]) -> None:
    log = AnswerLog(journal)
    Live(1, verbosity=2).follow(journal, Waits())
    ask(log, "pve1", said("pve1\n"), "0\n")
    capfd.readouterr()
    ask(log, "pve1", said("pve1\n"), "1000\n")
    shown = [" ".join(line.split()) for line in capfd.readouterr().out.splitlines()]
    assert shown == [
        "? pve1 id -u",
        "pve1 | 1000",
        "? pve1 hostname",
        "pve1 | as before, line 2 of the journal",
    ]
