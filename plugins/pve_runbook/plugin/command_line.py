"""Our command-line options, as pytest and its --help know them."""

from __future__ import annotations

import pytest


def add_options(parser: pytest.Parser) -> None:
    """Register our options; --hosts, --ssh-config, --ssh-identity-file and --sudo are testinfra's."""
    group = parser.getgroup("pve-runbook", "Proxmox VE runbook (with testinfra's --hosts, --ssh-config, --sudo)")
    group.addoption(
        "--approve",
        metavar="PHASES|all[@PLAN]",
        help="approve without a prompt: phases out of 0 (freeze), 2 (force quorum), 4 (every window), 7 (thaw), "
        "8 (rollback); @PLAN: only what the plan of that hash names",
    )
    group.addoption(
        "--plan",
        action="store_true",
        help="change nothing: name every command that each node would be sent, in order, with why and undo",
    )
    group.addoption(
        "--authority",
        metavar="NODE",
        help="the node that gets quorum first and leaves last; NODE@VERSION accepts an older database",
    )
    group.addoption(
        "--break-lock", metavar="RUN", help="give up an unfinished run for good, by the id that its refusal names"
    )
    group.addoption(
        "--accept-changed",
        metavar="VMIDS",
        help="go on though these guests stopped or changed since the first baseline; the record says so",
    )
    group.addoption(
        "--rollback",
        metavar="DIR",
        help="instead of the runbook: put the nodes that the run recorded in DIR took out back into their cluster",
    )
    group.addoption(
        "--give-up",
        metavar="NODES",
        help="with --rollback: give up what was changed on these nodes since they left",
    )
    group.addoption(
        "--accept",
        metavar="WORDS",
        help="go on all the same: words out of shared-storage, ceph, locks, with commas between them",
    )
    group.addoption(
        "--anyway",
        metavar="REASON",
        help="take the cluster apart though the verdict does not call for it, for this reason",
    )
    group.addoption(
        "--absent", metavar="NODES", help="members that are powered off, by the names that corosync.conf has for them"
    )
    group.addoption("--ticket", metavar="ID", help="the ticket this change belongs to")
    group.addoption(
        "--records",
        metavar="DIR",
        default="records",
        help="where change records are kept (default: records/)",
    )
    group.addoption(
        "--canary",
        metavar="off|VMID",
        help="the throw-away guest of phase 6: not at all, or with this id (default: a free one)",
    )
    group.addoption(
        "--since", metavar="DURATION", help="checks/: how far back the nodes' journals are read (default: 24h)"
    )
    group.addoption(
        "--activate-storage",
        action="store_true",
        default=None,
        help="checks/: also ask `pvesm status`, which mounts and imports what is not there yet; the record says so",
    )
    group.addoption("--watch", metavar="SECONDS", help="checks/: also watch the membership for so long")
    group.addoption(
        "--accept-new-host-keys",
        action="store_true",
        help="first contact: add unknown SSH host keys to known_hosts",
    )
    group.addoption("--ask-password", action="store_true", help="type the SSH password once; it is kept in memory only")
    group.addoption(
        "--lab-scenario",
        metavar="NAME",
        help="the lab's starting state (default: broken; `list` prints them)",
    )
    group.addoption(
        "--rehearse",
        action="store_true",
        help="read the nodes, with probes only, build their twin in the lab, and run the whole runbook there",
    )
    group.addoption(
        "--save-facts",
        metavar="FILE",
        help="keep what the probes say of the nodes, without secrets: with checks/, or with --rehearse",
    )
    group.addoption(
        "--lab-facts", metavar="FILE", help="with --hosts=lab: the twin of the cluster that FILE was saved from"
    )
    group.addoption("--lab-nodes", metavar="N", type=int, help="how many nodes the lab has (default: 3)")
    parser.addini("pve_timeout_scale", "multiplies every time bound on a node; for tests of hung nodes", default="1")
    group.addoption(
        "--verify-record",
        metavar="DIR",
        help="say whether a record's journal, backups and report agree, and name the first line that does not",
    )
    group.addoption(
        "--record-from",
        metavar="DIR",
        help="write report.html, record.json and summary.md again, from DIR/journal.jsonl alone",
    )
