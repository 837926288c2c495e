"""record.json holds to its published schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import record_journals
from pve_runbook.record.build import build
from pve_runbook.record.document import record_json
from pve_runbook.record.schema import schema
from record_journals import Journal

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "record.schema.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def killed() -> Journal:
    journal = record_journals.whole_run()
    del journal.events[150:]
    return journal


def test_the_schema_is_one_and_is_that_of_the_classes() -> None:
    """To write it anew: python -m pve_runbook.record.schema > docs/record.schema.json"""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert schema() == SCHEMA


@pytest.mark.parametrize("make", [record_journals.whole_run, record_journals.failed_run, killed, Journal])
def test_a_record_is_as_the_schema_says(make: Callable[[], Journal]) -> None:
    data = json.loads(json.dumps(record_json(build(make().entries), "ab" * 32)))
    assert [error.message for error in VALIDATOR.iter_errors(data)] == []


@pytest.mark.parametrize("mode", ["runbook", "checks", "plan", "rehearsal"])
def test_every_mode_of_a_run_has_a_kind_that_the_schema_knows(mode: str) -> None:
    journal = Journal()
    journal.run(mode=mode)
    for ended in (False, True):
        if ended:
            journal.end(0, "It ended.", "")
        data = json.loads(json.dumps(record_json(build(journal.entries), "")))
        assert [error.message for error in VALIDATOR.iter_errors(data)] == []
        assert ("INTERRUPTED" in data["kind"]) is not ended


def test_the_schema_takes_nothing_that_it_does_not_name() -> None:
    data = json.loads(json.dumps(record_json(build(record_journals.whole_run().entries), "")))
    data["phases"][0]["steps"][0]["commands"][0]["stdout"] = "what a node said"
    assert not VALIDATOR.is_valid(data)
