"""The gate's check for items of evaluation sets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from instructsel.errors import UsageError
from instructsel.gates.change import Change
from instructsel.gates.checks.contamination import Contamination
from tests.gates.checks.hits_of import hits_of
from tests.gates.contamination.questions import ASKED, part_of, rows


@pytest.fixture
def trays(tmp_path: Path) -> str:
    path = tmp_path / "trays.jsonl"
    path.write_text("".join(json.dumps({"question": text}) + "\n" for text in ASKED))
    return str(path)


def asked(*prompts: str) -> list[dict[str, str]]:
    return [{"instruction": prompt, "output": "That depends."} for prompt in prompts]


def test_a_row_is_named_with_the_set_the_item_the_part_and_the_share(trays: str) -> None:
    ((line, hit),) = hits_of(Contamination(sets=(trays,)), asked("Hello there, friend.", part_of(ASKED[1], 0.6)))
    n = len(ASKED[1].split())
    assert (line, hit.key) == (1, "trays")
    assert hit.message == (
        f"The row holds item 2 of the evaluation set trays: {round(0.6 * n) / n:.0%} of the words ({round(0.6 * n)} of {n}) of the question."
    )
    assert hit.evidence.startswith("marta cycles nineteen")


def test_a_row_with_several_items_of_a_set_is_one_hit_that_counts_them(trays: str) -> None:
    ((_, hit),) = hits_of(Contamination(sets=(trays,)), asked(" ".join(ASKED)))
    assert "all " in hit.message
    assert hit.message.endswith("It holds 2 further items of the set.")


def test_without_a_set_it_says_what_would_let_it_run() -> None:
    change = Change(rows("Hello."))
    assert "sets = [" in str(Contamination().locked(change))
    assert Contamination(sets=("a.jsonl",)).locked(change) is None


def test_a_part_that_is_none_is_refused_before_rows_are_read() -> None:
    with pytest.raises(UsageError, match="title"):
        Contamination(parts=("title",))
