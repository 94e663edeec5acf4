"""Columns of JSON values in a data set, exact: the library's own way rounds numbers to some ten digits and leaves whole numbers beyond 64 bits as texts.

The feature is `datasets.Json` with a reader of its own. Written to disk a data set says Json, and the library's own reads it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from instructsel.extras import require


def __getattr__(name: str) -> Any:
    """`ExactJson`, made when it is first asked for: `datasets` takes a while to import. Processes that map a data set find it by its name."""
    if name != "ExactJson":
        raise AttributeError(name)
    base: Any = require("datasets", needed_by="to_trl").Json

    class ExactJson(base):  # type: ignore[misc]
        """Values as JSON texts."""

        __module__ = __name__
        __qualname__ = "ExactJson"

        def decode_example(self, text: str | None, token_per_repo_id: Any = None) -> Any:
            """The value of a text, digit for digit."""
            return None if text is None else json.loads(text)

    globals()[name] = ExactJson
    return ExactJson


def values(column: Sequence[Any]) -> Any:
    """A column of values, as an Arrow array; None is null."""
    pa = require("pyarrow", needed_by="to_trl")

    texts = pa.array([None if value is None else json.dumps(value) for value in column], pa.string())
    return pa.ExtensionArray.from_storage(pa.json_(), texts)


def lists(column: Sequence[Sequence[Any]]) -> Any:
    """A column of lists of values, as an Arrow array."""
    pa = require("pyarrow", needed_by="to_trl")

    texts = pa.array([[json.dumps(value) for value in entry] for entry in column], pa.list_(pa.string()))
    return pa.ListArray.from_arrays(texts.offsets, pa.ExtensionArray.from_storage(pa.json_(), texts.values))


__all__ = ["lists", "values"]
