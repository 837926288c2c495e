"""Starting states with what a person wrote into a file, or started by hand, by name."""

from __future__ import annotations

from pve_lab.scenario import Scenario
from pve_lab.shapes import broken, causes, configs, misread
from pve_lab.wiring import ONE_FOR_ALL, OWN_LINK

MISREAD: dict[str, Scenario] = {
    "hosts-with-junk": Scenario(
        "broken, lines that mean nothing in /etc/hosts of pve2", misread.hosts_with_junk, wiring=ONE_FOR_ALL
    ),
    "sections-with-junk": Scenario(
        "broken, stray words, options and a section twice in storage.cfg",
        configs.with_storage(misread.SECTIONS),
        wiring=ONE_FOR_ALL,
    ),
    "servers-with-ports": Scenario(
        "broken, servers of storages as IPv6, in brackets, with ports",
        configs.with_storage(misread.SERVERS),
        wiring=ONE_FOR_ALL,
    ),
    "guests-by-hand": Scenario(
        "broken, a container started by hand, a VM of another architecture",
        misread.guests_by_hand,
        wiring=ONE_FOR_ALL,
    ),
    "task-of-any-type": Scenario(
        "broken, a task of a type that nobody knows runs on pve1", misread.task_of_any_type, wiring=ONE_FOR_ALL
    ),
    "two-votes-broken": Scenario(
        "broken, pve1 has two votes", causes.all_of(causes.weighted_votes, broken), wiring=ONE_FOR_ALL
    ),
    "conf-without-colon": Scenario(
        "corosync.conf lacks a colon everywhere, and corosync starts nowhere",
        misread.conf_unreadable(*misread.TOKEN),
        wiring=ONE_FOR_ALL,
    ),
    "conf-without-nodelist": Scenario(
        "corosync.conf lacks the nodelist's brace everywhere, and corosync starts nowhere",
        misread.conf_unreadable(*misread.NODELIST),
        wiring=ONE_FOR_ALL,
    ),
    "conf-with-comment": Scenario(
        "the last node's corosync.conf has a comment behind a number, its corosync ended",
        misread.conf_unreadable_on_last,
        wiring=OWN_LINK,
    ),
    "conf-with-comment-broken": Scenario(
        "broken, and the last node's corosync.conf has a comment behind a number",
        causes.all_of(misread.conf_unreadable_on_last, broken),
        wiring=ONE_FOR_ALL,
    ),
}
