"""Items of evaluation sets, and where they come from: files of questions, pools of any format, tasks of lm-evaluation-harness.

A file is read row by row by the names of its fields, of which the usual ones are known: `question`, `instruction`, `prompt`, `problem`,
`turns`, …; beside it `answer`, `output`, `target`, …; `passage`, `context`, …; `choices`, `options`, or a field a choice. A row of which
no field is known is read as a pool's row is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from instructsel.errors import InstructselError, PoolError, UsageError
from instructsel.pool.example import Example
from instructsel.pool.lines import Limits
from instructsel.pool.message import ANSWERS
from instructsel.pool.naming import expanded
from instructsel.pool.pool import Pool
from instructsel.pool.sources import label_of, open_source

QUESTION: Final = "question"
ANSWER: Final = "answer"
PASSAGE: Final = "passage"
CHOICES: Final = "choices"
PROMPT: Final = "prompt"
"""The question with its passage and its choices, where the question alone says too little."""
PARTS: Final = (QUESTION, ANSWER, PASSAGE, CHOICES, PROMPT)

LM_EVAL: Final = "lm-eval:"
"""How a task of lm-evaluation-harness is named."""
INDEX_SUFFIX: Final = ".index"

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    QUESTION: (
        "question",
        "instruction",
        "prompt",
        "problem",
        "query",
        "turns",
        "questions",
        "task_prompt",
        "user_prompt",
        "conversations",
        "ctx",
        "goal",
        "sentence",
        "text",
        "input",
    ),
    ANSWER: (
        *("answer", "answers", "output", "outputs", "response", "target", "targets", "solution", "canonical_solution", "completion"),
        *("reference", "references", "reference_answer", "correct_answer", "best answer", "best_answer", "label_text", "chosen"),
    ),
    PASSAGE: ("passage", "context", "article", "story", "paragraph", "document", "input"),
    CHOICES: ("choices", "options", "endings", "mc1_targets", "choice", "candidates", "opa", "a"),
}
"""Part → the fields that hold it, the first that a row has; small letters. A field is one part only."""
LETTERED: Final = ("a", "b", "c", "d", "e")
"""Fields of a choice each."""
DEPTH: Final = 3
MOST_CHARACTERS: Final = 1 << 16
"""Of a part; an item that is longer is known by its beginning."""


@dataclass(frozen=True, slots=True)
class Item:
    """An item of an evaluation set."""

    number: int
    """In its set: the line of its file, or its number in the task from 1."""
    questions: tuple[str, ...]
    """What is asked: one text, or the user's turns. Each is looked for."""
    answers: tuple[str, ...] = ()
    passage: str = ""
    choices: tuple[str, ...] = ()


def items_of(name: str, *, include_path: str | Path | None = None) -> Iterator[Item]:
    """The items of a set.

    Args:
        name: a file, a folder of files, or `lm-eval:TASK`.
        include_path: a folder with own tasks.

    Raises:
        UsageError: no such task.
        PoolError: a file, or a row of it, cannot be read, or none of its rows is an item.
        EnvironmentFault: the data of a task are not on this machine.
        MissingExtra: the harness is not installed.
    """
    if name.startswith(LM_EVAL):
        yield from _of_task(name.removeprefix(LM_EVAL), include_path)
        return
    number = 0
    entries = expanded(name).entries
    for entry in entries:
        for item in _of_file(entry.path, entry.name):
            number = number + 1 if len(entries) > 1 else item.number
            yield Item(number, item.questions, item.answers, item.passage, item.choices)


def set_name(name: str) -> str:
    """What findings call a set: a task as it is named, a file without folder and extensions."""
    return name if name.startswith(LM_EVAL) else label_of(name)


def item_of(row: Mapping[str, Any], number: int) -> Item | None:
    """The item of a row, by the names of its fields; None where no field is known as a question.

    >>> item_of({"question": "Who?", "choices": ["Ann", "Bo"], "answer": 1}, 1)
    Item(number=1, questions=('Who?',), answers=('Bo',), passage='', choices=('Ann', 'Bo'))
    """
    fields = {key.strip().lower(): value for key, value in row.items() if isinstance(key, str)}
    name = next((key for key in FIELDS[QUESTION] if key in fields and _texts(fields[key])), None)
    if name is None:
        return None
    questions = _texts(fields[name])
    passage = next((texts for key in FIELDS[PASSAGE] if key in fields and key != name and (texts := _texts(fields[key]))), [])
    listed: list[str] = next(
        (texts for key in FIELDS[CHOICES] if key in fields and key not in LETTERED and (texts := _choices(fields[key]))), []
    )
    if not listed and all(isinstance(fields.get(letter), str) for letter in LETTERED[:2]):
        listed = [text for letter in LETTERED if isinstance(text := fields.get(letter), str)]
    answers: list[str] = []
    for key in FIELDS[ANSWER]:
        if key not in fields:
            continue
        value = fields[key]
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(listed):
            answers = [listed[value]]
        elif isinstance(value, str) and len(value.strip()) == 1 and value.strip().lower() in LETTERED[: len(listed)]:
            answers = [listed[LETTERED.index(value.strip().lower())]]
        else:
            answers = _texts(value)
        if answers:
            break
    instances = fields.get("instances")
    if isinstance(instances, list) and not answers:
        # Self-Instruct's layout: an input and an output each.
        inner = [instance for instance in instances if isinstance(instance, Mapping)]
        passage = passage or [text for instance in inner for text in _texts(instance.get("input"))][:1]
        answers = [text for instance in inner for text in _texts(instance.get("output"))]
    return Item(
        number,
        tuple(text[:MOST_CHARACTERS] for text in questions),
        tuple(text[:MOST_CHARACTERS] for text in dict.fromkeys(answers)),
        "\n".join(passage)[:MOST_CHARACTERS],
        tuple(text[:MOST_CHARACTERS] for text in listed),
    )


