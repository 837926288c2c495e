"""--leave: the named nodes are taken out, the others stay a cluster: by the lab's own truth and the nodes' own logs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

RUNS_ON = ("corosync", "pmxcfs", "pvescheduler", "pve-ha-lrm", "pve-ha-crm", "pvedaemon", "pveproxy")
TO_THOSE_THAT_STAY = re.compile(
    r"install -d -m 0700 /var/lib/pve-runbook .*|ln -s -T run=.* /var/lib/pve-runbook/lock|tar -C / -czf /var/lib/.*"
    r"|sqlite3 /var/lib/pve-cluster/config\.db \.backup .*|install -m 0600 /dev/stdin /var/lib/pve-runbook/.*\.md"
    r"|rm -rf /run/pve-runbook/.*|rm -f /var/lib/pve-runbook/lock|pvecm delnode pve\d+|pvecm expected \d"
    r"|ha-manager remove vm:\d+"
)


class Leaving:
    """A lab on which some nodes are to leave, and what ran on those that stay."""

    def __init__(self, lab: Any, *gone: str) -> None:
        self.lab = lab
        self.gone = gone
        self.stay = [n for n in lab.hosts if n not in gone]
        self.before = self._processes()

    def _processes(self) -> dict[tuple[str, str], str]:
        asked = ((node, name) for node in self.stay for name in RUNS_ON)
        return {(node, name): self.lab.control.run(node, f"pgrep -f {name}").stdout for node, name in asked}

    @property
    def options(self) -> list[str]:
        """The command line, with those that are off left out of --hosts."""
        off = [n for n in self.gone if not self.lab.before[n].powered]
        hosts = ",".join(n for n in self.lab.hosts if n not in off)
        absent = [f"--absent={','.join(off)}"] if off else []
        return [f"--hosts={hosts}", f"--ssh-config={self.lab.ssh_config}", f"--leave={','.join(self.gone)}", *absent]

    def untouched(self) -> bool:
        """Whether nothing was changed on any node."""
        return bool(self.lab.mutating() == [])

    def hold(self) -> None:
        """Those that left are standalone, the others a quorate cluster without them, whose daemons ran on."""
        after = self.lab.control.state()
        for name in self.gone:
            node = after[name]
            assert not node.powered or (node.standalone and node.corosync_files in ((), ("uidgid.d",)))
        for name in self.stay:
            assert after[name].quorate and after[name].mode == "cluster"
            status = self.lab.control.run(name, "pvecm status").stdout
            assert f"Expected votes:   {len(self.stay)}\n" in status
            assert f"Total votes:      {len(self.stay)}\n" in status
            nodes = self.lab.control.run(name, "pvecm nodes").stdout
            assert re.findall(r"pve\d+", nodes) == self.stay
            assert self.lab.control.run(name, "touch /etc/pve/a && rm /etc/pve/a").exit_status == 0
        assert self._processes() == self.before
        assert self.lab.changed_guests() == {}
        assert all(after[n].boot_id == self.lab.before[n].boot_id for n in self.lab.hosts)


def typed_as_told(case: Leaving, message: str) -> list[str]:
    """Type what a refusal says is to be typed, on the node that it names; what that was."""
    told = re.findall(r"`((?:pvesr delete|pvecm expected|ha-manager remove) [^`]*\d[^`]*)`", message)
    for line in told:
        said = case.lab.control.run("pve1", line)
        assert said.exit_status == 0, (line, said)
        case.lab.control.advance(10)
    return told


def sent_to_those_that_stay(ran: Any, stay: list[str]) -> list[str]:
    """What the journal says that they were sent."""
    intents = [e for e in ran.journal() if e["kind"] == "action-intent" and e["node"] in stay]
    return [" ".join(map(str, e["argv"])) for e in intents]


@pytest.fixture
def leave(start_lab: Callable[..., Any]) -> Callable[..., Leaving]:
    """Start a lab on which nodes are to leave: ``leave("own-link", "pve3")``."""

    def start(scenario: str, *gone: str, nodes: int = 3) -> Leaving:
        return Leaving(start_lab(scenario, nodes=nodes), *gone)

    return start


@pytest.mark.parametrize(
    ("scenario", "nodes", "gone"),
    [
        ("own-link", 3, ("pve3",)),
        ("last-off", 3, ("pve3",)),
        *(
            pytest.param(*case, marks=pytest.mark.sweep)
            for case in (
                ("quorate", 5, ("pve3", "pve5")),
                ("last-off", 5, ("pve4", "pve5")),
                ("one-alone", 3, ("pve3",)),
                ("separated", 3, ("pve3",)),
                ("reinstalled", 3, ("pve3",)),
                ("removed-while-up", 3, ("pve3",)),
                ("corosync-never-stopped", 3, ("pve3",)),
                ("ha-quorate", 3, ("pve3",)),
                ("guide-half-done-own", 3, ("pve3",)),
                ("authkey-lost", 5, ("pve5",)),
            )
        ),
    ],
)
def test_the_named_nodes_leave_and_the_others_stay_a_cluster(
    leave: Callable[..., Leaving], run: Callable[..., Any], scenario: str, nodes: int, gone: tuple[str, ...]
) -> None:
    """Exit 0; to those that stay nothing is sent but backups, the lock, and what lets the nodes go."""
    case = leave(scenario, *gone, nodes=nodes)
    ran = run("runbook/", *case.options, "--approve=all", called_for=True)
    assert ran.status == 0, ran.text
    assert set(ran.outcomes()) <= {"passed", "not evaluated"}
    assert f"{', '.join(gone)} has left labcluster; {', '.join(case.stay)} stay a quorate cluster" in ran.text
    case.hold()
    asked = [(e["phase"], str(e["subject"])) for e in ran.journal() if e["kind"] == "approval" and e["phase"] != 7]
    if scenario == "own-link":
        assert asked == [(0, "pve3"), (2, "pve3"), (4, "pve3"), (6, "pve3")]
    words = [word for _, word in asked]
    assert words and all(set(w.removesuffix(" is powered off").split(",")) <= set(gone) for w in words), words
    sent = sent_to_those_that_stay(ran, case.stay)
    assert [line for line in sent if not TO_THOSE_THAT_STAY.fullmatch(line)] == []
    listed = () if scenario == "removed-while-up" else gone
    assert [line for line in sent if line.startswith("pvecm")] == [f"pvecm delnode {name}" for name in listed]
    managed = ["vm:301"] if scenario == "ha-quorate" else []
    assert [line for line in sent if line.startswith("ha")] == [f"ha-manager remove {sid}" for sid in managed]


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("scenario", "nodes", "gone", "sent"),
    [
        ("own-link", 2, ("pve2",), ["expected 1", "delnode pve2"]),
        ("last-off", 2, ("pve2",), ["delnode pve2"]),
        ("others-off", 3, ("pve2", "pve3"), ["delnode pve2", "expected 1", "delnode pve3"]),
        ("own-link", 4, ("pve3", "pve4"), ["expected 2", "delnode pve3", "delnode pve4"]),
    ],
)
def test_quorum_is_forced_where_those_that_stay_have_no_majority(
    leave: Callable[..., Leaving],
    run: Callable[..., Any],
    scenario: str,
    nodes: int,
    gone: tuple[str, ...],
    sent: list[str],
) -> None:
    """It is refused with zero changes, until the operator says so; the question says it too."""
    case = leave(scenario, *gone, nodes=nodes)
    ran = run("runbook/", *case.options, "--approve=all", called_for=True)
    assert ran.status == 1 and case.untouched()
    [(title, message)] = ran.failed()
    assert title.startswith("Those that stay see each other") and "--accept=forced-quorum" in message
    if "pve2" in gone:  # as the next refusal says
        forced = run("runbook/", *case.options, "--approve=all", "--accept=forced-quorum", called_for=True)
        [(_, message)] = forced.failed()
        delete = "pvesr delete 102-0" if scenario == "own-link" else "pvesr delete 102-0 --force"
        alone = [] if scenario == "own-link" else ["pvecm expected 1"]
        assert typed_as_told(case, message) == [*alone, delete]
        case.lab.control.advance(120)  # the job is taken away by the next run of its node's pvescheduler
    ran = run("runbook/", *case.options, "--approve=all", "--accept=forced-quorum", called_for=True)
    assert ran.status == 0, ran.text
    case.hold()
    lines = sent_to_those_that_stay(ran, case.stay)
    assert [line for line in lines if not TO_THOSE_THAT_STAY.fullmatch(line)] == []
    assert [line for line in lines if line.startswith("pvecm")] == [f"pvecm {what}" for what in sent]
    texts = [str(e["text"]) for e in ran.journal() if e["kind"] == "approval" and e["phase"] == 2]
    assert any("QUORUM IS FORCED on those that stay" in text for text in texts)


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("scenario", "nodes", "more", "told"),
    [
        ("own-link", 3, (), [["pvesr delete 102-0"]]),
        (
            "ha-quorate",
            2,
            ("--accept=forced-quorum",),
            [["ha-manager remove vm:101", "ha-manager remove vm:201"], ["pvesr delete 102-0"]],
        ),
    ],
)
def test_what_ties_a_node_is_taken_away_by_the_line_that_is_told(
    leave: Callable[..., Leaving],
    run: Callable[..., Any],
    scenario: str,
    nodes: int,
    more: tuple[str, ...],
    told: list[list[str]],
) -> None:
    """Replication, and HA where those that stay would lose quorum: refused with zero changes; once the lines of the
    refusals were typed the same command line comes to its end."""
    case = leave(scenario, "pve2", nodes=nodes)
    for lines in told:
        ran = run("runbook/", *case.options, *more, "--approve=all", called_for=True)
        assert ran.status == 1
        assert not [e for e in ran.journal() if e["kind"] == "action-intent"]
        assert [line for _, message in ran.failed() for line in typed_as_told(case, message)] == lines
        case.lab.control.advance(960)  # the scheduler takes the job away, HA becomes idle
    ran = run("runbook/", *case.options, *more, "--approve=all", called_for=True)
    assert ran.status == 0, ran.text
    case.hold()


CEPH = "touch /etc/pve/ceph.conf"
ON_NAS = "sed -i -e 's/local:302/nas:302/' /etc/pve/nodes/pve3/qemu-server/302.conf"
"""Guest 203 of pve2 is on the nas too."""
REFUSED = [
    ("own-link", "pve2", "", "No replication job", ("102-0 from pve1 to pve2", "`pvesr delete 102-0`")),
    ("own-link", "pve3", CEPH, "No Ceph runs on these nodes", ("`pveceph osd destroy`", "ceph node ls")),
    ("settling", "pve3", "", "The verdict on the cluster forbids no node", ("the verdict is wait",)),
    ("broken", "pve3", "", "Those that stay see each other", ("does not see pve2",)),
    ("own-link", "pve3", ON_NAS, "No shared storage holds guests", ("nas: pve2 (203), pve3 (302)", "shared-storage")),
]


@pytest.mark.sweep
@pytest.mark.parametrize(("scenario", "gone", "before", "title", "words"), REFUSED)
def test_what_stands_in_the_way_is_refused_with_zero_changes(
    leave: Callable[..., Leaving],
    run: Callable[..., Any],
    scenario: str,
    gone: str,
    before: str,
    title: str,
    words: tuple[str, ...],
) -> None:
    """One gate, three lines, and the way on."""
    case = leave(scenario, gone)
    if before:
        assert case.lab.control.run("pve1", before).exit_status == 0
    sent = len(case.lab.mutating())
    ran = run("runbook/", *case.options, "--approve=all", called_for=True)
    assert ran.status == 1
    [message] = [message for failed, message in ran.failed() if failed.startswith(title)]
    assert all(word in message for word in words), message
    assert len(case.lab.mutating()) == sent


@pytest.mark.sweep
def test_a_name_that_is_no_member_is_refused_with_zero_changes(
    leave: Callable[..., Leaving], run: Callable[..., Any]
) -> None:
    """A name of nobody, and one that was let go before: who the members are, and what is left to do."""
    case = leave("own-link", "pve3")
    options = [o for o in case.options if not o.startswith("--leave")]
    ran = run("runbook/", *options, "--leave=pve9", "--absent=pve9", "--approve=all", called_for=True)
    assert ran.status == 1 and case.untouched()
    [(_, message)] = ran.failed()
    assert "pve9 (--absent): corosync.conf does not name this node" in message
    assert "Leave it out: --hosts=pve1,pve2,pve3, without --absent=pve9. The members are pve1, pve2, pve3" in message
    assert run("runbook/", *case.options, "--approve=all", called_for=True).status == 0
    sent = len(case.lab.mutating())
    again = run("runbook/", *case.options, "--approve=all", called_for=True)
    assert again.status == 1 and len(case.lab.mutating()) == sent
    assert "One that was let go needs nothing more" in again.failed()[0][1]
    case.hold()


@pytest.mark.sweep
def test_a_run_that_stops_is_ended_by_the_same_line_or_taken_back(
    leave: Callable[..., Leaving], run: Callable[..., Any]
) -> None:
    """Before the others let it go the node is put back; after that it is refused with what remains."""
    case = leave("own-link", "pve3")
    first = run("runbook/", *case.options, "--approve=0,2,4", called_for=True)
    assert first.status == 1
    [(title, message)] = first.failed()
    assert "phase 6 (let the node go) asks before it goes on" in message and "Give --approve=6" in message
    assert title == "The operator approves, by each name, that those that stay forget the nodes that left."
    assert case.lab.control.state()["pve3"].standalone
    all_leave = [o for o in case.options if not o.startswith("--leave")]
    other = run("runbook/", *all_leave, "--approve=all", "--anyway=a test")
    assert other.status == 1 and "was begun with --leave=pve3" in other.failed()[0][1]
    back = run("runbook/", *all_leave, f"--rollback={first.record}", "--approve=8")
    assert back.status == 0, back.text
    state = case.lab.control.state()
    assert all(node.quorate and node.mode == "cluster" for node in state.values())
    assert case.lab.changed_guests() == {}
    assert "Expected votes:   3\n" in case.lab.control.run("pve3", "pvecm status").stdout
    assert not any(".service" in line for line in sent_to_those_that_stay(back, case.stay))
    case.lab.control.advance(600)  # until then the verdict is to wait: a member has just come back
    stopped = run("runbook/", *case.options, "--approve=0,2,4", called_for=True)
    assert stopped.status == 1 and case.lab.control.state()["pve3"].standalone
    done = run("runbook/", *case.options, "--approve=all", called_for=True)
    assert done.status == 0, done.text
    case.hold()
    late = run("runbook/", *all_leave, f"--rollback={done.record}", "--approve=8")
    assert late.status == 1
    assert "pve1, pve2 have let pve3 go: it is in no nodelist any more" in late.failed()[0][1]
    assert "`pvecm add ADDRESS` on it, ADDRESS being that of pve1" in late.failed()[0][1]
    case.hold()


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("scenario", "nodes", "gone", "more"),
    [
        ("own-link", 3, ("pve3",), ()),
        ("ha-quorate", 3, ("pve3",), ()),
        ("last-off", 3, ("pve3",), ()),
        ("own-link", 4, ("pve3", "pve4"), ("--accept=forced-quorum",)),
    ],
)
def test_the_plan_is_what_is_sent(
    leave: Callable[..., Leaving],
    run: Callable[..., Any],
    scenario: str,
    nodes: int,
    gone: tuple[str, ...],
    more: tuple[str, ...],
) -> None:
    """--plan and --rehearse change nothing; a run that is bound to the plan's hash sends just that."""
    case = leave(scenario, *gone, nodes=nodes)
    plan = run("runbook/", *case.options, *more, "--plan", called_for=True)
    assert plan.status == 0, plan.text
    rehearsed = run("runbook/", *case.options, *more, "--rehearse", called_for=True)
    assert rehearsed.status == 0, rehearsed.text
    assert case.untouched()
    assert f"leaving: {', '.join(gone)}; the others stay a cluster" in plan.text
    [authority] = re.findall(r"authority: (\w+); it stays, and lets the others go", plan.text)
    assert all(f"LET {one} GO: `pvecm delnode {one}` on {authority}." in plan.text for one in gone)
    [name] = set(re.findall(r"--approve=all@([0-9a-f]{12})", plan.text))
    card = (plan.record / "by-hand.md").read_text()
    assert f"a cluster without {', '.join(gone)}, without the tool" in card
    assert all(f"pvecm delnode {one}" in card for one in gone)
    ran = run("runbook/", *case.options, *more, f"--approve=all@{name}", called_for=True)
    assert ran.status == 0, ran.text
    case.hold()


@pytest.mark.sweep
def test_a_disk_that_is_gone_on_the_node_that_leaves_is_accepted_by_its_word(
    leave: Callable[..., Leaving], run: Callable[..., Any]
) -> None:
    """Of a guest that is stopped."""
    case = leave("own-link", "pve3")
    assert case.lab.control.run("pve3", "rm /var/lib/vz/images/302/vm-302-disk-0.raw").exit_status == 0
    by_hand = case.lab.mutating()
    refused = run("runbook/", *case.options, "--approve=all", called_for=True)
    assert refused.status == 1 and case.lab.mutating() == by_hand
    [(_, message)] = refused.failed()
    assert "pve3: volumes are not there: local:302/vm-302-disk-0.raw of 302" in message
    ran = run("runbook/", *case.options, "--approve=all", "--accept=volumes", called_for=True)
    assert ran.status == 0, ran.text
    accepted = [str(e["text"]) for e in ran.journal() if e["kind"] == "note" and e["topic"] == "accepted"]
    assert any("local:302/vm-302-disk-0.raw" in text and text.endswith("by --accept=volumes") for text in accepted)
    case.hold()
