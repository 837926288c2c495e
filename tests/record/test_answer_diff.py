"""What is the same many times is said once, with where it was so; what differs is shown, and nothing else is left."""

from __future__ import annotations

import pytest
from pve_runbook.record.answer_diff import Shown, alike_but_for_name, compare
from pve_runbook.record.build import build
from pve_runbook.record.html_summary import detail_html
from pve_runbook.record.model import Answer
from record_html import check
from record_journals import Journal

MANY = "".join(f"line {number} of many\n" for number in range(20))


def said(text: str, line: int = 1, name: str = "members") -> Answer:
    return Answer(line, name, ("cat", name), "", 0, text)


def restarted(journal: Journal, node: str, exit_status: int = 0, stderr: str = "") -> None:
    sent = journal.intent(node, "restart", ["systemctl", "restart", "pvedaemon"], "It forgets.", "none needed")
    journal.outcome(sent, node, stderr=stderr, exit_status=exit_status)


def test_two_answers_are_told_apart_by_their_lines_alone() -> None:
    found = compare("pve1", said("a\nb\nb\nc"), said("a\nb\nd"))
    assert found is not None
    assert (found.gone, found.new) == (("b", "c"), ("d",))
    assert found.text == "- b\n- c\n+ d"


def test_lines_in_another_order_are_another_answer() -> None:
    assert compare("pve1", said("a\nb"), said("b\na")) is None


def test_a_node_is_compared_with_itself_first_and_only_where_that_is_short() -> None:
    shown = Shown()
    assert shown.likeness("pve1", said(MANY, 1), 768) is None
    other = shown.likeness("pve2", said(MANY + "own", 2), 768)
    assert other is not None and (other.node, other.line, other.new) == ("pve1", 1, ("own",))
    assert shown.likeness("pve2", said("something else", 3), 768) is None
    assert shown.likeness("pve2", said(MANY, 4), 768) is None  # nothing in common with its own last one
    again = shown.likeness("pve2", said(MANY + "more", 5), 768)
    assert again is not None and (again.node, again.line) == ("pve2", 4)
    assert shown.likeness("pve2", said(MANY, 6, "another question"), 768) is None


def test_answers_that_differ_by_their_own_name_are_one_group() -> None:
    asked = [said(f'[{{"dst":"10.0.0.{n}","dev":"vmbr{n // 4}"}}]', n, f"route_to:10.0.0.{n}") for n in (1, 2, 3, 4)]
    groups = alike_but_for_name([said("x", 9), *asked, said("x", 10)])
    assert [[answer.line for answer in group] for group in groups] == [[9], [1, 2, 3], [4], [10]]


def test_the_page_shows_what_a_node_said_otherwise_than_the_first() -> None:
    journal = Journal()
    for node in ("pve1", "pve2"):
        journal.read(node, {"members": f"{MANY}I am {node}\n"})
    text = check(detail_html(build(journal.entries))).text
    assert text.count("line 7 of many") == 1
    assert "members members --flag (line 4) as pve1's in line 2, except for:- I am pve1\n+ I am pve2" in text


def test_the_same_change_of_many_nodes_in_a_row_is_one_with_all_their_names() -> None:
    journal = Journal()
    journal.start(5, "restart", "restart", "They restart.")
    for node in ("pve1", "pve2", "pve3"):
        restarted(journal, node)
    journal.finish()
    text = check(detail_html(build(journal.entries))).text
    assert text.count("systemctl restart pvedaemon") == text.count("Why: ") == text.count("Undo: ") == 1
    assert "done pve1, pve2, pve3 restart 3 times" in text


def test_a_change_that_ended_otherwise_stands_by_itself_and_names_where_its_command_is() -> None:
    journal = Journal()
    journal.start(5, "restart", "restart", "They restart.")
    restarted(journal, "pve1")
    restarted(journal, "pve2", exit_status=1, stderr="Job failed.")
    journal.finish()
    text = check(detail_html(build(journal.entries))).text
    assert text.count("Why: ") == 1
    assert "failed pve2 restart" in text and "Job failed." in text
    assert "Command, reason and undo as above, for pve1 at 02:10:00." in text


@pytest.mark.parametrize("outcome", ["passed", "blocked", "failed"])
def test_steps_in_a_row_that_differ_in_their_nodes_alone_are_one_line(outcome: str) -> None:
    journal = Journal()
    for node in ("pve1", "pve2", "pve3"):
        journal.start(0, "freeze", "login", "The login acts as root.", node)
        journal.finish(outcome, "" if outcome == "passed" else "An earlier step failed.")
    journal.start(0, "freeze", "login", "The login acts as root.", "pve4")
    journal.finish("failed", "It acts as nobody.")
    text = check(detail_html(build(journal.entries))).text
    before = {"failed": "required: ", "blocked": "not reached: "}.get(outcome, "")
    assert f"{outcome}  {before}The login acts as root. pve1, pve2, pve3 · 3 steps · " in text
    assert text.count("An earlier step failed.") == (0 if outcome == "passed" else 1)
    assert "failed pve4 required: The login acts as root." in text and "It acts as nobody." in text
