"""What commands print for people fits a terminal of 80 columns, tables and notes alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from instructsel.cache import Cache, keys_of
from instructsel.commands import app
from instructsel.commands._console import note as note_of
from instructsel.text import columns_of
from tests.commands.test_cache_command import note
from tests.conftest import ROOT


def run(*arguments: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "80"}, prog_name="instructsel")
    assert done.exit_code == code, done.output
    return done


def fits(*arguments: str, code: int = 0) -> list[str]:
    """The lines of a command, none of them too wide but a path of a command to copy, which is not broken."""
    done = run(*arguments, code=code)
    lines: list[str] = [*done.stdout.splitlines(), *done.stderr.splitlines()]
    assert [line for line in lines if columns_of(line) > 80 and len(line.removesuffix(" \\").split()) > 1] == [], arguments
    return lines


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A score table, a selection and a baseline of the example pool."""
    folder = tmp_path_factory.mktemp("chosen")
    scores, chosen = str(folder / "pool.scores.parquet"), str(folder / "chosen.jsonl")
    assert fits("score", str(ROOT / "examples" / "pool.jsonl"), "--indicators", "len,len_in,mtld", "-o", scores)
    assert fits("select", scores, "--rule", "longest", "--fraction", "0.1", "--random-subsets", "2", "-o", chosen)
    return folder


def test_explain_and_diff_fit(folder: Path) -> None:
    chosen, scores = str(folder / "chosen.jsonl"), str(folder / "pool.scores.parquet")
    lines = fits("diff", chosen, str(folder / "chosen.random-seed0.jsonl"))
    assert any(line.startswith("pool.jsonl:95 I'm starting to lift weights") for line in lines)
    # What differs comes first, and what the two have in common is counted.
    assert lines[:3] == [f"A  {lines[0][3:]}", f"B  {lines[1][3:]}", ""] and lines[3].startswith("only A keeps ")
    assert any("only A keeps, the best 10 of " in line for line in lines)
    assert any(line.startswith("most by: the term that moved the row most") for line in lines)
    fits("diff", "longest", "eq4-without-reward", "--scores", scores, code=2)
    lines = fits("explain", "pool.jsonl:95", "--selection", chosen)
    assert lines[0].startswith("pool.jsonl:95  (2 turns, id ") and any(line.endswith(", kept") and ", rank 1 of " in line for line in lines)


def test_a_baseline_is_explained_by_its_rows_or_its_sidecar(folder: Path) -> None:
    for name in ("chosen.random-seed0.jsonl", "chosen.random-seed0.selection.parquet"):
        lines = fits("explain", "pool.jsonl:95", "--selection", str(folder / name))
        assert lines[-1].startswith("random, seed 0: rank ") and not any("longest" in line or "predicted" in line for line in lines)


def test_a_rule_of_one_indicator_predicts_nothing(folder: Path) -> None:
    lines = fits("explain", "pool.jsonl:95", "--selection", str(folder / "chosen.jsonl"))
    assert lines[-1].startswith("longest: len ") and not any("predicted" in line for line in lines)
    assert fits("explain", "pool.jsonl:95", "--scores", str(folder / "pool.scores.parquet"), "--rule", "longest")[-1].startswith(
        "longest: len "
    )


