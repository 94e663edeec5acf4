"""The harness's model class with our chat template: its date stands still, it is rendered within limits, and its end of turn stops."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

from instructsel.adapters.lm_eval.task_code import NEEDED_BY
from instructsel.errors import TemplateRefused
from instructsel.extras import require
from instructsel.grading.chat import ChatTemplate


def chat_harness(network: Any, chat_template: ChatTemplate, stops: Iterable[int], *, chats: bool, **settings: Any) -> Any:
    """The harness's HFLM of a network.

    Args:
        network: a causal language model.
        chat_template: how prompts are written where the task is run in a chat template.
        stops: tokens at which generation ends.
        chats: whether tasks are run in the chat template; then its end of turn is a stop beside those that a task names.
        settings: of HFLM.
    """
    base: Any = require("lm_eval.models.huggingface", needed_by=NEEDED_BY).HFLM
    end = chat_template.end_text if chats else ""

    class ChatHarness(base):  # type: ignore[misc]
        def apply_chat_template(self, chat_history: Sequence[dict[str, Any]], add_generation_prompt: bool = True) -> str:
            turns = list(chat_history)
            try:
                return chat_template.render(turns, generation=add_generation_prompt, resumed=not add_generation_prompt)
            except TemplateRefused:
                # As the harness does: a template may take no system prompt.
                turns = [turn for turn in turns if turn["role"] != "system"]
                return chat_template.render(turns, generation=add_generation_prompt, resumed=not add_generation_prompt)

        def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
            replies: list[str] = super().generate_until([_stopping(request, end) for request in requests], disable_tqdm=disable_tqdm)
            return replies

    harness = ChatHarness(pretrained=network, tokenizer=chat_template.tokenizer, backend="causal", **settings)
    config = getattr(network, "generation_config", None)
    if config is not None:
        config.eos_token_id = sorted(stops)
    return harness


def _stopping(request: Any, end: str) -> Any:
    """A request that ends at a text as well; the task's own stays as it is, for it is written down."""
    if not end:
        return request
    context, settings = request.arguments
    until = settings.get("until") or []
    stopping = copy.copy(request)
    stopping.arguments = (context, {**settings, "until": [*([until] if isinstance(until, str) else until), end]})
    return stopping


__all__ = ["chat_harness"]
