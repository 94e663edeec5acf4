"""TRL's own preparation trains on what is exported for it as the row says."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from instructsel.adapters import to_trl
from instructsel.adapters.exports.base import ExportSettings
from instructsel.adapters.exports.run import export
from instructsel.errors import UsageError
from instructsel.pool.pool import Pool
from tests import tiny
from tests.chat_families import STRUCTURED
from tests.conversations import ASKED, CALLED, HOLDING, RESULT, SAID, TOOLS, pool

OTHER = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"id": "c2", "function": {"name": "find", "arguments": {"days": [1, {"n": 2.5}]}}}],
}
ROWS = (
    {"messages": [ASKED, CALLED, RESULT, SAID], "tools": TOOLS},
    {"messages": [{**ASKED, "content": "Find it."}, OTHER], "tools": [{"type": "function", "function": {"name": "find", "extra": None}}]},
    {"messages": [{**ASKED, "content": "Why?"}, {**SAID, "reasoning_content": "The moon."}]},
    {"messages": [{**ASKED, "content": "2021-05-06"}, {**SAID, "content": "2021-05-07", "weight": 0}, ASKED, SAID]},
)


def loaded(folder: Path, tmp_path: Path) -> Any:
    datasets = pytest.importorskip("datasets")
    return datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))


def without(turn: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in turn.items() if key != "weight"}


def test_datasets_loads_the_folder_and_no_turn_gets_keys_of_others(tmp_path: Path) -> None:
    rows = pool(tmp_path / "pool.jsonl", *ROWS)
    export(rows, "trl", tmp_path / "out")
    read = loaded(tmp_path / "out", tmp_path)
    assert read.column_names == ["prompt", "completion", "tools"]
    for row, example in zip(read, rows.examples(), strict=True):
        turns = [turn.as_dict() for turn in example.messages[: example.last_answer + 1]]
        assert [*map(without, row["prompt"]), *row["completion"]] == turns and len(row["completion"]) == 1
        assert row["tools"] is None if example.tools is None else json.loads(row["tools"]) == example.tools.value
        for turn in (*row["prompt"], *row["completion"]):
            for call in turn.get("tool_calls", ()):
                assert call["function"]["arguments"] in ({"port": "Brest"}, {"days": [1, {"n": 2.5}]})


def test_rows_of_role_and_text_alone_are_columns_of_these_and_have_no_tools(tmp_path: Path) -> None:
    export(pool(tmp_path / "pool.jsonl", HOLDING["system"], HOLDING["several_turns"]), "trl", tmp_path / "out")
    read = loaded(tmp_path / "out", tmp_path)
    assert read.column_names == ["prompt", "completion"] and set(read.features["prompt"].feature) == {"role", "content"}
    assert to_trl(Pool.read(tmp_path / "pool.jsonl")).to_list() == read.to_list()


@pytest.mark.parametrize("family", STRUCTURED)
@pytest.mark.parametrize("form", ["folder", "memory"])
def test_trl_trains_on_the_tokens_of_the_template_applied_to_the_row(tmp_path: Path, family: str, form: str) -> None:
    trl = pytest.importorskip("trl")
    from transformers import AutoTokenizer

    base = tiny.causal(tmp_path / "base", "llama")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = STRUCTURED[family]
    rows = pool(tmp_path / "pool.jsonl", *ROWS)
    if form == "folder":
        export(rows, "trl", tmp_path / "out")
    data = loaded(tmp_path / "out", tmp_path) if form == "folder" else to_trl(rows)
    settings = trl.SFTConfig(
        str(tmp_path / "run"), max_steps=1, report_to="none", use_cpu=True, bf16=False, disable_tqdm=True, max_length=4096
    )
    trainer = trl.SFTTrainer(str(base), args=settings, train_dataset=data, processing_class=tokenizer)
    assert len(trainer.train_dataset) == len(ROWS)
    originals = {json.dumps([row["messages"][0], len(row["messages"])]): row for row in ROWS}
    for prepared, example in zip(trainer.train_dataset, rows.examples(), strict=True):
        row = originals[json.dumps([{"role": "user", "content": example.messages[0].content}, len(example.messages)])]
        turns = [{**turn, "content": turn["content"] or ""} for turn in row["messages"]]
        whole = tokenizer.apply_chat_template(turns, tools=row.get("tools"), tokenize=False)
        assert prepared["input_ids"] == tokenizer(whole, add_special_tokens=False)["input_ids"]
        trained = [token for token, label in zip(prepared["input_ids"], prepared["labels"], strict=True) if label != -100]
        prompt = tokenizer.apply_chat_template(turns[:-1], tools=row.get("tools"), tokenize=False, add_generation_prompt=True)
        # The loss falls on what follows the tokens in common: an opened mark of reasoning may stand in the prompt alone.
        ids = tokenizer(whole, add_special_tokens=False)["input_ids"]
        asked = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        shared = next((at for at, pair in enumerate(zip(asked, ids, strict=False)) if pair[0] != pair[1]), len(asked))
        assert trained == ids[shared:] and 0 < len(trained) < len(ids)


def test_the_form_with_several_trained_responses_refuses_weights(tmp_path: Path) -> None:
    rows = pool(tmp_path / "pool.jsonl", HOLDING["untrained"], HOLDING["several_turns"])
    with pytest.raises(UsageError, match="1 row has responses of weight 0, which trl cannot carry"):
        export(rows, "trl", tmp_path / "out", settings=ExportSettings("assistant"))
    export(rows, "trl", tmp_path / "out", settings=ExportSettings("assistant", drop_unsupported=True))
    assert loaded(tmp_path / "out", tmp_path).column_names == ["messages"]
    assert "assistant_only_loss: true" in (tmp_path / "out" / "trl_sft.yaml").read_text(encoding="utf-8")


def test_the_settings_of_a_run_are_those_of_trl_and_lead_to_the_rows(tmp_path: Path) -> None:
    trl = pytest.importorskip("trl")
    result = export(pool(tmp_path / "pool.jsonl", *ROWS), "trl", tmp_path / "out")
    parser = trl.TrlParser((trl.ScriptArguments, trl.SFTConfig, trl.ModelConfig))
    command = shlex.split(result.export.next_command(result.data[0]))
    assert command[:2] == ["trl", "sft"]
    script, settings, _ = parser.parse_args_and_config([*command[2:], "--bf16", "false", "--use_cpu", "true"])
    assert settings.completion_only_loss is True and settings.max_length == 1024
    datasets = pytest.importorskip("datasets")
    read = datasets.load_dataset(script.dataset_name, split=script.dataset_train_split, cache_dir=str(tmp_path / "cache"))
    assert len(read) == len(ROWS)
