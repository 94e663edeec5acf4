"""What stands beside the fields of a format and belongs to the conversation all the same: system text, context, options, tools, …

A format names in `beside` which of them it reads. A text that stands in the turns already is not added again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Final

from instructsel.pool.example import Conversation
from instructsel.pool.formats._base import MEDIA, Fields, kind, listed
from instructsel.pool.formats._layouts import pairs, turn_list
from instructsel.pool.formats._thoughts import REASONING, is_switch, reasoning_of, thought_of
from instructsel.pool.formats._turns import chat, is_turn
from instructsel.pool.formats._weights import MASKED, WEIGHTS, weight
from instructsel.pool.lines import RowFault
from instructsel.pool.message import Json, Message

LETTERS: Final = "abcdefgh"
LETTERED: Final = tuple(
    tuple(form.format(sign) for sign in signs)
    for form, signs in (
        *[(form, LETTERS) for form in ("option_{}", "choice_{}", "opt_{}", "option{}", "op{}")],
        *[(form, LETTERS.upper()) for form in ("{}", "option_{}", "Option {}", "option{}", "choice_{}")],
        *[(form, "123456789") for form in ("option_{}", "option{}", "choice_{}", "choice{}")],
    )
)
"""Names of columns that hold an option each, in their order."""

LISTS: Final = ("train_mask", "train_masks", "loss_masks", "turn_weights", "message_weights")
"""Names of a list of weights, one for each turn."""
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "system": (
        *("system", "system_prompt", "system_message", "system_instruction", "system_instructions", "systemInstruction", "system_text"),
        *("system_msg", "sys", "sys_prompt"),
    ),
    "input": ("input",),
    "context": (
        *("context", "passage", "document", "article", "paragraph", "background", "story", "ctx"),
        *("contexts", "passages", "documents", "docs", "articles", "paragraphs"),
    ),
    "options": (
        *("options", "choices", "answer_options", "answer_choices", "option_list", "multiple_choice_options", "endings"),
        *(name for names in LETTERED for name in names),
    ),
    "tools": ("tools", "functions", "available_tools", "tool_list", "tool_definitions", "tool_schemas", "function_list", "toolset"),
    "reasoning": REASONING,
    "history": ("history", "chat_history", "conversation_history", "dialogue_history", "dialog_history", "previous_turns", "earlier_turns"),
    "weights": (*WEIGHTS, "weights", "loss_weights", "sample_weight", "example_weight", *LISTS, "mask", "masks", *MASKED),
}
"""Part of a conversation → the fields that hold it."""
_SETS: Final = {part: frozenset(names) for part, names in NAMES.items()}
SEVERAL: Final = frozenset({"contexts", "passages", "documents", "docs", "articles", "paragraphs", "story", "ctx"})
"""Fields that are a context where they hold a text or texts, and else another thing, which is not read."""
PERHAPS_OPTIONS: Final = frozenset({"answer_choices", "endings", "option_list"})
"""The same of options."""
WEIGHT_NAMES: Final = frozenset(NAMES["weights"])
MASKS: Final = frozenset(MASKED)
"""Fields of the row that say that no turn is trained on where they are true."""
SCALARS: Final = frozenset({"weight", "weights", "sample_weight", "example_weight", "loss_weight"})
"""Fields of weights of which 0 means that no turn is trained on, and another number is not read."""
ONE_TURN: Final = frozenset(NAMES)
"""What is read beside an instruction and a response."""
TURN_LISTS: Final = frozenset({"system", "context", "options", "tools", "reasoning", "weights"})
"""What is read beside a list of turns."""
SYSTEM: Final = frozenset({"system", "developer"})
"""Roles of a system text."""
LABELS: Final = ("label", "key", "letter", "id")
"""Names of an option's letter."""
TURN_OF_TEXT: Final = frozenset({"role", "text", "content", "parts"})
"""Fields of an object that is a turn and holds a text, as some have a system text."""
OPTION_TEXTS: Final = ("text", "value", "content", "option")
"""Names of its text."""


@cache
def _left(parts: frozenset[str], fields_read: tuple[str, ...]) -> frozenset[str]:
    """The fields of a row that are still to be looked at: most rows have none."""
    return names_of(parts).union(MEDIA).difference(fields_read)


