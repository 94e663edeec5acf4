"""JSON Schema (2020-12) of the shapes that our results are checked against: one description serves reading, types and people."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, NotRequired, Required

from instructsel.shapes import Between

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
TYPES: Final[Mapping[Any, str]] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    None: "null",
    type(None): "null",
    list: "array",
    dict: "object",
}
BELOW: Final = "#/$defs/"


def schema_of(shape: Any, *, title: str, description: str) -> dict[str, Any]:
    """The schema of a shape.

    Args:
        shape: what `shapes.checked` takes, or a dataclass.
        title: of the schema.
        description: what the JSON is and where it comes from.

    >>> schema_of(list[int], title="t", description="d")["items"]
    {'type': 'integer'}
    """
    definitions: dict[str, Any] = {}
    content = _schema(shape, definitions)
    schema = {"$schema": DIALECT, "title": title, "description": description, **content}
    return {**schema, "$defs": dict(sorted(definitions.items()))} if definitions else schema


def _schema(shape: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, inner = typing.get_origin(shape), typing.get_args(shape)
    if origin is Annotated:
        return _bounded(_schema(inner[0], definitions), inner[1:])
    if origin in (Required, NotRequired):
        return _schema(inner[0], definitions)
    if origin in (types.UnionType, typing.Union):
        return _union([_schema(option, definitions) for option in inner])
    if origin is Literal:
        return {"enum": list(inner)}
    if origin is tuple:
        return _row(inner, definitions)
    if origin in (list, tuple, frozenset, set) or getattr(origin, "__name__", "") == "Sequence":
        return {"type": "array", "items": _schema(inner[0], definitions)}
    if origin is dict or getattr(origin, "__name__", "") == "Mapping":
        return {"type": "object", "additionalProperties": _schema(inner[1], definitions)}
    if typing.is_typeddict(shape) or dataclasses.is_dataclass(shape):
        return _named(shape, definitions)
    return {"type": TYPES[shape]} if shape in TYPES else {}


def _union(options: list[dict[str, Any]]) -> dict[str, Any]:
    if all(set(option) == {"type"} and isinstance(option["type"], str) for option in options):
        return {"type": [option["type"] for option in options]}
    return {"anyOf": options}


def _bounded(schema: dict[str, Any], marks: tuple[Any, ...]) -> dict[str, Any]:
    bounds: dict[str, Any] = {}
    for mark in marks:
        if isinstance(mark, Between):
            bounds |= {name: value for name, value in (("minimum", mark.low), ("maximum", mark.high)) if abs(value) != float("inf")}
    return schema | bounds


def _row(inner: tuple[Any, ...], definitions: dict[str, Any]) -> dict[str, Any]:
    if len(inner) == 2 and inner[1] is Ellipsis:
        return {"type": "array", "items": _schema(inner[0], definitions)}
    parts = [_schema(part, definitions) for part in inner]
    return {"type": "array", "prefixItems": parts, "minItems": len(parts), "maxItems": len(parts)}


def _named(shape: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """A reference to a record, which is defined once; two of one name are told apart by where they are."""
    name = shape.__name__
    room = shape.__module__.removeprefix("instructsel.").replace(".shape", "").replace(".", "-")
    key = f"{room}-{name}"
    if key not in definitions:
        definitions[key] = {}
        definitions[key] = _record(shape, definitions)
    return {"$ref": f"{BELOW}{key}"}


def _record(shape: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(shape, include_extras=True)
    if dataclasses.is_dataclass(shape):
        names = [part.name for part in dataclasses.fields(shape)]
        hints, required = {name: hints[name] for name in names}, names
    else:
        marks = {key: typing.get_origin(hint) for key, hint in hints.items()}
        required = [key for key, mark in marks.items() if mark is Required or (mark is not NotRequired and key in shape.__required_keys__)]
    first = (shape.__doc__ or "").strip().partition("\n")[0]
    record: dict[str, Any] = {"type": "object", **({"description": first} if first else {})}
    record["properties"] = {key: _schema(hint, definitions) for key, hint in hints.items()}
    return {**record, "required": required} if required else record


__all__ = ["DIALECT", "schema_of"]