def test_explain_takes_the_newest_selection_of_the_pool_or_a_rule_that_the_table_serves(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    done = run("explain", "pool.jsonl:95")
    assert "The newest selection of this pool here is taken: chosen.jsonl" in done.stderr and ", kept" in done.stdout
    empty = folder / "scores alone"
    empty.mkdir()
    (empty / "pool.scores.parquet").write_bytes((folder / "pool.scores.parquet").read_bytes())
    (empty / "pool.scores.parquet.json").write_bytes((folder / "pool.scores.parquet.json").read_bytes())
    monkeypatch.chdir(empty)
    # eq4 needs a reward, which the table lacks.
    assert run("explain", "pool.jsonl:95").stdout.splitlines()[-1].startswith("longest: len ")


def test_a_selection_that_is_not_there_is_made_with_select(folder: Path) -> None:
    for arguments in (
        ("explain", "pool.jsonl:95", "--selection", "missing.jsonl"),
        ("diff", "missing.jsonl", str(folder / "chosen.jsonl")),
    ):
        done = run(*arguments, code=2)
        assert "There is no selection missing.jsonl." in done.stderr and "instructsel select" in done.stderr


def test_a_long_path_is_not_broken(folder: Path, tmp_path: Path) -> None:
    deep = tmp_path / ("a long name of a folder " * 5).strip()
    deep.mkdir()
    for file in folder.glob("chosen.*"):
        if file.is_file():
            (deep / file.name).write_bytes(file.read_bytes())
    long = fits("diff", str(deep / "chosen.jsonl"), str(deep / "chosen.random-seed0.jsonl"))
    assert long[0].startswith("A  chosen.jsonl  ") and long[1].startswith("B  chosen.random-seed0.jsonl  ")
    # Two files of one name are told apart by their paths, each in one line, without a terminal's width.
    done = CliRunner().invoke(app, ["diff", str(deep / "chosen.jsonl"), str(folder / "chosen.jsonl")], prog_name="instructsel")
    assert any(line.startswith(f"A  {deep / 'chosen.jsonl'}  ") for line in done.stdout.splitlines())


def test_selections_of_two_pools_are_refused_with_the_files_of_both(folder: Path, tmp_path: Path) -> None:
    pool = tmp_path / "half.jsonl"
    pool.write_bytes(b"".join((ROOT / "examples" / "pool.jsonl").read_bytes().splitlines(keepends=True)[:40]))
    run("score", str(pool), "--indicators", "len", "-o", str(tmp_path / "s.parquet"))
    run("select", str(tmp_path / "s.parquet"), "--rule", "longest", "--n", "4", "-o", str(tmp_path / "half-chosen.jsonl"))
    done = run("diff", str(folder / "chosen.jsonl"), str(tmp_path / "half-chosen.jsonl"), code=2)
    text = "".join(done.stderr.split())
    assert "selectionsofdifferentpools" in text and "examples/pool.jsonl" in text and "half.jsonl" in text


def test_two_equal_selections_have_no_differences_to_list(folder: Path) -> None:
    chosen = str(folder / "chosen.jsonl")
    lines = fits("diff", chosen, chosen)
    assert lines[3].startswith("only A keeps 0, only B keeps 0, both keep ") and not any("keeps, the best" in line for line in lines)


def test_examples_are_shown_by_id_where_the_pool_is_gone(tmp_path: Path) -> None:
    pool = tmp_path / "moved.jsonl"
    pool.write_bytes((ROOT / "examples" / "pool.jsonl").read_bytes())
    scores, chosen = str(tmp_path / "s.parquet"), str(tmp_path / "c.jsonl")
    run("score", str(pool), "--indicators", "len", "-o", scores)
    run("select", scores, "--rule", "longest", "--n", "20", "--baseline", "random", "-o", chosen)
    pool.rename(tmp_path / "elsewhere.jsonl")
    other = str(tmp_path / "c.random-seed0.jsonl")
    lines = fits("diff", chosen, other)
    assert any(line.startswith("Examples are shown by id: ") for line in lines)
    assert any("elsewhere.jsonl:95 " in line for line in fits("diff", chosen, other, "--pool", str(tmp_path / "elsewhere.jsonl")))


def test_rules_fit(tmp_path: Path) -> None:
    for arguments in (
        ("list",),
        ("show", "eq4"),
        ("show", "instructmining-v2"),
        ("show", "plausibility"),
        ("fit", str(ROOT / "examples" / "study.csv"), "--method", "backward", "--bootstrap", "100", "-o", str(tmp_path / "my.toml")),
        ("show", str(tmp_path / "my.toml")),
    ):
        assert fits("rules", *arguments)


def test_cache_status_and_doctor_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Cache.open(tmp_path / "cache")
    note(store)
    shown = store.namespace({"kind": "RewardModel", "digest": "ab" * 32}, width=1, dtype="<f8", model="some-owner/" + "long-name-" * 9)
    shown.put(keys_of(["a"]), np.ones(1))
    shown.flush()
    fits("cache", "show", "--cache", str(store.folder))
    fits("cache", "prune", "--all", "--dry-run", "--cache", str(store.folder))
    fits("status", "--cache", str(store.folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = CliRunner().invoke(app, ["doctor", "--cache", str(store.folder)], env={"COLUMNS": "80"})
    # Whatever this machine lacks.
    assert done.exit_code in (0, 4) and [line for line in done.stdout.splitlines() if columns_of(line) > 80] == []


def test_the_demo_fits(tmp_path: Path) -> None:
    assert any(line.startswith("Planted defects") for line in fits("demo", "--no-ifd", "-o", str(tmp_path / "demo")))


def test_a_wide_command_is_continued_with_backslashes_and_no_word_of_it_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert note_of("next: instructsel verify a/folder/chosen.jsonl --base MODEL --eval FILE", label="fix:   ") == [
        "fix:   next:",
        "         instructsel verify a/folder/chosen.jsonl \\",
        "           --base MODEL --eval FILE",
    ]
    wide = "Fetch it with: hf download owner/a-model-whose-name-is-wide-and-long-to-read; or name a folder."
    assert note_of(wide)[1:] == ["  hf download \\", "    owner/a-model-whose-name-is-wide-and-long-to-read", "or name a folder."]
    # An apostrophe, or prose: no command of a shell.
    assert all(len(line) <= 60 for line in note_of("See: instructsel's page on the rules, which says more than one line of a terminal."))
