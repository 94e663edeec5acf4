"""Manifests that anybody can write: no command goes to the hub because one of them says so."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from instructsel.commands import app
from instructsel.errors import InstructselError, ModelUnavailable
from instructsel.pool import hub
from instructsel.pool.pool import Pool
from instructsel.scores.neighborhood import Neighborhood
from instructsel.scores.table import ScoreTable
from instructsel.selection.budget import Tokens
from instructsel.selection.candidates import Candidates
from instructsel.selection.selection import Selection
from instructsel.selection.selection_set import SelectionSet
from tests import tiny

POOL = "hf://somebody/pool"
Call = Callable[..., tuple[int, str]]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the hub is asked for: it could be, in this test, if anybody tried."""
    names: list[str] = []

    def opened(name: str, *_: Any) -> Any:
        names.append(name)
        raise ModelUnavailable("the hub was asked")

    def fetched(name: str, *_: Any, local_files_only: bool = False, **__: Any) -> str:
        if not local_files_only:
            names.append(name)
        raise OSError(name)

    def connected(address: Any, *_: Any, **__: Any) -> Any:
        names.append(str(address))
        raise OSError(address)

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "_listing", opened)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetched)
    monkeypatch.setattr(socket, "create_connection", connected)
    return names


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """A folder with a pool, its scores, and two selections; commands that run in it, with their exit code and what they say."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INSTRUCTSEL_CACHE", str(tmp_path / "cache"))
    lines = [json.dumps({"instruction": f"Say {n} words.", "output": " ".join(f"w{n}x{k}" for k in range(n + 3))}) for n in range(40)]
    (tmp_path / "pool.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "held.jsonl").write_text('{"instruction": "Name one.", "output": "One."}\n')

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, list(arguments))
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, " ".join(done.output.split())

    assert run("score", "pool.jsonl", "--indicators", "len", "--cache", "cache", "-q")[0] == 0
    for name in ("one", "two"):
        count = "5" if name == "one" else "6"
        selected = run(
            "select", "pool.scores.parquet", "--by", "len", "--n", count, "--random-subsets", "1", "-o", f"{name}.jsonl", "--no-cache"
        )
        assert selected[0] == 0, selected[1]
    return run


def forge(folder: Path, edit: Callable[[Any], Any]) -> int:
    """Change every manifest in a folder; how many are another one then."""
    changed = 0
    for path in folder.glob("*.json"):
        before = json.loads(path.read_text())
        after = _edited(before, edit)
        changed += after != before
        path.write_text(json.dumps(after))
    return changed


def _edited(value: Any, edit: Callable[[Any], Any]) -> Any:
    value = edit(value)
    if isinstance(value, dict):
        return {key: _edited(part, edit) for key, part in value.items()}
    return [_edited(part, edit) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "command",
    [
        ("select", "pool.scores.parquet", "--by", "len", "--n", "5", "-o", "three.jsonl"),
        ("explain", "line:3"),
        ("explain", "pool.jsonl:3", "--scores", "pool.scores.parquet"),
        ("diff", "one.jsonl", "two.jsonl"),
        ("diff", "pool.scores.parquet", "--rules", "longest", "eq4"),
        ("report", "one.jsonl", "--with-text"),
        ("report", "pool.scores.parquet", "--with-text"),
        ("report", "one.selection-set.json"),
        ("verify", "one.jsonl", "--base", "base", "--eval", "held.jsonl", "--random-subsets", "1", "--preset", "tiny", "--seeds", "1"),
        ("verify", "one.selection-set.json", "--base", "base", "--eval", "held.jsonl", "--preset", "tiny", "--seeds", "1"),
        ("score", "pool.jsonl", "--indicators", "len_in", "-q"),
        ("status",),
        ("cache", "show"),
    ],
    ids=" ".join,
)
def test_a_manifest_that_names_a_pool_on_the_hub_has_it_asked_for_by_no_command(
    call: Call, heard: list[str], tmp_path: Path, command: tuple[str, ...]
) -> None:
    if command[0] == "verify":
        tiny.causal(tmp_path / "base", "llama")
    for edit in (on_the_hub(str(tmp_path / "pool.jsonl")), of_the_last_release):
        assert forge(tmp_path, edit) >= 3
        _, output = call(*command)
        assert heard == [] and "the hub was asked" not in output
        assert "would be fetched from the hub" in output or (command[0] != "select" and "--with-text" not in command)


def on_the_hub(place: str) -> Callable[[Any], Any]:
    return lambda value: POOL if value == place else value


def of_the_last_release(value: Any) -> Any:
    """The pool of a run as the last release wrote it."""
    if isinstance(value, dict) and isinstance(value.get("pool"), dict) and "paths" in value["pool"]:
        return {**{key: part for key, part in value.items() if key != "pool"}, "pools": value["pool"]["paths"], "reading": {}}
    return value


def test_a_table_whose_encoder_is_on_the_hub_does_not_have_it_fetched(call: Call, heard: list[str], tmp_path: Path) -> None:
    table = ScoreTable.read(tmp_path / "pool.scores.parquet")
    table.manifest["indicators"]["knn_6"] = {"name": "neighbor_distance", "model": {"name": "somebody/encoder", "precision": "fp32"}}
    pool = Pool.read(tmp_path / "pool.jsonl")
    for model in (None, "somebody/encoder"):
        with pytest.raises(ModelUnavailable, match="is not fetched here"):
            Neighborhood(pool, table, model=model)(np.arange(len(pool)), 6)
    assert heard == []


def test_a_selection_whose_tokenizer_is_on_the_hub_does_not_have_it_fetched(call: Call, heard: list[str], tmp_path: Path) -> None:
    chosen = SelectionSet.read(tmp_path / "one.jsonl")
    pool = chosen.pool()
    forged = replace(chosen.settings(), budget=Tokens(10, "somebody/tokenizer"))
    candidates = Candidates.recorded(pool, forged, Selection.read(chosen.selection.sidecar).frame)
    assert candidates.token_counter is not None
    with pytest.raises(InstructselError, match="is not fetched here"):
        candidates.token_counter(list(pool.examples())[:1])
    assert heard == []
