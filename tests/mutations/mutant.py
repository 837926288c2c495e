"""One mutant: a place in one file, and what stands there instead."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """``start`` and ``end`` are bytes of the file; ``tests`` are asked first, as pytest takes them."""

    id: str
    part: str
    file: str
    start: int
    end: int
    new: str
    tests: tuple[str, ...]

    def line(self, root: Path) -> int:
        """The number of the line that it begins in."""
        return (root / self.file).read_bytes()[: self.start].count(b"\n") + 1

    def in_words(self, root: Path) -> str:
        """What is changed into what, on one line."""
        old = " ".join((root / self.file).read_bytes()[self.start : self.end].decode().split())
        return f"`{old[:60]}` -> `{self.new.strip()[:60]}`"

    def applied_to(self, source: bytes) -> bytes:
        """The file with the mutant in it."""
        return source[: self.start] + self.new.encode() + source[self.end :]
