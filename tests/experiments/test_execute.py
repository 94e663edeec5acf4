"""The loop over runs: what it reports of models that killed workers left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from instructsel.experiments.execute import Entry, ExecutionSettings, Run, Workshop, execute
from instructsel.experiments.store import RecordStore


def notes_of(run: Run, store: RecordStore) -> list[str]:
    notes: list[str] = []

    def content(*args: Any) -> dict[str, Any]:
        raise AssertionError("nothing is graded here")

    execute([run], Workshop(None, store, content, ExecutionSettings(limit=0), progress=lambda progress: notes.append(progress.note)))
    return notes


def test_a_model_is_said_to_be_left_behind_only_when_nothing_that_grades_it_is_pending(tmp_path: Path) -> None:
    store = RecordStore.of(tmp_path)
    model = tmp_path / "model"
    model.mkdir()
    graded, pending = (Entry(f"mine.{grader}", {"key": grader}, ()) for grader in ("loss", "task"))
    run = Run("mine seed 0", "mine-seed0", 0, entries=(graded, pending))
    store.write(graded.name, {**graded.identity, "run": {"removing": str(model)}}, run=run.slug)
    assert notes_of(run, store) == []
    store.write(pending.name, {**pending.identity, "run": {"removing": str(model)}}, run=run.slug)
    assert notes_of(run, store) == [f"the model of mine seed 0 was left behind when its worker was killed: remove {model}"]
