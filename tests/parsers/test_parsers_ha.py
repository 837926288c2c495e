"""HA's version and its services; where a QDevice is."""

from __future__ import annotations

import pytest
from pve_runbook.parsers.corosync_conf import parse_corosync_conf_text
from pve_runbook.parsers.ha import parse_ha_services_text, parse_ha_version
from pve_runbook.parsers.output import Output, ParseError


@pytest.mark.parametrize(
    ("text", "version"), [("5.2.0", (5, 2, 0)), ("5.1.3-1", (5, 1, 3)), ("3.3-1", (3, 3)), ("4.0.6~1", (4, 0, 6))]
)
def test_a_version_is_its_numbers(text: str, version: tuple[int, ...]) -> None:
    assert parse_ha_version(Output(text, "", 0)) == version


def test_a_package_that_is_not_there_has_none() -> None:
    said = "dpkg-query: no packages found matching pve-ha-manager\n"
    assert parse_ha_version(Output("", said, 1)) is None


@pytest.mark.parametrize(
    "output", [Output("five", "", 0), Output("", "", 1), Output("5", "", 0), Output("", "dpkg-query: locked\n", 2)]
)
def test_what_is_no_version_is_unknown(output: Output) -> None:
    with pytest.raises(ParseError):
        parse_ha_version(output)


def test_services_have_a_node_and_a_state() -> None:
    text = '{"master_node":"n3","service_status":{"vm:101":{"node":"n1","state":"migrate","uid":"x"}}}'
    assert parse_ha_services_text(text) == {"vm:101": ("n1", "migrate")}
    assert parse_ha_services_text("") == parse_ha_services_text('{"master_node":"n3"}') == {}


@pytest.mark.parametrize("text", ["[]", "{", '{"service_status":[]}', '{"service_status":{"vm:1":{"node":"n1"}}}'])
def test_what_is_no_status_is_unknown(text: str) -> None:
    with pytest.raises(ParseError):
        parse_ha_services_text(text)


def test_a_quorum_device_has_a_host() -> None:
    net = "    net {\n      algorithm: ffsplit\n      host: 10.0.0.9\n      tls: on\n    }\n"
    device = f"  device {{\n    model: net\n{net}    votes: 1\n  }}\n"
    for text, host in ((device, "10.0.0.9"), ("", ""), (device.replace("host", "port"), "")):
        whole = f"quorum {{\n{text}  provider: corosync_votequorum\n}}\n\ntotem {{\n  cluster_name: x\n}}\n"
        assert parse_corosync_conf_text(whole).qdevice_host == host
