"""The section files of /etc/pve: storage.cfg, jobs.cfg, replication.cfg, ha/resources.cfg.

Read as PVE::SectionConfig does (pve-common, parse_config): one bad line spoils that line alone, or the section that it
should have begun.
"""

from __future__ import annotations

import re
from functools import lru_cache

from msgspec import Struct

from pve_runbook.parsers.output import Skipped

_HEADER = re.compile(r"(?P<type>\S+):\s*(?P<id>\S+)\s*", re.ASCII)
_OPTION = re.compile(r"\s+(?P<key>\S+)(?:\s+(?P<value>.*\S))?\s*", re.ASCII)
_FLAGS = frozenset({"all", "disable", "enabled", "shared"})
_YES_OR_NO = {
    "1": True,
    "on": True,
    "yes": True,
    "true": True,
    "0": False,
    "off": False,
    "no": False,
    "false": False,
}


def yes_or_no(value: str) -> bool | None:
    """A yes/no value as pve-common's JSONSchema.pm parse_boolean reads it; None if it is neither."""
    return _YES_OR_NO.get(value.lower())


class Section(Struct, frozen=True):
    """One `type: id` block; an option written without a value has the value ""."""

    type: str
    id: str
    options: dict[str, str]

    def flag(self, key: str, *, default: bool) -> bool:
        """A yes/no option; the default too where it is neither, as Proxmox passes it over then."""
        value = yes_or_no(self.options[key] or "1") if key in self.options else None
        return default if value is None else value

    def words(self, key: str) -> tuple[str, ...]:
        """An option that is a list, separated by commas, semicolons or blanks; () if it is missing."""
        return tuple(word for word in re.split(r"[,;\s]+", self.options.get(key, "")) if word)


def parse_sections(text: str, file: str) -> tuple[Section, ...]:
    """All sections of `text`, in order, of whatever type; of one that stands there twice the last counts."""
    return _read(text, file)[0]


def skipped_lines(text: str, file: str) -> tuple[Skipped, ...]:
    """The lines of `text` that Proxmox passes over; `file` names it there."""
    return _read(text, file)[1]


@lru_cache(maxsize=256)
def _read(text: str, file: str) -> tuple[tuple[Section, ...], tuple[Skipped, ...]]:
    """A section begins with its header and ends with an empty line; a header within another section is none."""
    sections: dict[tuple[str, str], Section] = {}
    skipped: list[Skipped] = []
    current: Section | None = None
    for number, line in enumerate(text.split("\n"), start=1):
        if not line:
            current = None
        elif not line.strip() or line.lstrip().startswith("#"):
            continue
        elif current is None:
            header = _HEADER.fullmatch(line)
            if header is None:
                skipped.append(Skipped(file, number, "it begins no section, and belongs to none"))
                continue
            current = Section(header["type"].lower(), header["id"], {})
            if sections.pop((current.type, current.id), None) is not None:
                why = f"{current.type}: {current.id} stands there twice; the last one counts"
                skipped.append(Skipped(file, number, why))
            sections[current.type, current.id] = current
        elif why := _take(line, current):
            skipped.append(Skipped(file, number, why))
    return tuple(sections.values()), tuple(skipped)


def _take(line: str, section: Section) -> str:
    """Put an option into its section; else why it is none."""
    option = _OPTION.fullmatch(line)
    of = f"of {section.type}: {section.id}"
    if option is None and _HEADER.fullmatch(line):
        return f"no empty line stands before it, and so it begins no section: it is taken for a line {of}"
    if option is None:
        return f"it is no option {of}"
    key, value = option["key"], option["value"] or ""
    if key in section.options:
        return f"the option {key} {of} stands there twice; the first one counts"
    if key in _FLAGS and yes_or_no(value or "1") is None:
        return f"the option {key} {of} is neither yes nor no"
    section.options[key] = value
    return ""
