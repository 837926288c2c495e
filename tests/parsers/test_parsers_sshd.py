"""By what sshd lets root in."""

from __future__ import annotations

import pytest
from pve_runbook.parsers.output import Output, ParseError
from pve_runbook.parsers.sshd import parse_sshd

RECORDED = (
    "port 22\nmaxsessions 10\npermitrootlogin yes\npubkeyauthentication yes\npasswordauthentication yes\n"
    "authorizedkeysfile .ssh/authorized_keys .ssh/authorized_keys2\n"
)


def test_as_proxmox_comes() -> None:
    found = parse_sshd(Output(RECORDED, "", 0))
    assert found.reads_second_file and found.root_password


@pytest.mark.parametrize(
    ("old", "new", "second", "password"),
    [
        (" .ssh/authorized_keys2", "", False, True),
        (".ssh/authorized_keys2", "/etc/ssh/keys/%u", False, True),
        (".ssh/authorized_keys2", "%h/.ssh/authorized_keys2", True, True),
        ("permitrootlogin yes", "permitrootlogin without-password", True, False),
        ("passwordauthentication yes", "passwordauthentication no", True, False),
    ],
)
def test_as_it_may_be_changed(old: str, new: str, second: bool, password: bool) -> None:
    found = parse_sshd(Output(RECORDED.replace(old, new), "", 0))
    assert (found.reads_second_file, found.root_password) == (second, password)


@pytest.mark.parametrize("output", [Output("port 22\n", "", 0), Output("", "no hostkeys available\n", 1)])
def test_another_answer_is_unknown(output: Output) -> None:
    with pytest.raises(ParseError):
        parse_sshd(output)
