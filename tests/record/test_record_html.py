"""The record as HTML: balanced, escaped, whole without a script, and quick to read."""

from __future__ import annotations

from pathlib import Path

import pytest
import record_journals
from msgspec.structs import fields, replace
from pve_runbook.journal.rows import GuestRow, GuestTruth
from pve_runbook.record import html_markup, phrases
from pve_runbook.record.build import build
from pve_runbook.record.html_summary import detail_html, summary_html
from pve_runbook.record.model import Continuity
from record_html import check
from record_journals import Journal

EVIL = "<img src=x onerror=alert(1)>\"'</pre></details></td>&amp;"


def both(journal: Journal) -> str:
    record = build(journal.entries)
    return summary_html(record) + detail_html(record)


def test_planted_markup_stays_text_everywhere() -> None:
    for make in (record_journals.whole_run, record_journals.failed_run):
        found = check(both(make(EVIL)))
        assert found.planted == []
        assert EVIL in found.text


def test_planted_markup_in_every_single_field_stays_text() -> None:
    plain = {tag for tag, _ in check(both(record_journals.whole_run())).tags}
    journal = record_journals.whole_run()
    for event in journal.events:
        for name, value in event.items():
            if isinstance(value, str) and name not in (
                "kind",
                "t",
                "step",
                "nodeid",
                "batch",
                "action_id",
                "id",
                "topic",
            ):
                event[name] = EVIL
            if name in ("rows", "nodes", "probes"):
                assert isinstance(value, list)
                for row in (row for row in value if isinstance(row, dict)):
                    row.update({key: EVIL for key in row if key not in ("id", "same", "argv")})
            if name == "argv":
                event[name] = [EVIL]
    found = check(both(journal))
    assert found.planted == []
    assert {tag for tag, _ in found.tags} == plain


def test_no_class_begins_with_col() -> None:
    """pytest-html takes such a class for the name of a column."""
    for make in (record_journals.whole_run, record_journals.failed_run):
        for _, attributes in check(both(make())).tags:
            assert not any(name.startswith("col-") for name in (attributes.get("class") or "").split())


def test_every_class_that_is_written_is_ours() -> None:
    for _, attributes in check(both(record_journals.failed_run())).tags:
        assert all(name.startswith("pve-") for name in (attributes.get("class") or "").split())


def test_verdict_comes_first() -> None:
    text = check(summary_html(build(record_journals.failed_run().entries))).text
    assert text.startswith("EXECUTED · exit status 1Stopped in phase 2")
    assert text.index("corosync still runs on pve2, pid 812.") < text.index("What was done, by whom")


def test_guests_that_were_interrupted_are_named_beside_the_verdict_and_first_in_the_table() -> None:
    page = summary_html(build(record_journals.failed_run().entries))
    banner = page.split("</header>")[0]
    assert "Guest 201 shop on pve2 changed." in banner
    assert "Node pve2 was restarted." in banner
    table = check(page.split("Guests before and after")[1].split("</h2>", 1)[1].split("</section>")[0]).text
    assert table.index("201 shoppve2qemuchanged") < table.index("101 webpve1qemusame")
    assert table.index("pve2changed3f0cpve2-111177aa-2222") < table.index("pve1same3f0cpve1-1111")


def test_nothing_is_said_of_changed_guests_when_all_ran_through() -> None:
    assert "pve-changed" not in summary_html(build(record_journals.whole_run().entries))


def test_only_a_phase_that_failed_is_open() -> None:
    tags = check(detail_html(build(record_journals.failed_run().entries))).tags
    phases = [attributes for tag, attributes in tags if tag == "details" and attributes["class"] == "pve-phase"]
    assert ["open" in attributes for attributes in phases] == [False, False, True, False, False, False, False, False]


def test_a_killed_run_says_so_and_what_to_do() -> None:
    journal = record_journals.whole_run()
    del journal.events[120:]
    text = check(both(journal)).text
    assert text.startswith("INTERRUPTED · no exit status recordedThe run ended without a word")
    assert "Run the same command again" in text
    assert "Last event" in text


def test_a_run_that_a_signal_ended_is_interrupted() -> None:
    journal = Journal()
    journal.run()
    journal.end(2, "Stopped by the operator.", "run it again", signal="SIGHUP")
    assert "INTERRUPTED · exit status 2, ended by SIGHUP" in check(both(journal)).text


