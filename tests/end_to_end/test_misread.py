"""Files that a person edited, processes that a person started: each way ends in standalone nodes, every guest its
process."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from lab_stage import Stage, a_lab

DATABASE = "/var/lib/pve-cluster/config.db"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A lab of three nodes."""
    yield from a_lab(3, tmp_path_factory.mktemp("records"))


def expect_standalone(stage: Stage, ended: tuple[int, str]) -> str:
    status, said = ended
    assert status == 0, said[-3000:]
    assert stage.not_standalone() == [] and stage.lost() == []
    return " ".join(said.split())


@pytest.mark.parametrize(
    ("scenario", "left"),
    [
        ("sections-with-junk", "/etc/pve/storage.cfg, line 25: it is no option of dir: more"),
        *(
            pytest.param(*case, marks=pytest.mark.sweep)
            for case in (
                ("stray-line", "/etc/pve/nodes/pve1/qemu-server/103.conf, line 17"),
                ("hosts-with-junk", "/etc/hosts, line 3: it does not begin with an address"),
                ("option-twice", "the option content of dir: more stands there twice"),
                ("servers-with-ports", ""),
                ("guests-by-hand", ""),
            )
        ),
    ],
)
def test_what_proxmox_passes_over_is_told_and_stops_nobody(stage: Stage, scenario: str, left: str) -> None:
    stage.set(scenario)
    assert left in expect_standalone(stage, stage.run())


@pytest.mark.parametrize(
    "scenario",
    [
        "conf-without-colon",
        *(pytest.param(s, marks=pytest.mark.sweep) for s in ("conf-without-nodelist", "conf-with-comment-broken")),
    ],
)
def test_a_corosync_conf_that_cannot_be_read_stops_nobody(stage: Stage, scenario: str) -> None:
    """The verdict is to mend the line; with a reason the nodes are taken apart all the same."""
    stage.set(scenario)
    expect_standalone(stage, stage.run())


@pytest.mark.parametrize(
    ("scenario", "votes"),
    [("two-votes-broken", "2"), pytest.param("member-without-vote-broken", "1", marks=pytest.mark.sweep)],
)
def test_the_authority_expects_its_own_votes(stage: Stage, scenario: str, votes: str) -> None:
    stage.set(scenario)
    more = ["--authority=pve1"] if votes == "2" else []
    expect_standalone(stage, stage.run(*more))
    forced = [(h, x.argv) for h in stage.hosts for x in stage.control.log(h) if x.argv[:2] == ("pvecm", "expected")]
    assert forced == [("pve1" if votes == "2" else "pve2", ("pvecm", "expected", votes))]


@pytest.mark.sweep
def test_a_node_without_a_vote_is_no_authority_and_another_one_is_named(stage: Stage) -> None:
    stage.set("member-without-vote-broken")
    status, said = stage.run("--authority=pve1")
    assert status == 1 and "pve1 would be the authority, and has no vote" in " ".join(said.split())
    assert stage.control.mutating_count() == 0
    stage.turn()
    expect_standalone(stage, stage.run("--authority=pve3"))


@pytest.mark.sweep
def test_a_task_of_a_type_that_nobody_knows_is_waited_for(stage: Stage) -> None:
    stage.set("task-of-any-type")
    status, said = stage.run()
    assert status == 1 and "a task is running: bulk-start" in said
    assert stage.control.mutating_count() == 0
    stage.turn()
    assert stage.control.run("pve1", "pkill -f '^task UPID:'").exit_status == 0
    expect_standalone(stage, stage.run())


@pytest.mark.sweep
def test_a_damaged_database_is_taken_from_a_peer(stage: Stage) -> None:
    """What the refusal says is typed, to the letter; the copy goes from node to node by way of this machine."""
    stage.set("database-damaged-broken")
    status, said = stage.run()
    text = " ".join(said.split())
    assert (
        status == 1 and f"pve2: its configuration database {DATABASE} is damaged; by pve1's its guests are 201," in text
    )
    assert stage.control.mutating_count() == 0
    stage.turn()
    away = f"systemctl stop pve-cluster; mkdir /root/damaged; mv {DATABASE}* /root/damaged"
    assert f"`{away}`" in text and f"`sqlite3 {DATABASE} \".backup '/root/config.db'\"`" in text
    copied = stage.control.run(
        "pve1", f"sqlite3 {DATABASE} \".backup '/root/config.db'\" && base64 -w0 /root/config.db"
    )
    assert copied.exit_status == 0, copied
    for line in (away, f"install -m 0600 /dev/stdin {DATABASE}", "systemctl start pve-cluster"):
        typed = stage.control.run("pve2", line, base64.b64decode(copied.stdout))
        assert typed.exit_status == 0, (line[:60], typed)
    expect_standalone(stage, stage.run())
