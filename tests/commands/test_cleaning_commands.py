"""instructsel dedup, decontaminate and gate index: what they write, print and end with."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from instructsel.adapters.lm_eval.own_task import write_task
from instructsel.commands import app
from instructsel.gates.contamination.index import ItemIndex
from tests.gates.contamination.questions import ASKED, part_of

WORDS = [f"word{number}" for number in range(400)]


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INSTRUCTSEL_CACHE", str(tmp_path / "cache"))
    return


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "80"}, prog_name="instructsel")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def text(seed: int, n: int = 60) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=n))


def line(prompt: str, response: str, **more: Any) -> str:
    return json.dumps({"instruction": prompt, "output": response, **more}, ensure_ascii=False)


def written(name: str, lines: list[str], end: str = "\n") -> list[str]:
    Path(name).write_bytes("".join(f"{entry}{end}" for entry in lines).encode())
    return lines


def edited(words: str, *places: int) -> str:
    listed = words.split()
    for place in places:
        listed[place] = f"other{place}"
    return " ".join(listed)


def kept(name: str) -> list[str]:
    return Path(name).read_text().splitlines()


def test_rows_that_repeat_others_go_and_the_others_keep_their_bytes_and_their_order() -> None:
    lines = written(
        "pool.jsonl",
        [
            '{ "output": "Ann.",  "instruction": "Who\\u003f", "n": 1.50 }',
            line("Long?", text(1, 200)),
            line("Who?", "Ann.", n=2),
            line("Long?", edited(text(1, 200), 90)),
            line("Other?", text(2)),
        ],
    )
    code, _, said = run("dedup", "pool.jsonl", "-o", "clean.jsonl", "--pairs", "pairs.parquet")
    assert code == 0
    assert "5 rows read = 3 kept + 2 removed + 0 that are no example" in said
    pairs = pl.read_parquet("pairs.parquet")
    gone = {f["line"] - 1 for f in pairs.to_dicts()}
    assert kept("clean.jsonl") == [entry for number, entry in enumerate(lines) if number not in gone]
    assert len(gone & {0, 2}) == 1 and len(gone & {1, 3}) == 1
    assert sorted(pairs["kind"]) == ["exact", "near"]
    assert json.loads(Path("clean.jsonl.json").read_text())["duplicates"] == {"exact": 1, "near": 1}


def test_every_row_that_goes_has_a_partner_that_stays_at_the_threshold() -> None:
    """Of bands that nobody verified, and a closure over them: 2 of 859,092 rows were left (marin#6854)."""
    chain = [text(9, 120)]
    for step in range(1, 14):
        chain.append(edited(chain[-1], 8 * step))
    written("pool.jsonl", [line("Go.", words) for words in [*chain, *(text(seed, 90) for seed in range(20, 60))]])
    assert run("dedup", "pool.jsonl", "--threshold", "0.9", "-o", "clean.jsonl", "--pairs", "pairs.csv")[0] == 0
    pairs = pl.read_csv("pairs.csv").to_dicts()
    stays = set(kept("clean.jsonl"))
    lines = kept("pool.jsonl")
    assert pairs
    assert len(stays) > 40
    for pair in pairs:
        assert lines[pair["line"] - 1] not in stays
        assert lines[pair["kept_line"] - 1] in stays
        assert pair["similarity"] >= 0.9


def test_what_is_written_does_not_depend_on_the_order_of_files_or_rows() -> None:
    lines = [line("Go.", words) for words in (text(1), text(1), edited(text(1, 100), 3), text(1, 100), text(2), text(3))]
    lines += [line("Go.", text(2), note="another field"), line("go", "Yes"), line("Go!", "Yes")]
    results = set()
    for seed in range(4):
        shuffled = random.Random(seed).sample(lines, len(lines))
        written("a.jsonl", shuffled[:4])
        written("b.jsonl", shuffled[4:])
        names = ["a.jsonl", "b.jsonl"] if seed % 2 else ["b.jsonl", "a.jsonl"]
        assert run("dedup", *names, "-o", "clean.jsonl", "-q")[0] == 0
        results.add(tuple(sorted(kept("clean.jsonl"))))
        first = Path("clean.jsonl").read_bytes()
        assert run("dedup", *reversed(names), "-o", "clean.jsonl", "-q")[0] == 0
        assert Path("clean.jsonl").read_bytes() == first
    assert len(results) == 1


def test_prompts_or_responses_alone_are_compared_and_rows_without_one_repeat_nothing() -> None:
    written("pool.jsonl", [line("Who?", "Ann."), line("who", "Bo."), line("Which?", "Ann"), line("", "Cy."), line("", "Di.")])
    assert json.loads(run("dedup", "pool.jsonl", "--on", "prompt", "--dry-run", "--json")[1])["rows"]["removed"] == 1
    assert json.loads(run("dedup", "pool.jsonl", "--on", "response", "--dry-run", "--json")[1])["rows"]["removed"] == 1
    assert json.loads(run("dedup", "pool.jsonl", "--dry-run", "--json")[1])["rows"]["removed"] == 0
    assert not Path("pool.selected.jsonl").exists()
    assert {path.name for path in Path().iterdir()} == {"pool.jsonl"}


def test_a_whole_pool_under_another_name_and_with_other_fields_is_found() -> None:
    rows = [(f"Name {n}.", text(n)) for n in range(40)]
    written("mine.jsonl", [line(prompt, response) for prompt, response in rows])
    written("theirs.jsonl", [json.dumps({"prompt": prompt, "completion": response, "id": n}) for n, (prompt, response) in enumerate(rows)])
    record = json.loads(run("dedup", "mine.jsonl", "theirs.jsonl", "--exact-only", "--dry-run", "--json")[1])
    assert record["rows"] == {"read": 80, "kept": 40, "removed": 40, "no_example": 0}


def test_excerpts_in_the_pairs_are_masked() -> None:
    secret = "sk-abcdefghijklmnopqrstuvwx1234567890"
    written("pool.jsonl", [line("Key?", f"It is {secret}."), line("Key?", f"It is {secret}.")])
    assert run("dedup", "pool.jsonl", "-o", "clean.jsonl", "--pairs", "pairs.csv")[0] == 0
    assert secret not in Path("pairs.csv").read_text()


def test_rows_that_cannot_be_read_are_counted_and_too_many_of_them_are_refused() -> None:
    written("pool.jsonl", [line("Who?", "Ann."), "{broken", *(line("Who?", text(n)) for n in range(9))])
    code, _, said = run("dedup", "pool.jsonl", "-o", "clean.jsonl")
    assert code == 3
    assert "quarantined" in said
    code, _, said = run("dedup", "pool.jsonl", "-o", "clean.jsonl", "--max-bad-fraction", "0.1")
    assert code == 0
    assert "11 rows read = 10 kept + 0 removed + 1 that is no example" in said


def test_a_pool_none_of_whose_five_rows_is_valid_does_not_pass() -> None:
    """Of a gate that said that it passed, with 0 of 5 rows valid (Soup#811)."""
    written("pool.jsonl", ["{broken"] * 5)
    written("set.jsonl", [json.dumps({"question": ASKED[0]})])
    assert run("gate", "pool.jsonl")[0] in (1, 3)
    assert run("dedup", "pool.jsonl", "-o", "clean.jsonl")[0] == 3
    assert run("decontaminate", "pool.jsonl", "--against", "set.jsonl", "-o", "clean.jsonl")[0] == 3
    assert not Path("clean.jsonl").exists()


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".tsv"])
def test_rows_that_hold_items_go_with_the_evidence_and_a_threshold_of_a_half_keeps_two_fifths(suffix: str) -> None:
    written("set.jsonl", [json.dumps({"question": question}) for question in ASKED])
    lines = written("pool.jsonl", [line(part_of(question, share), "It depends.") for question in ASKED for share in (1, 0.6, 0.4)])
    code, out, said = run("decontaminate", "pool.jsonl", "--against", "set.jsonl", "-o", "clean.jsonl", "--pairs", f"evidence{suffix}")
    assert code == 0
    assert "9 rows read = 3 kept + 6 removed + 0 that are no example" in said
    assert kept("clean.jsonl") == lines[2::3]
    assert "set" in out
    read = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".tsv": lambda path: pl.read_csv(path, separator="\t")}[suffix]
    evidence = read(f"evidence{suffix}")
    assert evidence["line"].to_list() == [1, 2, 4, 5, 7, 8]
    assert evidence["item"].to_list() == [1, 1, 2, 2, 3, 3]
    assert evidence["part"].to_list() == ["question"] * 6
    assert (evidence["coverage"] >= 0.5).all()
    assert evidence["coverage"][1] == evidence["matched"][1] / evidence["words"][1]


