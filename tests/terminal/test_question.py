"""A question can be seen whole when it is answered, and the commands that the answer is for are named."""

from __future__ import annotations

import pytest
from pve_runbook.journal.rows import Command
from pve_runbook.plan.model import Question, paragraphs
from pve_runbook.plan.script_steps import Step, Steps
from pve_runbook.terminal.question import LINES, PAGE, covered, in_full, in_lines, page, pages
from pve_runbook.terminal.wrap import WIDTH

TEXT = (
    "FREEZE the cluster: pve1, pve2.\n"
    "First every node's configuration is backed up, there and here, and checked; then scheduler and HA are stopped\n"
    "and disabled on all of them.\n"
    "  pve1: a job that deserves a look, and a few more words about it, so that its line has to be wrapped somewhere\n"
)
WHERE = "Plan 0123: 3 commands.\nrecords/x/plan.md has them."
PROMPT = "Type labcluster to go on, anything else to stop:"


def command(stage: str, node: str, line: str, why: str = "because") -> Command:
    return Command(0, stage, node, stage, tuple(line.split()), why, "", None)


def question(stage: str, node: str | None = None) -> Question:
    return Question(0, stage, node, "word", "text")


def test_a_sentence_goes_on_over_the_lines_of_the_text_and_is_wrapped_at_words() -> None:
    assert paragraphs(TEXT)[1].endswith("are stopped and disabled on all of them.")
    lines = in_lines(TEXT)
    assert max(map(len, lines)) <= WIDTH
    assert " ".join(" ".join(lines).split()) == " ".join(TEXT.split())
    assert lines[-1].startswith("  ") and lines[-2].startswith("  pve1: ")


def test_a_difference_stays_a_line() -> None:
    assert paragraphs("CHANGED:\n- phase 0 pve1: one\n+ phase 0 pve1: two") == [
        "CHANGED:",
        "- phase 0 pve1: one",
        "+ phase 0 pve1: two",
    ]


def test_a_short_question_is_whole_with_the_plan_and_the_prompt_last() -> None:
    shown = page(TEXT, WHERE, PROMPT).lstrip("\n").split("\n")
    assert shown[: len(in_lines(TEXT))] == in_lines(TEXT)
    assert shown[-3:] == ["Plan 0123: 3 commands.", "records/x/plan.md has them.", f"{PROMPT} "]


@pytest.mark.parametrize("count", [5, 9, 10, 60])
def test_a_question_never_takes_more_than_its_lines_and_says_what_is_missing(count: int) -> None:
    text = "\n".join(f"Line {number}." for number in range(count))
    shown = page(text, WHERE, PROMPT).lstrip("\n").split("\n")
    assert len(shown) <= LINES
    missing = [line for line in text.splitlines() if line not in shown]
    said = [line for line in shown if line.startswith("…")]
    assert said == ([f"… {len(missing)} more lines of this question: type ? to read all of it."] if missing else [])


def test_an_approval_is_for_what_is_sent_before_the_next_question() -> None:
    commands = [command("locked", "pve1", "a"), command("window", "pve1", "b"), command("window", "pve2", "b")]
    ahead = [question("locked"), question("window", "pve1"), question("window", "pve2")]
    assert covered(commands, ahead[0], ahead) == commands[:1]
    assert covered(commands[1:], ahead[1], ahead) == commands[1:2]
    assert covered(commands[2:], ahead[2], ahead) == commands[2:]


def test_two_questions_before_one_stage_are_for_the_same_commands() -> None:
    commands = [command("locked", "pve1", "a"), command("forced", "pve1", "b")]
    ahead = [question("locked"), question("locked"), question("forced")]
    assert covered(commands, ahead[0], ahead) == commands[:1]


def test_every_command_is_named_once_with_its_nodes() -> None:
    commands = [command("locked", node, "systemctl stop x") for node in ("pve1", "pve2")]
    shown = in_full(TEXT, [*commands, command("forced", "pve1", "pvecm expected 1")], ["pve1", "pve2"], {})
    assert shown[: len(in_lines(TEXT))] == in_lines(TEXT)
    assert shown[-5:] == [
        "This approval is for 3 commands, in this order:",
        "  $ systemctl stop x",
        "      pve1, pve2: because",
        "  $ pvecm expected 1",
        "      pve1: because",
    ]


def test_what_a_script_runs_stands_below_the_command_that_starts_it() -> None:
    why = "Nothing writes to it any more, and what has a reason of many words is wrapped as is everything else."
    steps = Steps((Step("systemctl stop pve-cluster", why),), ())
    started = [command("window", node, f"systemd-run bash /x/{node}.sh") for node in ("pve1", "pve2")]
    shown = in_full(TEXT, started, ["pve1", "pve2"], {("pve1", "/x/pve1.sh"): steps})
    assert max(map(len, shown)) <= WIDTH
    at = shown.index("  $ systemd-run bash /x/pve1.sh")
    assert shown[at + 1 : at + 3] == ["      pve1: because", "      It runs:"]
    assert shown[at + 3].startswith("      # Nothing writes to it any more")
    assert shown[at + 5 :] == [
        "      systemctl stop pve-cluster",
        "  $ systemd-run bash /x/pve2.sh",
        "      pve2: because",
    ]


def test_where_nothing_is_sent_that_is_said() -> None:
    assert in_full(TEXT, [], ["pve1"], {})[-1] == "This approval is for no command: nothing is left to be sent."


def test_what_is_shown_is_shown_a_screen_at_a_time() -> None:
    shown = list(pages([f"line {number}" for number in range(2 * PAGE + 1)]))
    assert len(shown) == 3 and all(len(one.split("\n")) <= 24 for one in shown)
    assert [one.count("line ") for one in shown] == [PAGE, PAGE, 1]
    assert "goes back" in shown[-1] and "shows the rest" not in shown[-1]
