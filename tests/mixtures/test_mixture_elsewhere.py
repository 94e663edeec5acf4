"""A mixture where others read pools: its sources, licences and shares follow into gates, scores, selections and exports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from instructsel.adapters.exports.registry import exports
from instructsel.adapters.exports.run import export
from instructsel.adapters.exports.selected import selected
from instructsel.commands import _mix_group, app
from instructsel.errors import ScoresError
from instructsel.gates.config import GateConfig
from instructsel.gates.gate import gate
from instructsel.gates.reading import read_change
from instructsel.mixtures.mixture import mix
from instructsel.mixtures.recipe import MixtureRecipe
from instructsel.pool.pool import Pool
from instructsel.pool.spec import Reading

RECIPE = """
name = "mixed"
[budget]
rows = 20
[[source]]
label = "free"
path = "free.jsonl"
licence = "apache-2.0"
share = 0.75
[[source]]
label = "bound"
path = "bound.jsonl"
licence = "cc-by-nc-4.0"
share = 0.25
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, count in (("free", 30), ("bound", 10)):
        rows = [
            {"instruction": f"Tell of {name} number {n}.", "output": f"This is what {name} says of {n}, and no more."} for n in range(count)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    mix(MixtureRecipe.read("recipe.toml"), "mixed.jsonl")
    return tmp_path


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments), prog_name="instructsel")
    return result.exit_code, result.stdout, result.output


def verdict(text: str, *paths: str, reading: Reading | None = None) -> Any:
    Path("gate.toml").write_text(text)
    return gate(read_change(list(paths), reading=reading), GateConfig.read("gate.toml"))


def test_the_sources_of_a_mixture_are_those_of_its_recipe_without_a_flag(folder: Path) -> None:
    assert Pool.read("mixed.jsonl").spec.reading.source_field == "dataset"
    assert sorted(set(Pool.read("mixed.jsonl").sources)) == ["bound", "free"]
    # Rows that are no mixture's have the label of their file, and a field that is named counts.
    assert set(Pool.read("free.jsonl").sources) == {"free"}
    assert len(set(Pool.read("mixed.jsonl", source_field="id").sources)) == 20


@pytest.mark.parametrize("name", sorted(exports()))
def test_every_export_of_a_mixture_and_of_its_recipe_is_the_same_and_says_its_licences(folder: Path, name: str) -> None:
    of_rows = export(selected(["mixed.jsonl"], Reading()), name, "rows")
    of_recipe = export(selected(["recipe.toml"], Reading()), name, "recipe")
    assert [path.read_bytes() for path in of_rows.data] == [path.read_bytes() for path in of_recipe.data]
    for result in (of_rows, of_recipe):
        pages = [path.read_text() for path in result.companions if path.suffix == ".md"]
        assert any(
            "**For non-commercial use alone: bound forbids any other.**" in page and "| bound | cc-by-nc-4.0 | 5 |" in page
            for page in pages
        )
        (manifest,) = (json.loads(path.read_bytes()) for path in result.companions if path.suffix == ".json" and "manifest" in path.name)
        assert manifest["licences"]["non_commercial"] is True
        assert {source["label"]: source["rows"] for source in manifest["sources"]} == {"free": 15, "bound": 5}
    files = dict(json.loads(next(path for path in of_recipe.companions if "manifest" in path.name).read_bytes())["pool"]["files"])
    assert sorted(files) == ["bound/bound.jsonl", "free/free.jsonl"]


def test_the_card_of_a_hugging_face_folder_counts_the_licences_of_sources(folder: Path) -> None:
    export(selected(["mixed.jsonl"], Reading()), "hf", "out")
    page = Path("out/README.md").read_text()
    assert "| apache-2.0 | 15 |" in page and "| cc-by-nc-4.0 | 5 |" in page


def test_the_amount_that_open_instruct_is_given_is_a_share_and_its_rows_name_their_source(folder: Path) -> None:
    result = export(selected(["mixed.jsonl"], Reading()), "open-instruct", "out")
    assert result.export.next_command(result.data[0]).split("--dataset_mixer_list ")[1] == f"{result.data[0]} 1.0"
    rows = [json.loads(line) for line in result.data[0].read_text().splitlines()]
    assert {row["dataset"] for row in rows} == {"free", "bound"} and all(set(row) == {"dataset", "id", "messages"} for row in rows)


def test_a_mixture_that_changed_is_exported_and_gated_by_nobody(folder: Path) -> None:
    data = Path("mixed.jsonl").read_text()
    Path("mixed.jsonl").write_text(data.replace("number", "Number", 1))
    with pytest.raises(ScoresError, match="has changed since the mixture was written"):
        selected(["mixed.jsonl"], Reading())
    with pytest.raises(ScoresError, match="has changed since the mixture was written"):
        read_change(["mixed.jsonl"])
    assert run("mix", "check", "mixed.jsonl")[0] == 3


