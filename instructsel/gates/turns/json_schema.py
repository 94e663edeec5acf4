"""The part of JSON Schema that tools are described with: what is wrong with a schema, and where a value does not fit one.

Source: JSON Schema 2020-12, and of draft 7 `definitions` and lists of `items`. No network is asked and no pattern of a stranger is run: `$ref` is
followed inside the schema alone, `pattern` and `format` are not looked at.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from instructsel.shapes import shown
from instructsel.text import neutral

DEEPEST: Final = 32
"""Schemas in one another; no tool has so many."""
MOST_COMPARED: Final = 100_000
"""Values that are compared with a schema, for one call."""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


TYPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or (math.isfinite(value) and value == int(value))),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
}
"""Name of a type → whether a value is of it."""
SCHEMAS: Final = ("additionalProperties", "not", "contains", "propertyNames", "if", "then", "else", "unevaluatedProperties")
"""Keywords that hold a schema."""
LISTS: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
"""Keywords that hold a list of schemas."""
MAPS: Final = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
"""Keywords that hold schemas by name."""
BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
LIMITS: Final[tuple[tuple[str, Callable[[float, float], bool]], ...]] = (
    ("minimum", operator.ge),
    ("maximum", operator.le),
    ("exclusiveMinimum", operator.gt),
    ("exclusiveMaximum", operator.lt),
)
"""Bound of a number → how a number stands to it; of lengths the first two begin so."""
COUNTS: Final = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
TEXTS: Final = ("description", "title", "pattern", "format", "$ref")


def faults(schema: Any, place: str = "parameters", root: Any = None, depth: int = 0) -> Iterator[str]:
    """What is wrong with a schema, a sentence each.

    Args:
        schema: of whatever form.
        place: what sentences call it.
        root: the schema that `$ref` begins at; the schema itself by default.
        depth: of the schema inside of it.
    """
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        yield f"{place} is {shown(schema)}; a JSON schema, which is an object, is expected."
        return
    if depth > DEEPEST:
        yield f"{place} is more than {DEEPEST} schemas deep."
        return
    root = schema if root is None else root
    yield from _type_faults(schema, place)
    for key in TEXTS:
        if schema.get(key) is not None and not isinstance(schema[key], str):
            yield f"{place}.{key} is {shown(schema[key])}; a text is expected."
    for key in BOUNDS:
        # In draft 4 the exclusive bounds are truth values.
        if key in schema and not _is_number(schema[key]) and not (key.startswith("exclusive") and isinstance(schema[key], bool)):
            yield f"{place}.{key} is {shown(schema[key])}; a number is expected."
    for key in COUNTS:
        if key in schema and not (TYPES["integer"](schema[key]) and schema[key] >= 0):
            yield f"{place}.{key} is {shown(schema[key])}; a whole number from 0 is expected."
    yield from _required_faults(schema, place)
    if isinstance(reference := schema.get("$ref"), str) and _followed(root, reference) is None:
        yield f"{place}.$ref leads to {neutral(reference)}, which is not in the schema."
    yield from _inner_faults(schema, place, root, depth)


def _type_faults(schema: Mapping[str, Any], place: str) -> Iterator[str]:
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        wrong = [name for name in names if not isinstance(name, str) or name not in TYPES]
        if wrong or not names:
            yield f"{place}.type is {shown(schema['type'])}; one of {', '.join(TYPES)} is expected."
    if "enum" in schema:
        values = schema["enum"]
        if not isinstance(values, list) or not values:
            yield f"{place}.enum is {shown(values)}; a list of one value or more is expected."
        elif not any(_is_of(value, schema) for value in values):
            yield f"{place}.enum has no value of the type {shown(schema['type'])}."


def _required_faults(schema: Mapping[str, Any], place: str) -> Iterator[str]:
    if schema.get("required") is None:
        return
    names = schema["required"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        yield f"{place}.required is {shown(names)}; a list of names is expected."
        return
    if len(set(names)) < len(names):
        yield f"{place}.required names a property twice."
    properties = schema.get("properties")
    if isinstance(properties, dict) and not {"patternProperties", "allOf", "anyOf", "oneOf", "$ref"} & schema.keys():
        for name in dict.fromkeys(names):
            if name not in properties:
                yield f"{place}.required names {neutral(name)}, which is no property."


def _inner_faults(schema: Mapping[str, Any], place: str, root: Any, depth: int) -> Iterator[str]:
    for key in SCHEMAS:
        if key in schema:
            yield from faults(schema[key], f"{place}.{key}", root, depth + 1)
    if "items" in schema:
        listed = schema["items"] if isinstance(schema["items"], list) else [schema["items"]]
        for entry in listed:
            yield from faults(entry, f"{place}.items", root, depth + 1)
    for key in LISTS:
        if key in schema:
            if not isinstance(schema[key], list) or not schema[key]:
                yield f"{place}.{key} is {shown(schema[key])}; a list of schemas is expected."
                continue
            for entry in schema[key]:
                yield from faults(entry, f"{place}.{key}", root, depth + 1)
    for key in MAPS:
        if key in schema:
            if not isinstance(schema[key], dict):
                yield f"{place}.{key} is {shown(schema[key])}; an object of schemas by name is expected."
                continue
            for name, entry in schema[key].items():
                yield from faults(entry, f"{place}.{key}.{neutral(name, 40)}", root, depth + 1)


@dataclass
class _Root:
    """The schema that `$ref` begins at, and how many comparisons are left: a stranger's schema can ask for more than there is time for."""

    schema: Any
    left: int = MOST_COMPARED