def test_an_index_removes_what_its_sets_remove_and_says_what_is_in_it() -> None:
    written("set.jsonl", [json.dumps({"question": question, "answer": "4"}) for question in ASKED] + ['{"question": "?"}'])
    code, out, said = run("gate", "index", "set.jsonl", "-o", "evals.index")
    assert code == 0
    assert "4" in out and "wrote evals.index: 4 items" in said
    assert run("gate", "index", "set.jsonl", "-o", "evals.index", "--json")[0] == 0
    written("pool.jsonl", [line(ASKED[1], "No."), line("Hello there.", "Yes.")])
    assert run("decontaminate", "pool.jsonl", "--against", "evals.index", "-o", "clean.jsonl")[0] == 0
    assert kept("clean.jsonl") == [line("Hello there.", "Yes.")]
    assert ItemIndex.read("evals.index").n_items == 4


def test_an_index_is_named_as_one_and_replaces_nothing_else() -> None:
    written("set.jsonl", [json.dumps({"question": ASKED[0]})])
    assert run("gate", "index", "set.jsonl", "-o", "evals.bin")[0] == 2
    Path("mine.index").write_text("my notes")
    assert run("gate", "index", "set.jsonl", "-o", "mine.index")[0] in (2, 3)
    assert Path("mine.index").read_text() == "my notes"
    assert run("gate", "index", "set.jsonl", "-o", "mine.index", "--force")[0] == 0