def test_checks_are_verified_only_and_have_no_approvals_or_backups() -> None:
    journal = Journal()
    journal.run(mode="checks")
    journal.start(None, "Quorum", "quorate", "The node is quorate.", "pve1")
    journal.finish("failed", "pve1 has no quorum.")
    journal.end(1, "One check failed.", "")
    text = check(both(journal)).text
    assert text.startswith("VERIFIED ONLY · exit status 1")
    assert "What failed, or is unknown" in text
    assert "Approvals" not in text and "Backups" not in text and "Next:" not in text


def test_reads_are_folded_to_one_line_and_tell_who_did_not_answer() -> None:
    page = detail_html(build(record_journals.whole_run().entries))
    assert "5 probes, 0.2 s, all answered" in page
    assert "2 probes, 0.2 s, 1 without an answer" in page
    assert "no answer within 5 s" in page
    assert "4 probes answered as before: hostname (line 3)" in page


def test_an_answer_that_did_not_change_is_shown_once_a_node() -> None:
    journal = Journal()
    for node in ("pve1", "pve2"):
        for said in ("Quorate: No", "Quorate: No", "Quorate: Yes", "Quorate: Yes"):
            journal.read(node, {"quorum": said})
    page = detail_html(build(journal.entries))
    assert page.count("Quorate: No") == page.count("Quorate: Yes") == 2


def test_what_a_probe_asks_and_why_is_said_once() -> None:
    page = detail_html(build(record_journals.whole_run().entries))
    assert "What was read: " in page
    assert page.count("Tells quorum.") == 1


def test_actions_stand_with_command_why_undo_and_outcome() -> None:
    text = check(detail_html(build(record_journals.failed_run().entries))).text
    for expected in (
        "stop corosync",
        "exit status 1",
        "systemctl stop corosync.service",
        "Why: One rejoin undoes it.",
        "Undo: start it",
        "Job for corosync.service failed.",
    ):
        assert expected in text


def test_a_plan_and_a_rehearsal_are_never_taken_for_a_change() -> None:
    for mode, word in (("plan", "PLAN"), ("rehearsal", "REHEARSAL")):
        journal = record_journals.whole_run()
        next(e for e in journal.events if e["kind"] == "run")["mode"] = mode
        page = summary_html(build(journal.entries))
        assert check(page).text.startswith(f"{word} · exit status 0")
        assert "Nothing was done" in page.split("</header>")[0]
        assert page.startswith(f'<div class="pve-record pve-mode-{mode}">')  # what print marks every page by
        assert detail_html(build(journal.entries)).startswith(f'<div class="pve-record pve-detail pve-mode-{mode}">')
        del journal.events[-1]
        assert check(summary_html(build(journal.entries))).text.startswith(f"{word}, INTERRUPTED")


def test_who_was_interrupted_is_said_in_the_banner() -> None:
    def banner(journal: Journal) -> str:
        return summary_html(build(journal.entries)).split("</header>")[0]

    assert "No guest was interrupted: 11 of 11 that ran" in banner(record_journals.whole_run())
    assert "Guests that were interrupted: 201 shop on pve2." in banner(record_journals.failed_run())


def test_a_grid_tells_how_many_steps_passed_on_which_node_in_which_phase() -> None:
    page = summary_html(build(record_journals.failed_run().entries))
    grid = page.split("Phases and nodes")[1].split("</section>")[0]
    lines = [check(row.partition("</tr>")[0] + "</tr>").text for row in grid.replace("<tr>", "\0<tr>").split("\0")[2:]]
    assert lines[0].startswith("Phase 0: freeze") and "3 of 31/11/11/1" in lines[0]
    assert "failed0 of 1–failed 0/1–" in lines[2]  # noqa: RUF001
    assert "blocked0 of 3blocked 0/1blocked 0/1blocked 0/1" in lines[3]


def test_every_kind_of_change_stands_once_with_its_nodes_and_its_undo() -> None:
    page = summary_html(build(record_journals.whole_run().entries))
    text = check(page.split("What was changed, and how")[1].split("</h2>")[1].split("</section>")[0]).text
    assert text.count("systemctl stop pvescheduler.service") == 1
    assert "pve1, pve2, pve3donesystemctl start pvescheduler" in text


