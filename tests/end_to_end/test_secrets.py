"""Secrets and markup planted all over a cluster: the ones are left in backups/ only, the others are text."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

SCHEMA = Path(__file__).parents[2] / "docs" / "record.schema.json"
VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text("utf-8")))
SECRET = "C4N4RY"

PRIVATE = "/etc/pve/priv"
APPENDED = {
    f"{PRIVATE}/authkey.key": "-----BEGIN RSA PRIVATE KEY-----\n{0}ticket\n-----END RSA PRIVATE KEY-----\n",
    f"{PRIVATE}/token.cfg": "root@pam!ci {0}token\n",
    f"{PRIVATE}/shadow.cfg": "admin@pve:$5${0}shadow:\n",
    f"{PRIVATE}/tfa.cfg": '{{"users": {{"root@pam": "{0}tfa"}}}}\n',
    f"{PRIVATE}/storage/smb.pw": "password={0}storage\n",
    f"{PRIVATE}/storage/pbs.enc": "{0}encryption\n",
    "/etc/pve/nodes/pve1/pve-ssl.key": "-----BEGIN PRIVATE KEY-----\n{0}ssl\n-----END PRIVATE KEY-----\n",
    "/etc/pve/user.cfg": "user:eve@pve:1:0:::{0}comment::\n",
    "/etc/pve/notifications.cfg": "smtp: mail\n\tusername {0}smtp\n\n",
    "/etc/pve/storage.cfg": "\ncifs: smb\n\tpath /mnt/pve/smb\n\tserver 10.0.0.9\n\tshare x\n\tdisable 1\n"
    "\tusername {0}user\n\tpassword {0}password\n\toptions password={0}option\n#{0}remark\n\n",
    "/etc/hosts": "10.9.9.9 other <img/src=x/onerror=alert(2)> # {0}hosts\n",
    "/etc/network/interfaces": "# {0}wifi\n",
    "/root/.ssh/id_rsa": "-----BEGIN OPENSSH PRIVATE KEY-----\n{0}root\n-----END OPENSSH PRIVATE KEY-----\n",
    "/root/.ssh/authorized_keys2": 'environment="X={0}key" ssh-ed25519 AAAAC3Nza{0} eve\n',
}
GUEST = "/etc/pve/nodes/pve1/qemu-server/101.conf"
EVIL = "<img src=x onerror=alert(1)>"
IN_A_GUEST = "#the database's password: {0}note\n#{0}html\ncipassword: {0}ci\nargs: -object secret,data={0}args\n"


def plant(lab: Any) -> None:
    """Put secrets into the files of a cluster that has quorum, as another hand would have."""

    def on(node: str, command: str) -> str:
        said = lab.control.run(node, command)
        assert said.exit_status == 0, (command, said)
        return str(said.stdout)

    on("pve1", f"mkdir -p {PRIVATE}/storage")
    for path, text in APPENDED.items():
        on("pve1", f"printf %s {shlex.quote(text.format(SECRET))} >> {path}")
    config = on("pve1", f"cat {GUEST}").replace("name: web101", f"name: web101{EVIL}")
    assert EVIL in config
    on("pve1", f"printf %s {shlex.quote(IN_A_GUEST.format(SECRET) + config)} > {GUEST}")


def operators_key(lab: Any) -> str:
    """A line out of the middle of the private key that the operator logs in with."""
    found = re.search(r"IdentityFile (\S+)", Path(lab.ssh_config).read_text())
    assert found is not None
    return Path(found[1]).read_text().splitlines()[2]


def variants(secret: str) -> list[bytes]:
    """A secret as it is, and as an encoding would carry it, whatever stands before it."""
    data = secret.encode()
    encoded = [base64.b64encode(b"x" * shift + data)[4 if shift else 0 : -4] for shift in range(3)]
    return [data, data.hex().encode(), *encoded]


@pytest.mark.sweep
def test_no_secret_stands_outside_the_backups(start_lab: Callable[..., Any], run: Callable[..., Any]) -> None:
    lab = start_lab("quorate")
    plant(lab)
    for checked in (run("checks/", *lab.options), run("runbook/", *lab.options, "--approve=all", "-vv")):
        told = {"the terminal": checked.text.encode()}
        for path in checked.record.rglob("*"):
            place = path.relative_to(checked.record)
            if path.is_file() and place.parts[0] != "backups":
                told[str(place)] = path.read_bytes()
        assert list(VALIDATOR.iter_errors(json.loads(told["record.json"]))) == []
        assert {"journal.jsonl", "report.html", "record.json", "summary.md"} <= set(told)
        for name, data in told.items():
            for secret in (SECRET, "LAB-SECRET", operators_key(lab)):
                assert not [v for v in variants(secret) if v in data], (name, secret, _around(data, secret))
            assert b"PRIVATE KEY" not in data, name
    assert checked.status == 0, checked.text

    # Markup in a guest's name and in what nodes answer is text.
    page = (checked.record / "report.html").read_text("utf-8")
    assert "web101&lt;img src=x onerror=alert(1)&gt;" in page
    assert "<img src=x" not in page and "onerror=alert(1)>" not in page

    # They were there to be found: the backups hold them.
    kept = b"".join(gzip.decompress(p.read_bytes()) for p in (checked.record / "backups" / "pve1").glob("*.tar.gz"))
    for word in ("ticket", "token", "shadow", "storage", "ssl", "ci", "note"):
        assert f"{SECRET}{word}".encode() in kept, word


def _around(data: bytes, secret: str) -> list[bytes]:
    """Where a secret was found, for the one who has to mend it."""
    places = [found.start() for v in variants(secret) for found in re.finditer(re.escape(v), data)]
    return [data[max(0, place - 200) : place + 60] for place in places[:3]]
