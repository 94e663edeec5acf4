"""Shares fitted to studies: planted laws are found, noise is refused, limits hold to the row, and the recipe can be mixed."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsel.errors import Negative, StudyError, UsageError
from instructsel.rules.observations import Observations
from instructsel.stats.log_linear import Limits, LogLinear
from instructsel.study.mixing import Available, MixFit, MixSettings, mix_fit, recipe_text

SOURCES = ("chat", "code", "maths")
PLENTY = {source: Available(100_000, 50.0, (f"{source}.jsonl",)) for source in SOURCES}
LAW = {"algebra": (0.4, 0.3, -0.5), "talk": (-0.6, 0.2, 0.3), "snippets": (0.1, -0.7, 0.2)}
"""Outcome → ln L of each source alone."""


def study(
    law: dict[str, tuple[float, ...]] = LAW, *, n: int = 24, noise: float = 0.005, seed: int = 1, rows: int = 300, **more: Any
) -> Observations:
    """Runs on random mixtures, whose losses follow a law."""
    generator = np.random.default_rng(seed)
    shares = generator.dirichlet(np.ones(len(SOURCES)), size=n)
    columns: dict[str, Any] = {f"share_{source}": shares[:, place].tolist() for place, source in enumerate(SOURCES)}
    for outcome, weights in law.items():
        columns[f"outcome_{outcome}"] = np.exp(shares @ np.array(weights) + generator.normal(0, noise, n)).tolist()
    columns["rows"] = [rows] * n
    columns["loss"] = [math.fsum(values) / len(law) for values in zip(*(columns[f"outcome_{name}"] for name in law), strict=True)]
    return Observations.of(columns, {"trainer": {"base": "b"}, "grader": {"name": "g", "unit": "bits per byte"}, **more})


def best(law: dict[str, tuple[float, ...]]) -> tuple[float, np.ndarray[Any, Any]]:
    """The smallest mean loss of a law, and its shares, by trying a fine grid."""
    steps = 100
    grid = np.array([(a, b, steps - a - b) for a in range(steps + 1) for b in range(steps + 1 - a)]) / steps
    losses = np.mean([np.exp(grid @ np.array(weights)) for weights in law.values()], axis=0)
    return float(losses.min()), grid[int(losses.argmin())]


def taken(fit: MixFit) -> np.ndarray[Any, Any]:
    return np.array([fit.proposal.shares[source] for source in SOURCES])


def test_the_optimum_of_a_planted_law_is_found_and_beats_every_single_source() -> None:
    fit = mix_fit([study()], PLENTY)
    loss, shares = best(LAW)
    true = float(np.mean([np.exp(taken(fit) @ np.array(weights)) for weights in LAW.values()]))
    assert true == pytest.approx(loss, rel=0.01) and taken(fit) == pytest.approx(shares, abs=0.08)
    assert fit.proposal.loss.low < true < fit.proposal.loss.high
    assert [rival.name for rival in fit.rivals][1:] == ["equal shares", "natural shares", "the best run"]
    single = fit.rivals[0]
    assert single.name.startswith("only ") and single.against is not None and single.against.high < 0
    assert sum(fit.rows.values()) == 300 and all(outcome.loo_r2 > 0.9 and outcome.explained for outcome in fit.outcomes)


def test_with_one_outcome_the_best_source_is_taken_as_far_as_its_rows_go() -> None:
    available = {**PLENTY, "maths": Available(20)}
    fit = mix_fit([study()], available, MixSettings(rows=200, max_repeats=3, outcomes=("algebra",)))
    # algebra: maths is best, then code.
    assert fit.rows == {"chat": 0, "code": 140, "maths": 60} and fit.repeats["maths"] == 3 and fit.at_limit == ("maths",)


@pytest.mark.parametrize("repeats", [1, 2, 5])
def test_limits_of_rows_hold_to_the_row(repeats: int) -> None:
    available = {"chat": Available(31), "code": Available(17), "maths": Available(53)}
    total = 101 * repeats
    fit = mix_fit([study()], available, MixSettings(rows=total, max_repeats=repeats))
    assert fit.rows == {source: repeats * there.rows for source, there in available.items()}
    with pytest.raises(StudyError, match="more than there are"):
        mix_fit([study()], available, MixSettings(rows=total + 1, max_repeats=repeats))


def test_a_budget_of_tokens_is_kept_and_so_are_the_repeats_of_every_source() -> None:
    available = {"chat": Available(40, 200.0), "code": Available(300, 30.0), "maths": Available(25, 77.0)}
    fit = mix_fit([study()], available, MixSettings(tokens=9_000, max_repeats=2))
    assert fit.tokens is not None and 9_000 - 200 <= fit.tokens <= 9_000
    assert all(fit.rows[source] <= 2 * there.rows for source, there in available.items())
    with pytest.raises(UsageError, match="tokens of the sources' rows"):
        mix_fit([study()], {source: Available(100) for source in SOURCES}, MixSettings(tokens=100))


@pytest.mark.parametrize("seed", range(6))
def test_noise_is_refused_with_cause_and_fix(seed: int) -> None:
    flat = dict.fromkeys(LAW, (0.2, 0.2, 0.2))
    with pytest.raises(Negative, match="explains nothing") as refused:
        mix_fit([study(flat, noise=0.05, seed=seed)], PLENTY)
    assert refused.value.fix


def test_an_outcome_without_a_law_is_said_and_moves_no_share() -> None:
    law = {"algebra": LAW["algebra"], "noise": (0.2, 0.2, 0.2)}
    fit = mix_fit([study(law, noise=0.01)], PLENTY)
    assert fit.rows == {"chat": 0, "code": 0, "maths": 300}
    assert any("do not explain noise" in note for note in fit.notes)


def test_too_few_compositions_are_refused_and_seeds_are_no_compositions() -> None:
    few = study(n=5)
    with pytest.raises(StudyError, match="5 compositions of 3 sources are too few"):
        mix_fit([few], PLENTY)
    again = Observations.of({name: [*values, *values] for name, values in few.columns.items()}, few.manifest)
    with pytest.raises(StudyError, match="5 compositions"):
        mix_fit([again], PLENTY)


def test_sources_that_move_together_are_named() -> None:
    table = study(n=12)
    half = [(1 - share) / 2 for share in table.columns["share_maths"]]
    columns = {**table.columns, "share_chat": half, "share_code": half}
    with pytest.raises(StudyError, match="shares of chat, code move together"):
        mix_fit([Observations.of(columns, table.manifest)], PLENTY)


def test_studies_of_other_bases_do_not_go_together_and_those_of_one_do() -> None:
    first, second = study(n=6, seed=1), study(n=6, seed=2)
    assert mix_fit([first, second], PLENTY).compositions == 12
    other = replace(second, manifest={**second.manifest, "trainer": {"base": "c"}})
    with pytest.raises(StudyError, match="trained in 2 different ways"):
        mix_fit([first, other], PLENTY)


def test_runs_of_another_size_are_left_out_and_counted() -> None:
    table = study(n=12)
    columns = {name: [*values, values[0]] for name, values in table.columns.items()}
    columns["rows"][-1] = 600
    fit = mix_fit([Observations.of(columns, table.manifest)], PLENTY)
    assert fit.runs == 12 and any("1 run of another size" in note for note in fit.notes)


def test_the_interval_of_a_new_run_covers_it() -> None:
    covered = 0
    weights = np.array(list(LAW.values())).T
    for seed in range(150):
        generator = np.random.default_rng(seed)
        shares = generator.dirichlet(np.ones(3), size=14)
        noise = generator.normal(0, 0.03, (14, 3))
        law = LogLinear(shares, shares @ weights + noise, np.array([True, True, True]))
        point = np.array([0.5, 0.2, 0.3])
        predicted = law.predicted(point, 0.95)
        covered += predicted.low <= float(np.exp(point @ weights + generator.normal(0, 0.03, 3)).mean()) <= predicted.high
    assert covered >= 0.9 * 150


def test_what_the_same_fit_chose_is_predicted_too_low_and_the_optimism_says_by_about_how_much() -> None:
    weights = np.array(list(LAW.values())).T
    everything = Limits(np.eye(3), np.ones(3))
    gaps, said = [], []
    for seed in range(12):
        generator = np.random.default_rng(seed)
        shares = generator.dirichlet(np.ones(3), size=9)
        law = LogLinear(shares, shares @ weights + generator.normal(0, 0.2, (9, 3)), np.array([True, True, True]))
        chosen = law.optimum(everything, np.full(3, 1 / 3))
        gaps.append(float(np.exp(chosen @ weights).mean()) - law.objective(chosen))
        said.append(law.optimism(everything, np.full(3, 1 / 3), draws=15))
    assert np.mean(said) > 0 and np.mean(gaps) > 0


def test_the_recipe_is_read_and_mixed_as_proposed(tmp_path: Path) -> None:
    from instructsel.mixtures.recipe import MixtureRecipe

    paths = {source: tmp_path / f'{source} "{number}".jsonl' for number, source in enumerate(SOURCES)}
    available = {source: Available(90, paths=(str(path),)) for source, path in paths.items()}
    fit = mix_fit([study()], available, MixSettings(rows=200, max_repeats=2))
    (tmp_path / "fitted.toml").write_text(recipe_text(fit, "fitted"))
    recipe = MixtureRecipe.read(tmp_path / "fitted.toml")
    assert {source.label: source.value for source in recipe.sources} == {source: rows for source, rows in fit.rows.items() if rows}
    assert all(source.amount == "rows" and fit.rows[source.label] <= source.repeat * 90 for source in recipe.sources)
    with pytest.raises(UsageError, match="files with those of other sources"):
        recipe_text(mix_fit([study()], {source: Available(90) for source in SOURCES}, MixSettings(rows=200, max_repeats=3)), "x")


def test_settings_and_sources_that_cannot_be_are_refused() -> None:
    for settings, said in (
        (MixSettings(rows=5, tokens=5), "not both"),
        (MixSettings(max_repeats=0), "max_repeats is 0"),
        (MixSettings(outcomes=("algebr",)), "algebra"),
    ):
        with pytest.raises(UsageError, match=said):
            mix_fit([study()], PLENTY, settings)
    with pytest.raises(UsageError, match="how many rows there are of maths"):
        mix_fit([study()], {source: there for source, there in PLENTY.items() if source != "maths"})
