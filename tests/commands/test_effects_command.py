"""study plan --add-one, study effects and mix fit on the command line: from plan to recipe, exit codes, and 80 columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from instructsel.commands import _study_launch, app, study
from instructsel.mixtures.recipe import MixtureRecipe
from instructsel.protocols import Checkpoint
from instructsel.study.folder import StudyFolder
from tests.study.one_source_job import CountingTrainer, PlantedGrader, untouched, write_pool

SOURCES = {"maths": 60, "plain": 60, "snippets": 60, "talk": 60}
FILES = [f"{source}.jsonl" for source in SOURCES]
EVALS = ("--eval", "algebra.jsonl", "--eval", "chat.jsonl", "--eval", "code.jsonl")


def planted(settings: study.LaunchSettings, progress: Any = None, message: Any = None) -> tuple[CountingTrainer, Sequence[PlantedGrader]]:
    trainer = CountingTrainer(settings.folder / "checkpoints")
    return trainer, [PlantedGrader(Path(file).stem) for file in settings.evaluations]


def base(settings: study.LaunchSettings) -> Checkpoint:
    return untouched(Path.cwd())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(study, "build", planted)
    monkeypatch.setattr(study, "untouched_of", base)
    write_pool(tmp_path, SOURCES)
    for name in EVALS[1::2]:
        (tmp_path / name).write_text('{"instruction": "Something else?", "response": "Yes."}\n')
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments])


def planned(*arguments: str) -> Result:
    return run("study", "plan", *FILES, *EVALS, "--base", "toybase", "-o", "study", *arguments)


def test_from_the_plan_of_sources_to_the_map(place: Path) -> None:
    done = planned("--add-one", "--base-sources", "plain", "--rows", "20")
    assert done.exit_code == 0, done.stderr
    assert "arms of a base and one more source of 20 to 40 rows, 3 replicates: 16 runs" in done.stdout
    done = run("study", "run", "study")
    assert done.exit_code == 0 and "instructsel study effects study" in done.stderr, done.stderr
    done = run("study", "effects", "study", "-o", "map.svg")
    assert done.exit_code == 0 and max(map(len, done.stdout.splitlines())) <= 80, done.stdout
    assert "No source is best on every outcome" in done.stdout and "(more of the base)" in done.stdout
    assert (place / "map.svg").read_text().startswith("<svg")
    for name in ("matrix.json", "page.md", "page.md"):
        # Its own file is replaced.
        assert run("study", "effects", "study", "-q", "-o", name).exit_code == 0
    assert json.loads((place / "matrix.json").read_text()) == json.loads(run("study", "effects", "study", "--json").stdout)
    (place / "mine.md").write_text("Notes.\n")
    assert run("study", "effects", "study", "-o", "mine.md").exit_code == 2
    assert "All 16 runs of study are finished" in (again := run("study", "run", "study")).stderr and again.exit_code == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--add-one", "--leave-one"), "not both"),
        (("--add-one", "--mixtures", "3"), "a folder of their own"),
        (("--replicates", "2"), "--replicates belongs to --add-one"),
        (("--leave-one", "--add-rows", "3"), "--add-rows belongs to --add-one"),
        (("--add-one", "--seeds", "2"), "more replicates, not seeds"),
        (("--add-one", "--base-sources", "plane"), "plain"),
        (("--mixtures", "0", "--bins", "len"), "need scores"),
        (("--leave-one", "--eval", "algebra.jsonl"), "Two evaluation files are called algebra"),
    ],
)
def test_a_plan_of_sources_that_cannot_be_is_refused(
    place: Path, arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "Two" in said:
        monkeypatch.setattr(study, "build", lambda settings, **_: _study_launch.outcome_names(settings.evaluations))
    done = planned(*arguments)
    assert done.exit_code == 2 and said in done.stderr, done.stderr
    assert not (place / "study").exists()


def test_a_study_with_one_replicate_warns_and_one_file_is_an_outcome_too(place: Path) -> None:
    done = run(
        *("study", "plan", *FILES, "--eval", "algebra.jsonl", "--base", "toybase", "-o", "study"),
        *("--leave-one", "--rows", "20", "--replicates", "1", "--no-untouched"),
    )
    assert done.exit_code == 0 and "no effect will have an interval" in done.stderr
    plan = StudyFolder(place / "study").read()
    assert plan is not None and len(plan.runs) == 5
    assert run("study", "effects", "study").exit_code == 3
    assert run("study", "run", "study", "-q").exit_code == 0
    assert "no interval" in run("study", "effects", "study").stdout


def test_from_a_study_of_mixtures_to_a_recipe_and_its_mixture(place: Path) -> None:
    assert planned("--mixtures", "14", "--rows", "40").exit_code == 0
    done = run("study", "run", "study")
    assert done.exit_code == 0 and "instructsel mix fit study" in done.stderr
    done = run("mix", "fit", "study", "--rows", "90", "--max-repeats", "2", "-o", "fitted.toml")
    assert done.exit_code == 0 and max(map(len, done.stdout.splitlines())) <= 80, done.stderr + done.stdout
    for name in ("the proposal", "only ", "equal shares", "natural shares", "R² left out"):
        assert name in done.stdout
    recipe = MixtureRecipe.read(place / "fitted.toml")
    assert sum(source.value for source in recipe.sources) == 90
    done = run("mix", "fitted.toml", "-q", "-o", "mixed.jsonl")
    assert done.exit_code == 0, done.stderr
    assert len((place / "mixed.jsonl").read_text().splitlines()) == 90


def test_a_fit_without_a_law_ends_with_1_and_one_without_rows_says_where_to_name_them(place: Path) -> None:
    lines = ["share_a,share_b,loss,rows"]
    losses = (1.1, 0.9, 1.0, 1.2, 0.8, 1.05, 0.95, 1.0)
    lines += [f"{number / 8},{1 - number / 8},{loss},50" for number, loss in enumerate(losses)]
    (place / "noise.csv").write_text("\n".join(lines) + "\n")
    done = run("mix", "fit", "noise.csv", "--available", "a=100,b=100", "-o", "new.toml")
    assert done.exit_code == 1 and "explains nothing" in done.stderr and not (place / "new.toml").exists()
    done = run("mix", "fit", "noise.csv")
    assert done.exit_code == 2 and "--available" in done.stderr
    assert run("mix", "fit", "noise.csv", "--available", "a:100").exit_code == 2
