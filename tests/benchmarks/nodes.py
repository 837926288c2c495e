"""Nodes to measure against: OpenSSH servers on loopback, with own keys, that answer as was recorded."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recording import Answers

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOG_IN = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20")
TICKS = os.sysconf("SC_CLK_TCK")

SSHD_CONFIG = """\
ListenAddress 127.0.0.1:{port}
HostKey {host_key}
AuthorizedKeysFile {keys}
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxSessions 64
MaxStartups 200
UseDNS no
PrintMotd no
LogLevel ERROR
Subsystem sftp internal-sftp
SetEnv PATH={stubs}:{path} HOME={home}
"""


class NoServer(Exception):
    """There is no OpenSSH here to measure with; the message says what to install."""


@dataclass(frozen=True)
class SshServer:
    """One node: where its sshd listens, and the sshd itself."""

    port: int
    process: subprocess.Popen[bytes]

    def seconds(self) -> float:
        """CPU seconds of this sshd, its sessions that have ended, and the commands in them."""
        while Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text():
            time.sleep(0.01)  # a session that is still ending is not counted yet
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2].split()
        return sum(int(fields[i]) for i in (11, 12, 13, 14)) / TICKS


class Nodes:
    """All sshds, the keys to them, and the files that contenders are configured with."""

    def __init__(self, directory: Path, answers: Mapping[str, Answers]) -> None:
        if not os.access(SSHD, os.X_OK) or shutil.which("ssh") is None:
            raise NoServer("the benchmark needs OpenSSH; type: apt-get install openssh-server openssh-client")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(
                mode=0o755, exist_ok=True
            )  # where sshd drops its privileges; Debian's unit makes it
        self.directory = directory
        self.identity = directory / "client"
        self.host_key = directory / "host"
        for key in (self.identity, self.host_key):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True, timeout=60)
        self.servers = {name: self._start(name, said) for name, said in answers.items()}
        for server in self.servers.values():
            _wait_for(server)
        self._log_in()

    def _start(self, name: str, answers: Answers) -> SshServer:
        place = self.directory / name
        home = place / "home"
        home.mkdir(parents=True)
        write_stubs(place / "bin", answers)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = place / "sshd_config"
        config.write_text(
            SSHD_CONFIG.format(
                port=port,
                host_key=self.host_key,
                keys=f"{self.identity}.pub",
                stubs=place / "bin",
                path=PATH,
                home=home,
            )
        )
        return SshServer(port, subprocess.Popen([SSHD, "-D", "-e", "-f", config], stderr=subprocess.DEVNULL))

    def write_ssh_config(self, ports: Mapping[str, int], *extra: str) -> Path:
        """An ssh_config that reaches the nodes by these ports, with their keys known."""
        public = self.host_key.with_suffix(".pub").read_text().split()
        known = "".join(f"[127.0.0.1]:{port} {public[0]} {public[1]}\n" for port in ports.values())
        known_hosts = self.directory / "known_hosts"
        known_hosts.write_text(known)
        lines = [
            f"User {pwd.getpwuid(os.getuid()).pw_name}",
            "HostName 127.0.0.1",
            f"IdentityFile {self.identity}",
            "IdentitiesOnly yes",
            f"UserKnownHostsFile {known_hosts}",
            "StrictHostKeyChecking yes",
            *extra,
        ]
        text = "".join("\n  ".join([f"Host {n}", f"Port {p}", *lines]) + "\n" for n, p in ports.items())
        config = self.directory / f"ssh_config{len(extra)}"
        config.write_text(text)
        return config

    def _log_in(self) -> None:
        """Prove that it can be done at all: an account may be locked."""
        config = self.write_ssh_config({name: server.port for name, server in self.servers.items()})
        tried = subprocess.run(
            [*LOG_IN, "-F", config, next(iter(self.servers)), "true"], capture_output=True, text=True
        )
        if tried.returncode != 0:
            self.stop()
            raise NoServer(f"no login to an sshd of our own: {tried.stderr.strip()}")

    def seconds(self) -> float:
        """CPU seconds of all nodes so far."""
        return sum(server.seconds() for server in self.servers.values())

    def stop(self) -> None:
        """End all sshds."""
        for server in self.servers.values():
            server.process.terminate()
        for server in self.servers.values():
            server.process.wait(60)


def write_stubs(directory: Path, answers: Answers) -> None:
    """A script for every command: what was asked is answered as recorded, anything else goes to the real command."""
    directory.mkdir()
    for name in {argv[0] for argv in answers}:
        lines = ["#!/bin/sh", 'case "$*" in']
        for argv, said in answers.items():
            if argv[0] != name:
                continue
            answer = [f"printf %s {shlex.quote(said.stdout)}"] if said.stdout else []
            answer += [f"printf %s {shlex.quote(said.stderr)} >&2"] if said.stderr else []
            lines.append(f"{shlex.quote(' '.join(argv[1:]))}) {'; '.join([*answer, f'exit {said.exit_status}'])} ;;")
        lines += ["esac", f'PATH={PATH} exec {name} "$@"']
        stub = directory / name
        stub.write_text("\n".join(lines) + "\n")
        stub.chmod(0o755)


def _wait_for(server: SshServer) -> None:
    for _ in range(500):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", server.port)) == 0:
                return
        if server.process.poll() is not None:
            break
        time.sleep(0.02)
    raise NoServer(f"the sshd on port {server.port} did not start")
