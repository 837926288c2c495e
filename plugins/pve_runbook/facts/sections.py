"""The section files of /etc/pve: storage.cfg, jobs.cfg, replication.cfg, ha/resources.cfg."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pve_runbook.facts.answers import excerpt
from pve_runbook.facts.output import ParseError

_HEADER = re.compile(r"(?P<type>[A-Za-z][\w-]*):\s*(?P<id>\S+)\s*")
_OPTION = re.compile(r"\s+(?P<key>\S+)(?:\s+(?P<value>.*\S))?\s*")
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


@dataclass(frozen=True, slots=True)
class Section:
    """One `type: id` block; an option written without a value has the value ""."""

    type: str
    id: str
    options: dict[str, str]

    def flag(self, key: str, *, default: bool) -> bool:
        """A yes/no option. Raises ParseError if it is neither."""
        if key not in self.options:
            return default
        value = yes_or_no(self.options[key] or "1")
        if value is None:
            raise ParseError(f"{self.type}: {self.id}: option {key!r} is neither yes nor no but {self.options[key]!r}.")
        return value

    def words(self, key: str) -> tuple[str, ...]:
        """An option that is a list, separated by commas, semicolons or blanks; () if it is missing."""
        return tuple(word for word in re.split(r"[,;\s]+", self.options.get(key, "")) if word)


def parse_sections(text: str, file: str) -> tuple[Section, ...]:
    """All sections of `text`, in order; `file` names it in messages.

    Source: pve-common PVE::SectionConfig (header at the line's start, options indented, `#` comments).
    Raises ParseError on a line of neither form, an option outside a section, and anything given twice.
    """
    sections: list[Section] = []
    for line in text.split("\n"):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if option := _OPTION.fullmatch(line):
            if not sections:
                raise ParseError(f"{file}: an option stands before the first section: {excerpt(line)}")
            options = sections[-1].options
            if option["key"] in options:
                raise ParseError(f"{file}: {sections[-1].id} has the option {option['key']!r} twice.")
            options[option["key"]] = option["value"] or ""
        elif header := _HEADER.fullmatch(line):
            sections.append(Section(header["type"], header["id"], {}))
        else:
            raise ParseError(f"{file}: a line cannot be read: {excerpt(line)}")
    names = [(section.type, section.id) for section in sections]
    for name in names:
        if names.count(name) > 1:
            raise ParseError(f"{file}: the section {name[0]}: {name[1]} stands there twice.")
    return tuple(sections)
