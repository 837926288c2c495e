"""No refusal that has a way on is without a walk."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pve_runbook.refusal.ids import RefusalId, Way
from test_refusal_ids import ROOT, functions
from test_walks_of_lines import LINES
from test_walks_on_the_way import ON_THE_WAY
from walks import WALKS

WALKED = tomllib.loads((Path(__file__).parent / "walked.toml").read_text(encoding="utf-8"))
"""Where else a way on is walked."""
HERE = {*WALKS, *ON_THE_WAY, *LINES}


@pytest.mark.parametrize("of", [of for of in RefusalId if of not in (RefusalId.OF_YOUR_OWN,)], ids=str)
def test_every_way_on_is_walked(of: RefusalId) -> None:
    """Here, or by a test that is named; what has none by design is left as it is."""
    id_ = str(of)
    places = [id_ in HERE, *(id_ in WALKED[kind] for kind in ("elsewhere", "same_as")), of.way is Way.STAY]
    assert places.count(True) == 1
    if id_ in WALKED["elsewhere"]:
        file, _, name = WALKED["elsewhere"][id_].partition("::")
        assert name in functions(ROOT / file)
    assert WALKED["same_as"].get(id_, id_) in HERE or id_ not in WALKED["same_as"]
