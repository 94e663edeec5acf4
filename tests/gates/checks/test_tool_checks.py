"""Tools: described rightly, called as described, answered, and not called again for nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from instructsel.gates.checks.repeated_call import RepeatedCall
from instructsel.gates.checks.tool_arguments import ToolArguments
from instructsel.gates.checks.tool_schema import ToolSchema
from instructsel.gates.checks.unanswered_call import UnansweredCall
from instructsel.gates.turns.json_schema import misfits
from tests.gates.checks.hits_of import hits_of, is_hit, keys_of, turns

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "port": {"type": "string"},
        "hours": {"type": "integer", "minimum": 1},
        "unit": {"type": "string", "enum": ["m", "ft"]},
        "days": {"type": "array", "items": {"type": "string"}},
        "at": {"anyOf": [{"type": "number"}, {"type": "null"}]},
    },
    "required": ["port"],
}
TIDE = {"type": "function", "function": {"name": "get_tide", "description": "tide", "parameters": PARAMETERS}}
U, A = ("user", "u"), ("assistant", "a")


def call(arguments: Any = None, name: str = "get_tide", **more: Any) -> dict[str, Any]:
    """A turn that calls once."""
    function = {"name": name} | ({} if arguments is None else {"arguments": arguments})
    return {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function, **more}]}


def result(text: str = "5.1", **more: Any) -> dict[str, Any]:
    return {"role": "tool", "content": text, **more}


def with_tools(*tools: Any) -> dict[str, Any]:
    return turns(U, A, tools=list(tools))


def with_parameters(parameters: Any) -> dict[str, Any]:
    return with_tools({"type": "function", "function": {"name": "f", "parameters": parameters}})


# --- tool-schema


@pytest.mark.parametrize(
    "row",
    [
        with_tools(TIDE),
        with_tools(TIDE["function"]),
        turns(U, A, tools=json.dumps([TIDE])),
        turns(U, A, tools="[]"),
        with_tools({"name": "f"}),
        with_tools({"name": "f", "input_schema": {"type": "object", "properties": {}}}),
        with_parameters({}),
        with_parameters(
            {"type": "object", "properties": {"type": {"type": "string"}, "required": {"type": "boolean"}}, "required": ["type"]}
        ),
        with_parameters({"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"type": "string"}}}),
        # xLAM's arguments by name, with Python's types.
        with_tools({"name": "f", "parameters": {"q": {"description": "d", "type": "str, optional", "default": ""}}}),
        with_tools({"name": "math.factorial", "parameters": {"type": "object", "properties": {}}}),
        turns(U, A),
    ],
)
def test_a_tool_that_is_described_rightly_is_not_named(row: dict[str, Any]) -> None:
    assert [hit.message for _, hit in hits_of(ToolSchema(), [row])] == []


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (turns(U, A, tools="get_tide(port)"), "a list of objects is expected"),
        (turns(U, A, tools={"name": "f"}), "a list of objects is expected"),
        (with_tools("get_tide"), "an object with name and parameters"),
        (with_tools({"description": "d"}), "has no name"),
        (with_tools({"type": "function", "function": {"name": ""}}), "has no name"),
        (with_tools({"type": "tool", "function": {"name": "f"}}), '"function" is expected'),
        (with_tools({"name": "get tide"}), "is called get tide"),
        (with_tools({"name": "f" * 65}), "1 to 64"),
        (with_tools(TIDE, TIDE), "as one before it"),
        (with_tools({"name": "f", "description": 3}), "description is 3"),
        (with_parameters("port"), "a JSON schema, which is an object"),
        (with_parameters({"type": "array", "items": {}}), '"object" is expected'),
        (with_parameters({"type": "object", "properties": ["port"]}), "an object of schemas by name"),
        (with_parameters({"type": "object", "properties": {"a": {"type": "str"}}}), 'properties.a.type is "str"'),
        (with_parameters({"type": "object", "properties": {"a": "string"}}), "properties.a is"),
        (with_parameters({"type": "object", "properties": {"a": {}}, "required": "a"}), "a list of names"),
        (with_parameters({"type": "object", "properties": {"a": {"type": "string", "required": True}}}), "a list of names"),
        (with_parameters({"type": "object", "properties": {"a": {}}, "required": ["b"]}), "b, which is no property"),
        (with_parameters({"type": "object", "properties": {"a": {"enum": []}}}), "a list of one value or more"),
        (with_parameters({"type": "object", "properties": {"a": {"enum": ["x"], "type": "integer"}}}), "no value of the type"),
        (with_parameters({"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}}), "which is not in the schema"),
        (with_parameters({"type": "object", "properties": {"a": {"minLength": -1}}}), "a whole number from 0"),
        (with_parameters({"type": "object", "properties": {"a": {"type": "array", "items": "string"}}}), "a.items is"),
    ],
)
def test_a_tool_that_is_described_wrongly_is_named(row: dict[str, Any], words: str) -> None:
    assert any(words in hit.message for _, hit in hits_of(ToolSchema(), [row])), [hit.message for _, hit in hits_of(ToolSchema(), [row])]


def test_a_schema_as_deep_as_a_stranger_likes_ends_no_process() -> None:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(20):
        schema = {"type": "object", "properties": {"a": schema}}
    assert not is_hit(ToolSchema(), with_parameters(schema))
    loop = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/b"}},
        "$defs": {"b": {"anyOf": [{"$ref": "#/$defs/b"}, {"type": "null"}]}},
    }
    row = turns(U, call({"a": 1}, "f"), tools=[{"name": "f", "parameters": loop}])
    assert isinstance(keys_of(ToolArguments(), row), list)


# --- tool-arguments


@pytest.mark.parametrize(
    "arguments",
    [
        {"port": "Brest"},
        '{"port": "Brest"}',
        {"port": "Brest", "hours": 3.0, "unit": "m", "days": ["today"], "at": None},
        {"port": "Brest", "hours": None},
    ],
)
def test_a_call_that_fits_its_tool_is_not_named(arguments: Any) -> None:
    assert [hit.message for _, hit in hits_of(ToolArguments(), [turns(U, call(arguments), tools=[TIDE])])] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "lacks port, which is required"),
        (None, "lacks port, which is required"),
        ({"port": 3}, "get_tide.port is 3; string is expected"),
        ({"port": None}, "string is expected"),
        ({"port": "Brest", "hours": "3"}, 'get_tide.hours is "3"; integer is expected'),
        ({"port": "Brest", "hours": True}, "integer is expected"),
        ({"port": "Brest", "hours": 0}, "minimum is 1"),
        ({"port": "Brest", "unit": "yd"}, 'one of "m", "ft" is expected'),
        ({"port": "Brest", "days": "today"}, "array is expected"),
        ({"port": "Brest", "days": [1]}, "get_tide.days[0] is 1"),
        ({"port": "Brest", "at": "noon"}, "fits none of its 2 forms"),
        ({"port": "Brest", "harbor": "x"}, "get_tide.harbor is no argument that there is"),
        ('{"port": "Brest"', "the arguments of get_tide are no JSON"),
        (["Brest"], "the arguments of get_tide are no JSON object"),
    ],
)
def test_a_call_that_does_not_fit_its_tool_is_named(arguments: Any, words: str) -> None:
    messages = [hit.message for _, hit in hits_of(ToolArguments(), [turns(U, call(arguments), tools=[TIDE])])]
    assert len(messages) == 1 and words in messages[0], messages


def test_a_call_of_a_tool_that_there_is_not_is_named_with_the_closest() -> None:
    ((_, hit),) = hits_of(ToolArguments(), [turns(U, call({}, "get_tides"), tools=[TIDE])])
    assert hit.message == "In turn 2 get_tides is called, which is no tool of the row; get_tide is one."
    assert is_hit(ToolArguments(), turns(U, call({"port": "B"}))) and is_hit(ToolArguments(), turns(U, call({"port": "B"}), tools="[]"))
    # Pools that describe their tools in the system text alone.
    assert not is_hit(ToolArguments(), turns(("system", "You have get_tide(port)."), U, call({"port": "B"})))


def test_bounds_are_of_numbers_and_of_lengths() -> None:
    def named(value: Any, **schema: Any) -> bool:
        tool = {"name": "f", "parameters": {"type": "object", "properties": {"a": schema}}}
        return is_hit(ToolArguments(), turns(U, call({"a": value}, "f"), tools=[tool]))

    assert named(2, minimum=2.5) and not named(3, minimum=2.5) and named(3, exclusiveMinimum=3) and not named(3, minimum=3)
    assert named(3.5, maximum=3) and not named(3, maximum=3) and named(3, exclusiveMaximum=3)
    assert named("ab", minLength=3) and not named("abc", minLength=3) and named("abc", maxLength=2) and not named("abc", minimum=9)
    assert named([1], minItems=2) and named([1, 2, 3], maxItems=2) and not named([1, 2], minItems=2, maxItems=2)


def test_a_property_called_properties_or_open_objects_are_taken() -> None:
    tool = {"name": "f", "parameters": {"type": "object", "properties": {"properties": {"type": "object"}}, "required": ["properties"]}}
    assert not is_hit(ToolArguments(), turns(U, call({"properties": {"anything": 1}}, "f"), tools=[tool]))
    tool = {"name": "f", "parameters": {"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "integer"}}}
    assert not is_hit(ToolArguments(), turns(U, call({"b": 1}, "f"), tools=[tool]))
    assert is_hit(ToolArguments(), turns(U, call({"b": "1"}, "f"), tools=[tool]))


def hermes(arguments: str) -> dict[str, Any]:
    system = f"You may call tools. <tools>\n{json.dumps(TIDE)}\n</tools>"
    text = f'Let me look.\n<tool_call>\n{{"name": "get_tide", "arguments": {arguments}}}\n</tool_call>'
    return turns(("system", system), U, ("assistant", text), result("<tool_response>5.1</tool_response>"), A)


def test_calls_inside_of_a_text_are_read() -> None:
    for check in (ToolSchema(), ToolArguments(), UnansweredCall()):
        assert not is_hit(check, hermes('{"port": "Brest"}'))
    assert is_hit(ToolArguments(), hermes('{"haven": "Brest"}')) and is_hit(ToolArguments(), hermes('{"port": "Brest"'))


# --- unanswered-call


@pytest.mark.parametrize(
    "row",
    [
        turns(U, call({}, id="c1"), result(tool_call_id="c1"), A),
        turns(U, call({}), result(), A),
        turns(U, call({})),
        turns(U, call({}), result(), call({}), result(), A, U, A),
        # Side by side: in one turn, in several, in another order, with one result for all.
        turns(U, call({}, id="c1"), call({}, id="c2"), result(tool_call_id="c2"), result(tool_call_id="c1"), A),
        turns(U, call({}), call({}), result(), A),
        turns(U, ("assistant", "Action: get_tide[Brest]"), result(), A),
    ],
)
def test_calls_and_results_that_belong_together_are_not_named(row: dict[str, Any]) -> None:
    assert keys_of(UnansweredCall(), row) == []


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (turns(U, call({}), A), "unanswered"),
        (turns(U, call({}), U, A), "unanswered"),
        (turns(U, call({}, id="c1"), call({}, id="c2"), result(tool_call_id="c1"), A), "unanswered"),
        (turns(U, call({}), call({}), call({}), result(), result(), A), "unanswered"),
        (turns(U, result(), A), "unasked"),
        (turns(U, A, result(), A), "unasked"),
        (turns(U, call({}), result(), result(), A), "unasked"),
        (turns(U, call({}, id="c1"), result(tool_call_id="c1"), result(tool_call_id="c1"), A), "unasked"),
        (turns(U, call({}, id="c1"), result(tool_call_id="c2"), A), "unknown-id"),
        (turns(U, call({}), result(tool_call_id="c1"), A), "unknown-id"),
        (turns(U, call({}, id="c1"), result(tool_call_id="c1"), call({}, id="c1"), result(tool_call_id="c1"), A), "repeated-id"),
        (turns(U, call({}), result(name="get_wind"), A), "other-tool"),
    ],
)
def test_a_call_or_a_result_without_the_other_is_named_once(row: dict[str, Any], kind: str) -> None:
    assert [key.split()[0] for key in keys_of(UnansweredCall(), row)] == [kind]


# --- repeated-call


@pytest.mark.parametrize(
    "row",
    [
        turns(U, call({"a": 1, "b": 2}), result("x"), call({"b": 2, "a": 1}), result("x"), A),
        turns(U, call("{}"), result("x"), call({}), A),
        turns(U, call({}), call({}), A),
        # Round and round: nothing that was not known comes back.
        turns(U, call({}), result("x"), call({}, "g"), result("x"), call({}), result("x"), A),
    ],
)
def test_a_call_that_is_made_again_for_nothing_is_named(row: dict[str, Any]) -> None:
    assert len(keys_of(RepeatedCall(), row)) == 1


@pytest.mark.parametrize(
    "row",
    [
        turns(U, call({}), result("x"), A),
        turns(U, call({"a": 1}), result("x"), call({"a": 2}), result("x"), A),
        turns(U, call({}), result("waiting"), call({}), result("ready"), A),
        turns(U, call({}), result("x"), A, U, call({}), result("x"), A),
        turns(U, call({}), result("x"), call({}, "g"), result("y"), call({}), result("x"), A),
        turns(U, call({}), call({}), result("1"), result("2"), A),
    ],
)
def test_a_call_that_something_new_came_before_is_not_named(row: dict[str, Any]) -> None:
    assert keys_of(RepeatedCall(), row) == []


def test_a_call_counts_as_repeated_from_the_time_that_is_set() -> None:
    def row(times: int) -> dict[str, Any]:
        return turns(U, *[turn for _ in range(times) for turn in (call({}), result("x"))], A)

    assert not is_hit(RepeatedCall(least_calls=3), row(2)) and is_hit(RepeatedCall(least_calls=3), row(3))
    assert len(keys_of(RepeatedCall(), row(9))) == 1


def test_a_schema_that_leads_to_itself_many_times_ends() -> None:
    for key in ("allOf", "anyOf"):
        schema = {key: [{"$ref": "#"}] * 8, "not": {"type": "object"}}
        sentences = list(misfits({"city": "Brest"}, schema, "weather"))
        assert key == "anyOf" or any("leads to itself" in sentence for sentence in sentences)
