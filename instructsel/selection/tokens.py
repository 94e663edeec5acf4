"""The token counter of a budget: a tokenizer with its chat template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from instructsel.errors import EnvironmentFault
from instructsel.models.load import load_tokenizer, locate
from instructsel.pool.tokens import ChatTokens


def chat_tokens(name: str) -> ChatTokens:
    """The counter for a tokenizer: embedded, a local folder, or a hub id.

    The template is that of `chat_template.jinja` or of `tokenizer_config.json`; without one, instruction and response are
    joined by a line break and the tokenizer's own special tokens are added.

    Raises:
        ModelUnavailable: it is neither here nor to be had.
        EnvironmentFault: its configuration is not readable.
    """
    source = locate(name, needed_by=f"the token budget of {name}")
    config = _config(source.folder / "tokenizer_config.json")
    template: Any = config.get("chat_template")
    if isinstance(template, list):
        template = next((entry.get("template") for entry in template if isinstance(entry, dict) and entry.get("name") == "default"), None)
    beside = source.folder / "chat_template.jinja"
    if beside.is_file():
        template = beside.read_text(encoding="utf-8")
    tokenizer = load_tokenizer(source)
    # The template writes control tokens as text, so here they must be read as what they are.
    tokenizer.encode_special_tokens = False
    return ChatTokens(source.name, tokenizer, template if isinstance(template, str) else None, _special(config))


def _config(path: Path) -> dict[str, Any]:
    try:
        config = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except orjson.JSONDecodeError as error:
        raise EnvironmentFault(f"{path.name} is not readable JSON: {error}.", fix="Fetch the tokenizer again.") from error
    return config if isinstance(config, dict) else {}


def _special(config: dict[str, Any]) -> dict[str, str]:
    special: dict[str, str] = {}
    for key, value in config.items():
        if key.endswith("_token"):
            text = value.get("content") if isinstance(value, dict) else value
            if isinstance(text, str):
                special[key] = text
    return special