def names_of(parts: Iterable[str], row: Fields | None = None) -> frozenset[str]:
    """The fields of parts of a conversation; of a row only those that are read there: a weight of the row itself is not."""
    names = frozenset(name for part in parts for name in NAMES[part])
    if row is None:
        return names
    present = names.intersection(row)
    return (
        present
        - {
            name
            for name in present
            if (name in WEIGHT_NAMES and "weights" in parts and not _is_read(name, listed(row[name])))
            or (name in SEVERAL and _context(row[name]) is None)
            or (name in PERHAPS_OPTIONS and not _options(row[name], name, lenient=True))
            or (name in _SETS["history"] and _earlier(row[name]) is None and listed(row[name]) not in ([], ""))
        }
        - _lone_letters(row, present)
    )


def _lone_letters(row: Fields, present: frozenset[str]) -> frozenset[str]:
    """The columns of options that are none: one alone, or one that holds no text."""
    lone: set[str] = set()
    for names in LETTERED:
        if not present.isdisjoint(names) and not _in_columns(row, names):
            lone.update(names)
    return frozenset(lone)


def _in_columns(row: Fields, names: Sequence[str]) -> list[str]:
    """The options of columns that are named after letters or numbers in their order, two or more; none where it is not so."""
    texts = [row[name] for name in names if row.get(name) not in (None, "")]
    is_whole = len(texts) > 1 and all(isinstance(text, str) for text in texts) and all(name in row for name in names[: len(texts)])
    if not is_whole:
        return []
    return [_line(name[-1].upper(), text, name) for name, text in zip(names, texts, strict=False)]


def _context(value: Any) -> list[str] | None:
    """A text, or the texts of a list; None for what is neither."""
    entries = listed(value)
    entries = entries if isinstance(entries, list) else [value]
    return entries if entries and all(isinstance(entry, str) for entry in entries) else None


def _earlier(value: Any) -> list[Any] | None:
    """The turns of a history, as objects with a role or as pairs of texts; None for what is another thing."""
    entries = turn_list(value)
    if not isinstance(entries, list) or not entries:
        return None
    return entries if all(map(is_turn, entries)) or pairs(entries) is not None else None


def _is_read(name: str, value: Any) -> bool:
    """Whether a field of weights is a list of them, or says of the whole row whether it is trained on."""
    if isinstance(value, bool):
        return True
    return name not in MASKS and (isinstance(value, list) or (name in SCALARS and value in (0, 1, "0", "1")))


def _is_off(name: str, value: Any) -> bool:
    """Whether a field of weights says that no turn of the row is trained on."""
    if isinstance(value, bool):
        return value is (name in MASKS)
    return name in SCALARS and value in (0, "0")


def add(
    conversations: list[Conversation],
    row: Fields,
    parts: frozenset[str],
    fields_read: Sequence[str],
    roles: Mapping[str, str] | None = None,
) -> list[Conversation]:
    """The conversations of a row with what stands beside them.

    Args:
        conversations: of the row, by its format.
        row: as the file has it.
        parts: those of NAMES that the format leaves to this function.
        fields_read: the fields that it has read itself.
        roles: the spellings of roles.

    Raises:
        RowFault: a field holds what cannot be read.
    """
    left = _left(parts, tuple(fields_read))
    if left.isdisjoint(row):
        return conversations
    unread = {name: row[name] for name in left.intersection(row)}
    is_chat = "input" not in parts
    _refuse_media(unread, conversations)
    fields = {part: _values(part, unread, row) for part in parts if not _SETS[part].isdisjoint(unread)}
    fields = {part: values for part, values in fields.items() if any(value is not None and value != "" for value in values.values())}
    if not fields:
        return conversations
    weighted = [_reweighted(conversation, fields.get("weights", {})) for conversation in conversations]
    tools = next((Json.of(value) for value in fields.get("tools", {}).values() if value), None)
    reasoning: Fields = {name: value for name, value in fields.get("reasoning", {}).items() if not is_switch(value)}
    if is_chat:
        weighted, reasoning = thought_through(weighted, reasoning)
    thoughts = reasoning_of(reasoning, "the row") if reasoning else None
    read = under(weighted, fields, thoughts, lenient=is_chat)
    for name, value in fields.get("history", {}).items():
        read = after(read, value, name, roles)
    return read if tools is None else [replace(conversation, tools=conversation.tools or tools) for conversation in read]


