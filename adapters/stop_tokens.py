"""The tokens at which a checkpoint stops, in its generation_config.json: the base's own and the end of turn that was trained."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from instructsel.artifact import atomic_write, dump_json
from instructsel.grading.chat import ChatTemplate
from instructsel.models.load import read_json

FILE: Final = "generation_config.json"


def write_stop_tokens(folders: Iterable[Path], base: Path, chat_template: ChatTemplate) -> None:
    """Add the end of turn to the end-of-sequence tokens of generation_config.json, where it is not among them.

    The end of sequence of a base model is most often not the end of turn of its chat template: `generate` would go on after every
    response, up to the limit of tokens. A template whose end of turn is ordinary text has no token to add.

    Args:
        folders: of the checkpoint: those with a generation_config.json have it changed, others get the base's.
        base: the base's folder.
        chat_template: what the checkpoint was trained in.
    """
    for folder in folders:
        content = read_json(folder / FILE) or read_json(base / FILE)
        stated = [
            content.get("eos_token_id"),
            read_json(base / FILE).get("eos_token_id"),
            read_json(base / "config.json").get("eos_token_id"),
        ]
        own = [token for value in stated for token in (value if isinstance(value, list) else [value]) if isinstance(token, int)]
        missing = [token for token in chat_template.end_of_turn if token not in own]
        if not missing and content.get("eos_token_id") is not None:
            continue
        tokens = list(dict.fromkeys([*own, *chat_template.end_of_turn]))
        if not tokens:
            continue
        with atomic_write(folder / FILE) as file:
            file.write(dump_json({**content, "eos_token_id": tokens if len(tokens) > 1 else tokens[0]}, indent=True) + b"\n")


__all__ = ["write_stop_tokens"]
