"""Small pieces of HTML and the words for times, sizes and counts.

Every function that returns HTML escapes what it is given; text from a node goes through :func:`esc`.
"""

from __future__ import annotations

import html
import re
import shlex
from collections.abc import Iterable, Sequence

OUTPUT_CAP = 4096
"""Bytes of one stream that are shown: the head and the tail, half each."""

ANSWER_CAP = 768
"""The same for the answer to a probe: there are thousands of them, all whole in journal.jsonl."""

NOTHING = "–"  # noqa: RUF001

# Control characters break a page or a terminal that prints it; shown as their pictures (U+2400 ff.).
_PICTURES = {code: 0x2400 + code for code in range(32) if code not in (9, 10)} | {127: 0x2421}


_PLAIN = re.compile(r"""[^&<>\x00-\x08\x0b-\x1f\x7f]*""")
"""Text with nothing to escape or to show, as most is: a single look instead of eight."""


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def esc(text: str) -> Html:
    """Return ``text`` escaped for an element; quotes stay (JSON is full of them), control characters become visible."""
    if _PLAIN.fullmatch(text):
        return Html(text)
    return Html(html.escape(text.replace("\r\n", "\n").translate(_PICTURES), quote=False))


def attribute(text: str) -> str:
    """Return ``text`` escaped for an attribute in either kind of quotes."""
    return esc(text).replace('"', "&quot;").replace("'", "&#x27;")


def as_html(content: str) -> Html:
    """Return ``content`` as it is when it is HTML, escaped when it is plain text."""
    return content if isinstance(content, Html) else esc(content)


def tag(name: str, content: str = "", css: str = "", **attributes: str) -> Html:
    """Return an element; plain text inside is escaped, attributes always are."""
    given = {"class": css, **attributes} if css else attributes
    written = "".join(f' {key}="{attribute(value)}"' for key, value in given.items())
    return Html(f"<{name}{written}>{as_html(content)}</{name}>")


def join(parts: Iterable[str], between: str = "") -> Html:
    """Return the parts one after another, each escaped unless it is HTML."""
    return Html(as_html(between).join(as_html(part) for part in parts))


def details(summary: str, content: str, css: str = "", is_open: bool = False) -> Html:
    """Return a part that folds without a script."""
    opened = " open" if is_open else ""
    return Html(f'<details class="{attribute(css)}"{opened}>{tag("summary", summary)}{as_html(content)}</details>')


def table(head: Sequence[str], body: Iterable[Sequence[str]], css: str = "") -> Html:
    """Return a table in a box that scrolls by itself when the page is narrow."""
    header = tag("tr", join(tag("th", cell, scope="col") for cell in head))
    lines = join(tag("tr", join(tag("td", cell) for cell in row)) for row in body)
    whole = tag("table", join([tag("thead", header), tag("tbody", lines)]))
    return tag("div", whole, css=f"pve-scroll {css}".strip(), tabindex="0")


def pairs(items: Iterable[tuple[str, str]]) -> Html:
    """Return names and values as a table of two columns."""
    lines = join(tag("tr", join([tag("th", name, scope="row"), tag("td", value)])) for name, value in items)
    return tag("table", tag("tbody", lines), css="pve-facts")


def code(text: str) -> Html:
    """Return a short literal in a line."""
    return tag("code", text)


def badge(outcome: str) -> Html:
    """Return an outcome as a word with its colour; the class is made of known letters only."""
    name = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in outcome)
    return tag("span", outcome, css=f"pve-badge pve-is-{name or 'unknown'}")


def shell(argv: Sequence[str]) -> str:
    """Return an argv as one line that can be pasted into a shell."""
    return shlex.join(argv)


def cap(text: str, line: int, limit: int = OUTPUT_CAP) -> str:
    """Return ``text``, or its head and tail with a line between that says what is left out and where it is.

    ``line`` is the line of journal.jsonl that holds the whole text. Sizes are bytes of UTF-8, ``limit`` too.
    """
    data = text.encode("utf-8")
    if len(data) <= limit:
        return text
    half = limit // 2
    head = data[:half].decode("utf-8", "ignore")
    tail = data[-half:].decode("utf-8", "ignore")
    left_out = len(data) - len(head.encode("utf-8")) - len(tail.encode("utf-8"))
    return f"{head}\n… {left_out} bytes left out, full text in journal.jsonl, line {line} …\n{tail}"


def output(stdout: str, stderr: str, line: int, limit: int = OUTPUT_CAP) -> Html:
    """Return both streams of a command, each capped at ``limit`` bytes; nothing when both are empty."""
    streams = [tag("pre", cap(stdout.rstrip("\n"), line, limit), css="pve-out")] if stdout.strip() else []
    if stderr.strip():
        streams.append(tag("p", "on stderr:", css="pve-label"))
        streams.append(tag("pre", cap(stderr.rstrip("\n"), line, limit), css="pve-out pve-err"))
    return join(streams)


def date_time(stamp: str) -> str:
    """Return ``2026-01-08T02:14:09.120Z`` as ``2026-01-08 02:14:09 UTC``."""
    return f"{stamp[:10]} {stamp[11:19]} UTC" if _is_stamp(stamp) else stamp or NOTHING


def clock(stamp: str) -> str:
    """Return ``2026-01-08T02:14:09.120Z`` as ``02:14:09``."""
    return stamp[11:19] if _is_stamp(stamp) else stamp or NOTHING


def span(stamps: Sequence[str]) -> str:
    """Return when the first and the last of some times were: ``02:14:09 to 02:14:31``, or the one that all are."""
    first, last = clock(min(stamps)), clock(max(stamps))
    return first if first == last else f"{first} to {last}"


def _is_stamp(stamp: str) -> bool:
    return len(stamp) >= 20 and stamp[10] == "T" and stamp.endswith("Z")


def duration(seconds: float) -> str:
    """Return seconds as people say them: ``0.4 s``, ``34 s``, ``12 min 3 s``, ``1 h 2 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def size(count: int | None) -> str:
    """Return a number of bytes: ``512 B``, ``96.0 KiB``, ``1.2 MiB``."""
    if count is None:
        return NOTHING
    if count < 1024:
        return f"{count} B"
    value, unit = count / 1024, "KiB"
    for larger in ("MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.1f} {unit}"


def shown(value: str | int | None) -> str:
    """Return a value for a cell; a dash where there is none."""
    return NOTHING if value is None or value == "" else str(value)


def short_hash(value: str | int | None) -> str:
    """Return the first 8 digits of a hash: enough to compare two by eye, the whole is in record.json."""
    return shown(value)[:8]


def count(number: int, one: str, many: str = "") -> str:
    """Return ``1 step`` or ``2 steps``."""
    return f"{number} {one if number == 1 else many or one + 's'}"
