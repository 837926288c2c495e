"""Why a node could not be reached or logged in to, in one line with what to do."""

from __future__ import annotations

import socket
from enum import StrEnum

import paramiko

from pve_runbook.ssh.exec import WireError
from pve_runbook.ssh.host_keys import ChangedHostKey, UnknownHostKey
from pve_runbook.ssh.hosts import Target
from pve_runbook.ssh.transport import Dropped

MAY_BAR = "after a few refused logins OpenSSH 10 bars this address for 15 s and more, the right key too"
_LOGIN_ADVICE = (
    f"check the user (root@NODE), load its key with ssh-add, or give --ssh-identity-file or --ask-password ({MAY_BAR})"
)
_DROPPED_ADVICE = f"wait a minute, then run again ({MAY_BAR}); at its console, type: journalctl -u ssh -n 20"
_LOG_ADVICE = "at its console, type: journalctl -u ssh -n 20"
_TIMEOUT_ADVICE = "check that it is up and that no firewall drops the connection, then run again"


class Failure(StrEnum):
    """Why a node could not be reached."""

    CONFIG = "ssh_config"
    UNKNOWN_HOST = "unknown host"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    UNKNOWN_KEY = "unknown key"
    CHANGED_KEY = "changed key"
    DROPPED = "dropped"
    AUTHENTICATION = "authentication"
    PASSPHRASE = "passphrase"
    SUDO = "sudo"
    PROTOCOL = "protocol"


class ConnectFailed(Exception):
    """A node that could not be reached or logged in to; str() is one line: node, reason, advice."""

    def __init__(self, target: Target, kind: Failure, reason: str, advice: str) -> None:
        super().__init__(f"{target.name}: {reason}; {advice}")
        self.target = target
        self.kind = kind
        self.reason = reason
        self.advice = advice


def explain(error: Exception, seconds: float, connect_timeout: float) -> tuple[Failure, str, str]:
    """Kind, reason and advice for an error from the layers below, `seconds` after the start."""
    said = " ".join(str(error).split()) or type(error).__name__
    match error:
        case UnknownHostKey():
            advice = f"{error.advice} (or run once with --accept-new-host-keys)"
            return Failure.UNKNOWN_KEY, f"{error.seen}; {error.why}", advice
        case ChangedHostKey():
            return Failure.CHANGED_KEY, f"{error.seen}; {error.why}", error.advice
        case socket.gaierror():
            return (
                Failure.UNKNOWN_HOST,
                f"its name does not resolve ({error.strerror})",
                "check the spelling, or give it an address in /etc/hosts, DNS or ssh_config's HostName",
            )
        case Dropped() | ConnectionResetError():
            return (
                Failure.DROPPED,
                "it is up, and its SSH server drops the connection before it says a word (connection reset)",
                _DROPPED_ADVICE,
            )
        case ConnectionRefusedError():
            return (
                Failure.REFUSED,
                "nothing listens on its SSH port (connection refused)",
                "check the port, and at its console type: systemctl status ssh",
            )
        case paramiko.PasswordRequiredException():
            return (
                Failure.PASSPHRASE,
                "the private key for it is encrypted",
                "load the key with ssh-add, or give its passphrase with --ask-password",
            )
        case paramiko.ConfigParseError() | paramiko.CouldNotCanonicalize() | UnicodeDecodeError():
            return Failure.CONFIG, f"ssh_config is not readable: {said}", "check it with: ssh -G HOST"
        case OSError(filename=str() as file):
            return Failure.CONFIG, f"{file}: {error.strerror}", "check that the file is there and yours"
        case paramiko.AuthenticationException() if said != "Authentication timeout.":
            return Failure.AUTHENTICATION, f"it refused the login: {said}", _LOGIN_ADVICE
        case paramiko.SSHException() if said == "No authentication methods available":
            return Failure.AUTHENTICATION, "there is no key, agent or password to log in with", _LOGIN_ADVICE
        case TimeoutError():
            return Failure.TIMEOUT, f"no answer within {seconds:.0f} s", _TIMEOUT_ADVICE
        case paramiko.SSHException() | EOFError() if seconds >= connect_timeout:
            return (
                Failure.TIMEOUT,
                f"it accepts connections but did not speak SSH within {seconds:.0f} s",
                _TIMEOUT_ADVICE,
            )
        case WireError():
            return Failure.PROTOCOL, f"the first command failed: {error.why}", _LOG_ADVICE
        case paramiko.SSHException() | EOFError() | ConnectionError():
            return Failure.PROTOCOL, f"the SSH connection failed: {said}", _LOG_ADVICE
        case OSError():
            return (
                Failure.UNREACHABLE,
                f"it cannot be reached: {said}",
                "check the address, the route and the firewall",
            )
        case _:
            return (
                Failure.PROTOCOL,
                f"the SSH connection failed: {type(error).__name__}: {said}",
                "try: ssh -v HOST",
            )
