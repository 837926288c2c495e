"""pvecm status and corosync.conf in the forms that the recorded cluster did not show."""

from __future__ import annotations

import pytest
from pve_runbook.parsers.corosync_conf import ConfNode, parse_corosync_conf_text
from pve_runbook.parsers.output import Output, ParseError
from pve_runbook.parsers.pvecm import Member, PvecmStatus, parse_pvecm_status

STANDALONE = "Corosync config '/etc/pve/corosync.conf' does not exist - is this node part of a cluster?\n"

TWO_NODES_AND_A_QDEVICE = """\
Cluster information
-------------------
Name:             lab
Config Version:   5
Transport:        knet
Secure auth:      on

Quorum information
------------------
Date:             Tue Sep 14 11:06:47 2021
Quorum provider:  corosync_votequorum
Nodes:            2
Node ID:          0x00000001
Ring ID:          1.1a8
Quorate:          Yes

Votequorum information
----------------------
Expected votes:   3
Highest expected: 3
Total votes:      3
Quorum:           2  
Flags:            Quorate Qdevice 

Membership information
----------------------
    Nodeid      Votes    Qdevice Name
0x00000001          1    A,V,NMW 10.0.0.1 (local)
0x00000002          1         NR fd00::2
0x00000000          1            Qdevice
"""


def changed(*replacements: tuple[str, str]) -> str:
    text = TWO_NODES_AND_A_QDEVICE
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    return text


def test_the_qdevice_votes_but_is_no_node() -> None:
    quorum = parse_pvecm_status(Output(TWO_NODES_AND_A_QDEVICE, "", 0)).quorum
    assert quorum is not None
    assert quorum.members == (
        Member(1, 1, "10.0.0.1", True, "A,V,NMW"),
        Member(2, 1, "fd00::2", False, "NR"),
    )
    assert (quorum.total, quorum.qdevice_votes, quorum.flags) == (3, 1, ("Quorate", "Qdevice"))


def test_a_qdevice_that_does_not_vote() -> None:
    text = changed(("0x00000000          1            Qdevice", "0x00000000          0            Qdevice (votes 1)"))
    quorum = parse_pvecm_status(Output(text, "", 0)).quorum
    assert quorum is not None and quorum.qdevice_votes == 0


def test_decimal_ids_and_names_and_the_old_ring_id() -> None:
    text = changed(
        ("0x00000001          1    A,V,NMW 10.0.0.1", "         1          1 pve1"),
        ("0x00000002          1         NR fd00::2", "         2          1 pve2"),
        ("0x00000000          1            Qdevice\n", ""),
        ("   Qdevice Name", " Name"),
        ("1.1a8", "1/8"),
    )
    quorum = parse_pvecm_status(Output(text, "", 0)).quorum
    assert quorum is not None
    assert quorum.members == (Member(1, 1, "pve1", True, None), Member(2, 1, "pve2", False, None))
    assert (quorum.ring_id, quorum.qdevice_votes) == ("1/8", None)


def test_two_node_mode_needs_one_vote() -> None:
    text = changed(("Quorum:           2  ", "Quorum:           1  "), ("Quorate Qdevice", "2Node Quorate WaitForAll"))
    quorum = parse_pvecm_status(Output(text, "", 0)).quorum
    assert quorum is not None
    assert (quorum.quorum, quorum.flags) == (1, ("2Node", "Quorate", "WaitForAll"))


def test_all_nodes_visible_but_the_votes_edited() -> None:
    text = changed(
        ("Quorate:          Yes", "Quorate:          No"),
        ("Quorum:           2  ", "Quorum:           4 Activity blocked"),
        ("Expected votes:   3", "Expected votes:   7"),
        ("Quorate Qdevice", ""),
    )
    quorum = parse_pvecm_status(Output(text, "", 2)).quorum
    assert quorum is not None
    assert (quorum.quorate, quorum.blocked, quorum.expected, quorum.flags) == (False, True, 7, ())


def test_without_a_header_the_name_is_unknown_and_the_vote_known() -> None:
    text = TWO_NODES_AND_A_QDEVICE[TWO_NODES_AND_A_QDEVICE.index("Quorum information") :]
    status = parse_pvecm_status(Output(text, "", 0))
    assert (status.kind, status.cluster_name, status.config_version) == ("member", None, None)
    assert status.quorum is not None


@pytest.mark.parametrize(
    ("stderr", "status"),
    [
        ("Error: " + STANDALONE, 2),
        ("Error: " + STANDALONE, 255),
        (STANDALONE + "Cannot initialize CMAP service\n", 1),
        ("perl: warning: Setting locale failed.\nError: " + STANDALONE, 2),
    ],
)
def test_standalone_in_old_and_new_words(stderr: str, status: int) -> None:
    assert parse_pvecm_status(Output("", stderr, status)) == PvecmStatus("standalone", None, None, None)


@pytest.mark.parametrize("service", ["CMAP", "QUORUM", "CFG"])
def test_corosync_down_in_old_and_new_words(service: str) -> None:
    header = TWO_NODES_AND_A_QDEVICE.partition("Quorum information")[0]
    status = parse_pvecm_status(Output(header, f"Cannot initialize {service} service\n", 1))
    assert status == PvecmStatus("no-corosync", "lab", 5, None)


