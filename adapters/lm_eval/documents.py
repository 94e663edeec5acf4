"""The documents of a task as a model is asked them: what a contamination check compares with the rows to train on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from instructsel.adapters.lm_eval.gold import gold_answer
from instructsel.adapters.lm_eval.tasks import count
from instructsel.errors import UsageError
from instructsel.models.answers import first_line
from instructsel.pool.task_overlap import TaskDocument

SAMPLED: Final = 1000
"""Documents, spread over a task, that show what it writes around every question."""
ROLLING: Final = "loglikelihood_rolling"
DEPTH: Final = 4
"""Levels of a document's fields that are looked into."""


def leaf_documents(
    name: str, task: Any, *, limit: int | None = None, code: bool = False, positions: Sequence[int] | None = None
) -> Iterator[TaskDocument]:
    """The documents of a task that are graded, one at a time.

    Args:
        name: of the task.
        task: the harness's, with its data.
        limit: the first so many.
        code: whether the task runs code, so that its target is the tests.
        positions: of the documents that are graded, ascending; all by default.

    Raises:
        UsageError: a template of the task fails.
    """
    documents = task.eval_docs
    wanted = None if positions is None else frozenset(positions)
    n_documents = count(documents) if limit is None else min(limit, count(documents))
    for number, document in enumerate(documents):
        if number >= n_documents:
            return
        if wanted is not None and number not in wanted:
            continue
        yield _document(name, task, number, document, code=code)


def sampled(
    name: str, task: Any, *, limit: int | None = None, code: bool = False, positions: Sequence[int] | None = None
) -> list[TaskDocument]:
    """Some of these documents, spread over all of them; see `leaf_documents`."""
    if positions is not None:
        chosen = leaf_documents(name, task, code=code, positions=positions)
        return [document for document, _ in zip(chosen, range(SAMPLED), strict=False)]
    documents = task.eval_docs
    n_documents = count(documents) if limit is None else min(limit, count(documents))
    step = max(1, n_documents // SAMPLED)
    if step == 1 or not hasattr(documents, "__getitem__"):
        return [document for document, _ in zip(leaf_documents(name, task, limit=limit, code=code), range(SAMPLED), strict=False)]
    return [_document(name, task, number, documents[number], code=code) for number in range(0, n_documents, step)]


def _document(name: str, task: Any, number: int, document: Mapping[str, Any], *, code: bool) -> TaskDocument:
    try:
        question, answers = _asked(task, document, code=code)
    except Exception as error:  # a task's templates and code raise whatever they like
        raise UsageError(f"The harness cannot render document {number} of {name}: {first_line(error)}", fix="Mend its file.") from error
    fields = dict(_texts(document)) if isinstance(document, Mapping) else {}
    return TaskDocument(f"{name} doc {number}", question, tuple(dict.fromkeys(text for text in answers if text.strip())), fields)


def _asked(task: Any, document: Any, *, code: bool) -> tuple[str, list[str]]:
    """Question and right answers, by the requests that the harness would make without demonstrations."""
    several = bool(getattr(task, "multiple_input", False))
    prompt = list(task.doc_to_choice(document)) if several else task.doc_to_text(document)
    requests = task.construct_requests(doc=document, ctx=prompt, metadata=(None, 0, 1))
    instances = requests if isinstance(requests, list) else [requests]
    if task.OUTPUT_TYPE == ROLLING:
        return "", [str(instances[0].args[0])]
    answer = gold_answer(task, instances, chat=False, code=code)
    if isinstance(answer, str):
        return str(instances[0].args[0]), []
    question, first = answer
    others = [] if code else _others(task, document, several)
    return question, [first.strip(), *others, *(text for label in (first.strip(), *others) for text in _labelled(question, label))]


def _labelled(question: str, label: str) -> list[str]:
    """The choice behind a letter or number, where the question lists its choices."""
    label = label.strip("().: ")
    return re.findall(rf"(?m)^[ \t]*\(?{label}[.):][ \t]+(\S.*)$", question)[:1] if len(label) == 1 and label.isalnum() else []


def _others(task: Any, document: Any, several: bool) -> list[str]:
    """Further right answers: of a list of targets, and the text of a choice that is named by a letter."""
    gold = task.doc_to_text(document) if several else task.doc_to_target(document)
    others = [text for text in gold if isinstance(text, str)] if isinstance(gold, list | tuple) else []
    if getattr(getattr(task, "config", None), "doc_to_choice", None) is None or several:
        return others
    choices = list(task.doc_to_choice(document))
    positions = gold if isinstance(gold, list | tuple) else [gold]
    for entry in positions:
        position = choices.index(entry) if isinstance(entry, str) and entry in choices else entry
        if isinstance(position, int) and not isinstance(position, bool) and 0 <= position < len(choices):
            others += [str(choices[position])]
            others += [texts[position] for texts in _lists(document) if len(texts) == len(choices)]
    return others


def _texts(value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """The texts of a document by the names of their fields."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping) and depth < DEPTH:
        for key, part in value.items():
            yield from _texts(part, f"{name}.{key}" if name else str(key), depth + 1)


def _lists(value: Any, depth: int = 0) -> Iterator[Sequence[str]]:
    """The lists of texts of a document."""
    if isinstance(value, Mapping) and depth < DEPTH:
        for part in value.values():
            yield from _lists(part, depth + 1)
    elif isinstance(value, list | tuple) and value and all(isinstance(part, str) for part in value):
        yield value


__all__ = ["leaf_documents", "sampled"]
