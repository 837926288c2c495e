"""How storage.cfg names a server: a name or an address, with or without a port, in Ceph's notation or not."""

from __future__ import annotations

import pytest
from pve_runbook.facts.network import host_of


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("10.0.0.9", "10.0.0.9"),
        ("10.0.0.9:3260", "10.0.0.9"),
        ("nas.example", "nas.example"),
        ("nas.example:3260", "nas.example"),
        ("fd00:55::9", "fd00:55::9"),
        ("[fd00:9::1]", "fd00:9::1"),
        ("[fd00:9::1]:6789", "fd00:9::1"),
        ("[v2:10.9.0.1:3300/0", "10.9.0.1"),
        ("v1:10.9.0.1:6789/0]", "10.9.0.1"),
        ("v2:[fd00:9::1]:3300/0", "fd00:9::1"),
        ("[v2:[fd00:9::1]:3300/0", "fd00:9::1"),
        ("", ""),
    ],
)
def test_a_server_is_found_however_it_is_written(written: str, host: str) -> None:
    assert host_of(written) == host
