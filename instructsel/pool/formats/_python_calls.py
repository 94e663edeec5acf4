"""Calls of tools that a pool writes as Python does, a line each, as Olmo's do: `get_tide(port="Brest", days=[1, 2])`.

The values are JSON or Python: Olmo's templates write `true` and `null`. Names of tools and arguments need be no identifiers: `from` is
the name of an argument, and `get-tide` that of a tool.
"""

from __future__ import annotations

import ast
import re
from typing import Any, Final

from instructsel.pool.json_text import dumped, nested_too_deeply, parsed

LONGEST: Final = 100_000
"""Characters of calls that are looked at."""
CALL: Final = re.compile(r"\s*\[?\s*(?P<name>[^\s()\[\]{},='\"]+)\((?P<arguments>.*)\)\s*[\],]*\s*", re.DOTALL)
KEY: Final = re.compile(r"\s*(?P<key>[^\s()\[\]{},='\"]+)\s*=\s*")
WORDS: Final = {"true": True, "false": False, "null": None}
"""What JSON writes and Python does not."""
CLOSING: Final = {"(": ")", "[": "]", "{": "}"}
FAULTS: Final = (SyntaxError, ValueError, TypeError, RecursionError, MemoryError)


def python_calls(text: str) -> list[dict[str, Any]] | None:
    """The calls of a text, as objects with `name` and `arguments`; None where it holds another thing.

    >>> python_calls('get_tide(port="Brest", exact=true)')
    [{'name': 'get_tide', 'arguments': {'port': 'Brest', 'exact': True}}]
    """
    if len(text) >= LONGEST or nested_too_deeply(text):
        return None
    calls: list[dict[str, Any]] | None
    try:
        calls = _of_python(text)
    except FAULTS:
        calls = _of_lines(text)
    try:
        dumped(calls).encode()
    except FAULTS:
        return None
    return calls or None


def _of_python(text: str) -> list[dict[str, Any]]:
    """Calls that Python's grammar reads.

    Raises:
        ValueError: they are other statements, or have arguments without a name.
    """
    calls: list[dict[str, Any]] = []
    for statement in ast.parse(text.strip()).body:
        value = statement.value if isinstance(statement, ast.Expr) else None
        for call in value.elts if isinstance(value, ast.List) else [value]:
            if not isinstance(call, ast.Call) or call.args or any(word.arg is None for word in call.keywords):
                raise ValueError("no call with names of its arguments")
            arguments = {str(word.arg): ast.literal_eval(_Words().visit(word.value)) for word in call.keywords}
            if len(arguments) < len(call.keywords):
                raise ValueError("an argument stands twice")
            calls.append({"name": ast.unparse(call.func), "arguments": arguments})
    return calls


class _Words(ast.NodeTransformer):
    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant(WORDS[node.id]) if node.id in WORDS else node


def _of_lines(text: str) -> list[dict[str, Any]] | None:
    """Calls a line each, whose names Python cannot have."""
    calls: list[dict[str, Any]] = []
    for line in text.split("\n"):
        if not line.strip():
            continue
        match = CALL.fullmatch(line)
        arguments = None if match is None else _arguments(match["arguments"])
        if match is None or arguments is None:
            return None
        calls.append({"name": match["name"], "arguments": arguments})
    return calls


def _arguments(text: str) -> dict[str, Any] | None:
    """The arguments between the brackets of a call; None where one has no name or no value that can be read."""
    arguments: dict[str, Any] = {}
    place = 0
    while text[place:].strip():
        match = KEY.match(text, place)
        if match is None or match["key"] in arguments:
            return None
        end = _end_of_value(text, match.end())
        try:
            arguments[match["key"]] = _value(text[match.end() : end].strip())
        except FAULTS:
            return None
        place = end + 1
    return arguments


def _end_of_value(text: str, place: int) -> int:
    """Where the comma behind a value stands, or the end of the text."""
    open_brackets: list[str] = []
    quote = ""
    while place < len(text):
        character = text[place]
        if quote:
            if character == "\\":
                place += 1
            elif character == quote:
                quote = ""
        elif character in "\"'":
            quote = character
        elif character in CLOSING:
            open_brackets.append(CLOSING[character])
        elif open_brackets and character == open_brackets[-1]:
            open_brackets.pop()
        elif character == "," and not open_brackets:
            return place
        place += 1
    return len(text)


def _value(text: str) -> Any:
    """A value of JSON or Python.

    Raises:
        ValueError, SyntaxError: it is neither.
    """
    try:
        return parsed(text)
    except ValueError:
        return ast.literal_eval(_Words().visit(ast.parse(text, mode="eval")))


__all__ = ["python_calls"]
