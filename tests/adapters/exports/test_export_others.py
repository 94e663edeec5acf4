"""The folder for the hub, and the trainers whose readers are not installed: their documented rules, written as readers."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from instructsel.adapters.exports.base import ExportSettings
from instructsel.adapters.exports.card import yaml as written_yaml
from instructsel.adapters.exports.registry import exports
from instructsel.adapters.exports.run import export
from instructsel.adapters.exports.selected import Selected
from instructsel.adapters.exports.view import view
from instructsel.pool.pool import Pool
from tests.conversations import ASKED, CALLED, HOLDING, RESULT, SAID, TOOLS, pool, pool_of


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def test_datasets_loads_the_folder_as_the_card_declares_it(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = pool_of(tmp_path / "pool.jsonl", 150, 9)
    result = export(rows, "hf", tmp_path / "out", settings=ExportSettings(drop_unsupported=True))
    assert [path.name for path in result.data] == ["train-00000-of-00001.parquet"]
    data = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    examples = {example.id: example for example in rows.examples()}
    assert len(data) == result.account.written and data.column_names == ["id", "source", "messages", "tools"]
    for row in data:
        example = examples[row["id"]]
        turns = [{key: value for key, value in turn.items() if key != "weight"} for turn in row["messages"]]
        assert [(turn["role"], turn["content"]) for turn in turns] == [(turn.role, turn.content) for turn in example.messages]
        assert all(set(turn) == set(message.as_dict()) for turn, message in zip(turns, example.messages, strict=True))


def test_the_card_states_facts_and_nothing_else(tmp_path: Path) -> None:
    stated = {"messages": [ASKED, SAID], "license": "MIT", "language": "en"}
    export(pool(tmp_path / "pool.jsonl", stated, {**stated, "messages": [{**ASKED, "content": "And | now?"}, SAID]}), "hf", tmp_path / "a")
    head, _, text = (tmp_path / "a" / "README.md").read_text(encoding="utf-8").removeprefix("---\n").partition("\n---\n")
    card = yaml.safe_load(head)
    assert card["license"] == "mit" and card["language"] == ["en"] and card["size_categories"] == ["n<1K"]
    assert card["configs"] == [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}]
    assert "| MIT | 2 |" in text and "Article 53(1)(d)" in text and "to be filled in by the provider" in text
    assert "No selection is recorded" in text
    unstated = {**stated, "license": None, "messages": [{**ASKED, "content": "Why?"}, SAID]}
    export(pool(tmp_path / "pool.jsonl", stated, unstated), "hf", tmp_path / "b")
    other = (tmp_path / "b" / "README.md").read_text(encoding="utf-8")
    assert "license" not in yaml.safe_load(other.removeprefix("---\n").partition("\n---\n")[0])
    assert "| MIT | 1 |" in other and "| not stated | 1 |" in other


def test_shards_are_numbered_and_those_of_an_export_before_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pool(tmp_path / "pool.jsonl", *({"messages": [{**ASKED, "content": f"Tide {number}?"}, SAID]} for number in range(5)))
    monkeypatch.setattr("instructsel.adapters.exports.run.SHARD", 30)
    first = export(rows, "hf", tmp_path / "out")
    assert [path.name for path in first.data] == [f"train-0000{number}-of-00003.parquet" for number in range(3)]
    monkeypatch.setattr("instructsel.adapters.exports.run.SHARD", 10_000)
    export(rows, "hf", tmp_path / "out", settings=ExportSettings(force=True))
    assert [path.name for path in (tmp_path / "out" / "data").iterdir()] == ["train-00000-of-00001.parquet"]
    assert len(Pool.read(tmp_path / "out" / "data" / "train-00000-of-00001.parquet")) == 5


def test_axolotl_reads_masks_and_arguments_by_its_rules(tmp_path: Path) -> None:
    rows = pool(
        tmp_path / "pool.jsonl", HOLDING["untrained"], {"messages": [ASKED, CALLED, RESULT, SAID], "tools": TOOLS}, HOLDING["reasoning"]
    )
    result = export(rows, "axolotl", tmp_path / "out")
    (block,) = yaml.safe_load(next((tmp_path / "out").glob("*.axolotl.yaml")).read_text(encoding="utf-8"))["datasets"]
    assert block["path"] == result.data[0].name and block["type"] == "chat_template" and block["field_tools"] == "tools"
    trained = []
    for row in lines(result.data[0]):
        for turn in row[block["field_messages"]]:
            flag = turn.get(block["message_field_training"])
            if flag if flag is not None else turn["role"] in block["roles_to_train"]:
                trained.append(turn)
            for call in turn.get("tool_calls", ()):
                assert json.loads(call["function"]["arguments"]) == {"port": "Brest"}
        assert "tools" not in row or json.loads(row["tools"]) == TOOLS
    assert len(trained) == sum(turn.is_trained for example in rows.examples() for turn in example.messages)
    assert set(block["message_property_mappings"]) == {"role", "content", "reasoning_content"}
    last = export(rows, "axolotl", tmp_path / "last", settings=ExportSettings("completion"))
    assert all(sum(turn.get("train", turn["role"] == "assistant") for turn in row["messages"]) == 1 for row in lines(last.data[0]))


def test_ms_swift_reads_its_own_roles_and_masks(tmp_path: Path) -> None:
    rows = pool_of(tmp_path / "pool.jsonl", 200, 4)
    result = export(rows, "ms-swift", tmp_path / "out", settings=ExportSettings(drop_unsupported=True))
    assert result.account.written > 50
    trained = 0
    for row in lines(result.data[0]):
        assert set(row) <= {"messages", "tools"} and ("tools" not in row or isinstance(json.loads(row["tools"]), list))
        for turn in row["messages"]:
            assert set(turn) <= {"role", "content", "loss"} | ({"name"} if turn["role"] == "tool_response" else set())
            assert turn["role"] in {"system", "user", "assistant", "tool_call", "tool_response"} and isinstance(turn["content"], str)
            if turn["role"] == "tool_call":
                assert set(json.loads(turn["content"])) == {"name", "arguments"}
            trained += turn.get("loss", turn["role"] in ("assistant", "tool_call"))
    assert trained >= result.account.trained


def test_ms_swift_which_goes_by_order_gets_results_in_the_order_of_their_calls(tmp_path: Path) -> None:
    """As ms-swift 4.6 does itself where it reads OpenAI's turns (template_inputs.py), before it drops the ids."""
    row = HOLDING["results_out_of_order"]
    answered = {"c1": "of Brest", "c2": "of Dover"}
    turns = [{**turn, "content": answered[turn["tool_call_id"]]} if "tool_call_id" in turn else turn for turn in row["messages"]]
    result = export(pool(tmp_path / "pool.jsonl", {"messages": turns}), "ms-swift", tmp_path / "out")
    (written,) = lines(result.data[0])
    assert [turn["content"] for turn in written["messages"] if turn["role"] == "tool_response"] == ["of Brest", "of Dover"]
    assert result.account.altered["results_out_of_order"].rows == 1


