"""Near-duplicates are told by the prompt, by the response, or by both; what that loses is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from instructsel.errors import UsageError
from instructsel.selection.baselines.random_subset import random_subset
from instructsel.selection.choose import select
from instructsel.selection.settings import SelectionSettings
from tests.scored_pool import prose

Make = Callable[..., Any]

TEMPLATE = prose(1000, 50)
ANSWER = prose(1001, 50)
ROWS = [
    # One prompt, two answers that nothing but case tells apart, and three others.
    (TEMPLATE, "yes"),
    (TEMPLATE, "YES"),
    (TEMPLATE, "no"),
    (f"{TEMPLATE} indeed", "no"),
    # One answer under two prompts.
    (prose(1002, 50), ANSWER),
    (prose(1003, 50), f"{ANSWER} indeed"),
    (prose(1004, 50), prose(1005, 50)),
]


def dropped_under(make: Make, part: str) -> tuple[Any, set[str]]:
    """The selection, and the responses of the rows that it drops as near-duplicates."""
    scored = make({"pool": ROWS})
    chosen = select(scored.pool, scored.table, "longest", budget=len(ROWS), near_duplicates_of=part)
    reasons = {example.id: chosen.explain(example.id)["reason"] for example in scored.pool.examples()}
    return chosen, {example.response for example in scored.pool.examples() if reasons[example.id] == "near_duplicate"}


@pytest.mark.filterwarnings("ignore:The budget of")
@pytest.mark.parametrize(("part", "count"), [("both", 3), ("prompt", 3), ("response", 3)])
def test_what_is_compared_decides_which_rows_repeat_another(make: Make, part: str, count: int) -> None:
    chosen, responses = dropped_under(make, part)
    assert chosen.summary["dropped"] == {"near_duplicate": count}
    record = chosen.summary["near_duplicates"]
    assert (record["of"], record["dropped"]) == (part, count)
    if part == "response":
        # yes and YES, no and no, the two long answers.
        assert record["another_response"] == 1
        assert Counter(len(response.split()) for response in responses) == {1: 2, 50: 1} or {1: 2, 51: 1}
    else:
        assert responses <= {"yes", "YES", "no"}
        assert record["another_response"] in (1, 2)
    assert chosen.manifest["settings"].get("near_duplicates_of", "both") == part
    assert SelectionSettings.from_dict(chosen.manifest["settings"]).near_duplicates_of == part


def test_other_parts_than_these_are_refused() -> None:
    with pytest.raises(UsageError, match="prompt, response or both"):
        SelectionSettings(5, near_duplicates_of="answer")


def test_a_selection_that_keeps_near_duplicates_says_nothing_of_them(make: Make) -> None:
    scored = make({"pool": ROWS})
    chosen = select(scored.pool, scored.table, "longest", budget=2, near_duplicate_threshold=None)
    assert "near_duplicates" not in chosen.summary
    assert "near_duplicates_of" not in chosen.manifest["settings"]


@pytest.mark.filterwarnings("ignore:The budget of")
def test_a_random_subset_of_the_candidates_compares_what_the_selection_compared(make: Make) -> None:
    chosen, _ = dropped_under(make, "response")
    drawn = random_subset(chosen.candidates, len(ROWS), 0)
    responses = Counter(example.response.lower() for example in drawn.examples())
    assert responses["yes"] == responses["no"] == 1
