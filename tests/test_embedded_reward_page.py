"""The card and the page on the embedded reward say what the results files say, and the weights that ship do what the card says."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from instructsel.models import plausibility
from instructsel.models.plausibility import PlausibilityModel, card
from tests.conftest import ROOT

RESULTS = ROOT / "benchmarks" / "results"


def script(path: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location(f"of_{path.stem}", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    # Where dataclasses look for the names of their annotations.
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


def results(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def test_every_figure_of_the_card_is_that_of_the_results() -> None:
    made = script(ROOT / "benchmarks/models/embedded_reward/card.py").card(results("embedded_reward"), results("embedded_reward_training"))
    assert json.loads(json.dumps(made)) == card(), "run: python benchmarks/models/embedded_reward/build.py ../shared/data --skip-training"


def test_the_page_is_made_of_the_results() -> None:
    builder = script(ROOT / "docs/build_embedded_reward.py")
    assert builder.PAGE.read_text(encoding="utf-8") == builder.page(), "run: python docs/build_embedded_reward.py"


def test_the_outcome_follows_from_the_figures() -> None:
    sets = results("embedded_reward")["sets"]
    unseen = {name: each for name, each in sets.items() if each["unseen"]}
    assert set(unseen) == {"webgpt", "pandalm", "llmbar", "expert_revisions", "faireval"}
    beaten = [
        name
        for name, each in unseen.items()
        if min(each["length_matched"]["low"], each["by_prompt"]["length_matched"]["low"], each["length_balanced"]["low"]) > 0.5
    ]
    assert results("embedded_reward")["unseen_sets_beating_chance"] == beaten
    assert card()["outcome"] == ("reward" if len(beaten) >= 3 else "plausibility") == "plausibility"


def test_wilson_intervals_follow_from_shares_and_counts() -> None:
    checked = 0
    for each in (*card()["unseen_sets"].values(), *card()["detects"].values()):
        for name in ("accuracy", "length_matched", "longer_wins", "recall"):
            figure = each.get(name)
            if figure is None:
                continue
            p, n, z = figure["value"], figure["n"], 1.959964
            middle, half = (p + z * z / (2 * n)) / (1 + z * z / n), z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
            assert (figure["low"], figure["high"]) == pytest.approx((max(middle - half, 0), min(middle + half, 1)), abs=1e-6)
            checked += 1
    assert checked >= 20


def test_the_card_names_nothing_that_may_not_be_redistributed(shared_data: Path) -> None:
    manifest = json.loads((shared_data / "MANIFEST.json").read_text(encoding="utf-8"))
    known = {entry["file"]: entry for entry in manifest["files"]}
    assert card()["data"]
    for each in card()["data"]:
        assert known[each["file"]]["redistribute_in_product"] is True and known[each["file"]]["sha256"] == each["sha256"]


def test_the_weights_that_ship_are_those_that_were_judged() -> None:
    weights = Path(plausibility.__file__).with_name(plausibility.WEIGHTS)
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == results("embedded_reward_training")["weights"] == card()["weights"]


def test_the_weights_tell_the_pairs_written_for_this_project_apart_as_the_card_says() -> None:
    pytest.importorskip("torch")
    lines = (ROOT / "benchmarks/models/embedded_reward/own_pairs.jsonl").read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line]
    assert len(rows) >= 60
    found = PlausibilityModel.load(precision="fp32").score([(row["prompt"], row[side]) for row in rows for side in ("better", "worse")])
    silent = np.array([reason is not None for reason in found.reasons])
    # An answer in a script of which the tokenizer knows too little has a reason and no value.
    assert set(filter(None, found.reasons)) <= {"unsupported_language"} and silent.sum() <= 2
    kept = ~(silent[0::2] | silent[1::2])
    right = (found.values[0::2] > found.values[1::2])[kept]
    kinds = np.array([row["kind"] for row in rows])[kept]
    shares = {kind: float(right[kinds == kind].mean()) for kind in sorted(set(kinds))}
    # Another processor may round a close pair the other way.
    assert shares == pytest.approx({kind: figure["value"] for kind, figure in card()["own_pairs"].items()}, abs=1 / 12 + 1e-9)
    assert min(shares[kind] for kind in ("mismatch", "gibberish", "repetition", "language")) >= 0.75
