"""Losses sent to trackers: what is logged, under which names, and nothing of it in a fingerprint or on standard output."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from instructsel import Pool
from instructsel.adapters.tracking import Tracking
from instructsel.adapters.trl import TrlTrainer
from instructsel.errors import MissingExtra, UsageError
from instructsel.experiments.changes import replaced
from instructsel.experiments.plan import Experiment, PlannedArm, TrainingSettings
from tests import tiny
from tests.adapters.training_job import short, write_pool


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.causal(tmp_path_factory.mktemp("base") / "llama", "llama")


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    return write_pool(tmp_path_factory.mktemp("pool"))


def trainer(base: Path, folder: Path, report_to: str = "none") -> TrlTrainer:
    return TrlTrainer(str(base), short(steps=3), folder, device="cpu", precision="fp32", tracking=Tracking(report_to, "ours"))


class FakeRun:
    """A run of Weights & Biases that keeps what it is given."""

    def __init__(self, module: Any, settings: dict[str, Any]) -> None:
        self.module = module
        self.settings = settings
        self.id, self.name = settings["id"], settings["name"]
        self.logged: list[dict[str, Any]] = []
        self.summary: dict[str, Any] = {}
        self.ended = False

    def _label(self, **labels: Any) -> None:
        sys.stdout.write("a tracker talks\n")

    def finish(self) -> None:
        self.ended, self.module.run = True, None


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[FakeRun]:
    """The runs of a stand-in for the package wandb: transformers' own callback talks to it."""
    callbacks = pytest.importorskip("transformers.integrations.integration_utils")
    began: list[FakeRun] = []
    wandb: Any = ModuleType("wandb")
    wandb.run, wandb.config = None, {}
    wandb.__spec__ = __import__("importlib.machinery").machinery.ModuleSpec("wandb", None)

    def init(**settings: Any) -> FakeRun:
        wandb.run = FakeRun(wandb, settings)
        began.append(wandb.run)
        return began[-1]

    wandb.init, wandb.log = init, lambda entries, **_: wandb.run.logged.append(entries)
    wandb.termwarn, wandb.define_metric = (lambda *_, **__: None), (lambda *_, **__: None)

    class Config(dict[str, Any]):
        def update(self, *entries: Any, **_: Any) -> None:
            super().update(*entries)

    wandb.config = Config()
    names = ("wandb.sdk", "wandb.sdk.lib", "wandb.sdk.lib.config_util")
    for name in names:
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules[names[-1]].ConfigError = ValueError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setattr(callbacks, "is_wandb_available", lambda: True)
    return began


def test_loss_learning_rate_and_step_are_logged_under_the_run_s_name(
    base: Path, tmp_path: Path, pool: Pool, runs: list[FakeRun], capsys: pytest.CaptureFixture[str]
) -> None:
    made = trainer(base, tmp_path, "wandb")
    records = [made.train(pool, seed=seed, name=f"selection-0-seed{seed}").record for seed in (0, 1)]
    assert [(run.settings["project"], run.name, run.ended) for run in runs] == [
        ("ours", "selection-0-seed0", True),
        ("ours", "selection-0-seed1", True),
    ]
    assert len({run.id for run in runs}) == 2 and all(run.settings["resume"] == "allow" for run in runs)
    for run, record in zip(runs, records, strict=True):
        logged = [entry for entry in run.logged if "train/loss" in entry]
        assert [entry["train/loss"] for entry in logged] == record["losses"]
        assert [entry["train/global_step"] for entry in logged] == [1, 2, 3]
        assert all(entry["train/learning_rate"] > 0 for entry in logged)
    assert capsys.readouterr().out == ""


def test_a_tracker_changes_neither_weights_nor_fingerprint_nor_record(base: Path, tmp_path: Path, pool: Pool, runs: list[FakeRun]) -> None:
    plain, tracked = trainer(base, tmp_path / "a"), trainer(base, tmp_path / "b", "wandb")
    assert plain.fingerprint == tracked.fingerprint
    first, second = plain.train(pool, seed=0), tracked.train(pool, seed=0)
    assert first.digest == second.digest and len(runs) == 1
    assert {key: value for key, value in first.record.items() if key != "run"} == {
        key: value for key, value in second.record.items() if key != "run"
    }
    # Finished before, it is not reported again.
    tracked.train(pool, seed=0)
    assert len(runs) == 1


@pytest.mark.parametrize("report_to", ["wandb", "trackio", "tensorboard"])
def test_a_tracker_that_is_not_installed_is_named_with_its_line(
    base: Path, tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch, report_to: str
) -> None:
    monkeypatch.setitem(sys.modules, report_to, None)
    with pytest.raises(MissingExtra) as caught:
        trainer(base, tmp_path / "runs", report_to).train(pool, seed=0)
    assert f"pip install {report_to}" in str(caught.value.fix) and not (tmp_path / "runs").exists()


def test_a_tracker_there_is_none_of_is_refused() -> None:
    with pytest.raises(UsageError, match="wandb"):
        TrainingSettings(report_to="wandbb")
    with pytest.raises(UsageError, match="tracker"):
        Tracking("all")


def test_a_tracker_changes_no_plan() -> None:
    arms = PlannedArm("selection", rows=(("a",),)), PlannedArm("random", rows=(("b",),))
    silent, tracked = (Experiment(arms, training=TrainingSettings(base="base", report_to=name)) for name in ("none", "trackio"))
    assert replaced(silent, tracked) == replaced(tracked, silent) == []


def test_trackio_keeps_its_runs_on_this_machine(base: Path, tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    # Read when the package is imported.
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    trainer(base, tmp_path / "runs", "trackio").train(pool, seed=0, name="selection-0-seed0")
    assert [path.name for path in (tmp_path / "trackio").glob("*.db")] == ["ours.db"]
