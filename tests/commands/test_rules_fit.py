"""instructsel rules fit: what goes to which stream, what is written, and the exit codes."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from click.testing import Result
from typer.testing import CliRunner

from instructsel.commands import app
from instructsel.rules import catalog
from instructsel.rules.fit import fit
from instructsel.rules.observations import Observations

ROOT = Path(__file__).resolve().parents[2]
STUDY = ROOT / "examples" / "study.csv"

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    return lambda *arguments: CliRunner().invoke(app, ["rules", *map(str, arguments)])


def test_the_table_goes_to_stdout_the_warnings_to_stderr_and_the_rule_to_its_file(run: Run) -> None:
    done = run("fit", STUDY, "--method", "backward", "--bootstrap", "100", "-o", "my.toml")
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("my: backward fit of log_loss on 64 observations, chosen among rew, len, knn_6, mtld, ppl")
    found = fit(Observations.read(STUDY), method="backward", bootstrap=100).summary
    for each in found.estimates:
        (line,) = [line for line in lines if line.startswith(f"{each.indicator} ") and f"[{each.low:.4g}, {each.high:.4g}]" in line]
        assert f"{each.weight:.4g}" in line
    assert f"one row {found.loo_r2:.3f}" in done.stdout
    assert "sign of rew: as in eq4 (-0.1498)" in done.stdout
    assert "Pearson" in done.stdout
    assert "warning" not in done.stdout
    for caution in found.warnings:
        assert f"warning: {caution.text}" in done.stderr
    assert catalog.load("my.toml").fit == found
    assert catalog.load("my.toml").name == "my"


def test_a_toml_file_that_is_no_rule_is_not_replaced_without_force(run: Run) -> None:
    Path("other.toml").write_text("[tool]\nx = 1\n")
    refused = run("fit", STUDY, "--bootstrap", "0", "-o", "other.toml")
    assert refused.exit_code == 2 and "is not a rule file" in refused.stderr and Path("other.toml").read_text() == "[tool]\nx = 1\n"
    assert run("fit", STUDY, "--bootstrap", "0", "-o", "other.toml", "--force").exit_code == 0
    # A rule file may be written again; a folder that is not there is told of before any work.
    assert run("fit", STUDY, "--bootstrap", "0", "-o", "other.toml").exit_code == 0
    missing = run("fit", STUDY, "-o", "nowhere/my.toml")
    assert missing.exit_code == 4 and "there is no folder nowhere" in missing.stderr


def test_numbers_end_under_their_headings(run: Run) -> None:
    lines = run("fit", STUDY, "--bootstrap", "100").stdout.splitlines()
    top = next(at for at, line in enumerate(lines) if line.lstrip().startswith("weight"))

    def ends(line: str) -> list[int]:
        return [match.end() for match in re.finditer(r"\S+(?: \S+)*", line)]

    below = next(at for at, line in enumerate(lines) if line.lstrip().startswith("bootstrap 95%"))
    # The last column of the second table says how often an indicator was chosen, of which the intercept has none.
    for heading, first in ((top, top + 2), (below, below + 3)):
        for line in lines[first : first + 4]:
            assert ends(line)[1:] == ends(lines[heading])


def test_json_is_the_whole_of_stdout(run: Run) -> None:
    done = run("fit", STUDY, "--indicators", "len, rew", "--json", "--bootstrap", "0", "--charts", "charts")
    found = json.loads(done.stdout)
    assert [term["indicator"] for term in found["rule"]["terms"]] == ["len", "rew"]
    assert found["rule"]["fit"]["loso_reason"] is None
    assert found["rule"]["fit"]["procedure_reason"] == "nothing was chosen"
    assert {(each["indicator"], each["design"]) for each in found["univariate"]} == {
        (name, design) for name in ("len", "rew") for design in ("all", "mixture", "bin")
    }
    assert found["charts"] == ["charts/len.svg", "charts/rew.svg"]
    assert "warning:" in done.stderr
    assert run("fit", STUDY, "--json", "--bootstrap", "0", "-q").stderr == ""


def test_the_rule_can_go_to_stdout(run: Run, tmp_path: Path) -> None:
    done = run("fit", STUDY, "--bootstrap", "0", "--name", "mine", "-o", "-")
    (tmp_path / "read.toml").write_text(done.stdout)
    assert catalog.load(tmp_path / "read.toml").name == "mine"
    assert "R²" in done.stderr
    again = run("fit", STUDY, "--bootstrap", "0", "--name", "mine", "-o", "-")
    assert again.stdout == done.stdout


def test_show_prints_the_fit_and_its_doubts(run: Run) -> None:
    run("fit", STUDY, "--method", "best-subset", "--bootstrap", "100", "-o", "my.toml")
    done = run("show", "my.toml")
    assert done.exit_code == 0
    assert "my: best-subset fit of log_loss on 64 observations" in done.stdout
    assert "fitted range" in done.stdout
    assert "warning: Chosen among 5 indicators" in done.stdout
    assert json.loads(run("show", "my.toml", "--json").stdout)["fit"]["n"] == 64
    assert "fitted range" not in run("show", "eq4").stdout


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_other_files_give_the_same_rule(run: Run, tmp_path: Path, kind: str) -> None:
    frame = pl.read_csv(STUDY)
    path = tmp_path / f"study.{kind}"
    if kind == "parquet":
        frame.write_parquet(path)
    else:
        frame.write_ndjson(path)
    run("fit", STUDY, "--bootstrap", "100", "-o", "one.toml", "--name", "mine")
    run("fit", path, "--bootstrap", "100", "-o", "two.toml", "--name", "mine")
    assert (tmp_path / "one.toml").read_bytes() == (tmp_path / "two.toml").read_bytes()


def test_charts_show_every_candidate_mixtures_and_bins(run: Run, tmp_path: Path) -> None:
    done = run("fit", STUDY, "--method", "backward", "--bootstrap", "0", "--charts", "a/charts")
    assert done.exit_code == 0, done.stderr
    files = sorted((tmp_path / "a" / "charts").iterdir())
    assert [path.name for path in files] == [f"{name}.svg" for name in sorted(("rew", "len", "knn_6", "mtld", "ppl"))]
    space = "{http://www.w3.org/2000/svg}"
    root = ElementTree.parse(tmp_path / "a" / "charts" / "rew.svg").getroot()
    texts = [each.text for each in root.iter(f"{space}text")]
    assert {"mean rew of the set (logit)", "ln L (L in nats per token)", "mixtures (48)", "bins (16)"} <= set(texts)
    labels = {each.text for each in root.iter(f"{space}title")}
    assert {"mix-00", "rew-0"} <= labels
    assert len(labels) == 65


def test_seeds_of_a_subset_are_one_point_and_said_to_be_clustered(run: Run, tmp_path: Path) -> None:
    frame = pl.concat([pl.read_csv(STUDY).with_columns(seed=pl.lit(seed), loss=pl.col("loss") + seed * 1e-3) for seed in range(2)])
    frame.write_csv(tmp_path / "study.csv")
    done = run("fit", "study.csv", "--indicators", "rew,len", "--bootstrap", "0", "--charts", "charts")
    assert "on 128 observations of 64 subsets" in done.stdout
    assert "standard errors clustered by subset, 63 degrees of freedom" in done.stdout
    assert "one subset 0." in done.stdout
    assert "128 observations are of 64 subsets" in done.stderr
    assert (tmp_path / "charts" / "rew.svg").read_text().count("<title>") == 65 - 1
    plain = run("fit", "study.csv", "--indicators", "rew,len", "--bootstrap", "0", "--cluster", "none")
    assert "standard errors ordinary, 125 degrees of freedom" in plain.stdout


@pytest.mark.parametrize(
    ("change", "arguments", "code", "said"),
    [
        ({}, ["--method", "forward"], 2, "no method 'forward'"),
        ({}, ["--indicators", "lem"], 2, "Did you mean 'len'"),
        ({}, ["--bootstrap", "10"], 2, "at least 100"),
        ({}, ["-o", "my.json"], 2, "does not end in .toml"),
        ({}, ["-o", "-", "--json"], 2, "--json does too"),
        ({}, ["-o", "eq4.toml"], 2, "name of a published rule"),
        ({}, ["--charts", "study.csv"], 4, "Cannot make the folder"),
        ({}, ["-o", "absent/my.toml"], 4, "Cannot write"),
        ({"loss": -1.0}, [], 3, "loss is not above 0 in row 1 (mix-00)"),
        ({"len": 5.0}, [], 3, "len is the same in all 64 observations"),
        ({"noise": True}, ["--method", "backward", "--indicators", "mtld,ppl"], 1, "a rule of a constant ranks nothing"),
    ],
)
def test_what_cannot_be_fitted_ends_with_its_code_and_writes_nothing(
    run: Run, tmp_path: Path, change: dict[str, Any], arguments: list[str], code: int, said: str
) -> None:
    frame = pl.read_csv(STUDY)
    if "noise" in change:
        frame = frame.with_columns(pl.Series("loss", 1 + np.random.default_rng(0).random(64)))
    else:
        frame = frame.with_columns(pl.lit(value).alias(name) for name, value in change.items())
    frame.write_csv(tmp_path / "study.csv")
    done = run("fit", "study.csv", "--bootstrap", "0", *arguments)
    assert done.exit_code == code, done.stderr
    assert said in done.stderr
    assert done.stderr.count("error:") == 1
    assert not list(tmp_path.glob("*.toml"))
    assert done.stdout == ""


def test_a_file_that_is_not_there_ends_with_3(run: Run) -> None:
    assert run("fit", "absent.csv").exit_code == 3
    assert run("fit", "study.txt").exit_code == 2


def test_the_example_is_what_its_script_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("study", ROOT / "examples" / "study.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr("sys.argv", ["study.py", "--study", str(tmp_path / "study.csv")])
    module.main()
    assert (tmp_path / "study.csv").read_bytes() == STUDY.read_bytes()
    assert "64 observations" in capsys.readouterr().out
