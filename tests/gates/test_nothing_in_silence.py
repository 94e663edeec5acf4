"""Nothing passes in silence: neither too few rows, nor what a check left out, nor a severity that has none beneath it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars
import pytest

from instructsel.gates.baseline.base import Request
from instructsel.gates.baseline.baseline import Baseline
from instructsel.gates.change import Change
from instructsel.gates.checks.contamination import Contamination
from instructsel.gates.checks.dropped_row import DroppedRow
from instructsel.gates.checks.indicator_limit import IndicatorLimit
from instructsel.gates.checks.paraphrased_contamination import ParaphrasedContamination
from instructsel.gates.checks.predicted_loss import PredictedLoss
from instructsel.gates.config import ConfiguredCheck, GateConfig
from instructsel.gates.gate import gate
from instructsel.gates.reading import read_change
from instructsel.pool.pool import Pool
from tests.gates.contamination.questions import ASKED

ROWS = [{"instruction": f"Name lake {number}, please.", "output": f"It is called the lake of {number} springs."} for number in range(40)]


def result_of(check: Any, change: Change, *, severity: str = "", nightly: bool = False) -> Any:
    return gate(change, GateConfig((ConfiguredCheck(check, severity or check.severity),), nightly=nightly)).results[0]


@pytest.mark.parametrize("limits", [{"max": 1.0}, {"min": 1e6}, {"min": 1e6, "max": 2e6}])
@pytest.mark.parametrize("statistic", ["mean", "median", "p10"])
def test_a_figure_of_one_row_is_no_pass_in_a_pull_request_and_counts_at_night(statistic: str, limits: dict[str, float]) -> None:
    check, change = IndicatorLimit(indicator="characters", statistic=statistic, **limits), Change(Pool.of(ROWS[:1]))
    result = result_of(check, change)
    assert result.state == "skipped" and "not enough rows" in result.statement and "unbounded" in result.statement
    assert result_of(check, change, nightly=True).state == "failed"
    more = [{**row, "output": row["output"] + "."} for row in ROWS]
    assert result_of(check, Change(Pool.of([*ROWS, *more]))).state == "failed"


def test_the_predicted_loss_of_one_new_row_is_no_pass_in_a_pull_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    baseline = Baseline.create(Pool.of(ROWS[:30]), Request(columns=("len", "len_in", "mtld")))
    check = PredictedLoss(rule="longest", max_increase=-1e9)
    for count, nightly, state in ((1, False, "skipped"), (2, False, "failed"), (1, True, "failed")):
        change = Change.of(Pool.of(ROWS[30 : 30 + count]), baseline)
        assert result_of(check, change, nightly=nightly).state == state, (count, nightly)


@pytest.mark.parametrize("severity", ["error", "warning", "info"])
def test_a_milder_finding_counts_toward_no_limit_whatever_the_severity(severity: str) -> None:
    unwanted = [{**row, "kto_tag": number != 3} for number, row in enumerate(ROWS)]
    change = Change(Pool.of(unwanted))
    assert change.report.dropped, "reading leaves the row out"
    result = result_of(DroppedRow(), change, severity=severity)
    assert (len(result.findings), result.state) == (1, "passed"), result.statement


@pytest.mark.parametrize("ending", ["json", "parquet", "jsonl"])
def test_a_row_that_is_not_wanted_is_named_beside_a_baseline_and_no_row_that_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.chdir(tmp_path)
    known = [{**row, "kto_tag": number != 3} for number, row in enumerate(ROWS[:20])]
    save(Path(f"pool.{ending}"), known)
    Baseline.create(Pool.read(f"pool.{ending}")).write("pool.baseline")
    save(Path(f"pool.{ending}"), [*known, ROWS[20] | {"kto_tag": True}, ROWS[21] | {"kto_tag": False}])
    change = read_change([f"pool.{ending}"], baseline="pool.baseline")
    assert len(change.pool) == 1
    result = result_of(DroppedRow(), change)
    assert [finding.place.line for finding in result.findings] == [23 if ending == "json" else 22]


@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_a_broken_row_that_the_baselines_file_has_too_is_no_news_in_arrays_as_in_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.chdir(tmp_path)
    broken: list[dict[str, Any]] = [{"instruction": 5, "output": {"a": [1]}}, {"messages": [{"role": "user", "content": "a"}]}]
    save(Path(f"pool.{ending}"), [*ROWS[:5], *broken])
    Baseline.create(Pool.read(f"pool.{ending}")).write("pool.baseline")
    save(Path(f"pool.{ending}"), [*ROWS[:5], *broken, ROWS[5]])
    verdict = gate(read_change([f"pool.{ending}"], baseline="pool.baseline"))
    assert (verdict.exit_code(), verdict.findings, verdict.change.n_rows) == (0, (), 1)
    save(Path(f"pool.{ending}"), [*ROWS[:5], *broken, ROWS[5], {"instruction": 6, "output": {"a": [1]}}])
    verdict = gate(read_change([f"pool.{ending}"], baseline="pool.baseline"))
    assert (verdict.exit_code(), len(verdict.findings), verdict.change.n_rows) == (3, 1, 2)


def save(path: Path, rows: list[dict[str, Any]]) -> None:
    if path.suffix == ".parquet":
        polars.DataFrame(rows).write_parquet(path)
    elif path.suffix == ".json":
        path.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "]")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_items_that_nobody_can_look_for_are_counted_in_what_the_check_says(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps({"question": text}) + "\n" for text in [*ASKED, "Why?", " "]))
    result = result_of(Contamination(sets=(str(path),)), Change(Pool.of(ROWS[:3])))
    assert result.state == "passed" and "2 of the sets' 5 items say too little to be looked for." in result.statement


@pytest.mark.parametrize("check", [Contamination, ParaphrasedContamination])
def test_a_set_of_which_every_row_would_pass_is_refused(tmp_path: Path, check: Any) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text('{"question": "Why?"}\n')
    verdict = gate(Change(Pool.of(ROWS[:3])), GateConfig((ConfiguredCheck(check(sets=(str(path),)), "error"),)))
    assert verdict.exit_code() == 2 and "says enough to be looked for" in verdict.results[0].statement


def test_a_set_with_a_row_that_cannot_be_read_fails_the_gate_with_3_and_the_others_report(tmp_path: Path) -> None:
    (tmp_path / "set.jsonl").write_text(json.dumps({"question": ASKED[0]}) + '\n{"question": \n')
    table: dict[str, Any] = {"check": [{"kind": "contamination", "sets": ["set.jsonl"]}, {"kind": "empty-response"}]}
    verdict = gate(Pool.of(ROWS[:3]), GateConfig.of(table, tmp_path, where="gate.toml"))
    assert verdict.exit_code() == 3 and [result.state for result in verdict.results] == ["crashed", "passed"]
    assert "set.jsonl, line 2" in verdict.results[0].statement


@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_a_file_that_has_no_more_than_the_name_in_common_is_no_newer_version_of_the_pools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("data", "incoming", "copy/data"):
        (tmp_path / folder).mkdir(parents=True)
    save(tmp_path / "data" / f"train.{ending}", ROWS[:10])
    Baseline.create(Pool.read(f"data/train.{ending}")).write("pool.baseline")
    save(tmp_path / "incoming" / f"train.{ending}", [*ROWS[:3], ROWS[20]])
    save(tmp_path / "copy" / "data" / f"train.{ending}", [*ROWS[:10], ROWS[20]])
    new = {name: read_change([f"{name}/train.{ending}"], baseline="pool.baseline").n_rows for name in ("incoming", "copy/data")}
    assert new == {"incoming": 4, "copy/data": 11}, "beside the file itself, copies are new"
    (tmp_path / "data" / f"train.{ending}").unlink()
    new = {name: read_change([f"{name}/train.{ending}"], baseline="pool.baseline").n_rows for name in ("incoming", "copy/data")}
    assert new == {"incoming": 4, "copy/data": 1}, "without it, a few rows that are copied make no newer version"
    save(tmp_path / "incoming" / f"train.{ending}", [*ROWS[2:10], ROWS[20]])
    assert read_change([f"incoming/train.{ending}"], baseline="pool.baseline").n_rows == 1, "most of its rows do"
