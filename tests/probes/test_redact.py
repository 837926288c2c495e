"""What the journal keeps of answers that may hold a secret."""

from __future__ import annotations

from pve_runbook.parsers.output import Output
from pve_runbook.probes import redact

SECRET = "C4N4RY"


def said(text: str) -> Output:
    return Output(text, "", 0)


def test_a_guests_process_keeps_pid_program_and_id() -> None:
    text = (
        f"512 /usr/bin/kvm -id 101 -name web -vnc unix:/x,password=on -object secret,id=s,data={SECRET}\n"
        f"540 /usr/bin/lxc-start -F -n 110 {SECRET}\n"
        f"541 lxc-start -s lxc.environment={SECRET} -n 111 -F\n"
        f"542 /usr/bin/qemu-system-aarch64 -id 104 {SECRET}\n543 sleep {SECRET}\n"
    )
    assert redact.guest_processes(said(text)) == (
        "512 /usr/bin/kvm -id 101\n540 /usr/bin/lxc-start -F -n 110\n541 lxc-start -n 111\n"
        "542 /usr/bin/qemu-system-aarch64 -id 104\n543 of no guest\n"
    )


def test_a_storage_keeps_where_it_is() -> None:
    text = f"cifs: smb\n\tserver 10.0.0.9\n\tpassword {SECRET}\n\tusername {SECRET}\n#{SECRET}\n\n"
    assert redact.storage_cfg(said(text)) == "cifs: smb\n\tserver 10.0.0.9\n\n"


def test_corosync_conf_keeps_no_key() -> None:
    text = f"totem {{\n  version: 2\n  key: {SECRET}\n  # {SECRET}\n}}\n"
    assert redact.corosync_conf(said(text)) == "totem {\n  version: 2\n}\n"


def test_a_file_of_the_network_keeps_no_comment() -> None:
    assert redact.without_comments(said(f"# {SECRET}\n10.0.0.1 pve1 # {SECRET}\n")) == "\n10.0.0.1 pve1\n"


def test_keys_that_are_not_ours_are_counted() -> None:
    text = f'environment="X={SECRET}" ssh-ed25519 AAAA{SECRET} eve\nssh-ed25519 AAAA x pve-runbook-20260108\n'
    assert redact.second_keys(said(text)) == "pve-runbook-20260108\n1 other lines\n"


def test_a_packet_filter_keeps_its_rules() -> None:
    text = f'-A INPUT -p udp -m comment --comment "{SECRET} \\" x" -m string --string {SECRET} --algo bm -j DROP\n'
    kept = redact.packet_filter(said(text))
    assert SECRET not in kept
    assert kept.startswith("-A INPUT -p udp -m comment --comment (left out)") and kept.endswith("-j DROP\n")


def test_a_ruleset_of_nftables_keeps_its_rules() -> None:
    drop = f'[{{"counter": {{"packets": 7}}}}, {{"log": {{"prefix": "{SECRET}"}}}}, {{"drop": null}}]'
    rule = f'{{"rule": {{"chain": "c", "handle": 4, "comment": "{SECRET}", "expr": {drop}}}}}'
    banned = ", ".join(f'"10.0.0.{i}"' for i in range(65))
    kept = redact.nft_ruleset(said(f'{{"nftables": [{rule}, {{"set": {{"name": "s", "elem": [{banned}]}}}}]}}'))
    assert kept == (
        '{"nftables":[{"rule":{"chain":"c","expr":[{"counter":{}},{"log":null},{"drop":null}]}},'
        '{"set":{"name":"s","elem":"65 elements"}}]}\n'
    )
    assert redact.nft_ruleset(said(f"<{SECRET}")) == f"{len(SECRET) + 1} characters that are no ruleset\n"


def test_the_guests_of_the_api_keep_what_is_read_of_them() -> None:
    guest = f'"type":"qemu","vmid":101,"node":"pve1","status":"running","name":"{SECRET}","tags":"{SECRET}","cpu":0.1'
    text = f'[{{"id":"qemu/101",{guest}}},{{"id":"node/pve1","type":"node","node":"pve1","status":"online"}}]'
    assert redact.resources(said(text)) == "qemu/101 pve1 running\n"
    assert redact.resources(said(f"[{SECRET}")) == "7 characters that are no list of guests\n"


def test_a_journal_keeps_what_services_say_of_themselves() -> None:
    text = (
        "2026-11-20T10:00:01+0000 systemd[1]: Stopping pve-cluster.service - The Proxmox VE cluster filesystem...\n"
        "2026-11-20T10:00:02+0000 pmxcfs[811]: [main] notice: exit proxmox configuration filesystem (0)\n"
        "2026-11-20T10:00:02+0000 systemd[1]: pve-cluster.service: Deactivated successfully.\n"
        "2026-11-20T10:00:03+0000 corosync[902]:   [QUORUM] Members[1]: 1\n"
        f"2026-11-20T10:00:04+0000 sshd[77]: Accepted publickey for root from 10.0.0.9 port 5 ssh2: RSA {SECRET}\n"
        f"2026-11-20T10:00:05+0000 sshd[78]: Failed password for {SECRET} from 10.0.0.9 port 6 ssh2\n"
        f"2026-11-20T10:00:06+0000 sshd-session[79]: Accepted publickey for {SECRET} from 10.0.0.9 port 7 ssh2\n"
        f"2026-11-20T10:00:07+0000 curl[80]: token={SECRET}\n"
    )
    assert redact.own_words(said(text)) == (
        "2026-11-20T10:00:01+0000 systemd: Stopping pve-cluster.service - The Proxmox VE cluster filesystem...\n"
        "2026-11-20T10:00:02+0000 pmxcfs: [main] notice: exit proxmox configuration filesystem (0)\n"
        "2026-11-20T10:00:02+0000 systemd: pve-cluster.service: Deactivated successfully.\n"
        "2026-11-20T10:00:03+0000 corosync: [QUORUM] Members[1]: 1\n"
        "2026-11-20T10:00:04+0000 sshd: Accepted publickey for root from 10.0.0.9\n"
        "(3 other lines)\n"
    )


def test_a_journal_without_lines_keeps_nothing() -> None:
    assert redact.own_words(said("-- No entries --\n")) == ""
