"""The scripts for a GPU run here at toy size, without what a GPU machine lacks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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


def test_the_scoring_script_for_a_gpu_runs_at_toy_size_without_polars_and_faiss(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    script = ROOT / "benchmarks" / "gpu" / "scoring.py"
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, str(script), "--toy", "--only", "embed,reward,8B", "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    cases = json.loads(out.read_text())["cases"]
    assert set(cases) == {"embed", "reward", "8B"}
    for name, case in cases.items():
        assert "failed" not in case, case
        assert case["tokens"] > 0 and 0 <= case["padding_share"] < 0.5 and case["rows_per_second"] > 0
        # Shares of a GPU's peak are not made up where there is none.
        assert case["share_of_peak"] is None and case["gpu_busy_share"] is None
        if name != "embed":
            assert case["batches_are"] == "packed" and case["largest_difference"] < 1e-4 < case["standard_deviation_of_values"]
