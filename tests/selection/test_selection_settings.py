"""Settings, quotas with a least, ranking by an indicator, and sidecars of the last release."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from instructsel.errors import UnknownRule, UsageError
from instructsel.rules.by_indicator import by
from instructsel.rules.catalog import load
from instructsel.selection.budget import Quota, Tokens, parse_quotas
from instructsel.selection.choose import select
from instructsel.selection.minima import Minimum
from instructsel.selection.selection import Selection
from instructsel.selection.settings import SelectionSettings
from instructsel.tables import write_frame

Scored = Any


def test_settings_and_keywords_give_the_same_selection(varied: Scored) -> None:
    settings = SelectionSettings(30, quotas={"first": 10}, minima={"rew": Minimum(lowest=0.1)}, near_duplicate_threshold=None)
    one = select(varied.pool, varied.table, "longest", settings=settings)
    two = select(
        varied.pool,
        varied.table,
        load("longest"),
        budget=30,
        quotas={"first": 10},
        minima={"rew": Minimum(lowest=0.1)},
        near_duplicate_threshold=None,
    )
    assert one.frame.equals(two.frame) and one.manifest == two.manifest
    assert len(select(varied.pool, varied.table, "longest", settings=settings, budget=12)) == 12
    assert SelectionSettings.from_dict(one.manifest["settings"]) == settings


def test_what_is_no_rule_or_no_budget_is_refused(varied: Scored) -> None:
    with pytest.raises(UnknownRule, match="Did you mean 'longest'"):
        select(varied.pool, varied.table, "longes", budget=5)
    with pytest.raises(UsageError, match="needs a budget"):
        select(varied.pool, varied.table, "longest")
    with pytest.raises(UsageError, match="int is not a rule"):
        select(varied.pool, varied.table, 5, budget=5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="share from 0 to 1"):
        SelectionSettings(5, max_null_fraction=2)


def test_a_quota_with_a_least_gets_the_best_rows_of_its_source(varied: Scored) -> None:
    free = select(varied.pool, varied.table, by("-len"), budget=200)
    second = [name for name in free.kept_ids if free.explain(name)["source"] == "second"]
    chosen = select(varied.pool, varied.table, by("-len"), budget=40, quotas=parse_quotas(["second=30.."]))
    assert chosen.summary["composition"]["second"]["kept"] == 30
    assert {name for name in chosen.kept_ids if chosen.explain(name)["source"] == "second"} == set(second[:30])
    # The rest are the best of what is left, whatever their source.
    others = [name for name in free.kept_ids if name not in second[:30]][:10]
    assert set(chosen.kept_ids) == {*second[:30], *others}
    ranks = [chosen.explain(name)["rank"] for name in chosen.kept_ids]
    assert ranks == sorted(ranks)


def test_exact_shares_are_kept_exactly_and_a_source_with_too_few_rows_gives_all_it_has(varied: Scored) -> None:
    chosen = select(varied.pool, varied.table, by("len"), budget=100, quotas=parse_quotas(["first=70%..70%", "second=30%..30%"]))
    assert {source: count["kept"] for source, count in chosen.summary["composition"].items()} == {"first": 70, "second": 30}
    assert chosen.manifest["settings"]["quotas"]["first"] == {"least": 0.7, "most": 0.7}
    starved = select(varied.pool, varied.table, by("len"), budget=150, quotas={"second": Quota(least=100)})
    assert starved.summary["composition"]["second"]["kept"] == 80 and len(starved) == 150
    with pytest.raises(UsageError, match="together is 60"):
        select(varied.pool, varied.table, by("len"), budget=50, quotas={"first": Quota(least=30), "second": Quota(least=30)})


def test_a_least_in_tokens_is_filled_first(varied: Scored) -> None:
    budget = Tokens(400, "words")
    chosen = select(varied.pool, varied.table, by("-len"), budget=budget, token_counter=varied.words, quotas={"second": Quota(least=200)})
    selected = [example for example in varied.pool.examples() if example.id in set(chosen.kept_ids)]
    used = {source: sum(varied.words([example for example in selected if example.source == source])) for source in ("first", "second")}
    assert used["second"] >= 200 and sum(used.values()) == chosen.summary["used"] <= 400


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_sidecar_of_the_last_release_is_read_in_todays_words(varied: Scored, tmp_path: Path, suffix: str) -> None:
    chosen = select(varied.pool, varied.table, load("longest"), budget=30, minima={"rew": Minimum(lowest=0.1)})
    words = {"below_budget": "not_reached", "below_minimum:rew": "below_floor:rew"}
    frame = chosen.frame.drop("file", "line").rename({"score": "value"}).with_columns(pl.col("reason").replace(words))
    summary = dict(chosen.summary)
    summary["floors"], summary["rule_value"] = summary.pop("minima"), summary.pop("rule_score")
    summary["dropped"] = {words.get(reason, reason): count for reason, count in summary["dropped"].items()}
    settings = dict(chosen.manifest["settings"])
    settings["floors"] = settings.pop("minima")
    manifest = {key: entry for key, entry in chosen.manifest.items() if key not in ("score", "schema")}
    write_frame(tmp_path / f"old{suffix}", frame, {**manifest, "value": "minus len", "summary": summary, "settings": settings})
    old = Selection.read(tmp_path / f"old{suffix}")
    assert old.kept_ids == chosen.kept_ids and old.summary == chosen.summary
    assert old.frame.drop("file", "line").equals(chosen.frame.drop("file", "line"))
    assert old.frame["file"].null_count() == old.frame.height
    assert old.manifest["settings"] == chosen.manifest["settings"] and old.manifest["score"] == "minus len"