def misfits(value: Any, schema: Any, place: str, root: _Root | None = None, depth: int = 0) -> Iterator[str]:
    """Where a value does not fit a schema, a sentence each; a schema with faults asks nothing where they are.

    Args:
        value: plain data.
        schema: of whatever form.
        place: what sentences call the value.
        root: what `$ref` begins at; the schema itself by default.
        depth: of the schema inside of it.
    """
    if schema is False:
        yield f"{place} may not be there."
        return
    if not isinstance(schema, dict) or depth > DEEPEST:
        return
    root = _Root(schema) if root is None else root
    root.left -= 1
    if root.left <= 0:
        if not root.left:
            yield f"{place} is not compared further: its schema leads to itself again and again."
        return
    if isinstance(reference := schema.get("$ref"), str):
        yield from misfits(value, _followed(root.schema, reference), place, root, depth + 1)
    if not _is_of(value, schema):
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        yield f"{place} is {shown(value)}; {' or '.join(map(str, kinds))} is expected."
        return
    options = schema.get("enum")
    if isinstance(options, list) and options and not any(_same(value, option) for option in options):
        yield f"{place} is {shown(value)}; one of {_listed(options)} is expected."
    if "const" in schema and not _same(value, schema["const"]):
        yield f"{place} is {shown(value)}; {shown(schema['const'])} is expected."
    yield from _bound_misfits(value, schema, place)
    yield from _choice_misfits(value, schema, place, root, depth)
    if isinstance(value, dict):
        yield from _object_misfits(value, schema, place, root, depth)
    elif isinstance(value, list):
        first = schema.get("prefixItems", schema["items"] if isinstance(schema.get("items"), list) else [])
        first = first if isinstance(first, list) else []
        others = None if isinstance(schema.get("items"), list) else schema.get("items")
        for number, entry in enumerate(value):
            yield from misfits(entry, first[number] if number < len(first) else others, f"{place}[{number}]", root, depth + 1)


def _object_misfits(value: Mapping[str, Any], schema: Mapping[str, Any], place: str, root: _Root, depth: int) -> Iterator[str]:
    properties = schema.get("properties") if isinstance(schema.get("properties"), dict) else {}
    required = schema.get("required") if isinstance(schema.get("required"), list) else []
    for name in required or ():
        if isinstance(name, str) and name not in value:
            yield f"{place} lacks {neutral(name)}, which is required."
    more = schema.get("additionalProperties")
    is_closed = more is False or (
        more is None and bool(properties) and not {"patternProperties", "allOf", "anyOf", "oneOf", "$ref"} & schema.keys()
    )
    for name, entry in value.items():
        shown_name = f"{place}.{neutral(name, 40)}"
        if name in (properties or {}):
            # Null stands for an argument that is left out.
            if entry is not None or name in (required or ()):
                yield from misfits(entry, properties[name], shown_name, root, depth + 1)  # type: ignore[index]
        elif is_closed:
            yield f"{shown_name} is no argument that there is."
        else:
            yield from misfits(entry, more, shown_name, root, depth + 1)


def _choice_misfits(value: Any, schema: Mapping[str, Any], place: str, root: _Root, depth: int) -> Iterator[str]:
    def fits(option: Any) -> bool:
        return next(misfits(value, option, place, root, depth + 1), None) is None

    for entry in schema["allOf"] if isinstance(schema.get("allOf"), list) else ():
        yield from misfits(value, entry, place, root, depth + 1)
    for key in ("anyOf", "oneOf"):
        options = schema.get(key)
        if isinstance(options, list) and options and not any(map(fits, options)):
            yield f"{place} is {shown(value)}, which fits none of its {len(options)} forms."
    if isinstance(schema.get("not"), dict) and fits(schema["not"]):
        yield f"{place} is {shown(value)}, which it may not be."


def _bound_misfits(value: Any, schema: Mapping[str, Any], place: str) -> Iterator[str]:
    if not isinstance(value, str | list) and not _is_number(value):
        return
    noun = "" if _is_number(value) else "Length" if isinstance(value, str) else "Items"
    size = len(value) if noun else value
    for key, fits in LIMITS:
        name = f"{key[:3]}{noun}" if noun else key
        bound = schema.get(name)
        if bound is not None and _is_number(bound) and not (noun and key.startswith("exclusive")) and not fits(size, bound):
            yield f"{place} is {shown(value)}; {name} is {bound:g}."


def _is_of(value: Any, schema: Mapping[str, Any]) -> bool:
    names = schema.get("type")
    listed = names if isinstance(names, list) else [names]
    known = [name for name in listed if isinstance(name, str) and name in TYPES]
    if len(known) < len(listed) or not known:
        return True
    return any(TYPES[name](value) for name in known) or (value is None and schema.get("nullable") is True)


def _same(first: Any, second: Any) -> bool:
    return first == second and isinstance(first, bool) is isinstance(second, bool)


def _followed(root: Any, reference: str) -> Any:
    """The schema that a reference leads to; None where there is none."""
    if reference == "#":
        return root
    if not reference.startswith("#/"):
        return None
    target = root
    for part in reference[2:].split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(target, dict) or key not in target:
            return None
        target = target[key]
    return target


def _listed(values: list[Any]) -> str:
    return ", ".join(shown(value) for value in values[:8]) + (f" and {len(values) - 8} more" if len(values) > 8 else "")


__all__ = ["TYPES", "faults", "misfits"]
