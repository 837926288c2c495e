"""The recorded transcripts, typed again: the article literally, over SSH, first of all."""

from __future__ import annotations

import pytest
from bounded import finish
from lab_bench import RECORDED, Bench, MakeBench, Recorded, Said, recorded
from lab_process import Lab, Typist, running_lab, typist
from pve_lab.shapes import ha_quorate
from test_lab_captures import shapes


def _is_journal(line: str) -> bool:
    return line.startswith("#-#-#T")


def _difference(step: Recorded, said: Said) -> str:
    """What differs between an answer and the recorded one; of a journal the lab has no line that was not recorded."""
    wanted = step.said
    ours, theirs = shapes(said.stdout), shapes(wanted.stdout)
    same = said.exit_status == wanted.exit_status and shapes(said.stderr) == shapes(wanted.stderr)
    same = same and [x for x in ours if not _is_journal(x)] == [x for x in theirs if not _is_journal(x)]
    same = same and {x for x in ours if _is_journal(x)} <= {x for x in theirs if _is_journal(x)}
    same = same and bool(ours) == bool(theirs)
    return "" if same else f"{step.node}: {step.command}: {said}, recorded {wanted}"


def _type(bench: Bench, steps: list[Recorded]) -> list[str]:
    found = (_difference(step, bench.run(step.node, step.command)) for step in steps)
    return [difference for difference in found if difference]


def test_the_article_typed_literally_gives_what_was_recorded() -> None:
    """On the default lab: rm refused, all nodes read-only afterwards, a stopped guest cannot be started."""

    async def article(lab: Lab, hands: Typist) -> list[str]:
        differences = []
        for step in recorded("article-literal"):
            said = await hands.run(step.node, step.command)
            if step.command in ("qm list", "pvesm status"):
                assert said.exit_status == 0
                assert said.stdout.splitlines()[0].split() == step.said.stdout.splitlines()[0].split()
                continue
            if difference := _difference(step, said):
                differences.append(difference)
        for node in lab.hosts:
            assert (await hands.run(node, "stat -c %a /etc/pve/local")).stdout == "555\n"
            assert (await hands.run(node, "systemctl is-active corosync")).stdout == "failed\n"
            assert (await hands.run(node, "systemctl is-enabled corosync")).stdout == "disabled\n"
            assert (await hands.run(node, "ls -A /etc/corosync")).stdout == "corosync.conf\n"
        return differences

    async def body() -> None:
        with running_lab("broken") as lab:
            async with typist(lab) as hands:
                before = lab.control.state()
                assert await article(lab, hands) == []
                after = lab.control.state()
                for name, node in before.items():
                    own = {v: g.pid for v, g in node.guests.items() if g.owner == name and v != 102}
                    assert own == {v: after[name].guests[v].pid for v in own}
                    assert not after[name].standalone
                assert before["pve1"].guests[102].running
                assert not after["pve1"].guests[102].running

    finish(body())


def test_the_vendors_way_gives_what_was_recorded(make_bench: MakeBench) -> None:
    """local-mode-window.json, step for step."""
    bench = make_bench(inventory=RECORDED)
    bench.cluster.isolate()
    bench.advance(30)
    steps = recorded("local-mode-window")
    looked = [i for i, step in enumerate(steps) if step.command.startswith("pgrep -ax pmxcfs")]
    assert _type(bench, steps[: looked[0] + 1]) == []
    bench.run("pve1", "sleep 2")  # between its two looks the recording waited until pmxcfs had gone
    assert _type(bench, steps[looked[1] :]) == []


def test_expected_1_gives_what_was_recorded(make_bench: MakeBench) -> None:
    """expected-1.json."""
    bench = make_bench("broken")
    assert _type(bench, recorded("expected-1")) == []


def test_a_detached_unit_a_mask_and_a_canary_give_what_was_recorded(make_bench: MakeBench) -> None:
    """systemd-and-canary.json, step for step."""
    bench = make_bench(inventory=RECORDED)
    bench.cluster.isolate()
    bench.advance(30)
    assert _type(bench, recorded("systemd-and-canary")) == []
    journal = bench.run("pve1", "journalctl --no-pager -o short-iso -u demo-window -n 5").stdout
    assert [line.partition(": ")[2] for line in journal.splitlines()][1] == "inside"


def test_ha_stopped_with_quorum_gives_what_was_recorded(make_bench: MakeBench) -> None:
    """ha-stopped-while-quorate.json: LRM on all nodes, then CRM on all."""
    bench = make_bench(inventory=RECORDED)
    ha_quorate(bench.cluster)
    assert _type(bench, recorded("ha-stopped-while-quorate")) == []
    assert all(node.guests.running for node in bench.cluster.nodes.values())


@pytest.mark.parametrize("unit", ["corosync", "pve-ha-lrm", "pve-ha-crm"])
def test_the_journal_of_a_stopped_unit_has_the_recorded_lines(unit: str, make_bench: MakeBench) -> None:
    """The last lines of a unit's journal, as systemd and the daemon write them."""
    bench = make_bench("quorate")
    ha_quorate(bench.cluster)
    bench.run("pve1", f"systemctl stop {unit}")
    text = bench.run("pve1", f"journalctl --no-pager -o cat -u {unit}.service -n 3").stdout.splitlines()
    assert text[0] == f"{unit}.service: Deactivated successfully."
    assert text[1].startswith(f"Stopped {unit}.service - ")
    assert text[2].startswith(f"{unit}.service: Consumed ")