@pytest.mark.parametrize("command", ["decontaminate", "index"])
def test_own_tasks_of_the_harness_are_read_from_a_folder(command: str, tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    rows = [{"query": question, "choices": ["yes", "no"], "gold": 0} for question in ASKED]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_task(tmp_path / "rows.jsonl", tmp_path / "tasks", name="mine")
    lines = written("pool.jsonl", [line(ASKED[0], "No."), line("Hello there.", "Yes.")])
    if command == "index":
        assert run("gate", "index", "lm-eval:mine", "--include-path", "tasks", "-o", "evals.index")[0] == 0
    against = ["evals.index"] if command == "index" else ["lm-eval:mine", "--include-path", "tasks"]
    code, _, said = run("decontaminate", "pool.jsonl", "--against", *against, "-o", "clean.jsonl")
    assert code == 0, said
    assert kept("clean.jsonl") == lines[1:]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("dedup", "pool.jsonl"), "No output is named"),
        (("dedup", "pool.jsonl", "-o", "-"), "not to stdout"),
        (("dedup", "pool.jsonl", "--on", "title", "--dry-run"), "title"),
        (("dedup", "pool.jsonl", "--exact-only", "--embedding", "embedded", "--dry-run"), "exclude each other"),
        (("dedup", "pool.jsonl", "--threshold", "0.3", "--dry-run"), "from 0.6"),
        (("decontaminate", "pool.jsonl", "-o", "clean.jsonl"), "No evaluation set is named"),
        (("decontaminate", "pool.jsonl", "--against", "lm-eval:", "--dry-run"), "names no evaluation set"),
        (("decontaminate", "pool.jsonl", "--against", "pool.jsonl", "--ngram", "9", "--dry-run"), "8 or 13"),
        (("decontaminate", "pool.jsonl", "--against", "pool.jsonl", "--part", "title", "--dry-run"), "title"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_what_to_write(arguments: tuple[str, ...], words: str) -> None:
    written("pool.jsonl", [line("Who?", "Ann.")])
    code, _, said = run(*arguments)
    assert code == 2
    assert words in " ".join(said.split())


def test_vectors_are_compared_where_an_encoder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    def encode(texts: list[str]) -> Any:
        vectors = np.eye(3, dtype=np.float32)[[0 if "tide" in text else 1 if "sea" in text else 2 for text in texts]]
        return vectors, np.ones(len(texts), dtype=bool)

    monkeypatch.setattr("instructsel.gates.vectors.encode_with", lambda name: encode)
    written("pool.jsonl", [line("tide one", "A."), line("high tide", "B."), line("the sea", "C."), line("sun", "D.")])
    code, _, _ = run("dedup", "pool.jsonl", "--embedding", "embedded", "-o", "clean.jsonl", "--pairs", "pairs.csv")
    assert code == 0
    (pair,) = pl.read_csv("pairs.csv").to_dicts()
    assert (pair["kind"], {pair["line"], pair["kept_line"]}) == ("embedding", {1, 2})


@pytest.mark.parametrize("command", [["dedup"], ["decontaminate", "--against", "set.jsonl"]])
def test_files_of_several_formats_are_refused_with_a_command_that_makes_one_of_them(command: list[str]) -> None:
    written("a.jsonl", [line("Who?", "Ann.")])
    written("b.jsonl", ['{"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]}'])
    written("set.jsonl", ['{"question": "How many legs has a spider that lost two of them in a fight?", "answer": "6"}'])
    code, _, said = run(*command, "a.jsonl", "b.jsonl", "-o", "clean.jsonl")
    assert code == 2 and "export FILES --to messages" in said and "Add --to" not in said
    assert run("export", "a.jsonl", "b.jsonl", "--to", "messages", "-o", "all.jsonl")[0] == 0
    assert run(*command, "all.jsonl", "-o", "clean.jsonl")[0] == 0
