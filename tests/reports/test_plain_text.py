"""What a report says of a verification: the word is the one `verify` said, of the baseline it was about, and nothing is left out."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from instructsel.artifact import dump_json, fingerprint, read_manifest
from instructsel.errors import ScoresError, UsageError
from instructsel.experiments.arms import Failure, rows_digest
from instructsel.protocols import Grades
from instructsel.reports.plain_text import difference
from instructsel.reports.render import report
from instructsel.verification.concluding import MANIFEST_KEYS
from instructsel.verification.grades_table import Run
from instructsel.verification.run import Verified
from instructsel.verification.summary import summary
from instructsel.verification.verdict import ComparisonSettings
from instructsel.verification.verification import Verification
from tests.reports.pages import selection, verdict

ITEMS = tuple(f"q{n}" for n in range(400))


def runs(arm: str, effect: float, draws: int, seeds: int = 4) -> list[Run]:
    """A loss: the items' own, the arm's effect, and a little that differs from run to run."""
    random = np.random.default_rng(sum(map(ord, arm)))
    items = np.random.default_rng(0).normal(3.0, 1.0, len(ITEMS))
    return [
        Run(
            arm,
            draw,
            seed,
            Grades("loss", ITEMS, items + effect + random.normal(0, 0.1, len(ITEMS)), np.ones(len(ITEMS)), unit="nats per token"),
        )
        for draw in range(draws)
        for seed in range(seeds)
    ]


def by_reward(arm: str, effect: float, draws: int, seeds: int = 4) -> list[Run]:
    """The same by a reward model that ranked the selection."""
    return [replace(run, grades=replace(run.grades, grader="reward", record={"models": ["d1"]})) for run in runs(arm, effect, draws, seeds)]


def folder(place: Path, **changes: Any) -> Path:
    """What `verify` writes: the selection is much better than the base, and not different from random."""
    given = [*runs("selection", 0.0, 1), *runs("random", 0.0, 3), *runs("base", 0.8, 1, seeds=1)]
    ranked, settings = changes.pop("ranked", {}), ComparisonSettings(generalize_to=changes.pop("generalize_to", "both"))
    if ranked:
        given += [*by_reward("selection", -0.5, 1), *by_reward("random", 0.0, 3), *by_reward("base", 0.8, 1, seeds=1)]
    verified = Verified(
        Verification.of(given, fixed=["base"]),
        (Failure("random replicate 2 seed 1", "diverged", "The loss is no number."),),
        ("selection replicate 0 seed 2",) if changes.pop("left", False) else (),
        runs=tuple(given),
        ranked=ranked,
        subsets={"selection": ({"rows": 3, "digest": "0" * 32},)},
    )
    told, _ = summary(verified, selection="selection", against="random", base="base", settings=settings, **changes)
    place.mkdir()
    said = {key: told[key] for key in MANIFEST_KEYS}
    verified.verification.write(place / "verification.parquet", run=said)
    told = orjson.loads(dump_json({**told, "table": (read_manifest(place / "verification.parquet") or {})["sha256"]}))
    (place / "verdict.json").write_bytes(dump_json({**told, "digest": fingerprint(told)}))
    return place


def said(*results: Any, **settings: Any) -> list[str]:
    made = json.loads(report(*results, **settings).json())
    return list(next(each for each in made["sections"] if each["name"] == "outcome")["text"])


def test_the_headline_is_the_word_against_the_baseline_it_is_about(tmp_path: Path) -> None:
    place = folder(tmp_path / "v")
    # Over all baselines, the base among them, the word would be another one.
    assert json.loads((place / "verdict.json").read_text())["verdicts"]["outcome"] == "better"
    for given in (place, place / "verdict.json", place / "verification.parquet"):
        lines = said(given)
        # Never without its interval and the effect that it could have detected.
        assert re.fullmatch(
            r"Outcome: no detectable difference from random \(loss, [+−][\d.]+ nats per token \[[+−][\d.]+, [+−][\d.]+\]\)\. "
            r"Minimum detectable effect \(80 % power\): [\d.]+ nats per token\.",
            lines[0],
        )
        assert any(line.startswith("selection vs base, loss: better; difference −") for line in lines)
        assert not any(line.startswith("selection vs random") for line in lines), "said once"
    assert "The verdict lacks 1 run of random: 1 failed." in said(place)
    whole = report(place).html()
    assert "The loss is no number." in whole and "Missing runs" in whole


def test_a_base_no_better_than_chance_and_runs_that_are_left_stand_in_the_headline(tmp_path: Path) -> None:
    poor = folder(tmp_path / "poor", model={"enough": False, "said": "order 0.5 (chance 0.5)"})
    for given in (poor, poor / "verification.parquet"):
        lines = said(given)
        assert lines[0].startswith("Outcome: not enough model. The base is no better than chance: order 0.5 (chance 0.5).")
    assert said(folder(tmp_path / "left", left=True))[0].startswith("Outcome: not enough data for a verdict against random (")


def test_another_arm_is_looked_at_by_its_grades_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    place = folder(tmp_path / "v")
    for given in (place, place / "verdict.json"):
        lines = said(given, arm="base")
        assert lines[0].startswith("Outcome: worse than random (loss, +") and any("made of selection" in line for line in lines)
        with pytest.raises(UsageError, match="no arm 'nonsense'"):
            report(given, arm="nonsense")


def test_a_verdict_that_was_changed_is_refused_or_recomputed(tmp_path: Path) -> None:
    place = folder(tmp_path / "v")
    file = place / "verdict.json"
    file.write_text(file.read_text().replace("no detectable difference", "better"))
    with pytest.raises(ScoresError, match="changed or damaged"):
        report(file)
    lines = said(place)
    assert lines[0].startswith("Outcome: no detectable difference from random (loss, ") and any(
        "the verdicts are recomputed" in line for line in lines
    )


def test_results_are_named_once(tmp_path: Path) -> None:
    place = folder(tmp_path / "v")
    with pytest.raises(UsageError, match="given twice"):
        report(place, place)


def test_a_verdict_on_other_rows_than_those_selected_is_refused(tmp_path: Path) -> None:
    place = folder(tmp_path / "v")
    chosen = selection([1.0, 2.0, 3.0, 4.0], [0.0] * 4, range(3))
    with pytest.raises(UsageError, match="of other rows than mine keeps"):
        report(chosen, place)
    told = json.loads((place / "verdict.json").read_text())
    del told["digest"]
    told["subsets"]["selection"][0]["digest"] = rows_digest(sorted(chosen.kept_ids))
    assert report(chosen, told).html()


def test_a_page_too_large_is_refused_and_its_json_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = report(folder(tmp_path / "v"))
    monkeypatch.setattr("instructsel.reports.render.LIMIT", 1000)
    with pytest.raises(UsageError, match="more than 1,000"):
        made.write(tmp_path / "page.html")
    made.write(tmp_path / "page.json")


def test_a_circular_grader_decides_no_headline_wherever_the_verdicts_come_from(tmp_path: Path) -> None:
    place = folder(tmp_path / "v", ranked={"selection": frozenset({"d1"})})
    for given in (place, place / "verdict.json", place / "verification.parquet"):
        lines = said(given)
        assert lines[0].startswith("Outcome: no detectable difference from random (loss, ")
        assert any(line.startswith("selection vs random, reward: better (leakage)") for line in lines)
        assert "reward also ranked the rows of selection" in report(given).html()
    # For random, too, it is the selection that the reward model ranked: against it the grader is circular, against the base it is not.
    lines = said(place, arm="random")
    assert any("random vs selection, reward: worse (leakage)" in line for line in lines)
    # Without what verify said, the grades and what was kept with them say the same.
    (place / "verdict.json").unlink()
    assert said(place)[0].startswith("Outcome: no detectable difference from random (loss, ")
    # An earlier release wrote the graders without the arms.
    assert (
        "Leakage: reward also ranked the rows of an arm"
        in report({"kind": "verification", "verdicts": {"word": "better", "verdicts": []}, "circular": ["reward"]}).markdown()
    )


def test_what_a_verdict_speaks_of_is_what_it_was_asked_for(tmp_path: Path) -> None:
    place = folder(tmp_path / "v", generalize_to="items")
    (place / "verdict.json").unlink()
    html = report(place).html()
    assert "generalizes to" in html and ">items<" in html and ">both<" not in html


def test_a_difference_whose_interval_holds_0_says_why_it_is_one() -> None:
    shared = {**verdict(outcome="worse", estimate=0.2, low=-0.01, high=0.4), "p_adjusted": 0.036, "comparisons": 2}
    told = difference(shared)
    assert told.startswith("+0.200 nats [−0.010, +0.400], which holds 0") and "2 comparisons" in told and "p 0.036" in told
    assert difference({**shared, "outcome": "not enough data"}).endswith("]") and difference(verdict()).endswith("]")
