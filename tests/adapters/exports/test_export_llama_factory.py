"""LLaMA-Factory's own reader takes what is exported for it; where it is not installed, its documented rules do."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from instructsel.adapters.exports.base import ExportSettings
from instructsel.adapters.exports.run import export
from instructsel.errors import UsageError
from tests.conversations import HOLDING, pool, pool_of


def by_the_rules(row: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """A row as data/README.md of LLaMA-Factory says that it is read: an empty prompt where it is skipped."""
    tags = entry["tags"]
    turns = row[entry["columns"]["messages"]]
    system = ""
    if turns and turns[0][tags["role_tag"]] == tags["system_tag"]:
        system, turns = turns[0][tags["content_tag"]], turns[1:]
    roles = {
        tags["user_tag"]: "user",
        tags["assistant_tag"]: "assistant",
        tags["observation_tag"]: "observation",
        tags["function_tag"]: "function",
    }
    odd, even = {tags["user_tag"], tags["observation_tag"]}, {tags["assistant_tag"], tags["function_tag"]}
    fits = len(turns) % 2 == 0 and all(turn[tags["role_tag"]] in (even if number % 2 else odd) for number, turn in enumerate(turns))
    read = [{"role": roles[turn[tags["role_tag"]]], "content": turn[tags["content_tag"]]} for turn in turns] if fits else []
    return {"_prompt": read[:-1], "_response": read[-1:], "_system": system, "_tools": row[entry["columns"]["tools"]]}


def exported(tmp_path: Path, count: int = 300) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    result = export(
        pool_of(tmp_path / "pool.jsonl", count, 3), "llamafactory", tmp_path / "out", settings=ExportSettings(drop_unsupported=True)
    )
    info = json.loads((tmp_path / "out" / "dataset_info.json").read_text(encoding="utf-8"))
    (entry,) = info.values()
    assert entry["file_name"] == result.data[0].name
    return [json.loads(line) for line in result.data[0].read_text(encoding="utf-8").split("\n") if line], entry


def test_no_row_is_skipped_and_every_call_is_one(tmp_path: Path) -> None:
    rows, entry = exported(tmp_path)
    assert len(rows) > 60
    for row in rows:
        read = by_the_rules(row, entry)
        assert len(read["_response"]) == 1 and read["_response"][0]["role"] in ("assistant", "function")
        for turn in (*read["_prompt"], *read["_response"]):
            if turn["role"] == "function":
                calls = json.loads(turn["content"].rpartition("</think>\n\n")[2])
                assert all(isinstance(call["name"], str) and isinstance(call["arguments"], dict) for call in calls)
        assert row["tools"] == "" or isinstance(json.loads(row["tools"]), list)


def test_its_own_reader_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("llamafactory", reason="could not import 'llamafactory'")
    spec = importlib.util.find_spec("llamafactory")
    assert spec is not None and spec.submodule_search_locations is not None
    home = Path(spec.submodule_search_locations[0])
    # Without the packages of its trainer: the modules that read, and nothing else of it.
    for name, folder in (("llamafactory.data", home / "data"), ("llamafactory.extras", home / "extras")):
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        monkeypatch.setitem(sys.modules, name, package)
    converter: Any = importlib.import_module("llamafactory.data.converter")
    parser: Any = importlib.import_module("llamafactory.data.parser")
    formatter: Any = importlib.import_module("llamafactory.data.formatter")
    rows, entry = exported(tmp_path)
    name = next(iter(json.loads((tmp_path / "out" / "dataset_info.json").read_text(encoding="utf-8"))))
    (attributes,) = parser.get_dataset_list([name], str(tmp_path / "out"))
    convert = converter.get_dataset_converter("sharegpt", attributes, SimpleNamespace(media_dir=""))
    calls = formatter.FunctionFormatter(slots=["{{content}}"], tool_format="qwen")
    for row in rows:
        read = convert(row)
        expected = by_the_rules(row, entry)
        assert {key: read[key] for key in expected} == expected
        for turn in (*read["_prompt"], *read["_response"]):
            if turn["role"] == "function":
                assert calls.apply(content=turn["content"], thought_words=("<think>\n", "\n</think>\n\n"))


def test_entries_of_others_stay_and_one_of_the_same_name_is_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "dataset_info.json").write_text('{"mine": {"file_name": "mine.json"}}', encoding="utf-8")
    rows = pool(tmp_path / "pool.jsonl", HOLDING["system"])
    export(rows, "llamafactory", out)
    info = json.loads((out / "dataset_info.json").read_text(encoding="utf-8"))
    assert info["mine"] == {"file_name": "mine.json"} and len(info) == 2
    name = next(key for key in info if key != "mine")
    assert info[name]["formatting"] == "sharegpt" and info[name]["columns"] == {"messages": "conversations", "tools": "tools"}
    assert f"dataset: {name}\n" in next(out.glob("*.llamafactory.yaml")).read_text(encoding="utf-8")
    export(pool(tmp_path / "other.jsonl", HOLDING["several_turns"]), "llamafactory", out)
    assert len(json.loads((out / "dataset_info.json").read_text(encoding="utf-8"))) == 3
    (out / "dataset_info.json").write_text("[]", encoding="utf-8")
    with pytest.raises(UsageError, match="is no JSON object"):
        export(rows, "llamafactory", out, settings=ExportSettings(force=True))
    (out / "dataset_info.json").write_text(json.dumps({name: {"file_name": "mine.json"}}), encoding="utf-8")
    for file in out.glob("train-*"):
        file.unlink()
    with pytest.raises(UsageError, match=f"has another entry {name}"):
        export(rows, "llamafactory", out)
    assert json.loads((out / "dataset_info.json").read_text(encoding="utf-8")) == {name: {"file_name": "mine.json"}}


def test_with_one_trained_response_earlier_ones_of_weight_0_are_masked_by_the_consumer(tmp_path: Path) -> None:
    rows = pool(tmp_path / "pool.jsonl", HOLDING["untrained"])
    with pytest.raises(UsageError, match="1 row has responses of weight 0, which llamafactory cannot carry"):
        export(rows, "llamafactory", tmp_path / "out")
    export(rows, "llamafactory", tmp_path / "out", settings=ExportSettings("completion"))
    assert "mask_history: true\n" in next((tmp_path / "out").glob("*.llamafactory.yaml")).read_text(encoding="utf-8")
