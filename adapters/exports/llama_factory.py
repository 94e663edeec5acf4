"""LLaMA-Factory: ShareGPT's form with an entry in dataset_info.json, and the lines of its YAML."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from instructsel.adapters.exports.base import ASSISTANT, COMPLETION, MASKED, Export, ExportSettings, Written
from instructsel.adapters.exports.contents import Exported
from instructsel.adapters.exports.json_lines import tools_text
from instructsel.adapters.exports.sharegpt import CALL_TAG, TAGS, calls_text, turn_row
from instructsel.adapters.exports.thoughts import with_thought
from instructsel.errors import UsageError

INFO: Final = "dataset_info.json"
SNIPPET: Final = ".llamafactory.yaml"
ENTRY: Final[Mapping[str, Any]] = {
    "formatting": "sharegpt",
    "columns": {"messages": "conversations", "tools": "tools"},
    "tags": {
        "role_tag": "from",
        "content_tag": "value",
        "user_tag": TAGS["user"],
        "assistant_tag": TAGS["assistant"],
        "observation_tag": TAGS["tool"],
        "function_tag": CALL_TAG,
        "system_tag": TAGS["system"],
    },
}


class LlamaFactory(Export):
    """ShareGPT's turns in strict alternation: human or observation, then gpt or function_call."""

    name: ClassVar[str] = "llamafactory"
    title: ClassVar[str] = "LLaMA-Factory"
    source: ClassVar[str] = "LLaMA-Factory 0.9.5, data/converter.py and data/README.md"
    endings: ClassVar[tuple[str, ...]] = (".jsonl", ".json")
    losses: ClassVar[tuple[str, ...]] = (ASSISTANT, COMPLETION)
    refused: ClassVar[frozenset[str]] = frozenset(
        {
            "not_alternating",
            "late_system",
            "odd_tools",
            "text_and_calls",
            "odd_arguments",
            "unpaired_results",
            "weights",
            "marked_reasoning",
        }
    )
    altered: ClassVar[Mapping[str, str]] = {
        "parts": "they are joined by a line break",
        "structured_results": "they are written as JSON text",
        "developer": "it is written as a system text",
    }
    noted: ClassVar[Mapping[str, str]] = {
        "reasoning": "it stands between <think> and </think> before the text, as templates of models that think take it",
        "call_ids": "LLaMA-Factory does not look at them",
        "result_names": "LLaMA-Factory does not look at them",
        "names": "LLaMA-Factory does not look at them",
        "weights_of_others": "LLaMA-Factory does not look at them",
    }
    shared: ClassVar[str | None] = INFO
    companion_endings: ClassVar[tuple[str, ...]] = (SNIPPET,)
    rules: ClassVar[tuple[str, ...]] = (
        "the loss falls on every turn of gpt and function_call; with mask_history: true on the last one alone",
        "a conversation that does not alternate between human or observation and gpt or function_call is skipped with a warning",
        "cutoff_len, 2,048 by default, cuts turns from the end; a cut turn stays in training",
        "templates of models that think get an empty thought where a response has none; earlier thoughts are cut out with mask_history",
        "weights of turns are not read",
    )

    def refusals(self, settings: ExportSettings) -> frozenset[str]:
        """Responses of weight 0 can be carried where the last one alone is trained on."""
        return self.refused if settings.loss == COMPLETION else self.refused | {MASKED}

    def row(self, exported: Exported, settings: ExportSettings) -> dict[str, Any]:
        """The turns with their tags; tools are a text in every row, as the file has one schema."""
        turns: list[dict[str, Any]] = []
        for turn in exported.turns:
            row = turn_row(turn)
            if turn.role == "developer":
                row["from"] = TAGS["system"]
            text = calls_text(turn, structured=True) if turn.tool_calls else turn.content
            turns.append({**row, "value": with_thought(turn.reasoning, text)})
        return {"conversations": turns, "tools": tools_text(exported.example) or ""}

    def check_shared(self, existing: bytes | None) -> None:
        """It is to be a JSON object."""
        _entries(existing)

    def companions(self, written: Written) -> dict[str, bytes]:
        """The entry in dataset_info.json, beside those that are there, and the lines for a run's YAML."""
        name = f"instructsel_{written.digest}"
        entries = _entries(written.shared)
        entry = {"file_name": written.name, **ENTRY}
        if name in entries and entries[name] != entry and not written.settings.force:
            raise UsageError(f"{INFO} has another entry {name}.", fix="Name another folder with -o, or replace the entry with --force.")
        history = "true" if written.settings.loss == COMPLETION else "false"
        lines = [
            "# llamafactory-cli train FILE.yaml: these lines beside those of model and output.",
            "stage: sft",
            "do_train: true",
            "dataset_dir: .  # the folder of this file",
            f"dataset: {name}",
            f"mask_history: {history}",
            "cutoff_len: 2048",
        ]
        return {
            INFO: json.dumps({**entries, name: entry}, ensure_ascii=False, indent=2).encode() + b"\n",
            Path(written.name).stem + SNIPPET: "\n".join(lines).encode() + b"\n",
        }

    def next_command(self, data: Path) -> str:
        """Train."""
        folder = shlex.quote(str(data.parent))
        return f"cd {folder} && llamafactory-cli train {shlex.quote(data.stem + SNIPPET)} model_name_or_path=MODEL template=TEMPLATE output_dir=OUT"


def _entries(existing: bytes | None) -> dict[str, Any]:
    """The entries of a dataset_info.json.

    Raises:
        UsageError: it is no JSON object.
    """
    if existing is None or not existing.strip():
        return {}
    try:
        entries = json.loads(existing)
    except (ValueError, RecursionError):
        entries = None
    if not isinstance(entries, dict):
        raise UsageError(f"{INFO} is there already and is no JSON object.", fix="Mend it, or name another folder with -o.")
    return entries
