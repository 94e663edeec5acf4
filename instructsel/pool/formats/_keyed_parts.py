"""Parts of a content that say by a key what they are, and not by a `type`: Gemini's `functionCall`, Bedrock's `toolUse`, …"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

CALLS: Final = ("functionCall", "function_call", "toolUse")
RESULTS: Final = ("functionResponse", "function_response", "toolResult")
"""Keys of a call of the model, and of the result of one."""
REASONING: Final = "reasoningContent"
OTHERS: Final = (
    *("inlineData", "inline_data", "fileData", "file_data", "image", "video", "audio", "document"),
    *("executableCode", "executable_code", "codeExecutionResult", "code_execution_result"),
)
"""Keys of what is no text, and of code that ran elsewhere, which nobody reads."""
IDS: Final = ("id", "toolUseId")
ARGUMENTS: Final = ("args", "input", "arguments")
VALUES: Final = ("response", "content")


def typed_parts(parts: list[Any], *, of_tool: bool = False) -> list[Any]:
    """Parts of which those that are named by a key are as Anthropic's of that type, with whatever else they have; the others as they are.

    Nulls count as absent, as a table has every key in every part; a part of nothing but nulls is none.

    Args:
        parts: of a content.
        of_tool: whether a tool wrote them, whose own objects may have any key.

    >>> typed_parts([{"functionCall": {"name": "get_tide", "args": {"port": "Brest"}}, "text": None}, {"text": None}])
    [{'type': 'tool_use', 'name': 'get_tide', 'input': {'port': 'Brest'}}]
    """
    if of_tool:
        return [_typed(part) if isinstance(part, Mapping) and not part.keys().isdisjoint(RESULTS) else part for part in parts]
    return [
        _typed(part) for part in parts if not isinstance(part, Mapping) or not part or any(value is not None for value in part.values())
    ]


def _typed(part: Any) -> Any:
    if not isinstance(part, Mapping) or part.get("type") is not None:
        return part
    held = {key: value for key, value in part.items() if value is not None}
    text = held.get("text")
    if held.get("thought") is True and isinstance(text, str):
        return {**_without(held, "thought", "text"), "type": "thinking", "thinking": text}
    key = next((name for name in (*CALLS, *RESULTS, REASONING, *OTHERS) if name in held), None)
    if key is None or (text and key not in CALLS + RESULTS):
        return part
    entry = held[key]
    if key in OTHERS or text or not isinstance(entry, Mapping):
        # Refused under this name.
        return {**held, "type": f"{key} beside a text" if text else key}
    rest, own = _without(held, key, "text"), {name: value for name, value in entry.items() if value is not None}
    if key == REASONING:
        thought = own.get("reasoningText")
        return {**rest, "type": "thinking", "thinking": thought.get("text") if isinstance(thought, Mapping) else thought}
    is_call = key in CALLS
    kind, id_name, value_name, names = (
        ("tool_use", "id", "input", ARGUMENTS) if is_call else ("tool_result", "tool_use_id", "content", VALUES)
    )
    result = {**rest, "type": kind}
    read = ("name", next((name for name in IDS if name in own), ""), next((name for name in names if name in own), ""))
    for name, target in zip(read, ("name", id_name, value_name), strict=True):
        if name in own:
            result[target] = own[name]
    return {**_without(own, *read, *result), **result}


def _without(fields: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


__all__ = ["typed_parts"]
