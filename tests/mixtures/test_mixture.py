"""A mixture: what is drawn of each source, in which order it stands, and what is recorded of it."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from instructsel.errors import NothingToDo, ScoresError, UsageError
from instructsel.mixtures.mixture import Mixture, mix
from instructsel.mixtures.recipe import MixtureRecipe
from instructsel.pool.pool import Pool


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def pairs(word: str, n: int, length: int = 1) -> list[dict[str, Any]]:
    return [{"instruction": f"{word} {number}", "output": " ".join([f"answer{number}"] * length)} for number in range(n)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "one.jsonl", pairs("one", 20))
    write(tmp_path / "two.jsonl", pairs("two", 10))
    return tmp_path


def build(folder: Path, text: str, output: str = "mixed.jsonl") -> tuple[Mixture, list[dict[str, Any]]]:
    (folder / "recipe.toml").write_text('name = "x"\n' + text)
    mixture = mix(MixtureRecipe.read(folder / "recipe.toml"), folder / output)
    return mixture, [json.loads(line) for line in (folder / output).read_text().splitlines()]


def sources(first: str = "", second: str = "", head: str = "") -> str:
    return f'{head}\n[[source]]\nlabel = "one"\npath = "one.jsonl"\n{first}\n[[source]]\nlabel = "two"\npath = "two.jsonl"\n{second}\n'


def counts(rows: list[dict[str, Any]]) -> Counter[str]:
    return Counter(row["dataset"] for row in rows)


def account(mixture: Mixture, label: str) -> dict[str, Any]:
    record: dict[str, Any] = next(source["rows"] for source in mixture.manifest["sources"] if source["label"] == label)
    assert record["read"] == record["kept"] + sum(record["dropped"].values()) + sum(record["quarantined"].values())
    assert record["examples"] == record["duplicates"] + record["sampled_out"] + record["drawn"]
    assert record["written"] == record["drawn"] + record["repeated"]
    return record


@pytest.mark.parametrize(
    ("first", "second", "head", "expected"),
    [
        ("", "", "", {"one": 20, "two": 10}),
        ("rows = 5", "times = 0.5", "", {"one": 5, "two": 5}),
        ("rows = 5", "times = 2.5\nrepeat = 3", "", {"one": 5, "two": 25}),
        ("share = 0.75", "share = 0.25", "[budget]\nrows = 16", {"one": 12, "two": 4}),
        ("share = 0.5", "share = 0.5\nrepeat = 2", "[budget]\nrows = 31", {"one": 16, "two": 15}),
        ("", "", "[budget]\nrows = 9", {"one": 6, "two": 3}),
    ],
)
def test_of_each_source_there_are_as_many_rows_as_the_recipe_asks(
    folder: Path, first: str, second: str, head: str, expected: dict[str, int]
) -> None:
    mixture, rows = build(folder, sources(first, second, head))
    assert counts(rows) == expected
    assert len({row["id"] for row in rows}) == len(rows)
    for label, count in expected.items():
        assert account(mixture, label)["written"] == count


def test_more_than_a_source_has_is_whole_repeats_and_a_remainder_and_needs_leave(folder: Path) -> None:
    _, rows = build(folder, sources("rows = 1", "rows = 25\nrepeat = 3"))
    of_two = Counter(row["messages"][0]["content"] for row in rows if row["dataset"] == "two")
    assert sorted(of_two.values()) == [2] * 5 + [3] * 5
    with pytest.raises(UsageError, match="would stand 3 times in the mixture, and repeat = 2"):
        build(folder, sources("rows = 1", "rows = 25\nrepeat = 2"), "other.jsonl")
    assert not (folder / "other.jsonl").exists()


def test_the_rows_that_repeat_the_most_are_those_that_a_smaller_mixture_has(folder: Path) -> None:
    _, few = build(folder, sources("rows = 4", "rows = 3"), "few.jsonl")
    _, many = build(folder, sources("rows = 9", "rows = 13\nrepeat = 2"), "many.jsonl")
    assert {row["id"] for row in few} <= {row["id"] for row in many}
    twice = {row["id"].removesuffix("-2") for row in many if row["id"].endswith("-2")}
    assert twice == {row["id"] for row in few if row["dataset"] == "two"}


@pytest.mark.parametrize("order", ["shuffled", "sources"])
def test_the_same_rows_in_other_files_in_another_order_give_the_same_bytes_and_the_same_hash(folder: Path, order: str) -> None:
    text = sources("share = 0.5", "share = 0.5\nrepeat = 2", f'order = "{order}"\n[budget]\nrows = 24')
    mixture, _ = build(folder, text)
    rows = pairs("one", 20)
    random.Random(3).shuffle(rows)
    (folder / "moved").mkdir()
    write(folder / "moved" / "b.jsonl", rows[:7])
    with gzip.open(folder / "moved" / "a.jsonl.gz", "wt") as packed:
        packed.writelines(json.dumps(dict(reversed(row.items()))) + "\n" for row in rows[7:])
    write(folder / "two.jsonl", list(reversed(pairs("two", 10))))
    again, _ = build(folder, text.replace('"one.jsonl"', '["moved/b.jsonl", "moved/a.jsonl.gz"]'), "again.jsonl")
    assert again.hash == mixture.hash
    assert (folder / "again.jsonl").read_bytes() == (folder / "mixed.jsonl").read_bytes()


def test_another_seed_draws_other_rows_and_the_hash_says_so(folder: Path) -> None:
    one, rows = build(folder, sources("rows = 5", "rows = 5", "seed = 1"), "a.jsonl")
    other, others = build(folder, sources("rows = 5", "rows = 5", "seed = 2"), "b.jsonl")
    assert one.hash != other.hash
    assert {row["id"] for row in rows} != {row["id"] for row in others}


def test_the_hash_is_of_the_rows_and_not_of_their_order(folder: Path) -> None:
    shuffled, rows = build(folder, sources(head='order = "shuffled"'), "a.jsonl")
    ordered, others = build(folder, sources(head='order = "sources"'), "b.jsonl")
    assert shuffled.hash == ordered.hash and rows != others
    assert [row["dataset"] for row in others] == ["one"] * 20 + ["two"] * 10


def test_rows_that_an_earlier_source_has_are_left_out_where_the_recipe_says_so(folder: Path) -> None:
    write(folder / "two.jsonl", pairs("two", 10) + pairs("one", 4))
    kept, rows = build(folder, sources())
    assert counts(rows)["two"] == 14
    assert kept.manifest["sources"][1]["also_in"] == {"one": 4} and kept.manifest["sources"][0]["also_in"] == {"two": 4}
    mixture, rows = build(folder, sources(head='[duplicates]\nacross = "exact"'))
    assert counts(rows) == {"one": 20, "two": 10}
    assert account(mixture, "two")["duplicates"] == 4 and account(mixture, "one")["duplicates"] == 0


def test_similar_rows_of_an_earlier_source_are_left_out_where_the_recipe_asks_for_near_duplicates(folder: Path) -> None:
    text = "The harbour master of the old town keeps a long list of ships that came in during the winter storms of that year"
    write(folder / "one.jsonl", [{"instruction": "Tell me.", "output": f"{text} {n}"} for n in (1, 2)])
    write(folder / "two.jsonl", [{"instruction": "Tell me.", "output": f"{text} 3"}, *pairs("two", 3)])
    mixture, rows = build(folder, sources(head='[duplicates]\nacross = "near"\nthreshold = 0.7'))
    # Similar rows of one source are no matter of the mixture.
    assert counts(rows) == {"one": 2, "two": 3}
    assert account(mixture, "two")["duplicates"] == 1
    write(folder / "two.jsonl", pairs("one", 3)), write(folder / "one.jsonl", pairs("one", 3))
    with pytest.raises(NothingToDo, match="No row of two is left"):
        build(folder, sources(head='[duplicates]\nacross = "exact"'))


def test_rows_that_are_none_are_in_the_account_of_their_source(folder: Path) -> None:
    with open(folder / "two.jsonl", "a") as file:
        file.write('{"instruction": "no answer"\n{"messages": []}\n')
    mixture, rows = build(folder, sources())
    record = account(mixture, "two")
    assert record["read"] == 12 and record["kept"] == 10 and sum(record["quarantined"].values()) + sum(record["dropped"].values()) == 2
    assert counts(rows)["two"] == 10


def test_licences_follow_into_the_card_and_one_that_forbids_commercial_use_marks_the_mixture(folder: Path) -> None:
    build(folder, sources('licence = "mit"', 'licence = "cc-by-nc-4.0"'))
    card = (folder / "mixed.card.md").read_text()
    assert "**For non-commercial use alone: two forbids any other.**" in card and "| two | not stated | cc-by-nc-4.0 | 10 |" in card
    mixture, _ = build(folder, sources('licence = "mit"'))
    assert mixture.non_commercial is None
    assert "**Whether commercial use is allowed is not known: nothing says it of two.**" in (folder / "mixed.card.md").read_text()
    mixture, _ = build(folder, sources('licence = "mit"', 'licence = "apache-2.0"'))
    assert mixture.non_commercial is False


def test_a_mixture_of_mixtures_has_their_licences(folder: Path) -> None:
    build(folder, sources('licence = "mit"', 'licence = "cc-by-nc-4.0"'), "inner.jsonl")
    outer, _ = build(folder, '[[source]]\nlabel = "inner"\npath = "inner.jsonl"\n', "outer.jsonl")
    assert outer.licences == {"inner": "cc-by-nc-4.0 AND mit"} and outer.non_commercial is True
    stated, _ = build(folder, '[[source]]\nlabel = "inner"\npath = "inner.jsonl"\nlicence = "apache-2.0"\n', "stated.jsonl")
    assert stated.licences == {"inner": "apache-2.0"}


@pytest.mark.parametrize("name", ["mixed.jsonl", "mixed.jsonl.json"])
def test_one_byte_that_is_another_is_found(folder: Path, name: str) -> None:
    mixture, _ = build(folder, sources())
    mixture.check()
    data = (folder / name).read_bytes()
    place = data.index(b'"x"') + 1 if name.endswith(".json") else data.index(b"answer")
    (folder / name).write_bytes(data[:place] + b"z" + data[place + 1 :])
    with pytest.raises(ScoresError, match="has changed since the mixture was written"):
        Mixture.read(folder / "mixed.jsonl").check()


def test_a_file_of_a_source_that_changed_is_named(folder: Path) -> None:
    mixture, _ = build(folder, sources())
    assert mixture.changed_inputs() == []
    write(folder / "two.jsonl", pairs("two", 9))
    assert mixture.changed_inputs() == [str(folder / "two.jsonl")]


def test_a_mixture_is_replaced_by_a_mixture_alone(folder: Path) -> None:
    build(folder, sources())
    build(folder, sources("rows = 3"))
    write(folder / "mine.jsonl", pairs("mine", 1))
    with pytest.raises(UsageError, match="is not a mixture"):
        build(folder, sources(), "mine.jsonl")
    with pytest.raises(UsageError, match="would be replaced"):
        build(folder, sources(), "one.jsonl")


def test_the_conversations_of_a_mixture_are_those_of_its_sources_tools_calls_and_weights_too(folder: Path) -> None:
    call = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}],
    }
    turns = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}, call]
    turns += [
        {"role": "tool", "content": "1", "tool_call_id": "c"},
        {"role": "assistant", "content": "A", "weight": 0},
        {"role": "user", "content": "V"},
    ]
    turns += [{"role": "assistant", "content": "B"}]
    write(folder / "two.jsonl", [{"messages": turns, "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}])
    build(folder, sources())
    pools = [Pool.read(folder / name) for name in ("one.jsonl", "two.jsonl")]
    assert sorted(Pool.read(folder / "mixed.jsonl").ids) == sorted(name for pool in pools for name in pool.ids)
