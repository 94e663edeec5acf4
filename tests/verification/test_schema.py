"""Results of the last release are read under the names of this one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from instructsel.reports.render import report
from instructsel.verification.schema import upgraded
from instructsel.verification.verification import Verification

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
OLD = ("word", "lacking", "left", "target", "draw", "draws", "n_draws", "forgot", "level", "circular")

VERDICT: dict[str, Any] = {
    "kind": "verification",
    "word": "better",
    "level": 0.95,
    "target": "new runs",
    "left": ["random draw 0 seed 1"],
    "lacking": {"random": 1},
    "circular": {"reward": ["selection"]},
    "against": "random",
    "verdicts": {
        "word": "better",
        "verdicts": [
            {
                "word": "better",
                "level": 0.95,
                "circular": False,
                "selection": "selection",
                "baseline": "random",
                "grader": "loss",
                "interval": {
                    "level": 0.98,
                    "target": "new runs",
                    "n_draws": [1, 3],
                    "n_seeds": [3, 9],
                    "method": "mixed",
                    "estimate": -0.5,
                    "low": -0.75,
                    "high": -0.25,
                    "variance": {"target": "new runs", "sides": [{"counted": "draws", "source": ["draws", "random"]}]},
                },
            }
        ],
    },
    "skills": {"base": "base", "skills": ["loss"], "level": 0.95, "forgot": {"loss": 1}, "rows": {"word": {"loss": {"forgot": True}}}},
    "graders": {"left": {"means": [{"arm": "draw", "draw": 2, "seed": 0, "mean": 1.0}]}},
    "trained": [{"arm": "random", "draw": 1, "seed": 0}],
    "arms": {"random": {"0": [0]}},
    "win_rates": {"judge": {"level": {"circular": True, "runs": [{"draw": 0}]}}},
    "power": [{"level": 0.95, "plan": {"draws": 1, "baseline_draws": 3}, "components": {"draws": 0.1}}],
}


def keys(plain: Any) -> set[str]:
    """All keys, but those that are names of arms and graders."""
    if isinstance(plain, dict):
        return {key for key in plain if isinstance(key, str)}.union(*(keys(value) for value in plain.values()))
    return set().union(*(keys(value) for value in plain)) if isinstance(plain, list) else set()


def test_every_key_of_the_last_release_has_its_name_of_today_and_names_of_arms_and_graders_stay() -> None:
    plain = upgraded(VERDICT)
    assert keys(plain) & set(OLD) == {"word", "left", "level"}, "an arm, a grader and an arm are called so"
    assert (plain["outcome"], plain["confidence"], plain["generalize_to"], plain["missing"]) == ("better", 0.95, "both", {"random": 1})
    (verdict,) = plain["verdicts"]["verdicts"]
    assert verdict["interval"]["n_replicates"] == [1, 3] and not verdict["leakage"]
    assert verdict["interval"]["variance"]["sides"] == [{"counted": "replicates", "source": ["replicates", "random"]}]
    assert plain["skills"]["rows"] == {"word": {"loss": {"regressed": True}}}
    assert plain["graders"]["left"]["means"][0] == {"arm": "draw", "replicate": 2, "seed": 0, "mean": 1.0}
    assert plain["power"][0]["plan"] == {"replicates": 1, "baseline_replicates": 3}


def test_what_is_of_today_stays_as_it_is() -> None:
    assert upgraded(upgraded(VERDICT)) == upgraded(VERDICT)
    assert "word" in VERDICT and VERDICT["verdicts"]["verdicts"][0]["interval"]["variance"]["sides"][0]["counted"] == "draws"


def test_a_report_of_the_last_release_s_verdict_shows_what_it_said() -> None:
    text = report(VERDICT).markdown()
    assert "Outcome: better than random (loss, −0.5" in text and "1 × 3 against 3 × 9" in text


@pytest.mark.parametrize("path", sorted(RESULTS.glob("verification_*.parquet")), ids=lambda path: path.stem)
def test_committed_verifications_are_read_whichever_schema_they_have(path: Path) -> None:
    found = Verification.read(path)
    assert "replicate" in found.frame.columns and "draw" not in found.frame.columns
    assert not keys(upgraded(json.loads(path.with_suffix(".json").read_text()))) & {"word", "lacking", "n_draws", "target"}