def test_what_a_verification_found_stands_right_under_its_verdict() -> None:
    journal = Journal()
    journal.run(mode="checks")
    journal.start(None, "Verdict", "nothing", "Nothing has to be done.")
    journal.add("note", topic="verdict", node=None, text="DISMANTLE: take it apart\nlink 0 is shared with guests")
    journal.finish("failed", "DISMANTLE: take it apart\nlink 0 is shared with guests")
    journal.end(1, "DISMANTLE: take it apart.", "pytest runbook/")
    text = check(summary_html(build(journal.entries))).text
    assert (
        text.index("Why this verdict")
        < text.index("link 0 is shared with guests")
        < text.index("What failed, or is unknown")
    )
    assert text.count("link 0 is shared with guests") == 1


def test_backups_show_size_and_whole_hash() -> None:
    text = check(summary_html(build(record_journals.whole_run().entries))).text
    assert "backups/pve1/config.db96.0 KiB" + record_journals.sha("pve1config.db") in text


def test_it_is_said_where_the_backups_are_here_and_on_the_nodes() -> None:
    text = check(summary_html(build(record_journals.whole_run().entries))).text
    assert "where anna@jump ran this: /root/records/2026-01-08T021000Z-prod-CHG-4711/backups (secret" in text
    assert "On each node that was backed up: /var/lib/pve-runbook/20260108T021000Z." in text


def test_who_approved_what_fits_one_screen_and_the_question_is_folded_whole() -> None:
    page = summary_html(build(record_journals.whole_run().entries))
    asked = page.split("<h2>Approvals</h2>")[1].split("</section>")[0]
    assert "<summary>The scheduler and HA stop on pve1, pve2, pve3.</summary>" in asked
    assert "Undo: systemctl start pvescheduler" in asked


def test_reads_in_a_row_are_one_fold_unless_one_was_not_answered() -> None:
    journal = Journal()
    journal.start(0, "freeze", "waits", "It waits.")
    for _ in range(3):
        journal.read("pve1", {"sleep": ""})
    journal.read("pve2", {"sleep": None})
    journal.finish()
    page = detail_html(build(journal.entries))
    assert "3 requests, 3 probes, all answered" in page
    assert "1 probe, 0.2 s, 1 without an answer" in page


def test_the_same_note_of_three_nodes_is_said_once() -> None:
    text = check(summary_html(build(record_journals.whole_run().entries))).text
    assert text.count("The article names no command") == 1
    assert "pve1, pve2, pve3: The article names no command" in text


def test_long_output_is_cut_in_the_middle_with_the_line_of_the_whole() -> None:
    text = "a" * 3000 + "é" * 3000 + "z" * 3000
    shown = html_markup.cap(text, line=812)
    assert shown.startswith("a" * 2048) and shown.endswith("z" * 2048)
    assert f"… {12_000 - 4096} bytes left out, full text in journal.jsonl, line 812 …" in shown
    assert html_markup.cap("x" * 4096, line=1) == "x" * 4096


def test_output_that_is_cut_inside_a_letter_counts_the_bytes_that_are_gone() -> None:
    text = "x" + "é" * 4000
    shown = html_markup.cap(text, line=1)
    head, rest = shown.split("\n… ")
    tail = rest.split(" …\n")[1]
    assert f"… {len(text.encode()) - len(head.encode()) - len(tail.encode())} bytes" in shown


def test_control_characters_become_visible_and_lone_surrogates_do_not_stop_the_page() -> None:
    journal = Journal()
    journal.read("pve1", {"odd": "\x1b[31mred\x00\udcff\tend"})
    page = both(journal)
    assert "␛[31mred␀?\tend" in page
    page.encode("utf-8")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (723, "12 min 3 s"),
        (3720, "1 h 2 min"),
        (7200, "2 h"),
    ],
)
def test_durations_read_as_people_say_them(seconds: float, words: str) -> None:
    assert html_markup.duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(None, "–"), (512, "512 B"), (98_304, "96.0 KiB"), (1_300_000, "1.2 MiB"), (3 * 1024**4, "3.0 TiB")],  # noqa: RUF001
)
def test_sizes_read_as_people_say_them(count: int | None, words: str) -> None:
    assert html_markup.size(count) == words


def test_style_needs_no_network_and_cannot_end_its_element() -> None:
    import pve_runbook.record

    style = (Path(pve_runbook.record.__file__).parent / "style.css").read_text(encoding="utf-8")
    assert "url(" not in style and "@import" not in style and "</" not in style
    assert style.count("{") == style.count("}")


