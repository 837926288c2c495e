"""The batch runner in a real perl, here and over SSH, and the reader of its frames."""

from __future__ import annotations

import base64
import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pve_runbook.parsers.output import Output, ParseError
from pve_runbook.ssh.batch import (
    RUNNER,
    TURN_SECONDS,
    FrameReader,
    NoAnswer,
    Probe,
    Same,
    answer_hash,
    batch_command,
    run_batch,
)
from pve_runbook.ssh.connection import Connection
from pve_runbook.ssh.exec import ConnectionLost
from ssh_server import Server, Site

FRAMES = b"one x 0\none o b3V0\ntwo e \none e ZXJy\ntwo o /w==\ntwo x 124\n"
ANSWERS = {"one": Output("out", "err", 0), "two": Output("�", "", 124)}


def run_here(probes: Sequence[Probe], seen: Mapping[str, str] = {}) -> dict[str, Output | Same]:
    """The batch as a login shell on this machine runs it; every probe must answer, nobody else may."""
    command = batch_command(probes, seen)
    process = subprocess.run(["sh", "-c", command], capture_output=True, check=True, timeout=60)
    reader = FrameReader([probe[0] for probe in probes], seen)
    answers = dict(reader.feed(process.stdout))
    assert answers.keys() == {probe[0] for probe in probes}
    return answers


def test_forty_probes_each_give_their_own_answer() -> None:
    probes = [(f"p{i}", 30, ["bash", "-c", f"echo out {i}; echo err {i} >&2; exit {i}"]) for i in range(40)]
    answers = run_here(probes)
    assert answers == {f"p{i}": Output(f"out {i}\n", f"err {i}\n", i) for i in range(40)}


def test_probes_run_side_by_side(tmp_path: Path) -> None:
    """Each but the last waits for the one after it."""
    for i in range(1, 10):
        os.mkfifo(tmp_path / str(i))
    script = 'cd "$0"; [ "$1" = 9 ] || read -r <"$(($1 + 1))"; [ "$1" = 0 ] || echo here >"$1"'
    answers = run_here([(f"p{i}", 30, ["bash", "-c", script, str(tmp_path), str(i)]) for i in range(10)])
    assert set(answers.values()) == {Output("", "", 0)}


def test_no_more_run_at_once_than_the_node_has_processors(tmp_path: Path) -> None:
    """But for one more every half second: a probe that hangs must not hold up the others."""
    script = 'mkdir "$0/$$"; sleep 0.1; ls "$0" | wc -l; rmdir "$0/$$"'
    started = time.monotonic()
    answers = run_here([(f"p{i}", 30, ["sh", "-c", script, str(tmp_path)]) for i in range(40)])
    most = max(int(said.stdout) for said in answers.values() if isinstance(said, Output))
    processors = Path("/proc/stat").read_text().count("\ncpu")
    assert most <= min(8, max(2, processors)) + (time.monotonic() - started) / TURN_SECONDS
    assert most < 40


def test_probes_begin_in_the_order_in_which_they_stand(tmp_path: Path) -> None:
    probes = [(f"p{i}", 30, ["sh", "-c", f"echo {i} >>{tmp_path}/begun; sleep 0.05"]) for i in range(20)]
    run_here(probes)
    begun = [int(line) for line in (tmp_path / "begun").read_text().split()]
    assert all(abs(place - number) < 8 for place, number in enumerate(begun)), begun


def test_a_probe_s_time_counts_from_its_own_start() -> None:
    """The last of them begins when the bound of the first is over."""
    answers = run_here([(f"p{i}", 4, ["sleep", "1.5"]) for i in range(16)])
    assert set(answers.values()) == {Output("", "", 0)}


def test_probes_come_after_what_the_node_is_there_for() -> None:
    said = run_here([("nice", 5, ["nice"])])
    assert said["nice"] == Output("10\n", "", 0)


def test_a_probe_that_ignores_sigterm_is_killed_and_the_others_have_answered() -> None:
    stubborn = ["bash", "-c", "trap '' TERM; echo started; while :; do sleep 60; done"]
    answers = run_here([("stubborn", 2, stubborn), ("slow", 1, ["sleep", "60"]), ("quick", 30, ["echo", "here"])])
    assert answers["stubborn"] == Output("started\n", "", 137)
    assert answers["slow"].exit_status == 124
    assert answers["quick"] == Output("here\n", "", 0)


