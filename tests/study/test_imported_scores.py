"""A study of imported scores: its observations are fitted, and the rule ranks by what was imported."""

from __future__ import annotations

import json
from pathlib import Path

from instructsel.pool.pool import Pool
from instructsel.rules.catalog import load
from instructsel.rules.observations import Observations
from instructsel.scores.imported import ImportedScores, ScoreFiles
from instructsel.scores.run import score
from instructsel.selection.choose import select
from instructsel.study.design import Bins, Design, Mixtures
from instructsel.study.study import Study, run_study
from tests.study import job

DESIGN = Design((Mixtures(5, 12), Bins("words", 4)))


def test_a_rule_is_fitted_on_imported_scores_and_selects_by_them(tmp_path: Path) -> None:
    pool = Pool.read(*job.write_pool(tmp_path))
    numbers = job.numbers(pool)
    rows = [{"id": name, "words": length, "judge": reward} for name, (length, reward) in numbers.items()]
    (tmp_path / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = ScoreFiles(tmp_path / "scores.jsonl", ["words", "judge"])
    table = score(pool, [ImportedScores("words", files, unit_of_values="words"), ImportedScores("judge", files)])
    tools = {"trainer": job.FakeTrainer(tmp_path / "made"), "grader": job.FakeGrader(numbers, spread=0.25)}
    study = run_study(pool, table, DESIGN, folder=tmp_path / "study", **tools)
    fitted = study.fit(bootstrap=0).rule("fitted")
    assert {(term.indicator, term.unit) for term in fitted.terms} == {("words", "words"), ("judge", "")}
    fitted.write(tmp_path / "fitted.toml")
    again = load(tmp_path / "fitted.toml")
    assert again.terms == fitted.terms
    assert Observations.read(tmp_path / "study" / "study.parquet").indicators() == ("words", "judge")
    assert Study.read(tmp_path / "study" / "study.parquet").manifest["indicators"]["words"]["imported"]["matched"] == len(pool)
    assert len(select(pool, table, again, budget=10).kept_ids) == 10