def _of_file(path: str | Path, name: str) -> Iterator[Item]:
    source = open_source(path, Limits(), name=name)
    pool: list[int] = []
    others: list[int] = []
    n_items = 0
    try:
        for row, value in source.rows():
            if row.fault is not None:
                # Its item would be looked for nowhere, and rows that hold it would pass.
                raise PoolError(
                    f"{name}, line {row.line:,}: the row of the evaluation set cannot be read: {row.fault.detail}.",
                    fix="Mend the row, or take it out of the set.",
                )
            if isinstance(value, Mapping):
                item = _of_turns(value, row.line) or item_of(value, row.line)
                if item is None:
                    pool.append(row.line)
                else:
                    n_items += 1
                    yield item
            else:
                others.append(row.line)
    finally:
        source.file.close()
    if pool and not n_items:
        # Of no field that is known: what a pool is made of.
        yield from _of_pool(path)
    elif n_items:
        # Rows in which nothing is asked are items that nobody can look for, and are counted as those.
        yield from (Item(line, ()) for line in sorted([*pool, *others]))


def _of_turns(row: Mapping[str, Any], number: int) -> Item | None:
    """A row that holds a conversation; None where it holds none."""
    if not any(isinstance(row.get(key), list) and row[key] and isinstance(row[key][0], Mapping) for key in ("messages", "conversations")):
        return None
    try:
        examples = list(Pool.of([dict(row)]).examples())
    except InstructselError:
        return None
    return _of_example(examples[-1], number) if examples else None


def _of_pool(path: str | Path) -> Iterator[Item]:
    pool = Pool.read(path)
    lines = pool.places["line"].to_list()
    for line, example in sorted(zip(lines, pool.examples(), strict=True), key=lambda pair: pair[0]):
        yield _of_example(example, line)


def _of_example(example: Example, number: int) -> Item:
    turns = example.messages[: example.last_answer]
    questions = [
        turn.text[:MOST_CHARACTERS] for turn in turns if turn.role not in ("system", "developer", "tool") and turn.role not in ANSWERS
    ]
    return Item(number, tuple(questions), (example.response[:MOST_CHARACTERS],))


def _of_task(task: str, include_path: str | Path | None) -> Iterator[Item]:
    """The documents of a task, by their own fields and as the task asks them."""
    # Of the harness's graders the one that runs no code that models write.
    from instructsel.adapters.lm_eval.gold import GoldBits

    documents = GoldBits(task, include_path=include_path).documents
    number = 0
    with documents.read() as leaves:
        for _, every in leaves:
            for document in every:
                number += 1
                item = item_of(document.fields, number)
                questions = item.questions if item is not None else (document.question[:MOST_CHARACTERS],)
                passage, choices = (item.passage, item.choices) if item is not None else ("", ())
                yield Item(number, questions, document.answers, passage, choices)


def _texts(value: Any, depth: int = 0) -> list[str]:
    """The texts of a field: of a list all, of an object those of its values."""
    if isinstance(value, str):
        return [value] if value.strip() else []
    if isinstance(value, bool) or value is None:
        return []
    if isinstance(value, (int, float)):
        return [str(value)]
    if depth < DEPTH and isinstance(value, Mapping):
        return [text for part in value.values() for text in _texts(part, depth + 1)]
    if depth < DEPTH and isinstance(value, Sequence):
        return [text for part in value for text in _texts(part, depth + 1)]
    return []


def _choices(value: Any) -> list[str]:
    """The texts of a list of choices, also of {"text": […], "label": […]} and {"choices": […]}."""
    if isinstance(value, Mapping):
        value = value.get("text", value.get("choices"))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [text for part in value for text in _texts(part)]
    return []


def check_name(name: str) -> None:
    """Refuse what names no set.

    Raises:
        UsageError: it is empty, or a task without a name.
    """
    if not name.removeprefix(LM_EVAL).strip():
        raise UsageError(f"{name!r} names no evaluation set.", fix="For example: gsm8k_test.jsonl, evals.index, or lm-eval:gsm8k")


__all__ = [
    "ANSWER",
    "CHOICES",
    "LM_EVAL",
    "PARTS",
    "PASSAGE",
    "PROMPT",
    "QUESTION",
    "Item",
    "check_name",
    "item_of",
    "items_of",
    "set_name",
]