def test_licences_of_a_mixture_are_known_to_the_gate_and_follow_into_a_selection_of_it(folder: Path) -> None:
    check = '[[check]]\nkind = "licence"\ndeny = ["*-nc-*"]\n'
    for name in ("mixed.jsonl", "recipe.toml"):
        findings = verdict(check, name).findings
        assert len(findings) == 5 and {finding.place.file for finding in findings} == {"mixed.jsonl"}
    assert run("score", "mixed.jsonl", "--indicators", "mtld", "--no-cache", "-q", "-o", "scores.parquet")[0] == 0
    assert (
        run(
            "select",
            "scores.parquet",
            "--by",
            "mtld",
            "--n",
            "8",
            "--quota",
            "bound=4..",
            "--max-null-fraction",
            "1",
            "-q",
            "-o",
            "chosen.jsonl",
        )[0]
        == 0
    )
    kept = [json.loads(line)["dataset"] for line in Path("chosen.jsonl").read_text().splitlines()]
    result = export(selected(["chosen.jsonl"], Reading()), "messages", "out")
    assert result.notes() == ["For non-commercial use alone: bound forbids any other."] and kept.count("bound") >= 4
    by_field = Reading(source_field="dataset")
    assert len(verdict(f'{check}recipe = "recipe.toml"\n', "chosen.jsonl", reading=by_field).findings) == kept.count("bound")
    # The rows of the mixture may be gone; its manifest says what it was.
    Path("mixed.jsonl").unlink()
    assert export(selected(["chosen.jsonl"], Reading()), "messages", "again").notes() == result.notes()


def test_a_quota_by_a_recipe_holds_its_mixture_and_not_another(folder: Path) -> None:
    check = '[[check]]\nkind = "quota"\nrecipe = "{}"\ntolerance = 0.05\n'
    for name in ("recipe.toml", "mixed.jsonl"):
        assert verdict(check.format(name), "mixed.jsonl").outcome() == "passed"
    Path("other.toml").write_text(RECIPE.replace("0.75", "0.1").replace("0.25", "0.9"))
    assert verdict(check.format("other.toml"), "mixed.jsonl").outcome() == "failed"
    Path("sizes.toml").write_text(RECIPE.replace("share = 0.75", "").replace("share = 0.25", "").replace("[budget]\nrows = 20", ""))
    (result,) = verdict(check.format("sizes.toml"), "mixed.jsonl").results
    assert "not known before its files are read" in result.statement


def test_a_mixture_of_a_mixture_and_its_baseline_are_read_beside_other_rows(folder: Path) -> None:
    assert run("gate", "baseline", "create", "mixed.jsonl", "-o", "pool.baseline", "-q")[0] == 0
    Path("new.jsonl").write_text('{"instruction": "Name a lake of the north.", "output": "That would be Inari."}\n')
    code, _, said = run("gate", "new.jsonl", "--baseline", "pool.baseline", "--json", "--fail-on", "never")
    assert code == 0, said


def test_the_recipe_of_an_export_says_how_rows_are_read(folder: Path) -> None:
    code, _, said = run("export", "recipe.toml", "--to", "messages", "-o", "out", "--source-field", "x")
    assert code == 2 and "[source.reading]" in said
    code, _, said = run("export", "recipe.toml", "free.jsonl", "--to", "messages", "-o", "out")
    assert code == 2 and "named with other files" in said
    code, _, said = run("export", "recipe.toml", "--to", "messages", "-o", "bound.jsonl", "--force")
    assert code == 2 and "would be replaced" in said


def test_the_command_mixes_plans_prints_a_recipe_and_checks(folder: Path) -> None:
    code, out, said = run("mix", "human-gpt", "--dry-run", "--json")
    assert code == 0 and json.loads(out)["rows"] == 490_694
    assert "490,694" in run("mix", "human-gpt", "--dry-run")[1]
    assert run("mix", "human", "--print-recipe")[1].startswith("# The Human mixture")
    code, out, said = run("mix", "recipe.toml", "--seed", "9", "-o", "other.jsonl.gz", "--json", "-q")
    assert code == 0 and json.loads(out)["recipe"]["seed"] == 9 and Path("other.card.md").is_file()
    code, out, said = run("mix", "recipe.toml", "--source", "free=bound.jsonl", "-o", "third.jsonl")
    assert code == 2 and "repeat" in said
    assert run("mix", "recipe.toml", "--source", "fre=x")[0] == 2
    assert "Did you mean 'human'?" in run("mix", "humn")[2]
    code, out, said = run("mix", "check", "mixed.jsonl", "--json")
    assert code == 0 and json.loads(out)["changed_files"] == []
    Path("free.jsonl").write_text(Path("free.jsonl").read_text() + "\n")
    assert run("mix", "check", "mixed.jsonl")[0] == 1
    assert all(len(line) <= 80 for line in run("mix", "recipe.toml", "-o", "fourth.jsonl")[1].splitlines())


def test_the_lines_of_the_help_are_the_first_sentences_of_the_subcommands() -> None:
    for name, line in _mix_group.subcommands().items():
        module = __import__(f"instructsel.commands._mix_{name}", fromlist=["command"])
        assert (module.command.__doc__ or "").strip().splitlines()[0] == line
