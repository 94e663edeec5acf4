"""The scripts for a GPU run here at toy size, without what a GPU machine lacks."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from instructsel.rules.observations import Observations
from instructsel.verification.verification import Verification
from tests import tiny
from tests.conftest import ROOT

BLOCKED = """
import runpy, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("polars", "faiss", "typer", "datasets"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
script = sys.argv[1]
sys.argv = sys.argv[1:]
runpy.run_path(script, run_name="__main__")
"""


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_scoring_script_for_a_gpu_runs_at_toy_size_without_polars_and_faiss(tmp_path: Path, precision: str) -> None:
    out = tmp_path / "out.json"
    script = ROOT / "benchmarks" / "gpu" / "scoring.py"
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, str(script), "--toy", "--precision", precision, "--only", "embed,reward,8B", "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    cases = json.loads(out.read_text())["cases"]
    assert set(cases) == {"embed", "reward", "8B"}
    for name, case in cases.items():
        assert "failed" not in case, case
        assert case["precision"] == precision
        assert case["tokens"] > 0 and 0 <= case["padding_share"] < 0.5 and case["rows_per_second"] > 0
        # Shares of a GPU's peak are not made up where there is none.
        assert case["share_of_peak"] is None and case["gpu_busy_share"] is None
        if name != "embed":
            assert case["batches_are"] == "packed"
            # A value of another row would be about a standard deviation off.
            assert case["largest_difference"] <= case["tolerance"] < case["standard_deviation_of_values"]


def test_the_study_script_for_a_gpu_runs_at_toy_size_without_polars_and_goes_on(tmp_path: Path) -> None:
    base, pools, out = tiny.causal(tmp_path / "base", "llama"), tmp_path / "pools", tmp_path / "out" / "results.json"
    pools.mkdir()
    out.parent.mkdir()
    for name in ("lima", "oasst", "alpaca", "self_instruct", "t0", "fitting"):
        rows = [
            {"messages": [{"role": "user", "content": f"Say {name} {n}."}, {"role": "assistant", "content": f"{name} {n}"}]}
            for n in range(16)
        ]
        (pools / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    script = str(ROOT / "benchmarks" / "gpu" / "study.py")
    # datasets looks whether polars is there, and may be told that it is not.
    blocked = "import runpy, sys\nsys.modules.update(dict.fromkeys(('polars', 'faiss', 'typer')))\n" + BLOCKED[BLOCKED.index("script =") :]

    def run(*more: str) -> dict[str, Any]:
        asked = [script, "--toy", "--base", str(base), "--pools", str(pools), "--out", str(out), *more]
        done = subprocess.run([sys.executable, "-c", blocked, *asked], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        found: dict[str, Any] = json.loads(out.read_text())
        return found

    first = run("--mixtures", "1")["runs"]
    assert len(first) == 1 and "failed" not in first[0] and first[0]["loss"] > 0 and first[0]["n_items"] == 16
    (tmp_path / "earlier.json").write_text(out.read_text())
    both = run("--mixtures", "2", "--done", str(tmp_path / "earlier.json"))["runs"]
    assert both[0] == first[0] and [each["subset"] for each in both] == ["mix-000", "mix-001"]
    files = [str(pools / f"{name}.jsonl") for name in ("lima", "oasst", "alpaca", "self_instruct", "t0")]
    subprocess.run(
        [sys.executable, "-m", "instructsel", "score", *files, "--indicators", "len", "-o", str(tmp_path / "s.parquet"), "-q"], check=True
    )
    table = tmp_path / "study.parquet"
    joined = [script, "--join", str(out), "--scores", str(tmp_path / "s.parquet"), "--pools", str(pools), "--table", str(table)]
    subprocess.run([sys.executable, *joined], check=True, capture_output=True)
    observations = Observations.read(table)
    assert len(observations) == 2 and observations.indicators() == ("len",)
    assert observations.numbers("loss").tolist() == [each["loss"] for each in both]


def test_the_verification_script_for_a_gpu_runs_at_toy_size_without_polars_and_goes_on(tmp_path: Path) -> None:
    base, out = tiny.causal(tmp_path / "base", "llama"), tmp_path / "out" / "results.json"
    out.parent.mkdir()
    for at, name in enumerate(("chosen", "random0", "random1", "held")):
        rows = [{"instruction": f"Say {name} {n}.", "output": f"{name} {n} {at}"} for n in range(8)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    script = str(ROOT / "benchmarks" / "gpu" / "verification.py")
    blocked = "import runpy, sys\nsys.modules.update(dict.fromkeys(('polars', 'faiss', 'typer')))\n" + BLOCKED[BLOCKED.index("script =") :]
    asked = [script, "--toy", "--base", str(base), "--arm", f"selection={tmp_path}/chosen.jsonl", "--out", str(out)]
    asked += ["--arm", f"random={tmp_path}/random0.jsonl,{tmp_path}/random1.jsonl", "--eval", f"{tmp_path}/held.jsonl"]

    def run(*more: str) -> dict[str, Any]:
        done = subprocess.run([sys.executable, "-c", blocked, *asked, *more], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        found: dict[str, Any] = json.loads(out.read_text())
        return found

    first = run("--seeds", "1")["runs"]
    assert [(each["arm"], each["replicate"], each["seed"]) for each in first] == [
        ("base", 0, 0), ("selection", 0, 0), ("random", 0, 0), ("random", 1, 0),
    ]  # fmt: skip
    assert not any("failed" in each for each in first)
    (tmp_path / "earlier.json").write_text(out.read_text())
    both = run("--seeds", "2", "--done", str(tmp_path / "earlier.json"))["runs"]
    assert both[:4] == first and len(both) == 7
    table = tmp_path / "verification.parquet"
    told = subprocess.run(
        [sys.executable, script, "--join", str(out), "--table", str(table)], check=True, capture_output=True, text=True
    ).stdout
    found = Verification.read(table)
    assert found.fixed == {"base"} and found.as_dict()["arms"]["random"] == {"0": [0, 1], "1": [0, 1]}
    assert "selection vs random, held-out loss" in told


def test_the_gate_s_benchmark_runs_at_toy_size_and_finds_what_it_plants(shared_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    script = str(ROOT / "benchmarks" / "gate" / "run.py")
    asked = [sys.executable, script, "--toy", "--no-rival", "--data", str(shared_data), "--pools", "lima_history", "--only", "plants"]
    process = subprocess.run(
        [*asked, "--kinds", "speaks", "call", "mode", "no JSON", "--out", str(out)], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr[-2000:]
    figures = json.loads(out.read_text())
    assert figures["kinds"] >= 10 and figures["rival"] is None
    # All that was planted is named; what it costs in false alarms is measured on whole pools.
    assert [result for result in figures["planted"] if result["found"] < result["planted"]] == []


@pytest.mark.soak
def test_a_base_whose_training_is_killed_comes_out_the_same(tmp_path: Path) -> None:
    script = (
        (ROOT / "benchmarks" / "models" / "tinybase" / "train.py")
        .read_text()
        .replace("SAVE_EVERY: Final = 60.0", "SAVE_EVERY: Final = 0.2")
    )
    # Beside the original, whose folder it puts on the path.
    hurried = ROOT / "benchmarks" / "models" / "tinybase" / "hurried.py"
    hurried.write_text(script)
    try:

        def run(name: str, seconds: float | None) -> None:
            asked = [
                sys.executable,
                str(hurried),
                "--size",
                "toy",
                "--tokens",
                "100000",
                "--data",
                str(tmp_path / "none"),
                "--out",
                str(tmp_path / name),
            ]
            with subprocess.Popen(asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as made:
                if seconds is not None:
                    state = tmp_path / name / "state" / "last.safetensors"
                    while not state.exists() and made.poll() is None:
                        time.sleep(0.05)
                    made.kill()

        run("whole", None)
        run("killed", 1.0)
        assert not (tmp_path / "killed" / "tinybase.json").exists()
        run("killed", None)
        records = [json.loads((tmp_path / name / "tinybase.json").read_text()) for name in ("whole", "killed")]
        assert records[0]["weights_sha256"] == records[1]["weights_sha256"]
    finally:
        hurried.unlink()