def test_a_run_of_thirty_two_nodes_and_two_thousand_guests_stays_below_four_megabytes() -> None:
    """pytest-html adds 0.8 kB a step to it: 1,820 of them at 32 nodes."""
    journal = Journal()
    journal.run()
    nodes = [f"pve{number}" for number in range(32)]
    for node in nodes:  # three of four say much the same on every node, one has nothing in common with another
        text = "".join(f"line {number} of thirty\n" for number in range(30))
        answers: dict[str, object] = {f"like{number}": f"{text}{node} {number}\n" for number in range(36)}
        journal.read(node, {**answers, **{f"own{number}": f"{node} {number}" * 100 for number in range(12)}})
    for phase, title in record_journals.PHASES:
        for step in range(8):
            for node in nodes:
                journal.start(phase, title, f"step{step}", "It holds.", node)
                if step == 0:
                    journal.read(node, {"qm list": f"{node} {phase} " + "y" * 3000})
                journal.finish()
    record = build(journal.entries)
    row = GuestRow.unchanged(GuestTruth(1000, "guest1000", "qemu", "pve10", 81_234, 981_234, "ab" * 32, 5, 5))
    guests = tuple(replace(row, vmid=1000 + number, name=f"guest{1000 + number}") for number in range(2000))
    compared = Continuity(1, record.ended, 7, "at the end", guests, ())
    record = replace(record, continuity=(compared,))
    top, detail = len(summary_html(record).encode()), len(detail_html(record).encode())
    assert top < 800_000
    assert detail < 1_000_000


def test_a_record_has_no_field_that_only_a_script_could_fill() -> None:
    assert "script" not in {tag for tag, _ in check(both(record_journals.whole_run())).tags}
    assert not any(field.name.startswith("on") for field in fields(build([]).header))


def test_a_plan_shows_what_a_run_would_send_and_a_run_does_not() -> None:
    journal = Journal()
    journal.run(mode="plan")
    record_journals.planned(journal, EVIL)
    journal.end(0, "A plan.", "")
    found = check(both(journal))
    assert found.planted == []
    assert "systemctl stop 'pvescheduler.service<img" in found.text
    assert "What a run would send" in found.text and "3 commands" in found.text
    assert "What a run would send" not in check(both(record_journals.whole_run())).text


def test_reads_that_brought_a_word_or_two_are_lines_of_one_block() -> None:
    journal = Journal()
    journal.start(0, "freeze", "waits", "It waits.")
    long = "one\ntwo\n"
    for said in ("12.5", "13.5", "14.5"):
        journal.read("pve1", {"clock": f"{said}\n", "mounts": long})
    journal.finish()
    page = detail_html(build(journal.entries))
    assert page.count('class="pve-out pve-read"') == 1
    assert "clock: 13.5 (line 6); 1 probe answered as before: mounts (line 4)\n" in page
    assert page.count("one\ntwo") == 1


def test_a_long_command_stands_in_the_list_of_what_was_read_alone() -> None:
    journal = Journal()
    journal.start(0, "freeze", "waits", "It waits.")
    journal.read("pve1", {"x" * 100: "a\nb\n", "short": "a\nb\n"})
    journal.finish()
    page = detail_html(build(journal.entries))
    assert page.count(f"{'x' * 100} --flag") == 1
    assert page.count("short --flag") == 2


def test_reads_in_a_row_that_brought_nothing_new_are_one_line() -> None:
    """As the looks at the guests while a node leaves: their lines in the journal are named."""
    journal = Journal()
    journal.start(4, "remove", "leaves", "It leaves.")
    for _ in range(3):
        for node in ("pve1", "pve2"):
            journal.read(node, {"proc_stats": "7\n"})
    journal.finish()
    page = detail_html(build(journal.entries))
    told = "pve1, pve2: 4 requests, 4 probes, all answered as before (lines 6 to 13 of journal.jsonl)"
    assert page.count("answered as before") == 1 and told in page


def test_where_no_guest_ran_none_is_called_uninterrupted() -> None:
    """As after HA had reset all nodes; "0 of 0" would read as a proof."""
    said = phrases.interrupted(Continuity(line=1, at="", phase=7, label="", guests=(), nodes=()))
    assert said == "No guest ran when the run began: there was none to be interrupted"
