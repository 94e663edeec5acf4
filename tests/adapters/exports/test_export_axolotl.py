"""Axolotl's own strategy trains on the responses that an export to it says, where it is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from instructsel.adapters.exports.run import export
from tests import tiny
from tests.chat_families import QWEN_TYPE
from tests.conversations import ASKED, CALLED, HOLDING, RESULT, SAID, TOOLS, pool


def squeezed(text: str) -> str:
    """A text without white space, also as a byte-level tokenizer writes it."""
    return "".join(text.replace("Ġ", " ").replace("Ċ", " ").split())


def test_its_own_strategy_trains_on_the_responses_of_weight_1(tmp_path: Path) -> None:
    chat_template: Any = pytest.importorskip("axolotl.prompt_strategies.chat_template", reason="could not import 'axolotl'")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny.causal(tmp_path / "base", "llama"))
    rows = pool(
        tmp_path / "pool.jsonl", HOLDING["untrained"], {"messages": [ASKED, CALLED, RESULT, SAID], "tools": TOOLS}, HOLDING["reasoning"]
    )
    result = export(rows, "axolotl", tmp_path / "out")
    (block,) = yaml.safe_load(next((tmp_path / "out").glob("*.axolotl.yaml")).read_text(encoding="utf-8"))["datasets"]
    prompter = chat_template.ChatTemplatePrompter(
        tokenizer,
        QWEN_TYPE,
        message_property_mappings=block["message_property_mappings"],
        message_field_training=block["message_field_training"],
        field_messages=block["field_messages"],
        field_tools=block["field_tools"],
    )
    strategy = chat_template.ChatTemplateStrategy(
        prompter,
        tokenizer=tokenizer,
        train_on_inputs=False,
        sequence_len=4096,
        roles_to_train=block["roles_to_train"],
        train_on_eos=block["train_on_eos"],
    )
    lines = [json.loads(line) for line in result.data[0].read_text(encoding="utf-8").split("\n") if line]
    for line, example in zip(lines, rows.examples(), strict=True):
        prepared = strategy.tokenize_prompt(line)
        labels = zip(prepared["input_ids"], prepared["labels"], strict=True)
        trained = squeezed(tokenizer.decode([token for token, label in labels if label != -100]))
        whole = squeezed(tokenizer.decode(prepared["input_ids"]))
        assert ("#Tools" in whole) == (example.tools is not None)
        for turn in example.messages:
            texts = [turn.content, turn.reasoning or "", *(call.name for call in turn.tool_calls)]
            for text in filter(None, map(squeezed, texts)):
                assert text in whole
                assert (text in trained) == (
                    turn.is_trained or any(text in squeezed(other.content) for other in example.messages if other.is_trained)
                )
