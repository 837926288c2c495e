"""What no parser may take for an answer: time-outs, complaints, silence, garbage."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import pkgutil
from collections.abc import Callable

import pve_runbook.parsers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pve_runbook.parsers import host, pvesh
from pve_runbook.parsers.output import Output, ParseError

Parser = Callable[[Output], object]

MODULES = [
    importlib.import_module(module.name)
    for module in pkgutil.walk_packages(pve_runbook.parsers.__path__, f"{pve_runbook.parsers.__name__}.")
]
PARSERS: dict[str, Parser] = {
    name: function
    for module in MODULES
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if name.startswith("parse_")
    and function.__module__ == module.__name__
    and list(inspect.signature(function).parameters) == ["output"]
}

TEXTS: dict[str, Callable[[str], object]] = {
    name: function
    for module in MODULES
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if name.startswith("parse_")
    and function.__module__ == module.__name__
    and list(inspect.signature(function).parameters) == ["text"]
}

SEEDED = settings(max_examples=60, derandomize=True, database=None)
PIECES = (
    *("\n", "\n\n", " ", "\t", ":", "{", "}", "[", "]", "#", "|", ",", "=", "0", "1", "-1", "999999999999", "\u0663"),
    *("dir: local", "path /x", "vm: 101", "totem {", "nodelist {", "node {", "quorum {", "nodeid: 1", "name: pve1"),
    *("ring0_addr: 10.0.0.1", "quorum_votes: 1", "cluster_name: c", "config_version: 1", "token: x", "scsi0: a:b"),
    *("127.0.0.1 localhost", "UPID:pve1:0000A1B2", "/usr/bin/kvm -id 100", "version|1|2|3", "file|a|00", "rw,relatime"),
    *('{"report": [', '"id": 1', "null", "-A INPUT", "Name Type Status", "Filesystem", "Quorate: Yes", "1 (1) S 1 2 3"),
)
"""What files and commands are made of: text at random alone gets no parser far."""


def pieced() -> st.SearchStrategy[str]:
    """Any text, much of it of what parsers look for."""
    return st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=14).map("".join)


@SEEDED
@given(text=pieced(), status=st.sampled_from((0, 1, 2)))
def test_any_text_is_read_or_unknown(text: str, status: int) -> None:
    for parse in PARSERS.values():
        with contextlib.suppress(ParseError):
            parse(Output(text, "", status))
    for parse_text in TEXTS.values():
        with contextlib.suppress(ParseError):
            parse_text(text)


LISTINGS = {"parse_ls", "parse_file_lines"}
"""Any line may be a file's name."""

TAKES_ANY_TEXT = {"parse_text", "parse_wget", "parse_nsswitch", "parse_iptables_save"} | {
    "parse_hosts_file",
    "parse_storage_cfg",
    "parse_corosync_conf",
}
"""What is asked for stands in the exit status, or in those lines alone that the parser knows."""

MAY_BE_EMPTY = TAKES_ANY_TEXT | {
    "parse_drop_ins",
    "parse_file_lines",
    "parse_gateway_lines",
    "parse_line_before",
    "parse_list_units",
    "parse_list_jobs",
    "parse_loop_devices",
    "parse_ls",
    "parse_pct_list",
    "parse_proc_stats",
    "parse_qm_list",
    "parse_ss_udp",
    "parse_zfs_list",
    "parse_zpool_list",
}


def test_all_parsers_are_found() -> None:
    assert len(PARSERS) == 70


@pytest.mark.parametrize("name", PARSERS)
@pytest.mark.parametrize("status", [124, 137, 143])
def test_a_time_out_is_unknown(name: str, status: int) -> None:
    with pytest.raises(ParseError, match="timed out"):
        PARSERS[name](Output("", "", status))


@pytest.mark.parametrize("name", PARSERS)
@pytest.mark.parametrize(
    "complaint", ["Permission denied", "Transport endpoint is not connected", "Input/output error"]
)
@pytest.mark.parametrize("status", [1, 2, 5])
def test_a_complaint_is_unknown_and_is_told(name: str, complaint: str, status: int) -> None:
    with pytest.raises(ParseError, match=complaint):
        PARSERS[name](Output("", f"tool: /etc/pve: {complaint}\n", status))


@pytest.mark.parametrize("name", PARSERS)
@pytest.mark.parametrize("status", [3, 126, 255])
def test_an_unknown_exit_status_is_unknown(name: str, status: int) -> None:
    with pytest.raises(ParseError, match=f"exit status {status} and said: nothing"):
        PARSERS[name](Output("", "", status))


@pytest.mark.parametrize("name", sorted(set(PARSERS) - LISTINGS - TAKES_ANY_TEXT))
def test_garbage_is_unknown(name: str) -> None:
    with pytest.raises(ParseError):
        PARSERS[name](Output("]] what is this [[\n", "", 0))


@pytest.mark.parametrize("name", sorted(set(PARSERS) - MAY_BE_EMPTY))
def test_silence_is_unknown_where_something_must_be_said(name: str) -> None:
    with pytest.raises(ParseError):
        PARSERS[name](Output("", "", 0))


@pytest.mark.parametrize("name", sorted(set(PARSERS) - {"parse_pvecm_status", "parse_wget"}))
@pytest.mark.parametrize("status", [0, 111, 255])
def test_a_tool_that_could_not_ask_pmxcfs_is_unknown(name: str, status: int) -> None:
    with pytest.raises(ParseError):
        PARSERS[name](Output("", "ipcc_send_rec[1] failed: Connection refused\n", status))


def test_a_message_is_short_and_printable() -> None:
    said = "first line\n" + "x\x1b[2J" * 100 + "\n\n"
    with pytest.raises(ParseError) as refused:
        host.parse_hostname(Output("", said, 1))
    message = str(refused.value)
    assert message.isprintable() and message.endswith("...") and len(message) < 220


@pytest.mark.parametrize(
    "text",
    [
        '[{"id":"qemu/100","type":"qemu","vmid":true,"node":"a","status":"running"}]',
        '[{"id":"qemu/100","type":"qemu","vmid":1.5,"node":"a","status":"running"}]',
        '[{"id":"qemu/100","type":"qemu","vmid":100,"node":1,"status":"running"}]',
        '[{"id":"qemu/100","type":"qemu","vmid":100,"node":"a"}]',
        "[100]",
        '{"vmid":100}',
    ],
)
def test_json_of_the_wrong_shape_is_unknown(text: str) -> None:
    with pytest.raises(ParseError, match="pvesh get /cluster/resources"):
        pvesh.parse_cluster_resources(Output(text, "", 0))
