"""The token counter of a budget: a tokenizer with its chat template."""

from __future__ import annotations

from instructsel.models.chat_files import renderer_of
from instructsel.models.load import load_tokenizer, locate_language_model
from instructsel.pool.tokens import ChatTokens


def chat_tokens(name: str) -> ChatTokens:
    """The counter for a tokenizer: embedded (the language model), a local folder, or a hub id.

    The template is that of `chat_template.jinja` or of `tokenizer_config.json`; without one, instruction and response are
    joined by a line break and the tokenizer's own special tokens are added. A template that writes the date is told the same one
    as in training, `rendering.TEMPLATE_DATE`.

    Raises:
        ModelUnavailable: it is neither here nor to be had, or its configuration is not readable.
    """
    source = locate_language_model(name, needed_by=f"the token budget of {name}")
    tokenizer = load_tokenizer(source)
    # The template writes control tokens as text, so here they must be read as what they are.
    tokenizer.encode_special_tokens = False
    return ChatTokens(source.name, tokenizer, renderer_of(source.folder, source.name))
