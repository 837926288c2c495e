"""What the journal keeps of answers that may hold a secret."""

from __future__ import annotations

from pve_runbook.facts import told
from pve_runbook.facts.output import Output

SECRET = "C4N4RY"


def said(text: str) -> Output:
    return Output(text, "", 0)


def test_a_guests_process_keeps_pid_program_and_id() -> None:
    text = (
        f"512 /usr/bin/kvm -id 101 -name web -vnc unix:/x,password=on -object secret,id=s,data={SECRET}\n"
        f"540 /usr/bin/lxc-start -F -n 110 {SECRET}\n"
    )
    assert told.guest_processes(said(text)) == "512 /usr/bin/kvm -id 101\n540 /usr/bin/lxc-start -F -n 110\n"


def test_a_storage_keeps_where_it_is() -> None:
    text = f"cifs: smb\n\tserver 10.0.0.9\n\tpassword {SECRET}\n\tusername {SECRET}\n#{SECRET}\n\n"
    assert told.storage_cfg(said(text)) == "cifs: smb\n\tserver 10.0.0.9\n\n"


def test_corosync_conf_keeps_no_key() -> None:
    text = f"totem {{\n  version: 2\n  key: {SECRET}\n  # {SECRET}\n}}\n"
    assert told.corosync_conf(said(text)) == "totem {\n  version: 2\n}\n"


def test_a_file_of_the_network_keeps_no_comment() -> None:
    assert told.without_comments(said(f"# {SECRET}\n10.0.0.1 pve1 # {SECRET}\n")) == "\n10.0.0.1 pve1\n"


def test_keys_that_are_not_ours_are_counted() -> None:
    text = f'environment="X={SECRET}" ssh-ed25519 AAAA{SECRET} eve\nssh-ed25519 AAAA x pve-runbook-20260108\n'
    assert told.second_keys(said(text)) == "pve-runbook-20260108\n1 other lines\n"


def test_a_packet_filter_keeps_its_rules() -> None:
    text = f'-A INPUT -p udp -m comment --comment "{SECRET} \\" x" -m string --string {SECRET} --algo bm -j DROP\n'
    kept = told.packet_filter(said(text))
    assert SECRET not in kept
    assert kept.startswith("-A INPUT -p udp -m comment --comment (left out)") and kept.endswith("-j DROP\n")


def test_the_guests_of_the_api_keep_what_is_read_of_them() -> None:
    guest = f'"type":"qemu","vmid":101,"node":"pve1","status":"running","name":"{SECRET}","tags":"{SECRET}","cpu":0.1'
    text = f'[{{"id":"qemu/101",{guest}}},{{"id":"node/pve1","type":"node","node":"pve1","status":"online"}}]'
    assert told.resources(said(text)) == "qemu/101 pve1 running\n"
    assert told.resources(said(f"[{SECRET}")) == "7 characters that are no list of guests\n"
