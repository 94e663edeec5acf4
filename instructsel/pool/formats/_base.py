"""What a format offers, and the few readings of a field that several formats share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NamedTuple

from instructsel.pool.example import Conversation
from instructsel.pool.lines import Limits, RowDropped, RowFault, parse
from instructsel.pool.opaque import Opaque

Fields = Mapping[str, Any]
STRICT: Final = Limits()

MEDIA: Final = tuple(
    f"{kind_of}{ending}"
    for kind_of in ("image", "img", "picture", "photo", "video", "audio")
    for ending in ("", "s", "_path", "_paths", "_url", "_urls", "_file", "_files", "_bytes", "_data", "_name", "_list")
) + ("media", "pixel_values", "multi_modal_data", "multimodal_data", "speech", "Image", "Images")
"""Names of what a text is about that is no text, in a row or a turn."""


class Turns(NamedTuple):
    """How the turns of a list are spelled, where that is named and not told from the turns."""

    role: str | None = None
    """The field of the role."""
    text: str | None = None
    """The field of the text."""
    user: str | None = None
    assistant: str | None = None
    """The fields of the two texts, where an entry is an exchange."""


class Format(ABC):
    """A way of writing examples down, one row at a time."""

    name: ClassVar[str]
    """What `--format` calls it."""
    precedence: ClassVar[int]
    """Where two formats fit a row, the lower one is taken: the one that reads more of the row."""
    fields: ClassVar[tuple[str, ...]]
    """The fields it reads; others are carried along in the original bytes and take no part."""
    beside: ClassVar[frozenset[str]] = frozenset()
    """What else of a row belongs to its conversations and is read for it: parts of `_beside.NAMES`."""
    turn_fields: ClassVar[frozenset[str] | None] = None
    """The fields that it reads of turns; None where its lists hold no turns."""
    roles: Mapping[str, str] | None = None
    """The spellings of roles that were named; those of `_turns.ROLE_OF` where there are none."""

    @abstractmethod
    def fits(self, row: Fields) -> str | None:
        """Why the row looks like this format, in a few words; None when it does not."""

    @abstractmethod
    def conversations(self, row: Fields) -> list[Conversation]:
        """The conversations of a row.

        Raises:
            RowFault: a field is missing or is not what the format says.
            RowDropped: the row is well formed and holds no answer.
        """


@dataclass(frozen=True)
class Chain:
    """One conversation whose turns stand in several rows."""

    rows: tuple[int, ...]
    """The rows (0-based, counting readable rows), in the order of the turns."""


class TableFormat(Format):
    """A format whose conversations are linked across the rows of a file."""

    @abstractmethod
    def link(self, rows: Iterable[Fields]) -> tuple[list[Chain], dict[int, str], dict[int, RowFault]]:
        """The chains of a file; the rows that are in none, with the reason; the rows that are malformed."""

    @abstractmethod
    def joined(self, rows: Sequence[Fields]) -> Conversation:
        """The conversation of one chain."""

    def conversations(self, row: Fields) -> list[Conversation]:
        """Never called: a row of a table is a turn, not a conversation."""
        raise TypeError(f"{self.name} rows are read together, through link and joined.")


def text(row: Fields, field: str, *, optional: bool = False) -> str:
    """A field that must be text. Null and absent read as "" where the field is optional.

    A list or a number is a fault: it is never turned into its Python text.
    """
    value = row.get(field)
    if isinstance(value, str):
        return value
    if value is None:
        if optional or field in row:
            return ""
        raise RowFault("missing_field", f"no '{field}'")
    if isinstance(value, Opaque):
        raise value.fault(field)
    raise RowFault("not_text", f"'{field}' holds {kind(value)} where a text belongs")


def kind(value: Any) -> str:
    """A JSON value's kind, in words."""
    if isinstance(value, Opaque):
        return value.kind
    kinds = {
        dict: "an object",
        list: "a list",
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
        type(None): "null",
    }
    return kinds.get(type(value), type(value).__name__)


def first_field(row: Fields, names: Sequence[str]) -> str | None:
    """The first of these fields that holds something, or else the first that is there."""
    present = [name for name in names if name in row]
    return next((name for name in present if row[name] is not None), present[0] if present else None)


def listed(value: Any) -> Any:
    """The list that a text is the JSON of; any other value as it is.

    >>> listed('["Is rain wet?", "Yes."]'), listed("[sic] yes")
    (['Is rain wet?', 'Yes.'], '[sic] yes')
    """
    if not isinstance(value, str) or value.lstrip()[:1] != "[":
        return value
    try:
        parsed_value = parse(value.strip().encode("utf-8", "surrogatepass"), STRICT)
    except RowFault:
        return value
    return parsed_value if isinstance(parsed_value, list) else value


def answered(conversation: Conversation) -> list[Conversation]:
    """The conversation, if the model wrote any of it that is to be trained on."""
    if not conversation.messages:
        raise RowDropped("no_turns")
    if not conversation.trained:
        raise RowDropped("no_trained_response" if conversation.answered else "no_answer")
    return [conversation]
