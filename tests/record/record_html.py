"""Read HTML strictly: every element closed in order, and what planted text would have become."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"img", "input", "br", "meta", "link", "source", "hr"}


@dataclass
class Found:
    """What a page holds."""

    text: str = ""
    planted: list[str] = field(default_factory=list)
    """Elements that no code of ours or of pytest-html writes, or that carry an event handler of a picture."""
    loaded: list[str] = field(default_factory=list)
    """Addresses the page would load by itself."""
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)


class _Strict(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found = Found()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert len(given) == len(attrs), f"an attribute twice: <{tag} {attrs}>"
        self.found.tags.append((tag, given))
        if "onerror" in given or (tag == "img" and given.get("src")):
            self.found.planted.append(f"<{tag} {attrs}>")
        if tag != "a":
            self.found.loaded.extend(value or "" for name, value in attrs if name in ("src", "href"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing (line {self.getpos()[0]})"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}> (line {self.getpos()[0]})"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.found.text += data


def check(page: str) -> Found:
    """Return what ``page`` holds; fail when its elements are not balanced."""
    parser = _Strict()
    parser.feed(page)
    parser.close()
    assert not parser.open, f"never closed: {parser.open}"
    return parser.found