def _values(part: str, unread: Fields, row: Fields) -> dict[str, Any]:
    """The fields of a part of a conversation, in their order; without those that hold another thing, and with columns of options in one."""
    values = {name: unread[name] for name in NAMES[part] if name in unread}
    if part == "context":
        return {name: value for name, value in values.items() if name not in SEVERAL or _context(value) is not None}
    if part == "history":
        return {name: value for name, value in values.items() if _earlier(value) is not None}
    if part == "options":
        for names in LETTERED:
            if not values.keys().isdisjoint(names):
                values = {name: value for name, value in values.items() if name not in names}
                if lines := _in_columns(row, names):
                    values[names[0]] = lines
        return {name: value for name, value in values.items() if name not in PERHAPS_OPTIONS or _options(value, name, lenient=True)}
    return values


def thought_through(conversations: Sequence[Conversation], reasoning: Fields) -> tuple[list[Conversation], Fields]:
    """Conversations with a list of as many reasonings as the model has turns, one each; and what is left for the response.

    What is neither a text nor a list of texts is no reasoning beside a list of turns: settings stand there, too. The JSON text of a list
    is that list where it has a text for each of several turns; else it is a text.
    """
    texts = {name: entries for name, value in reasoning.items() if (entries := _reasonings(value)) is not None}
    for name, entries in texts.items():
        if isinstance(entries, list) and all(len(entries) == len(_answers(conversation)) > 1 for conversation in conversations):
            return [_with_thoughts(conversation, entries) for conversation in conversations], {}
        if isinstance(reasoning[name], str):
            texts[name] = reasoning[name]
        elif isinstance(entries, list):
            texts[name] = [entry for entry in entries if entry]
    return list(conversations), texts


def _reasonings(value: Any) -> str | list[str | None] | None:
    """A text, or the texts of a list, also of objects with a text or as JSON; None for what is neither."""
    entries = listed(value)
    if isinstance(entries, list):
        texts = [None if entry is None or entry == {"text": None} else _thought(entry) for entry in entries]
        if all(isinstance(text, str | None) for text in texts):
            return texts
    return value if isinstance(value, str) else thought_of(value) if isinstance(value, Mapping) else None


def _thought(entry: Any) -> Any:
    """The text of an entry of a list; what is none, where it has no text, so that it is none."""
    text = thought_of(entry)
    return entry if text is None else text


def _answers(conversation: Conversation) -> list[int]:
    return [number for number, turn in enumerate(conversation.messages) if turn.role == "assistant"]


def _with_thoughts(conversation: Conversation, thoughts: Sequence[str | None]) -> Conversation:
    turns = list(conversation.messages)
    for number, thought in zip(_answers(conversation), thoughts, strict=True):
        turns[number] = _thinking(turns[number], thought)
    return replace(conversation, messages=tuple(turns))


def _thinking(turn: Message, thought: str | None) -> Message:
    """A turn with its reasoning, unless it has some of its own, or the same stands in its text."""
    if not thought or turn.reasoning is not None or (thought.strip() and thought.strip() in turn.content):
        return turn
    return replace(turn, reasoning=thought)


def under(
    conversations: Sequence[Conversation], fields: Mapping[str, Fields], thoughts: str | None = None, *, lenient: bool = False
) -> list[Conversation]:
    """Conversations with a system text first, a context under the first turn of the user, options under the question of the response.

    Args:
        conversations: of a row.
        fields: part of a conversation → field → value, for system, input, context and options.
        thoughts: the reasoning of the response.
        lenient: whether a context or options that are no texts are passed over.

    Raises:
        RowFault: a field holds what cannot be read, or there is no turn that it belongs to.
    """
    system = "\n".join(_texts(fields.get("system", {}), lenient=False))
    context = [*_texts(fields.get("input", {}), lenient=lenient), *_texts(fields.get("context", {}), lenient=lenient)]
    options = [line for name, value in fields.get("options", {}).items() for line in _options(value, name, lenient=lenient)]
    return [
        replace(conversation, messages=tuple(_turns(conversation.messages, system, context, options, thoughts)))
        for conversation in conversations
    ]


