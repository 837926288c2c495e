"""What a run wrote into its journal: the steps that did not pass, the verdict, who waited."""

from __future__ import annotations

import json
from typing import Any

LATE = (124, 137)
"""Exit status of a probe that had its time."""


class Ran:
    """The newest run of a stage, by its journal."""

    def __init__(self, stage: Any) -> None:
        newest = max(stage.records.glob("*/journal.jsonl"), key=lambda p: p.stat().st_mtime_ns)
        self.events: list[dict[str, Any]] = [json.loads(line) for line in newest.read_text().splitlines()]

    def bad(self) -> dict[tuple[str | None, str], str]:
        """(node, title) → outcome, for steps that failed or are unknown."""
        steps = (e for e in self.events if e["kind"] == "step")
        return {(e["node"], e["title"]): e["outcome"] for e in steps if e["outcome"] in ("failed", "unknown")}

    def message(self, title: str) -> str:
        """What the step that did not pass said."""
        steps = (e for e in self.events if e["kind"] == "step" and e["title"] == title)
        return next(str(e["message"]) for e in steps if e["outcome"] in ("failed", "unknown"))

    def waited(self) -> list[str]:
        """The nodes of the batches that had to wait until a probe's time was over."""
        late = {(e["node"], e["batch"]) for e in self.events if e["kind"] == "probe" and e.get("exit_status") in LATE}
        return sorted(node for node, _ in late)

    def verdict(self) -> str:
        """What was judged last, with its evidence."""
        return [str(e["text"]) for e in self.events if e["kind"] == "note" and e["topic"] == "verdict"][-1]
