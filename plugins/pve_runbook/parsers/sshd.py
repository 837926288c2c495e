"""By what sshd lets root in."""

from __future__ import annotations

from msgspec import Struct

from pve_runbook.parsers.output import Output, ParseError, lines_of, stdout_of

SECOND_FILE = ".ssh/authorized_keys2"


class Logins(Struct, frozen=True):
    """What sshd's configuration says: the files with keys, as it names them, and whether root may type a password."""

    key_files: tuple[str, ...]
    root_password: bool

    @property
    def reads_second_file(self) -> bool:
        """Whether a key in root's authorized_keys2 opens a login."""
        return any(f in (SECOND_FILE, f"%h/{SECOND_FILE}", f"/root/{SECOND_FILE}") for f in self.key_files)


def parse_sshd(output: Output) -> Logins:
    """Read `sshd -T`: one lower-case keyword and its values a line (recorded on PVE 8.3)."""
    said = {}
    for line in lines_of(stdout_of(output, "sshd -T")):
        keyword, _, values = line.partition(" ")
        said[keyword] = values.split()
    try:
        files, passwords, root = (said[k] for k in ("authorizedkeysfile", "passwordauthentication", "permitrootlogin"))
    except KeyError as error:
        raise ParseError(f"sshd -T does not say its {error.args[0]}.") from None
    return Logins(tuple(files), passwords == ["yes"] and root == ["yes"])