def after(conversations: Sequence[Conversation], value: Any, field: str, roles: Mapping[str, str] | None) -> list[Conversation]:
    """Conversations with the turns of a history before their own, behind a system text.

    Raises:
        RowFault: a turn is not what it should be, or the history has another system text.
    """
    earlier = chat(value, field=field, roles=roles)
    return [
        replace(conversation, messages=_after(earlier.messages, conversation.messages), tools=conversation.tools or earlier.tools)
        for conversation in conversations
    ]


def _after(earlier: Sequence[Message], turns: Sequence[Message]) -> tuple[Message, ...]:
    if not earlier or not turns or turns[0].role not in SYSTEM:
        return (*earlier, *turns)
    if earlier[0].role in SYSTEM and earlier[0].content.strip() != turns[0].content.strip():
        raise RowFault("two_system_texts", "the row has a system text and its history begins with another one")
    return (turns[0], *(earlier[1:] if earlier[0].role in SYSTEM else earlier), *turns[1:])


def _reweighted(conversation: Conversation, weights: Fields) -> Conversation:
    turns = list(conversation.messages)
    for name, value in weights.items():
        turns = _weighted(turns, name, value)
    return replace(conversation, messages=tuple(turns)) if weights else conversation


def _turns(messages: Sequence[Message], system: str, context: Sequence[str], options: Sequence[str], thoughts: str | None) -> list[Message]:
    turns = list(messages)
    answer = next((i for i in range(len(turns) - 1, -1, -1) if turns[i].is_trained), None)
    if answer is not None:
        turns[answer] = _thinking(turns[answer], thoughts)
    user_turns = [i for i, turn in enumerate(turns[: len(turns) if answer is None else answer]) if turn.role == "user"]
    before = "\n".join(turn.content for turn in turns[: len(turns) if answer is None else answer])
    missing = [line for line in context if not _stands_in(line, before)]
    if options and not all(_stands_in(line, before) for line in options):
        missing.append("\n".join(options))
    if missing and not user_turns:
        raise RowFault("missing_field", "the row has a context or options, and no turn of the user that they belong to")
    for line in missing:
        # A context is there from the beginning on; options are those of the question that the response answers.
        place = user_turns[-1] if options and line is missing[-1] and line not in context else user_turns[0]
        turns[place] = _under(turns[place], line)
    if not system:
        return turns
    if turns and turns[0].role in SYSTEM:
        if turns[0].content.strip() != system.strip():
            raise RowFault("two_system_texts", "the row has a system text and its first turn is another one")
        return turns
    return [Message("system", system), *turns]


def _stands_in(line: str, texts: str) -> bool:
    """Whether a text is among others already, not as a part of a word."""
    return line in texts and re.search(rf"(?<!\w){re.escape(line)}(?!\w)", texts) is not None


def _under(turn: Message, line: str) -> Message:
    """A turn with a text below its own, after a line break."""
    if turn.parts:
        return replace(turn, content=f"{turn.content}\n{line}", parts=(*turn.parts, line))
    return replace(turn, content=f"{turn.content}\n{line}" if turn.content else line)


def _weighted(turns: list[Message], name: str, value: Any) -> list[Message]:
    """Turns with the weights of a row's list: one for each turn, or for each turn of the model; or none trained on, where one value says so."""
    values = listed(value)
    if not isinstance(values, list):
        return [replace(turn, weight=0.0) if turn.role == "assistant" else turn for turn in turns] if _is_off(name, values) else turns
    if name in MASKS:
        return turns
    answers = [number for number, turn in enumerate(turns) if turn.role == "assistant"]
    places = list(range(len(turns))) if len(values) == len(turns) else answers
    if len(values) != len(places):
        raise RowFault("bad_weight", f"'{name}' holds {len(values):,} values for {len(turns):,} turns")
    for number, entry in zip(places, values, strict=True):
        if entry is not None and turns[number].weight != 0:
            turns[number] = replace(turns[number], weight=weight(entry, name, "the row"))
    return turns