def test_open_instruct_gets_roles_and_texts_and_an_amount_with_a_point(tmp_path: Path) -> None:
    result = export(pool(tmp_path / "pool.jsonl", HOLDING["system"], HOLDING["several_turns"]), "open-instruct", tmp_path / "out")
    assert all(set(turn) == {"role", "content"} for row in lines(result.data[0]) for turn in row["messages"])
    assert result.export.next_command(result.data[0]).endswith(" 1.0")


def mixed(arguments: list[str], rows: dict[str, int]) -> dict[str, int]:
    """How many rows open-instruct's mixer takes of each file: with a decimal point a share of its rows, without one so many rows."""
    values = arguments[arguments.index("--dataset_mixer_list") + 1 :]
    assert len(values) % 2 == 0
    amounts = dict(zip(values[::2], values[1::2], strict=True))
    for name in amounts:
        assert name.endswith((".jsonl", ".parquet")) and Path(name).is_file(), name
    return {name: round(float(amount) * rows[name]) if "." in amount else int(amount) for name, amount in amounts.items()}


@pytest.mark.parametrize("count", [1, 3])
def test_open_instructs_mixer_takes_every_row_by_its_rules_and_the_name_follows_the_content(count: int, tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    names = []
    for text in ("first", "second"):
        rows = folder / "pool.jsonl"
        rows.write_text("".join(json.dumps({"instruction": f"{text} {n}", "output": "It is so."}) + "\n" for n in range(count)))
        result = export(Pool.read(rows), "open-instruct", folder / f"out {text}")
        data = str(result.data[0])
        command = shlex.split(result.export.next_command(result.data[0]))
        # All rows, also where there is one: "1" would be one row, and "1.0" is all.
        assert mixed(command, {data: count}) == {data: count} and command[-1] == "1.0"
        names.append(Path(data).name)
    # Its cache goes by the name and the number of rows: other rows have another name.
    assert names[0] != names[1]


def test_what_is_written_as_yaml_is_read_as_the_same(tmp_path: Path) -> None:
    for value in (
        {"a": ["b", {"c": 1, "d": ["e"]}], "f": {"g": {"h": None}}, "i": "x: y # z"},
        {"a": [{"b": [{"c": "\n"}]}], "d": True, "e": []},
    ):
        assert yaml.safe_load(written_yaml(value)) == value


def test_a_view_counts_the_responses_that_are_trained_on(tmp_path: Path) -> None:
    rows = pool(tmp_path / "pool.jsonl", HOLDING["several_turns"], HOLDING["untrained"])
    every, last = (view(rows, exports()["axolotl"], loss=loss).account.trained for loss in ("assistant", "completion"))
    assert (every, last) == (3, 2)
    assert Selected.of(rows).positions == (0, 1)
