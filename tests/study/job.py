"""Studies whose trainer only writes down what it was given, in children of this process that are killed where they are told.

Run as `python -m tests.study.job`: reads lines of JSON from standard input, answers each with a line. Loaded once, so that a
child costs no start-up.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from instructsel.artifact import fingerprint
from instructsel.pool.pool import Pool
from instructsel.protocols import Checkpoint, Grades
from instructsel.scores.table import ScoreTable
from instructsel.study.design import Bins, Design, Mixtures
from instructsel.study.study import run_study

CALLS = ("replace", "fsync", "link", "unlink")
INTERCEPT, LEN, REW = 0.3, 0.02, -0.25
"""ln L = INTERCEPT + LEN · mean len + REW · mean rew: what a fit should find."""

DESIGN = Design([Mixtures(n=2, rows=12), Bins("len", k=2, rows=10)])


@dataclass
class FakeTrainer:
    """A checkpoint is the ids it was trained on; each training adds a line to a log."""

    folder: Path
    base: str = "fake"
    fail: dict[int, Exception] = field(default_factory=dict)
    """The how-many-eth training here → what it ends in."""
    meet: int = 1
    """The first training of a process lasts until so many processes are at one."""
    done: int = 0

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        return {"base": self.base, "recipe": {"epochs": 3}}

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def trained(self) -> list[tuple[int, str, int]]:
        """Process, digest of the ids and seed of every training, by whichever process."""
        lines = self.log.read_text().split("\n")[:-1] if self.log.exists() else []
        return [(int(process), ids, int(seed)) for process, ids, seed in map(str.split, lines)]

    def train(self, pool: Pool, *, seed: int) -> Checkpoint:
        self.folder.mkdir(exist_ok=True)
        digest = fingerprint(pool.ids)
        with open(self.log, "a") as file:
            file.write(f"{os.getpid()} {digest} {seed}\n")
        self.done += 1
        if self.done in self.fail:
            raise self.fail[self.done]
        # A run each, so that no process is through before another one has begun.
        while len({process for process, _, _ in self.trained()}) < self.meet:
            time.sleep(0.01)
        made = self.folder / f"{digest}-{seed}"
        made.mkdir(exist_ok=True)
        (made / "ids.json").write_text(json.dumps(list(pool.ids)))
        record = {"tokens_trained": 10 * len(pool), "steps": 3, "seconds": time.time(), "folder": made, "peak": np.float32(1.5)}
        return Checkpoint(made, fingerprint([pool.ids, seed]), seed, record, owned=True)


@dataclass
class FakeGrader:
    """The loss that the planted rule gives to the means of what a checkpoint was trained on."""

    scores: Mapping[str, tuple[float | None, float | None]]
    items: str = "evaluation"
    spread: float = 0.0
    """Between the two items; the second weighs a third of the first."""

    @property
    def name(self) -> str:
        return "held_out_loss"

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        return {"items": self.items}

    def grade(self, checkpoint: Checkpoint) -> Grades:
        ids = json.loads((checkpoint.folder / "ids.json").read_text())
        columns = zip(*(self.scores[name] for name in ids), strict=True)
        length, reward = (math.fsum(kept) / len(kept) for column in columns if (kept := [value for value in column if value is not None]))
        loss = math.exp(INTERCEPT + LEN * length + REW * reward)
        values = np.array([loss - self.spread, loss + 3 * self.spread])
        return Grades(self.name, ("one", "two"), values, np.array([3.0, 1.0]), unit="nats per token")


class ShowingGrader(FakeGrader):
    """Shows its evaluation set, as HeldOutLoss does."""

    pool: Pool


def write_pool(folder: Path, rows: int = 20) -> list[Path]:
    """A pool of three sources."""
    paths = []
    for source in ("forum", "manual", "quiz"):
        path = folder / f"{source}.jsonl"
        made = [{"instruction": f"Ask {source} {number}", "response": f"Answer {number}"} for number in range(rows)]
        path.write_text("".join(json.dumps(row) + "\n" for row in made))
        paths.append(path)
    return paths


def numbers(pool: Pool, nulls: int = 0) -> dict[str, tuple[float | None, float | None]]:
    """Id → len and rew, the same for the same id; the first ids have no len."""
    found: dict[str, tuple[float | None, float | None]] = {}
    for at, (name, source) in enumerate(zip(pool.ids, pool.sources, strict=True)):
        drawn = random.Random(name)
        length = 20 + 10 * ("forum", "manual", "quiz").index(source) + drawn.random() * 5
        found[name] = (None if at < nulls else length, drawn.random() * 2 + (source == "manual"))
    return found


def scored(pool: Pool, nulls: int = 0) -> ScoreTable:
    """The numbers as a score table."""
    found = numbers(pool, nulls)
    lengths, rewards = ([each[at] for each in found.values()] for at in range(2))
    described = {"len": {"name": "response_length", "version": 1, "unit": "tokens", "tokenizer": {"name": "t", "digest": "ab"}}}
    return ScoreTable.from_columns(
        pool.ids,
        {"len": (lengths, [None if value is not None else "empty_response" for value in lengths]), "rew": (rewards, [None] * len(pool))},
        {"indicators": described},
    )


def work(folder: Path, meet: int = 1, seeds: int = 1) -> int:
    """Do the study in FOLDER/study; 0."""
    pool = Pool.read(*sorted(folder.glob("*.jsonl")))
    trainer = FakeTrainer(folder / "checkpoints", meet=meet)
    design = Design(DESIGN.parts, seeds=tuple(range(seeds)))
    run_study(pool, scored(pool), design, trainer=trainer, grader=FakeGrader(numbers(pool)), folder=folder / "study")
    return 0


def _killing(at: int) -> None:
    """Kill this process before or after its n-th replacement, flush, link or removal of a file, or amid its n-th training."""
    count = [0]

    def tick() -> None:
        count[0] += 1
        if count[0] == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrapped(real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            tick()
            found = real(*args, **kwargs)
            tick()
            return found

        return call

    for name in CALLS:
        setattr(os, name, wrapped(getattr(os, name)))
    train = FakeTrainer.train

    def training(self: FakeTrainer, pool: Pool, *, seed: int) -> Checkpoint:
        found = train(self, pool, seed=seed)
        tick()
        return found

    FakeTrainer.train = training  # type: ignore[method-assign]


def child(folder: Path, *, workers: int = 1, kill_at_call: int | None = None, meet: int = 1, seeds: int = 1) -> dict[str, Any]:
    """Fork, work, and kill; how each worker ended and what was said."""
    source, sink = os.pipe()
    processes = []
    for _ in range(workers):
        process = os.fork()
        if not process:
            try:
                os.dup2(sink, 2)
                if kill_at_call is not None:
                    _killing(kill_at_call)
                os._exit(work(folder, meet, seeds))
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(99)
        processes.append(process)
    os.close(sink)
    codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
    with os.fdopen(source) as file:
        said = file.read()
    return {"codes": codes, "said": said}


def main() -> None:
    """Load everything, then serve."""
    import polars

    # Imported before any work, so that a child finds it; no frame is made here, whose threads a fork would not survive.
    assert polars
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(child(Path(asked.pop("folder")), **asked)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
