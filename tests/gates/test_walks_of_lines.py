"""A command line that is refused, and the same one put right as the refusal says: it is taken."""

from __future__ import annotations

from pathlib import Path

import pytest
from gate_opening import command_line
from pve_runbook.options.option_types import Mode
from pve_runbook.options.options import read_options
from pve_runbook.refusal.text import ids_in

RUNBOOK: Mode = "runbook"
CHECKS: Mode = "checks"
HOSTS = "--hosts=pve1,pve2,pve3"
LEAVE = "--leave=pve3"

LINES: dict[str, tuple[Mode, tuple[str, ...], tuple[str, ...]]] = {
    "PVE-R205": (CHECKS, (HOSTS, "--ignore-unknown-dependency"), (HOSTS,)),
    "PVE-R207": (CHECKS, (HOSTS, "--connection=ssh"), (HOSTS,)),
    "PVE-R208": (RUNBOOK, (HOSTS, "--setup-only"), (HOSTS,)),
    "PVE-R209": (CHECKS, ("--hosts=lab,pve1",), ("--hosts=lab",)),
    "PVE-R210": (CHECKS, ("--hosts=lab", "--lab-nodes=33"), ("--hosts=lab", "--lab-nodes=32")),
    "PVE-R211": (CHECKS, (HOSTS, "--lab-nodes=3"), ("--hosts=lab", "--lab-nodes=3")),
    "PVE-R212": (CHECKS, ("--hosts=pve1,,pve2",), ("--hosts=pve1,pve2",)),
    "PVE-R213": (CHECKS, ("--hosts=lab", "--lab-facts=x", "--lab-nodes=3"), ("--hosts=lab", "--lab-nodes=3")),
    "PVE-R214": (RUNBOOK, (HOSTS, "--ticket=a/b"), (HOSTS, "--ticket=a-b")),
    "PVE-R215": (RUNBOOK, (HOSTS, "--save-facts=f"), (HOSTS, "--save-facts=f", "--rehearse")),
    "PVE-R216": (CHECKS, (HOSTS, "--save-facts=no/f"), (HOSTS, "--save-facts=f")),
    "PVE-R217": (RUNBOOK, (HOSTS, "--authority=pve9"), (HOSTS, "--authority=pve1")),
    "PVE-R218": (RUNBOOK, (HOSTS, "--authority=pve1@x"), (HOSTS, "--authority=pve1@4711")),
    "PVE-R219": (RUNBOOK, (HOSTS, "--approve=3"), (HOSTS, "--approve=0,2")),
    "PVE-R220": (RUNBOOK, (HOSTS, "--approve=all@x"), (HOSTS, "--approve=all@0123456789ab")),
    "PVE-R221": (RUNBOOK, (HOSTS, "--rollback=d", "--anyway=x"), (HOSTS, "--rollback=d")),
    "PVE-R222": (RUNBOOK, (HOSTS, "--canary=99"), (HOSTS, "--canary=off")),
    "PVE-R223": (RUNBOOK, (HOSTS, "--accept-changed=vm"), (HOSTS, "--accept-changed=101,102")),
    "PVE-R224": (RUNBOOK, (HOSTS, "--records="), (HOSTS, "--records=records")),
    "PVE-R225": (RUNBOOK, (HOSTS, "--discard-changes=pve1"), (HOSTS, "--discard-changes=pve1", "--rollback=d")),
    "PVE-R226": (RUNBOOK, (HOSTS, "--accept=zfs"), (HOSTS, "--accept=ceph,locks")),
    "PVE-R227": (RUNBOOK, (HOSTS, "--anyway= "), (HOSTS, "--anyway=the room floods")),
    "PVE-R228": (CHECKS, (HOSTS, "--absent=pve4,pve4"), (HOSTS, "--absent=pve4")),
    "PVE-R229": (CHECKS, (HOSTS, "--since=24"), (HOSTS, "--since=24h")),
    "PVE-R230": (CHECKS, (HOSTS, "--watch=9"), (HOSTS, "--watch=10")),
    "PVE-R231": (CHECKS, (HOSTS, "-o", "pve_timeout_scale=0"), (HOSTS, "-o", "pve_timeout_scale=2")),
    "PVE-R233": (RUNBOOK, (HOSTS, "--rehearse", "--rollback=d"), (HOSTS, "--rehearse")),
    "PVE-R234": (CHECKS, (HOSTS, "--absent=pve3"), ("--hosts=pve1,pve2", "--absent=pve3")),
    "PVE-R235": (CHECKS, (HOSTS, "--records=/proc/nowhere"), (HOSTS, "--records=records")),
    "PVE-R236": (CHECKS, (), (HOSTS,)),
    "PVE-R237": (CHECKS, (HOSTS, "--approve=all"), (HOSTS,)),
    "PVE-R256": (RUNBOOK, (HOSTS, "--leave=pve3,pve3"), (HOSTS, LEAVE)),
    "PVE-R257": (RUNBOOK, ("--hosts=pve1,pve2", LEAVE), ("--hosts=pve1,pve2", LEAVE, "--absent=pve3")),
    "PVE-R258": (RUNBOOK, (HOSTS, "--leave=pve1,pve2,pve3"), (HOSTS,)),
    "PVE-R259": (
        RUNBOOK,
        ("--hosts=pve1,pve3", LEAVE, "--absent=pve2"),
        ("--hosts=pve1,pve3", "--leave=pve2,pve3", "--absent=pve2"),
    ),
    "PVE-R260": (RUNBOOK, (HOSTS, LEAVE, "--anyway=x"), (HOSTS, LEAVE)),
    "PVE-R261": (RUNBOOK, (HOSTS, LEAVE, "--authority=pve3"), (HOSTS, LEAVE, "--authority=pve1")),
    "PVE-R263": (RUNBOOK, ("--hosts=lab", "--ssh-config=x"), ("--hosts=lab",)),
    "PVE-R264": (CHECKS, (HOSTS, "--ssh-config="), (HOSTS,)),
}


@pytest.mark.parametrize("id_", LINES)
def test_put_right_it_is_taken(id_: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mode, wrong, right = LINES[id_]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    with pytest.raises(pytest.UsageError) as refused:
        read_options(command_line(tmp_path, wrong), mode)
    assert ids_in(str(refused.value)) == (id_,)
    assert read_options(command_line(tmp_path, right), mode).mode == mode