def test_a_probe_that_a_signal_ends_says_which() -> None:
    """As a shell and timeout(1) do: 128 and the signal's number; a broken pipe inside a probe ends what writes."""
    answers = run_here(
        [
            ("killed", 5, ["sh", "-c", "echo last words; kill -9 $$"]),
            ("pipe", 5, ["bash", "-c", "yes | head -n 1; echo ${PIPESTATUS[0]}"]),
        ]
    )
    assert answers["killed"] == Output("last words\n", "", 137)
    assert answers["pipe"] == Output("y\n141\n", "", 0)


def test_what_a_probe_started_is_ended_with_it() -> None:
    started = time.monotonic()
    answer = run_here([("parent", 1, ["sh", "-c", "sleep 60 & sleep 60"])])["parent"]
    assert answer.exit_status == 124
    assert time.monotonic() - started < 30


def test_long_and_binary_outputs_come_whole() -> None:
    binary = r"printf 'a\0b\377\n\n'"
    answers = run_here(
        [
            (
                "long",
                5,
                ["bash", "-c", "head -c 300000 /dev/zero | tr '\\0' x; head -c 300000 /dev/zero >&2"],
            ),
            ("binary", 5, ["bash", "-c", binary]),
            ("silent", 5, ["true"]),
        ]
    )
    assert answers["long"] == Output("x" * 300_000, "\0" * 300_000, 0)
    assert answers["binary"] == Output("a\0b�\n\n", "", 0)
    assert answers["silent"] == Output("", "", 0)


KNOWN = {
    "plain": Output("x" * 300_000, "", 0),
    "both": Output("out\n", "err ü\n", 3),
    "killed": Output("", "", 124),
    "nothing": Output("", "", 0),
}
SAYING = {
    "plain": ["bash", "-c", "head -c 300000 /dev/zero | tr '\\0' x"],
    "both": ["bash", "-c", "echo out; echo err ü >&2; exit 3"],
    "killed": ["sleep", "60"],
    "nothing": ["true"],
}


def test_what_the_asker_has_is_not_sent_again() -> None:
    probes = [(i, 1 if i == "killed" else 5, argv) for i, argv in SAYING.items()]
    seen = {i: answer_hash(output) for i, output in KNOWN.items()}
    assert run_here(probes, seen) == {i: Same(digest) for i, digest in seen.items()}


@pytest.mark.parametrize(
    "other",
    [
        Output("out\n", "err ü\n", 0),
        Output("out\n", "err\n", 3),
        Output("out", "\nerr ü\n", 3),
        Output("\n", "err ü\nout", 3),
        Output("OUT\n", "err ü\n", 3),
    ],
)
def test_what_differs_in_anything_is_sent_whole(other: Output) -> None:
    probes = [("both", 5, SAYING["both"]), ("beside", 5, ["echo", "here"])]
    expected = {"both": KNOWN["both"], "beside": Output("here\n", "", 0)}
    assert run_here(probes, {"both": answer_hash(other)}) == expected


def test_what_is_no_text_is_sent_whole_each_time() -> None:
    probe = ("binary", 5, ["printf", r"\377"])
    said = run_here([probe])["binary"]
    assert isinstance(said, Output)
    assert run_here([probe], {"binary": answer_hash(said)}) == {"binary": said}


def test_a_node_whose_perl_has_no_hashes_sends_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """perl-base alone has none; Proxmox VE brings the whole perl."""
    monkeypatch.setattr("pve_runbook.ssh.batch._HEAD", shlex.join(["perl", "-e", "@INC = ();" + RUNNER, "batch"]))
    assert run_here([("both", 5, SAYING["both"])], {"both": answer_hash(KNOWN["both"])}) == {"both": KNOWN["both"]}


def test_words_reach_the_probe_as_they_are() -> None:
    words = [
        "",
        " ",
        "it's",
        'say "x"',
        "$(touch /tmp/x)",
        "`id`",
        "*",
        "a\nb",
        "\\",
        "--",
        "-n",
        "ü",
        ";reboot",
    ]
    answer = run_here([("words", 5, ["printf", r"%s\0", *words])])["words"]
    assert answer.stdout.split("\0")[:-1] == words


