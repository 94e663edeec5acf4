"""Examples as the rows of a table with one explicit schema."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from instructsel.extras import require
from instructsel.pool.example import Example
from instructsel.pool.json_text import dumped
from instructsel.text import SURROGATES

if TYPE_CHECKING:
    import polars


def schema() -> dict[str, Any]:
    """id, source, messages and tools; what is a structure of the row's own (calls, tools) is JSON text.

    A turn has role, content, reasoning_content, tool_calls, tool_call_id, name and weight, null where the row says nothing.
    """
    import polars as pl

    texts = ("role", "content", "reasoning_content", "tool_calls", "tool_call_id", "name")
    turn = pl.Struct({**dict.fromkeys(texts, pl.String()), "weight": pl.Float64()})
    return {"id": pl.String(), "source": pl.String(), "messages": pl.List(turn), "tools": pl.String()}


def row_of(example: Example) -> dict[str, Any]:
    """The row of an example; text parts are joined by a line break."""
    turns: list[dict[str, Any]] = [
        {
            "role": turn.role,
            "content": turn.content,
            "reasoning_content": turn.reasoning,
            "tool_calls": _text(dumped([call.as_dict() for call in turn.tool_calls])) if turn.tool_calls else None,
            "tool_call_id": turn.tool_call_id,
            "name": turn.name,
            "weight": turn.weight,
        }
        for turn in example.messages
    ]
    tools = None if example.tools is None else _text(example.tools.canonical)
    return {"id": example.id, "source": example.source, "messages": turns, "tools": tools}


def to_polars(examples: Iterable[Example]) -> polars.DataFrame:
    """Examples as a frame of `schema`."""
    import polars

    return polars.DataFrame([row_of(example) for example in examples], schema=schema(), orient="row")


def to_arrow(examples: Iterable[Example]) -> Any:
    """The same as a `pyarrow.Table`.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    require("pyarrow", needed_by="to_arrow")
    return to_polars(examples).to_arrow()


def to_hf(examples: Iterable[Example]) -> Any:
    """Examples as a `datasets.Dataset` of id, source, messages and tools.

    Raises:
        MissingExtra: `datasets` is not installed.
    """
    datasets = require("datasets", needed_by="to_hf")
    pa = require("pyarrow", needed_by="to_hf")
    from instructsel.pool.exact_json import ExactJson, lists, values

    listed = list(examples)
    turns = [[turn.as_row() for turn in example.messages] for example in listed]
    tools = [None if example.tools is None else example.tools.value for example in listed]
    columns = {
        "id": pa.array([example.id for example in listed], pa.string()),
        "source": pa.array([example.source for example in listed], pa.string()),
        "messages": lists(turns),
        "tools": values(tools),
    }
    text, exact = datasets.Value("string"), ExactJson()
    features = datasets.Features({"id": text, "source": text, "messages": datasets.List(exact), "tools": exact})
    return datasets.Dataset(datasets.table.InMemoryTable.from_pydict(columns), info=datasets.DatasetInfo(features=features))


def _text(json_text: str) -> str:
    """JSON text that is valid UTF-8: half of a surrogate pair, which stands in a string, as an escape."""
    return SURROGATES.sub(lambda half: f"\\u{ord(half[0]):04x}", json_text)


__all__ = ["row_of", "schema", "to_arrow", "to_hf", "to_polars"]
