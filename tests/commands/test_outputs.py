"""No command writes over what it reads, whatever names it, and the place of an output is tried before any work."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from instructsel.artifact import atomic_write
from instructsel.commands import app
from instructsel.commands._trust import WRITTEN
from instructsel.errors import UsageError
from instructsel.pool.pool import Pool
from tests.fuzz import seeds

SCORE = ["score", "--indicators", "len_in", "--no-cache"]
SELECT = ["select", "pool.scores.parquet", "--rule", "mine.toml", "--n", "4", "--max-null-fraction", "1", "--keep-near-duplicates"]
PLAN = ["study", "plan", "--scores", "pool.scores.parquet", "--base", "model", "--eval", "pool.json"]
CASES = [
    # Arguments, the flag of the output, the output, and the inputs that are as they were afterwards.
    ([*SCORE, "table.in.csv"], "-o", "table.in.csv", ["table.in.csv"]),
    ([*SCORE, "turns.parquet"], "-o", "turns.parquet", ["turns.parquet"]),
    ([*SCORE, "pool.jsonl", "table.csv.json"], "-o", "table.csv", ["table.csv.json"]),
    ([*SCORE, "x.quarantine.jsonl"], "-o", "x.parquet", ["x.quarantine.jsonl"]),
    (["score", "pool.jsonl", "--import", "foreign.csv", "--column", "reward"], "-o", "foreign.csv", ["foreign.csv"]),
    ([*SCORE, "pool.jsonl", "-o", "new.csv"], "--with-scores", "pool.jsonl", ["pool.jsonl"]),
    ([*SCORE, "x.csv.json", "-o", "new.csv"], "--with-scores", "x.csv", ["x.csv.json"]),
    (SELECT, "-o", "pool.jsonl", ["pool.jsonl"]),
    ([*SELECT, "--pool", "pool.jsonl"], "-o", "pool.jsonl", ["pool.jsonl"]),
    (["select", "x.selection.parquet", *SELECT[2:]], "-o", "x.jsonl", ["x.selection.parquet", "x.selection.parquet.json"]),
    ([*SELECT, "-o", "new.jsonl"], "--with-scores", "pool.jsonl", ["pool.jsonl"]),
    ([*SELECT, "-o", "new.jsonl"], "--with-scores", "pool.scores.parquet", ["pool.scores.parquet"]),
    (["report", "chosen.jsonl"], "-o", "chosen.selection.parquet.json", ["chosen.selection.parquet.json"]),
    (["report", "chosen.jsonl"], "-o", "chosen.selection-set.json", ["chosen.selection-set.json"]),
    (["report", "v/verdict.json"], "-o", "v/verdict.json", ["v/verdict.json"]),
    (["report", "v"], "-o", "v/verdict.json", ["v/verdict.json"]),
    (["report", "v/verification.parquet"], "-o", "v/verification.parquet.json", ["v/verification.parquet.json"]),
    (["report", "s"], "-o", "s/plan.json", ["s/plan.json"]),
    (["report", "audit.json"], "-o", "audit.json", ["audit.json"]),
    (["report", "table.csv"], "-o", "table.csv.json", ["table.csv.json"]),
    (["rules", "fit", "observations.csv", "--bootstrap", "0"], "-o", "observations.csv", ["observations.csv"]),
    (["rules", "fit", "s", "--bootstrap", "0"], "-o", "s/plan.json", ["s/plan.json"]),
    (["audit", "pool.json", "--base", "model"], "-o", "pool.json", ["pool.json"]),
    (["audit", "page.html", "--base", "model"], "--html", "page.html", ["page.html"]),
    (["audit", "pool.json", "--base", "model"], "-o", "model/config.json", ["model/config.json"]),
    (["export", "pool.jsonl", "--to", "messages"], "-o", "pool.jsonl", ["pool.jsonl"]),
    (["export", "turns.parquet", "--to", "parquet"], "-o", "turns.parquet", ["turns.parquet"]),
    (["train", "chosen.jsonl", "--base", "model"], "-o", "model", ["model/config.json"]),
    (["train", "chosen.jsonl", "--base", "model"], "-o", "chosen.jsonl", ["chosen.jsonl"]),
    ([*PLAN, "pool.jsonl"], "-o", "pool.scores.parquet", ["pool.scores.parquet"]),
    (["study", "effects", "one-source"], "-o", "one-source/plan.json", ["one-source/plan.json"]),
    (
        ["study", "size", "chosen.jsonl", "--base", "model", "--search", "pool.jsonl", "--report", "pool.json", "-o", "out"],
        "--chart",
        "pool.jsonl",
        ["pool.jsonl"],
    ),
    (
        ["study", "size", "chosen.jsonl", "--base", "model", "--search", "pool.jsonl", "--report", "pool.json"],
        "-o",
        "pool.jsonl",
        ["pool.jsonl"],
    ),
    (["verify", "chosen.jsonl", "--base", "model", "--eval", "pool.jsonl"], "-o", "pool.jsonl", ["pool.jsonl"]),
    (["verify", "--results", "runs.csv"], "-o", "runs.csv", ["runs.csv"]),
    (["judge-app", "pairs.jsonl", "--summary"], "--db", "pairs.jsonl", ["pairs.jsonl"]),
    (["judge-app", "judged.csv"], "--export", "judged.csv", ["judged.csv"]),
    (["judge-app", "judged.csv"], "--export", "table.csv", ["table.csv"]),
    (["gate", "pool.jsonl"], "--fix-out", "pool.jsonl", ["pool.jsonl"]),
    (["gate", "table.in.csv"], "--findings", "table.in.csv", ["table.in.csv"]),
    (["gate", "pool.jsonl"], "--findings", "table.csv", ["table.csv"]),
    (["gate", "baseline", "create", "pool.jsonl"], "-o", "pool.jsonl", ["pool.jsonl"]),
    (["gate", "baseline", "update", "pool.baseline", "pool.jsonl"], "-o", "pool.jsonl", ["pool.jsonl"]),
    (["gate", "init", "pool.jsonl"], "-o", "pool.jsonl", ["pool.jsonl"]),
    (["gate", "index", "pool.jsonl"], "-o", "pool.index", ["pool.index"]),
    (["gate", "index", "pool.jsonl", "pool.index"], "-o", "pool.index", ["pool.index"]),
    (["dedup", "pool.jsonl"], "-o", "pool.jsonl", ["pool.jsonl"]),
    (["dedup", "pool.jsonl", "-o", "new.jsonl"], "--pairs", "table.csv", ["table.csv"]),
    (["decontaminate", "pool.jsonl", "--against", "x.quarantine.jsonl"], "-o", "x.quarantine.jsonl", ["x.quarantine.jsonl"]),
    (["decontaminate", "pool.jsonl", "--against", "x.quarantine.jsonl", "-o", "new.jsonl"], "--pairs", "table.in.csv", ["table.in.csv"]),
    (["mix", "recipe.toml"], "-o", "one.jsonl", ["one.jsonl", "recipe.toml"]),
    (["mix", "recipe.toml"], "-o", "recipe.toml", ["recipe.toml"]),
    (["mix", "fit", "observations.csv", "--rows", "9", "--available", "forum=9"], "-o", "mine.toml", ["mine.toml"]),
    (["mix", "recipe.toml"], "-o", "pool.jsonl", ["pool.jsonl"]),
    (["datasets", "convert", "code_alpaca", "pool.jsonl"], "-o", "pool.jsonl", ["pool.jsonl"]),
    (["datasets", "convert", "code_alpaca", "pool.jsonl"], "-o", "x.quarantine.jsonl", ["x.quarantine.jsonl"]),
    (["skill", "install"], "--output", "pool.jsonl", ["pool.jsonl"]),
    (["demo", "--pool", "pool.jsonl", "--key", "pool.json"], "-o", "pool.jsonl", ["pool.jsonl", "pool.json"]),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = seeds.make(tmp_path_factory.mktemp("seeds") / "seeds")
    place = tmp_path_factory.mktemp("files")
    for folder in ("scored", "study", "verified", "audits", "results", "imports", "mixtures", "people"):
        shutil.copytree(source / folder, place, dirs_exist_ok=True)
    shutil.copy(source / "pools" / "turns.parquet", place)
    for name in ("pool.index", "x.quarantine.jsonl", "x.csv.json", "page.html", "pool.json"):
        shutil.copy(place / "pool.jsonl", place / name)
    shutil.copy(source / "pools" / "table.csv", place / "table.in.csv")
    shutil.copy(source / "scored" / "table.csv", place)
    shutil.copy(place / "pool.scores.parquet", place / "x.selection.parquet")
    shutil.copy(place / "pool.scores.parquet.json", place / "x.selection.parquet.json")
    (place / "model").mkdir()
    (place / "model" / "config.json").write_text("{}")
    return place


@pytest.fixture
def place(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INSTRUCTSEL_CACHE", str(tmp_path / "cache"))
    return tmp_path


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(arguments), prog_name="instructsel")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stderr


def contents(place: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}


def cases() -> Iterator[Any]:
    for arguments, flag, output, inputs in CASES:
        name = f"{' '.join(arguments[:2])} {flag} {output}"
        force = arguments[0] in ("score", "select", "report", "audit", "verify") or arguments[:2] == ["rules", "fit"]
        yield pytest.param(arguments, flag, output, inputs, "", force, id=name)
        if output in inputs and "/" not in output:
            for alias in ("link", "hard link"):
                yield pytest.param(arguments, flag, output, inputs, alias, force, id=f"{name} {alias}")


@pytest.mark.parametrize(("arguments", "flag", "output", "inputs", "alias", "force"), cases())
def test_no_command_replaces_what_it_reads(
    place: Path, arguments: list[str], flag: str, output: str, inputs: list[str], alias: str, force: bool
) -> None:
    if alias:
        other = place / "aliases" / output
        other.parent.mkdir()
        other.symlink_to(place / output) if alias == "link" else os.link(place / output, other)
        output = str(other)
    before = contents(place)
    code, message = run(*arguments, flag, output, *(["--force"] if force else []))
    after = contents(place)
    assert code in (2, 3, 4) and "There is no option" not in message, (code, message)
    for name in inputs:
        assert after[place / name] == before[place / name], name
    assert {path for path in before if after.get(path) != before[path]} == set()


FOLDERS = [
    # Arguments that read the folder `shards`, the flag of an output, and an output that would be one of its files.
    ([*SCORE, "shards"], "-o", "new.csv"),
    ([*SCORE, "shards:train", "-o", "new.csv"], "--with-scores", "new.jsonl"),
    ([*SELECT, "--pool", "shards"], "-o", "new.jsonl"),
    (["audit", "shards", "--base", "model"], "-o", "new.json"),
    (["audit", "shards", "--base", "model"], "-o", "new.parquet"),
    (["export", "shards", "--to", "messages"], "-o", "new.jsonl"),
    (["export", "shards", "--to", "llamafactory"], "-o", "new"),
    (["report", "chosen.jsonl", "--pool", "shards"], "-o", "new.json"),
    (["train", "shards", "--base", "model"], "-o", "new"),
    (["train", "chosen.jsonl", "--eval", "shards", "--base", "model"], "-o", "new"),
    ([*PLAN, "shards"], "-o", "new"),
    (["study", "size", "chosen.jsonl", "--base", "model", "--search", "shards", "--report", "pool.json"], "-o", "new"),
    (["verify", "chosen.jsonl", "--base", "model", "--eval", "shards"], "-o", "new"),
    (["gate", "shards"], "--fix-out", "new.jsonl"),
    (["gate", "shards"], "--findings", "new.parquet"),
]
WAYS = ("shard", "new", "hard link", "link", "link to the folder", "subfolder")


# A shard of JSON lines can be an output where that is its ending.
FOLDER_CASES = [
    pytest.param(arguments, flag, output, way, id=f"{' '.join(arguments[:2])} {flag} {output}, {way}")
    for arguments, flag, output in FOLDERS
    for way in WAYS
    if output.endswith(".jsonl") or way not in ("shard", "hard link", "link")
]


@pytest.mark.parametrize(("arguments", "flag", "output", "way"), FOLDER_CASES)
def test_no_output_is_a_file_of_an_input_folder_or_becomes_one(place: Path, arguments: list[str], flag: str, output: str, way: str) -> None:
    (place / "shards").mkdir()
    for number in range(2):
        shutil.copy(place / "pool.jsonl", place / "shards" / f"train-{number}.jsonl")
    shard = place / "shards" / "train-0.jsonl"
    target = {
        "new": Path("shards") / output,
        "subfolder": Path("shards/inner") / output,
        "link to the folder": Path("aliases/shards") / output,
        "shard": shard,
        "hard link": Path("aliases") / output,
        "link": Path("aliases") / output,
    }[way]
    (place / "aliases").mkdir()
    (place / "aliases" / "shards").symlink_to(place / "shards")
    (place / "shards" / "inner").mkdir()
    if way == "hard link":
        os.link(shard, target)
    elif way == "link":
        target.symlink_to(shard)
    force = ["--force"] if arguments[0] in ("score", "select", "report", "audit", "verify", "export", "gate") else []
    before = contents(place)
    code, message = run(*arguments, flag, str(target), *force)
    assert code == 2 and ("lies in the input folder" in message or "is the input" in message), (code, message)
    assert contents(place) == before


def test_what_a_folder_is_read_without_may_stand_in_it(place: Path) -> None:
    (place / "shards").mkdir()
    shutil.copy(place / "pool.jsonl", place / "shards" / "train-0.jsonl")
    assert run(*SCORE, "shards", "-o", "shards/shards.scores.parquet")[0] == 0
    assert run(*SCORE, "shards", "-o", "shards/shards.scores.parquet", "--force")[0] in (0, 2)
    assert len(Pool.read(place / "shards")) == len(Pool.read(place / "pool.jsonl"))


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_a_report_does_not_replace_the_pool_that_the_results_lead_to(place: Path, force: tuple[str, ...]) -> None:
    assert run(*SCORE, "pool.json", "-o", "of_json.parquet")[0] == 0
    assert run("select", "of_json.parquet", "--n", "2", "--by", "len_in", "--keep-near-duplicates", "-o", "few.jsonl")[0] == 0
    before = contents(place)
    code, message = run("report", "few.jsonl", "-o", "pool.json", *force)
    assert code == 2 and "pool.json" in message
    assert contents(place) == before


NAMES = frozenset(
    {
        "datasets",
        "convert",
        "mix",
        "rules",
        "study",
        "effects",
        "fit",
        "plan",
        "size",
        "gate",
        "baseline",
        "create",
        "update",
        "init",
        "index",
        "skill",
        "install",
    }
)
"""Words of commands of several words, which are the names of no files here."""


def test_every_option_that_names_an_output_is_tried() -> None:
    tried = {(" ".join(word for word in arguments[:3] if word in NAMES) or arguments[0], flag) for arguments, flag, *_ in CASES}

    def outputs(command: Any, name: str) -> Iterator[tuple[str, str]]:
        for part_name, part in getattr(command, "commands", {}).items():
            yield from outputs(part, f"{name} {part_name}".strip())
        for option in command.params:
            if option.param_type_name == "option" and set(WRITTEN) & {flag.lstrip("-") for flag in option.opts}:
                yield name, option.opts[0]

    known = set(outputs(typer.main.get_command(app), ""))
    # The charts of a fit are files of fixed names in a folder of their own.
    assert known - tried == {("rules fit", "--charts")}


WORK = [
    ([*SCORE, "pool.jsonl"], "-o", ".parquet"),
    ([*SCORE, "pool.jsonl", "-o", "new.csv"], "--with-scores", ".jsonl"),
    (SELECT, "-o", ".jsonl"),
    ([*SELECT, "-o", "new.jsonl"], "--with-scores", ".jsonl"),
    (["report", "chosen.jsonl", "--without-text"], "-o", ".html"),
    (["rules", "fit", "observations.csv", "--bootstrap", "0"], "-o", ".toml"),
    (["audit", "pool.jsonl", "--base", "model"], "-o", ".json"),
    (["audit", "pool.jsonl", "--base", "model"], "--html", ".html"),
    (["export", "pool.jsonl", "--to", "messages"], "-o", ".jsonl"),
    (["export", "pool.jsonl", "--to", "llamafactory"], "-o", ""),
    (["train", "chosen.jsonl", "--base", "model"], "-o", ""),
    ([*PLAN, "pool.jsonl"], "-o", ""),
    (["study", "effects", "one-source"], "-o", ".svg"),
    (["study", "size", "chosen.jsonl", "--base", "model", "--search", "pool.jsonl", "--report", "pool.json"], "-o", ""),
    (
        ["study", "size", "chosen.jsonl", "--base", "model", "--search", "pool.jsonl", "--report", "pool.json", "-o", "out"],
        "--chart",
        ".svg",
    ),
    (["verify", "chosen.jsonl", "--base", "model", "--eval", "pool.jsonl"], "-o", ""),
    (["judge-app", "pairs.jsonl", "--summary"], "--db", ".sqlite3"),
    (["judge-app", "judged.csv"], "--export", ".csv"),
    (["gate", "pool.jsonl"], "--fix-out", ".jsonl"),
    (["gate", "pool.jsonl"], "--findings", ".parquet"),
    (["gate", "baseline", "create", "pool.jsonl"], "-o", ".baseline"),
    (["gate", "init", "pool.jsonl"], "-o", ".toml"),
    (["gate", "index", "pool.jsonl"], "-o", ".index"),
    (["dedup", "pool.jsonl"], "-o", ".jsonl"),
    (["dedup", "pool.jsonl", "-o", "new.jsonl"], "--pairs", ".parquet"),
    (["decontaminate", "pool.jsonl", "--against", "x.quarantine.jsonl"], "-o", ".jsonl"),
    (["decontaminate", "pool.jsonl", "--against", "x.quarantine.jsonl", "-o", "new.jsonl"], "--pairs", ".parquet"),
    (["datasets", "convert", "code_alpaca", "pool.jsonl"], "-o", ".jsonl"),
    (["mix", "recipe.toml"], "-o", ".jsonl"),
    (["mix", "fit", "observations.csv", "--rows", "9", "--available", "forum=9"], "-o", ".toml"),
    (["skill", "install"], "--output", ""),
    (["demo", "--no-ifd"], "-o", ""),
]


@pytest.mark.parametrize("folder", ["pool.jsonl/", "b\udcff", "x" * 300])
@pytest.mark.parametrize(("arguments", "flag", "ending"), WORK, ids=[f"{' '.join(case[0][:2])} {case[1]}" for case in WORK])
def test_a_place_that_cannot_be_is_refused_before_any_work(
    place: Path, arguments: list[str], flag: str, ending: str, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for work in ("instructsel.pool.pool.open_source", "instructsel.selection.choose.select", "instructsel.reports.render.report"):
        monkeypatch.setattr(work, lambda *_, **__: pytest.fail("the work was begun"))
    before = contents(place)
    code, message = run(*arguments, flag, f"{folder}{'new' if folder.endswith('/') else ''}{ending}")
    assert code in (2, 4), message
    assert "error: " in message and "fault of instructsel" not in message
    assert contents(place) == before


@pytest.mark.parametrize("arguments", [[*SCORE], ["explain", "0", "--scores"], ["audit", "--base", "model"], ["report"], ["status"]])
def test_an_input_whose_name_is_not_utf_8_is_refused_in_these_words(place: Path, arguments: list[str]) -> None:
    shutil.copy(place / "pool.jsonl", os.fsencode(place) + b"/b\xff.jsonl")
    code, message = run(*arguments, "b\udcff.jsonl")
    assert code == 2
    assert "is not UTF-8" in message
    with pytest.raises(UsageError, match="is not UTF-8"):
        Pool.read("b\udcff.jsonl")


def test_a_long_name_of_many_bytes_leaves_room_for_the_temporary_file(tmp_path: Path) -> None:
    target = tmp_path / ("\u6c34" * 80 + ".json")
    with atomic_write(target) as file:
        file.write(b"x")
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