def test_probes_have_no_input_and_the_plain_locale() -> None:
    answers = run_here([("input", 5, ["cat"]), ("locale", 5, ["bash", "-c", "echo $LC_ALL $LANG $TERM"])])
    assert answers["input"] == Output("", "", 0)
    assert answers["locale"].stdout == "C C dumb\n"


EXPORTED = {
    "SYSTEMD_COLORS": "1",
    "GREP_OPTIONS": "--color=always",
    "GREP_COLOR": "1;31",
    "LS_COLORS": "di=01;34",
    "QUOTING_STYLE": "c",
    "TIME_STYLE": "full-iso",
    "BLOCK_SIZE": "1M",
    "POSIXLY_CORRECT": "1",
    "TZ": "Asia/Tokyo",
    "LANG": "de_DE.UTF-8",
    "LANGUAGE": "de",
    "LC_ALL": "de_DE.UTF-8",
    "LC_MESSAGES": "de_DE.UTF-8",
}
"""What a node's root may have exported, in .bashrc or by pam_env."""


def test_nothing_that_is_exported_on_the_node_changes_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").write_text("text\n")
    probes = [
        ("listed", 5, ["ls", "-lA", str(tmp_path)]),
        ("absent", 5, ["ls", str(tmp_path / "no such file")]),
        ("found", 5, ["grep", "-rH", "text", str(tmp_path)]),
        ("time", 5, ["date", "-d", "@0"]),
        ("size", 5, ["du", str(tmp_path / "a file")]),
    ]
    for name in EXPORTED:
        monkeypatch.delenv(name, raising=False)
    plain = run_here(probes)
    for name, value in EXPORTED.items():
        monkeypatch.setenv(name, value)
    assert run_here(probes) == plain
    [seen] = run_here([("env", 5, ["env"])]).values()
    assert isinstance(seen, Output)
    names = {line.partition("=")[0] for line in seen.stdout.splitlines()}
    assert names <= {"PATH", "HOME", "USER", "LOGNAME", "LC_ALL", "LANG", "TERM"}, names


def test_a_command_that_does_not_exist_is_127_and_no_missing_answer() -> None:
    answer = run_here([("absent", 5, ["no-such-command-here"])])["absent"]
    assert answer.exit_status == 127 and "no-such-command-here" in answer.stderr


def test_the_only_program_text_is_the_runner() -> None:
    assert batch_command([("id", 3, ["cat", "it's"])]).endswith(""" batch 4 id 3 cat 'it'"'"'s'""")
    assert "'" not in RUNNER and "eval" not in RUNNER and "system" not in RUNNER


@pytest.mark.parametrize(
    "probes",
    [
        [],
        [("Upper", 1, ["true"])],
        [("two words", 1, ["true"])],
        [("", 1, ["true"])],
        [("id\n", 1, ["true"])],
        [("same", 1, ["true"]), ("same", 1, ["true"])],
        [("id", 0, ["true"])],
        [("id", 1, [])],
        [("id", 1, ["nul\0"])],
        [("id", 1, ["x" * 131_072])],
    ],
)
def test_a_batch_that_cannot_work_is_refused_before_it_is_sent(probes: list[Probe]) -> None:
    with pytest.raises(ValueError, match=r"probe"):
        batch_command(probes)


@pytest.mark.parametrize("size", range(1, len(FRAMES) + 1))
def test_frames_may_be_cut_anywhere(size: int) -> None:
    reader = FrameReader(["one", "two"])
    answers: dict[str, Output] = {}
    for start in range(0, len(FRAMES), size):
        answers.update(reader.feed(FRAMES[start : start + size]))
    assert answers == ANSWERS


def test_sameness_counts_only_where_it_was_offered() -> None:
    assert FrameReader(["one", "two"], {"one": "ab"}).feed(b"one = \n") == [("one", Same("ab"))]


def test_an_answer_is_given_with_its_last_frame_and_only_once() -> None:
    reader = FrameReader(["one", "two"])
    lines = FRAMES.splitlines(keepends=True)
    assert [[id_ for id_, _ in reader.feed(line)] for line in lines] == [[], [], [], ["one"], [], ["two"]]