def test_pmxcfs_down_is_not_standalone() -> None:
    stderr = "ipcc_send_rec[1] failed: Unknown error -1\nUnable to load access control list: Unknown error -1\n"
    assert parse_pvecm_status(Output("", stderr, 255)).kind == "no-pmxcfs"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (TWO_NODES_AND_A_QDEVICE, 2),
        (TWO_NODES_AND_A_QDEVICE, 1),
        (changed(("Quorate:          Yes", "Quorate:          No")), 0),
        (changed(("Quorate:          Yes", "Quorate:          Maybe")), 0),
        (changed(("Quorate:          Yes", "Quorate:          Maybe")), 2),
        (changed(("Total votes:      3\n", "")), 0),
        (changed(("Total votes:      3", "Total votes:      some")), 0),
        (changed(("0x00000002          1         NR fd00::2\n", "")), 0),
        (changed(("0x00000002          1 ", "0x00000002          - ")), 0),
        (TWO_NODES_AND_A_QDEVICE.partition("Membership information")[0], 0),
        (TWO_NODES_AND_A_QDEVICE.partition("Votequorum information")[0], 0),
    ],
)
def test_a_status_that_contradicts_itself_or_was_cut_is_unknown(text: str, status: int) -> None:
    with pytest.raises(ParseError):
        parse_pvecm_status(Output(text, "", status))


@pytest.mark.parametrize("stderr", [STANDALONE, "Cannot initialize CMAP service\n", "ipcc_send_rec[1] failed: x\n"])
def test_words_that_do_not_fit_the_vote_or_the_exit_status_are_unknown(stderr: str) -> None:
    with pytest.raises(ParseError):
        parse_pvecm_status(Output("", stderr, 0))
    with pytest.raises(ParseError):
        parse_pvecm_status(Output(TWO_NODES_AND_A_QDEVICE, stderr, 1))


def test_a_vote_and_the_words_of_a_standalone_node_do_not_go_together() -> None:
    no_quorum = changed(("Quorate:          Yes", "Quorate:          No"))
    for text, status in ((TWO_NODES_AND_A_QDEVICE, 0), (no_quorum, 2)):
        with pytest.raises(ParseError):
            parse_pvecm_status(Output(text, STANDALONE, status))


CONF = """\
# edited by hand
nodelist {
  node {
    name: pve1
    nodeid: 1
    quorum_votes: 1
    ring0_addr: 10.0.0.1
    ring1_addr: fd00::1
  }
  node {
    nodeid: 2
    ring0_addr: pve2.example.com
  }
}

quorum {
  device {
    model: net
    net {
      algorithm: ffsplit
      host: 10.0.0.9
    }
    votes: 1
  }
  provider: corosync_votequorum
  two_node: 1
}

totem {
  cluster_name: lab
  config_version: 12
  interface {
    linknumber: 0
  }
  secauth: on
}
"""


def test_corosync_conf_with_two_links_a_qdevice_and_a_nameless_node() -> None:
    conf = parse_corosync_conf_text(CONF)
    assert conf.nodes == (
        ConfNode("pve1", 1, 1, {0: "10.0.0.1", 1: "fd00::1"}),
        ConfNode("pve2.example.com", 2, 1, {0: "pve2.example.com"}),
    )
    assert (conf.cluster_name, conf.config_version, conf.qdevice, conf.two_node) == ("lab", 12, True, True)
    assert conf.text == CONF
    assert conf.sha256 != parse_corosync_conf_text(CONF + "\n").sha256


@pytest.mark.parametrize(
    ("old", "new", "line", "why", "names"),
    [
        ("  secauth: on", "  token 5000", 35, "'token': it neither opens nor closes", 2),
        ("config_version: 12", "config_version: 12 # raised", 31, "config_version is not a number", 2),
        ("quorum_votes: 1", "quorum_votes: 1 # one", 6, "quorum_votes is not a number", 2),
        ("config_version: 12", "config_version: twelve", 31, "config_version is not a number", 2),
        ("  cluster_name: lab\n", "", 29, "no cluster_name", 2),
        ("  cluster_name: lab", "  cluster_name lab", 29, "no cluster_name", 2),
        ("nodeid: 2", "nodeid: 1", 10, "stands there twice", 2),
        ("    nodeid: 2\n", "", 10, "has no nodeid", 2),
        ("name: pve1", "name: pve2.example.com", 10, "stands there twice", 1),
        ("    ring0_addr: pve2.example.com\n", "", 10, "without a name or without an address", 1),
        ("    ring0_addr: 10.0.0.1\n    ring1_addr: fd00::1\n", "", 3, "without an address", 2),
        ("totem {", "totem", 1, "no cluster_name", 2),
        ("  secauth: on\n}", "  secauth: on", 36, "ends inside a section", 2),
        ("# edited by hand", "}", 1, "never opened", 2),
        ("nodelist {", "nodes {", 1, "it lists no nodes", 0),
    ],
)
def test_what_corosync_stops_at_is_told_by_its_line_and_the_rest_is_read(
    old: str, new: str, line: int, why: str, names: int
) -> None:
    assert CONF.count(old) == 1
    conf = parse_corosync_conf_text(CONF.replace(old, new))
    assert (line, True) in [(fault.line, why in fault.why) for fault in conf.faults]
    assert len(conf.nodes) == names
    assert parse_corosync_conf_text(CONF).faults == ()
    assert conf.token == 3000
