"""The chat template in a model's folder, read without transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from instructsel.errors import ModelUnavailable
from instructsel.models.load import read_json
from instructsel.rendering import TEMPLATE_DATE, Renderer


def renderer_of(folder: Path, name: str, *, date: str = TEMPLATE_DATE) -> Renderer | None:
    """What renders conversations for a model; None where it brings no template.

    The template is that of `chat_template.jinja`, or of `tokenizer_config.json`, where one of several is called default.

    Args:
        folder: the model's.
        name: the model's, for messages.
        date: what the template is told that today is, as YYYY-MM-DD.

    Raises:
        ModelUnavailable: a file of the two cannot be read.
    """
    config = read_json(folder / "tokenizer_config.json")
    template: Any = config.get("chat_template")
    if isinstance(template, list):
        template = next((entry.get("template") for entry in template if isinstance(entry, dict) and entry.get("name") == "default"), None)
    beside = folder / "chat_template.jinja"
    if beside.is_file():
        try:
            template = beside.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelUnavailable(f"{beside} cannot be read: {error}.", fix="Fetch the model again.") from error
    return Renderer(name, template, _special_tokens(config), date) if isinstance(template, str) and template else None


def _special_tokens(config: dict[str, Any]) -> dict[str, str]:
    """bos_token, eos_token, … → text."""
    tokens: dict[str, str] = {}
    for key, value in config.items():
        if key.endswith("_token"):
            text = value.get("content") if isinstance(value, dict) else value
            if isinstance(text, str):
                tokens[key] = text
    return tokens


__all__ = ["renderer_of"]
