"""Lengths, turns, truncation and loss tokens of rows whose tokens are known; budgets in tokens."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from instructsel.indicators._tokenizer import counts
from instructsel.mixtures.mixture import Mixture, mix
from instructsel.mixtures.recipe import MixtureRecipe
from instructsel.mixtures.statistics import Statistics
from instructsel.pool.example import Example
from instructsel.pool.message import Message
from tests.conftest import ROOT


def example(*turns: tuple[str, float | None]) -> Example:
    return Example("x", "s", tuple(Message(role, "word", weight=weight) for role, weight in turns))


def test_of_rows_with_known_tokens_turns_lengths_truncation_and_loss_are_these() -> None:
    statistics = Statistics(max_length=1000)
    statistics.add(example(("user", None), ("assistant", None)), [600, 500])
    statistics.add(example(("system", None), ("user", None), ("assistant", 0), ("user", None), ("assistant", None)), [10, 20, 30, 40, 50])
    statistics.add(example(("user", None), ("assistant", None)), [4000, 97])
    record = statistics.as_dict()
    assert record["rows"] == 3 and record["turns"] == round(8 / 3, 4) and record["rounds"] == round(4 / 3, 4)
    assert record["tokens"] == 1100 + 150 + 4097 and record["loss_tokens"] == 500 + 50 + 97
    assert record["loss_share"] == round(647 / 5347, 6)
    assert record["prompt"] == {"mean": round(4660 / 4, 4), "median": 40.0, "p90": 4000.0, "largest": 4000}
    assert record["response"] == {"mean": round(677 / 4, 4), "median": 50.0, "p90": 500.0, "largest": 500}
    assert record["total"]["mean"] == round(5347 / 3, 4) and record["total"]["largest"] == 4097
    # More than so many, and not as many.
    assert record["longer_than"] == {"512": 2, "768": 2, "1024": 2, "1536": 1, "2048": 1, "4096": 1}
    assert record["truncated"] == 2 and record["without_loss"] == 1
    both = statistics.merged(statistics).as_dict()
    assert both["rows"] == 6 and both["tokens"] == 2 * 5347 and both["total"]["mean"] == record["total"]["mean"]


def test_a_row_without_a_trained_turn_has_no_loss_token() -> None:
    statistics = Statistics(max_length=1000)
    statistics.add(example(("user", None), ("assistant", 0)), [1, 2])
    assert statistics.as_dict()["without_loss"] == 1 and statistics.as_dict()["loss_share"] == 0


def test_without_a_tokenizer_lengths_are_null_and_turns_are_not() -> None:
    statistics = Statistics(max_length=1000, with_tokens=False)
    statistics.add(example(("user", None), ("assistant", None)), None)
    record = statistics.as_dict()
    assert record["turns"] == 2.0 and record["tokens"] is None and record["prompt"] is None and record["truncated"] is None


def built(folder: Path, text: str) -> Mixture:
    (folder / "r.toml").write_text('name = "x"\n' + text)
    return mix(MixtureRecipe.read(folder / "r.toml"), folder / "x.jsonl")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, count in (("one", 40), ("two", 5)):
        rows = [{"instruction": f"{name} {n}", "output": " ".join(["word"] * (n % 7 + 1))} for n in range(count)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


SOURCES = '[[source]]\nlabel = "one"\npath = "one.jsonl"\n{}\n[[source]]\nlabel = "two"\npath = "two.jsonl"\n{}\n'


def test_a_budget_in_tokens_is_filled_by_the_shares_and_never_exceeded(folder: Path) -> None:
    mixture = built(folder, "[budget]\ntokens = 200\n" + SOURCES.format("share = 0.5", "share = 0.5\nrepeat = 5"))
    longest = max(counts("embedded").count(["word"])[0] * 7 + 4, 12)
    for source in mixture.manifest["sources"]:
        assert 100 - longest < source["statistics"]["tokens"] <= 100
    assert mixture.manifest["sources"][1]["rows"]["repeated"] > 0


def test_a_source_in_tokens_and_a_budget_without_shares_take_their_parts(folder: Path) -> None:
    mixture = built(folder, SOURCES.format("tokens = 60", "all = true"))
    assert 45 <= mixture.manifest["sources"][0]["statistics"]["tokens"] <= 60
    whole = built(folder, SOURCES.format("", ""))
    tokens = [source["statistics"]["tokens"] for source in whole.manifest["sources"]]
    half = built(folder, f"[budget]\ntokens = {sum(tokens) // 2}\n" + SOURCES.format("", ""))
    for source, of_all in zip(half.manifest["sources"], tokens, strict=True):
        assert of_all / 2 - 12 <= source["statistics"]["tokens"] <= of_all / 2 + 1


def test_the_recipes_of_the_page_are_recipes() -> None:
    page = (ROOT / "docs" / "how-to" / "mix.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in page.split("```toml\n")[1:]]
    recipe = next(tomllib.loads(block) for block in blocks if "[[source]]" in block)
    recipe["source"][1]["path"] = "one.jsonl"
    assert [source.repeat for source in MixtureRecipe.of(recipe, Path(), where="").sources] == [1, 3]
