"""Kill −9, a full disk, and eight processes on one cache."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsel.cache import Cache, keys_of
from instructsel.scores.progress import runs
from tests import tiny
from tests.conftest import ROOT

RANDOM = random.Random(20260101)
RULE = """
name = "mine"
intercept = 1.0
[[terms]]
indicator = "ppl"
weight = 0.001
[[terms]]
indicator = "knn_6"
weight = -1.0
"""
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kill points need fork")


class Jobs:
    """A process that runs the job in children."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.job"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == "ready"

    def run(self, folder: Path, **asked: Any) -> dict[str, Any]:
        """Run the job in a folder; how it ended."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"folder": str(folder), **asked}) + "\n")
        self.process.stdin.flush()
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found


@pytest.fixture(scope="module")
def jobs() -> Iterator[Jobs]:
    found = Jobs()
    yield found
    found.process.kill()
    found.process.wait()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crash") / "template"
    (folder / "out").mkdir(parents=True)
    tiny.causal(folder / "model")
    tiny.bert(folder / "encoder", labels=None)
    rows = [
        {
            "instruction": " ".join(RANDOM.choices(tiny.TEXT, k=RANDOM.randint(2, 12))),
            "output": " ".join(RANDOM.choices(tiny.TEXT, k=RANDOM.randint(1, 25))),
        }
        for _ in range(60)
    ]
    rows += rows[:5]
    with gzip.open(folder / "pool.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    (folder / "rule.toml").write_text(RULE)
    return folder


def fresh(template: Path, place: Path) -> Path:
    if place.exists():
        shutil.rmtree(place)
    return Path(shutil.copytree(template, place))


def results(folder: Path) -> dict[str, bytes]:
    """Everything written, without what differs from run to run."""
    found = {}
    for path in sorted((folder / "out").iterdir()):
        content = path.read_bytes()
        if path.suffix == ".json":
            told = json.loads(content)
            told.pop("run", None)
            content = json.dumps(told, sort_keys=True).encode()
        found[path.name] = content
    return found


def leftovers(folder: Path) -> list[str]:
    return [str(path) for place in ("out", "cache") for path in (folder / place).rglob("*.tmp")]


@pytest.fixture(scope="module")
def undisturbed(jobs: Jobs, template: Path) -> tuple[dict[str, bytes], float, int]:
    """The results, the seconds they take, and the calls a kill can hit."""
    folder = fresh(template, template.parent / "undisturbed")
    ended = jobs.run(folder, kill_at_call=0)
    assert ended["code"] == 0, ended["said"]
    assert not leftovers(folder)
    found = results(folder)
    assert len(found) >= 7
    return found, ended["seconds"], int(ended["said"].rpartition("calls ")[2])


def _holds(jobs: Jobs, template: Path, undisturbed: tuple[dict[str, bytes], float, int], points: int) -> None:
    expected, seconds, calls = undisturbed
    killed = 0
    for number in range(points):
        folder = fresh(template, template.parent / "killed")
        asked: dict[str, Any] = {"kill_at_call": RANDOM.randint(1, calls)} if number % 2 else {"kill_after": RANDOM.uniform(0, seconds)}
        if jobs.run(folder, **asked)["code"] == -9:
            killed += 1
        again = jobs.run(folder)
        assert again["code"] == 0, (asked, again["said"])
        assert results(folder) == expected, asked
        assert not leftovers(folder), asked
        assert not list(runs(Cache.open(folder / "cache"))), asked
    # Half of the kills are at a call that every run makes; the others come by the clock, in time or not.
    assert killed >= points // 3, "too few kills came in time to show anything"


def test_after_kill_9_at_ten_points_the_results_are_those_of_an_undisturbed_run(
    jobs: Jobs, template: Path, undisturbed: tuple[dict[str, bytes], float, int]
) -> None:
    _holds(jobs, template, undisturbed, 10)


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_after_kill_9_at_fifty_points_the_results_are_those_of_an_undisturbed_run(
    jobs: Jobs, template: Path, undisturbed: tuple[dict[str, bytes], float, int]
) -> None:
    _holds(jobs, template, undisturbed, 50)


def _full(jobs: Jobs, template: Path, undisturbed: tuple[dict[str, bytes], float, int], points: int) -> None:
    expected = undisturbed[0]
    largest = max(len(content) for content in expected.values())
    refused = 0
    for size in [int(size) for size in np.geomspace(16, 2 * largest, points)]:
        folder = fresh(template, template.parent / "full")
        ended = jobs.run(folder, limit=size)
        said = ended["said"]
        assert ended["code"] in (0, 4), (size, said)
        if ended["code"] == 4:
            refused += 1
            assert "error: " in said and "fix: " in said and "Traceback" not in said, (size, said)
            partial = {name: content for name, content in results(folder).items() if expected.get(name) != content}
            assert not partial, (size, list(partial))
        assert jobs.run(folder)["code"] == 0
        assert results(folder) == expected, size
        assert not leftovers(folder), size
    assert refused >= points // 2


def test_a_disk_full_at_eight_sizes_is_a_clear_error_that_can_be_resumed(
    jobs: Jobs, template: Path, undisturbed: tuple[dict[str, bytes], float, int]
) -> None:
    _full(jobs, template, undisturbed, 8)


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_a_disk_full_at_thirty_sizes_is_a_clear_error_that_can_be_resumed(
    jobs: Jobs, template: Path, undisturbed: tuple[dict[str, bytes], float, int]
) -> None:
    _full(jobs, template, undisturbed, 30)


WRITER = """
import sys, random
import numpy as np
from instructsel.cache import Cache, keys_of
cache, number, rounds = Cache.open(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
drawn = random.Random(number)
lost = 0
for turn in range(rounds):
    names = [f"row {drawn.randrange(3000)}" for _ in range(20)]
    namespace = Cache.open(sys.argv[1]).namespace({"model": "x"}, width=2, dtype="<f8")
    found, values = namespace.get(keys_of(names))
    expected = np.array([[float(name.split()[1]), len(name)] for name in names])
    assert (values[found] == expected[found]).all(), "corrupted"
    namespace.put(keys_of(names), expected)
    namespace.flush()
    found, values = namespace.get(keys_of(names))
    lost += int((~found).sum())
    assert (values[found] == expected[found]).all(), "corrupted"
    if turn % 50 == 49:
        cache.prune(1 << 40)
assert not lost, f"{lost} values lost"
"""


def _together(folder: Path, rounds: int) -> None:
    folder.mkdir(mode=0o700)
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(folder), str(number), str(rounds)], stderr=subprocess.PIPE, text=True)
        for number in range(8)
    ]
    said = [writer.communicate()[1] for writer in writers]
    assert all(writer.returncode == 0 for writer in writers), said
    cache = Cache.open(folder)
    assert not cache.damaged()
    found, values = cache.namespace({"model": "x"}, width=2, dtype="<f8").get(keys_of([f"row {n}" for n in range(3000)]))
    wanted = {drawn.randrange(3000) for number in range(8) for drawn in [random.Random(number)] for _ in range(rounds * 20)}
    assert set(np.flatnonzero(found).tolist()) == wanted
    assert (values[found, 0] == np.flatnonzero(found)).all()
    assert not list(folder.rglob("*.tmp"))


def test_eight_processes_on_one_cache_corrupt_and_lose_nothing(tmp_path: Path) -> None:
    _together(tmp_path / "cache", 20)


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_eight_processes_on_one_cache_for_two_hundred_rounds_corrupt_and_lose_nothing(tmp_path: Path) -> None:
    _together(tmp_path / "cache", 200)
