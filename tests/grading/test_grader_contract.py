"""What every grader must hold, whoever wrote it: a new file is under contract by itself."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsel import Pool
from instructsel.adapters.lm_eval.own_task import write_task
from instructsel.errors import UsageError
from instructsel.grading.checkpoint import checkpoint_of
from instructsel.grading.generation import Generator
from instructsel.grading.graders import registry
from instructsel.grading.judge import PairwiseJudge
from instructsel.grading.outputs import Outputs
from instructsel.protocols import Checkpoint, Grader, Grades
from tests import tiny
from tests.conftest import ROOT
from tests.grading.test_generation import model
from tests.grading.test_judge import Scripted

INSTRUCTIONS = ("how do i boil an egg", "why is the sky blue", "the capital of france")
HEAVY = ("torch", "transformers", "datasets", "lm_eval", "alpaca_eval", "trl", "faiss", "sklearn", "httpx")


def pool(folder: Path) -> Pool:
    rows = [{"instruction": instruction, "output": "put it into boiling water" * (n + 1)} for n, instruction in enumerate(INSTRUCTIONS)]
    rows.append({"instruction": "say nothing", "output": "."})
    folder.mkdir()
    (folder / "held.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Pool.read(folder / "held.jsonl")


def task_folder(folder: Path) -> Path:
    folder.mkdir()
    rows = [{"query": text, "choices": ["blue", "cold water"], "gold": 0} for text in INSTRUCTIONS]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_task(folder / "rows.jsonl", folder / "tasks", name="mine")
    return folder / "tasks"


ARGUMENTS: Mapping[str, Callable[[Path], Any]] = {
    "pool": lambda folder: pool(folder / "pool"),
    "instructions": lambda folder: INSTRUCTIONS,
    "generator": lambda folder: Generator(max_new_tokens=3, precision="fp32", device="cpu"),
    "reference": lambda folder: Outputs("reference", INSTRUCTIONS, ("in water", "it is", "paris")),
    "judge": lambda folder: PairwiseJudge(Scripted()),
    "reward": lambda folder: str(tiny.bert(folder / "reward")),
    "classifier": lambda folder: str(tiny.bert(folder / "classifier", labels=2)),
    "truth": lambda folder: str(tiny.causal(folder / "truth", "llama")),
    "info": lambda folder: str(tiny.causal(folder / "info", "llama", seed=1)),
    "probe": lambda folder: False,
    "task": lambda folder: "mine",
    "metric": lambda folder: "acc",
    "include_path": lambda folder: task_folder(folder / "lm_eval"),
    "precision": lambda folder: "fp32",
    "device": lambda folder: "cpu",
}
"""Field of a grader → what the contract fills it with. A grader with another field that must be filled needs an entry."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return checkpoint_of(str(model(tmp_path_factory.mktemp("checkpoint") / "model")))


@pytest.fixture(scope="module", params=registry.names())
def grader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Grader:
    cls = registry.load(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    fields = [field.name for field in dataclasses.fields(cls) if field.init]
    return cls(**{name: ARGUMENTS[name](folder) for name in fields if name in ARGUMENTS})  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def grades(grader: Grader, checkpoint: Checkpoint) -> Grades:
    return grader.grade(checkpoint)


def test_it_is_a_frozen_dataclass_with_a_name(grader: Grader) -> None:
    assert dataclasses.is_dataclass(grader) and isinstance(grader, Grader)
    with pytest.raises(dataclasses.FrozenInstanceError):
        grader.name = "x"  # type: ignore[misc]
    assert grader.name.strip()


def test_its_fingerprint_is_plain_data_the_same_each_time_and_without_a_path(grader: Grader, tmp_path: Path) -> None:
    text = json.dumps(dict(grader.fingerprint), sort_keys=True)
    assert text == json.dumps(dict(grader.fingerprint), sort_keys=True)
    assert grader.fingerprint["kind"] and str(tmp_path.parent.parent) not in text and str(Path.home()) not in text


def test_every_item_has_a_value_and_a_weight_or_a_reason(grader: Grader, grades: Grades) -> None:
    n = len(grades.items)
    assert grades.grader == grader.name and n >= len(INSTRUCTIONS)
    assert grades.values.dtype == grades.weights.dtype == np.float64 and grades.values.shape == grades.weights.shape == (n,)
    assert grades.valid.any() and (grades.weights[grades.valid] > 0).all()
    assert (grades.values[~grades.valid] == 0).all()
    assert all(reason is None or reason.isidentifier() for reason in grades.reasons)


def test_it_says_its_unit_and_which_way_is_better(grades: Grades) -> None:
    assert grades.unit.strip() and isinstance(grades.higher_is_better, bool)
    json.dumps(dict(grades.record))


def test_the_same_checkpoint_has_the_same_grades_twice(grader: Grader, grades: Grades, checkpoint: Checkpoint) -> None:
    again = dataclasses.replace(grader).grade(checkpoint)  # type: ignore[type-var]
    assert again.items == grades.items and again.reasons == grades.reasons
    assert again.values.tobytes() == grades.values.tobytes() and again.weights.tobytes() == grades.weights.tobytes()


def test_no_grader_imports_anything_heavy_before_it_grades() -> None:
    script = (
        "import sys\nfrom instructsel.grading.graders import registry\n"
        "for name in registry.names(): registry.load(name)\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", registry.names())
def test_it_has_a_row_in_the_reference(name: str) -> None:
    page = (ROOT / "docs" / "reference" / "graders.md").read_text(encoding="utf-8")
    assert f"| `{name}` | `{registry.load(name).__name__}` |" in page


def test_an_unknown_grader_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="held_out_los") as caught:
        registry.load("held_out_los")
    assert "held_out_loss" in str(caught.value.fix)


class NoGrader:
    """A plug-in that grades nothing."""


class Entry:
    name, value = "broken", "plugin:NoGrader"

    def load(self) -> type[NoGrader]:
        return NoGrader


def test_a_plug_in_that_is_no_grader_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for cached in (registry.names, registry.load):
        cached.cache_clear()
    monkeypatch.setattr(registry, "entry_points", lambda group: [Entry()])
    try:
        assert "broken" in registry.names()
        with pytest.raises(UsageError, match="plugin:NoGrader is no grader"):
            registry.load("broken")
    finally:
        for cached in (registry.names, registry.load):
            cached.cache_clear()