@pytest.mark.parametrize(
    "noise",
    [
        b"Welcome to pve1\n",
        b"\n",
        b"three x 0\n",
        b"one\n",
        b"one q 0\n",
        b"one x -1\n",
        b"one x 1000\n",
        b"one x\n",
        b"one o not*base64\n",
        b"one o YQ\n",
        b"two x 0\ntwo x 0\n",
        b"one o YQ==\none o YQ==\n",
        FRAMES + b"one x 0\n",
        b"\xff\xfe\n",
        b"one = \n",
        b"two =\n",
        b"two = x\n",
        b"two x 0\ntwo = \n",
        b"two = \ntwo = \n",
    ],
)
def test_what_is_no_frame_is_an_error_in_one_line(noise: bytes) -> None:
    with pytest.raises(ParseError, match="bashrc") as error:
        FrameReader(["one", "two"], {"two": "ab"}).feed(noise)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"Welcome to pve1\n", "instead of a probe's answer came something else: 'Welcome to pve1'"),
        (b"one x\n", "instead of a probe's answer came something else: 'one x'"),
        (FRAMES + b"one x 0\n", "instead of a probe's answer came a second answer of a probe: 'one x 0'"),
        (b"one q 0\n", "the answer of probe one cannot be read: 'one q 0'"),
        (b"one o YQ\n", "the answer of probe one is damaged"),
    ],
)
def test_what_came_instead_of_a_frame_is_told(said: bytes, told: str) -> None:
    with pytest.raises(ParseError, match=re.escape(told)):
        FrameReader(["one", "two"]).feed(said)


def test_a_batch_over_ssh_answers_in_the_order_asked(node: Connection, server: Server) -> None:
    probes = [(f"p{i}", 30, ["bash", "-c", f"echo {i}; exit {i}"]) for i in range(40)]
    answers = run_batch(node, probes)
    assert list(answers.items()) == [(f"p{i}", Output(f"{i}\n", "", i)) for i in range(40)]
    assert len(server.executed) == 1


def test_a_probe_out_of_reach_of_its_timeout_costs_the_bound_and_not_the_other_answers(
    node: Connection,
) -> None:
    """20 s scaled by 0.1 are 2 s on the node; the bound is that, 2 s until SIGKILL, the third's turn, and the grace."""
    probes = [
        ("escaped", 20, ["setsid", "--fork", "sleep", "60"]),
        ("slow", 10, ["sleep", "60"]),
        ("quick", 20, ["echo", "here"]),
    ]
    started = time.monotonic()
    answers = run_batch(node, probes, timeout_scale=0.1, grace=0.3)
    assert time.monotonic() - started < 15
    assert answers == {
        "escaped": NoAnswer("no answer within 4.8 s", timed_out=True),
        "slow": Output("", "", 124),
        "quick": Output("here\n", "", 0),
    }


def test_a_batch_that_ends_early_leaves_no_answers_and_says_why(start: Callable[..., Server], site: Site) -> None:
    rc = site.home / "rc"
    rc.write_text("echo broken login >&2; exit 7\n")
    with site.connection(site.host("pve1", start(env={"BASH_ENV": str(rc)}))) as node:
        answers = run_batch(node, [("one", 5, ["true"])])
    why = "the batch ended with exit status 7 before this probe had answered: broken login"
    assert answers == {"one": NoAnswer(why)}


def test_a_login_shell_that_prints_is_named_as_the_culprit(start: Callable[..., Server], site: Site) -> None:
    rc = site.home / "rc"
    rc.write_text("echo Welcome\n")
    with (
        site.connection(site.host("pve1", start(env={"BASH_ENV": str(rc)}))) as node,
        pytest.raises(ParseError, match=r"'Welcome'; a ~/\.bashrc that prints does this"),
    ):
        run_batch(node, [("one", 5, ["true"])])


def test_a_link_cut_during_a_batch_is_a_lost_connection(node: Connection, server: Server, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(run_batch, node, [("waiting", 30, ["cat", str(fifo)])])
        with fifo.open("wb"):  # opens as soon as the probe reads
            server.drop()
            with pytest.raises(ConnectionLost, match="a batch of 1 probes"):
                asked.result(60)


def test_base64_pulls_a_file_of_any_bytes(node: Connection, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    file.write_bytes(os.urandom(200_000))
    answer = run_batch(node, [("pull", 5, ["base64", "-w0", str(file)])])["pull"]
    assert isinstance(answer, Output)
    assert base64.b64decode(answer.stdout, validate=True) == file.read_bytes()