NAMES_MEDIA: Final = re.compile(
    r"(?i)^(?:https?|file|s3|gs|hf|data):|\.(?:png|jpe?g|gif|webp|bmp|tiff?|svg|avif|heic|mp4|webm|mov|avi|mkv|wav|mp3|flac|ogg|opus|m4a)\b"
)
"""A text that leads to a picture, a film or a sound."""


def _refuse_media(fields: Fields, conversations: Sequence[Conversation]) -> None:
    """Refuse a row that is about images, sound or video.

    A column of bytes counts where a turn has a mark for it; else it is a column that is not read. Bytes of Parquet that are UTF-8 come
    as a text, which counts by itself where it names a file or an address.
    """
    for name in MEDIA:
        value = fields.get(name)
        if not value:
            continue
        if (
            isinstance(value, list | Mapping)
            or (isinstance(value, str) and NAMES_MEDIA.search(value[:4096]))
            or any(f"<{name.rstrip('s')}>" in turn.content for conversation in conversations for turn in conversation.messages)
        ):
            raise RowFault("not_text", f"'{name}' holds {kind(value)}: the row is about more than text")


def _texts(fields: Fields, *, lenient: bool) -> list[str]:
    """The texts of fields, each a text, or a list of texts or of parts of a content that are texts."""
    texts: list[str] = []
    for name, value in fields.items():
        entries = listed(value)
        if entries is None:
            continue
        if isinstance(entries, Mapping) and entries.keys() <= TURN_OF_TEXT:
            entries = entries.get("parts") or [entries.get("text") or entries.get("content")]
        if isinstance(entries, list):
            entries = [entry.get("text") if isinstance(entry, Mapping) and _is_text_part(entry) else entry for entry in entries]
        entries = entries if isinstance(entries, list) and entries and all(isinstance(entry, str) for entry in entries) else [value]
        if all(isinstance(entry, str) for entry in entries):
            texts.extend(entry for entry in entries if isinstance(entry, str) and entry)
        elif not lenient and value != []:
            raise RowFault("not_text", f"'{name}' holds {kind(value)} where a text belongs")
    return texts


def _is_text_part(entry: Any) -> bool:
    """Whether an entry of a list is a part that is a text, and nothing besides."""
    return isinstance(entry, Mapping) and (entry.get("type") == "text" or entry.keys() == {"text"})


def _options(value: Any, name: str, *, lenient: bool) -> list[str]:
    """The lines of the options of a question: texts as they are; those with letters as `A. copper`."""
    try:
        return _lettered(listed(value), name)
    except RowFault:
        if lenient:
            return []
        raise


def _lettered(value: Any, name: str) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, Mapping):
        texts = next((value[key] for key in ("text", "texts") if isinstance(value.get(key), list)), None)
        letters = next((value[key] for key in ("label", "labels") if isinstance(value.get(key), list)), None)
        if texts is not None and (letters is None or len(letters) == len(texts)):
            return [_line(None if letters is None else letters[i], text, name) for i, text in enumerate(texts)]
        return [_line(letter, text, name) for letter, text in value.items() if text is not None]
    if not isinstance(value, list):
        raise RowFault("not_text", f"'{name}' holds {kind(value)} where options belong")
    lines: list[str] = []
    for entry in value:
        if isinstance(entry, Mapping):
            text_key = next((key for key in OPTION_TEXTS if isinstance(entry.get(key), str)), None)
            letter = next((entry[key] for key in LABELS if isinstance(entry.get(key), str)), None)
            lines.append(_line(letter, None if text_key is None else entry[text_key], name))
        else:
            lines.append(_line(None, entry, name))
    return lines


def _line(letter: Any, text: Any, name: str) -> str:
    if not isinstance(text, str) or not (letter is None or isinstance(letter, str)):
        raise RowFault("not_text", f"'{name}' holds an option that is no text")
    return text if letter is None or text.startswith(f"{letter}.") else f"{letter}. {text}"


__all__ = ["NAMES", "ONE_TURN", "TURN_LISTS", "add", "after", "names_of", "thought_through", "under"]
