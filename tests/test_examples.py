"""The flat script that shows the whole method."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

SCRIPT = ROOT / "examples" / "select_train_verify.py"
TOY = ("--n", "8", "--held-out", "12", "--seeds", "2", "--random-subsets", "2", "--epochs", "1", "--device", "cpu")


def test_the_flat_script_selects_trains_and_prints_a_verdict_offline(tmp_path: Path) -> None:
    for extra in ("trl", "faiss", "transformers"):
        pytest.importorskip(extra)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub"), "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, str(SCRIPT), *TOY], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "held out" in lines[0] and lines[1].startswith("selected 8 of ")
    # One selection and two random subsets, two seeds each.
    assert sum("held-out loss" in line and "nats per token" in line and ", seed " in line for line in lines) == 6
    assert lines[-2].startswith("outcome: ") and lines[-1].startswith("selection vs random, held_out_loss: ")
    assert "Difference" in lines[-1] and "interval" in lines[-1] and "2 replicates with 4 runs" in lines[-1]
    # Everything it made was temporary.
    assert not [path for path in tmp_path.iterdir() if path.name not in ("hub", ".cache", ".config")]


def test_the_flat_script_is_short_and_uses_the_public_face_alone() -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 120
    modules = {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom) and node.module}
    assert {module for module in modules if module.startswith("instructsel")} == {"instructsel", "instructsel.adapters"}
