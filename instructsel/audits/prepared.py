"""Examples as a trainer prepares them: TRL's tokens and loss tokens, or those of instructsel's own training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from instructsel.audits.subject import Subject
from instructsel.grading.chat import Encoded, messages, tools
from instructsel.grading.regions import Span, Turns, overlaps
from instructsel.grading.tulu import TULU_1
from instructsel.pool.example import Example
from instructsel.rendering import Job, Marked, Refused

NO_RESPONSE = "no_response"
NOT_A_PREFIX = "not_a_prefix"
REFUSED = "template_refused"


@dataclass(frozen=True)
class Prepared:
    """An example as a trainer prepares it, nothing cut off."""

    turns: Turns
    """What is rendered: role and content, up to the last response."""
    text: str | None
    """The rendered conversation; None where the template refuses it."""
    encoded: Encoded
    """The trainer's tokens and loss tokens."""
    prompt: tuple[int, ...] | None
    """Tokens of what the last response answers; None where there is nothing before it, or the template refuses it."""
    fault: str | None
    """Why instructsel would train nothing on it, whatever the trainer does: `Encoded.reason`."""


@dataclass(frozen=True)
class _Rendered:
    """A conversation as the template writes it."""

    turns: Turns
    text: str | None
    marks: tuple[Span, ...]
    """What the template marks as generated."""
    prompt: str | None


def prepare(examples: Sequence[Example], subject: Subject) -> list[Prepared]:
    """Examples as the trainer of the settings prepares them.

    TRL's preparation (trl 1.16, `SFTTrainer._prepare_dataset`): a special token that a text spells out is read as the token; the loss
    falls on what follows the tokens that prompt and conversation have in common (completion), on what the template marks as generated
    (assistant), or on everything (all). Without marks, which TRL refuses, the loss falls on the responses and their ends of turn.
    """
    loss = subject.settings.loss
    # TRL has no such mask: it takes tokens and labels that are handed over.
    is_trl = subject.settings.trainer == "trl" and loss != TULU_1
    with_marks = is_trl and loss == "assistant" and subject.marks is not None
    own = list(subject.template.encode_all(examples, loss=loss))
    rendered = _render(examples, subject, with_marks=with_marks)
    prompts = iter(_tokens([row.prompt for row in rendered if row.prompt is not None], subject))
    prompt_tokens = [None if row.prompt is None else tuple(next(prompts)) for row in rendered]
    if not is_trl:
        return [
            Prepared(row.turns, None if encoded.reason == REFUSED else row.text, encoded, prompt, encoded.reason)
            for row, encoded, prompt in zip(rendered, own, prompt_tokens, strict=True)
        ]
    plain = _plain_tokens(rendered, own, subject, with_offsets=with_marks)
    result: list[Prepared] = []
    for row, encoded, prompt, (ids, offsets) in zip(rendered, own, prompt_tokens, plain, strict=True):
        fault, text = encoded.reason, row.text
        if text is None or fault == REFUSED:
            result.append(Prepared(row.turns, None, encoded, prompt, REFUSED))
            continue
        if loss == "all":
            mask = [True] * len(ids)
        elif with_marks:
            mask = [overlaps(place, row.marks) for place in offsets]
        elif loss == "completion" and prompt is not None:
            shared = _common(prompt, ids)
            mask = [number >= shared for number in range(len(ids))]
        elif ids == encoded.ids:
            mask = encoded.loss_mask
        else:
            # What TRL refuses as well: no marks, or no prompt.
            result.append(Prepared(row.turns, text, encoded, prompt, fault))
            continue
        if with_marks and fault == NOT_A_PREFIX:
            fault = None
        closing = sum(mask[len(ids) - _closing(encoded, ids, subject) :])
        reason = None if any(mask[1:]) else "no_loss_token"
        result.append(
            Prepared(row.turns, text, Encoded(ids, mask, closing, truncated=False, reason=reason, control=encoded.control), prompt, fault)
        )
    return result


def _render(examples: Sequence[Example], subject: Subject, *, with_marks: bool) -> list[_Rendered]:
    """Conversations and what their last responses answer, as text."""
    renderer = subject.template.renderer
    whole: Sequence[str | Marked | Refused]
    conversations = [messages(example) for example in examples]
    listed = [tools(example) for example in examples]
    jobs = [Job(turns, tools=known) for turns, known in zip(conversations, listed, strict=True)]
    whole = renderer.render_marked(jobs) if with_marks else renderer.render(jobs)
    with_prompt = [len(turns) > 1 and subject.settings.loss != "all" for turns in conversations]
    prompts = iter(
        renderer.render(
            Job(turns[:-1], generation=True, tools=known)
            for turns, known, is_asked in zip(conversations, listed, with_prompt, strict=True)
            if is_asked
        )
    )
    rendered: list[_Rendered] = []
    for turns, text, is_asked in zip(conversations, whole, with_prompt, strict=True):
        prompt = next(prompts) if is_asked else None
        marks = text.spans if isinstance(text, Marked) else ()
        content = text.text if isinstance(text, Marked) else None if isinstance(text, Refused) else text
        rendered.append(_Rendered(turns, content, marks, prompt if isinstance(prompt, str) else None))
    return rendered


def _tokens(texts: Sequence[str], subject: Subject) -> list[list[int]]:
    """Tokens of texts, special tokens read as such and none added."""
    return [ids for ids, _ in subject.template.all_tokens(texts)]


def _plain_tokens(
    rendered: Sequence[_Rendered], own: Sequence[Encoded], subject: Subject, *, with_offsets: bool
) -> list[tuple[list[int], list[Span]]]:
    """The tokens of each text as TRL reads it, with their places where they are asked for."""
    # Without a special token in its text a conversation has the same tokens either way.
    is_known = [bool(encoded.ids) and not encoded.control and not with_offsets for encoded in own]
    texts = [row.text for row, known in zip(rendered, is_known, strict=True) if not known and row.text is not None]
    fresh = ((ids, places if with_offsets else []) for ids, places in subject.template.all_tokens(texts))
    return [
        (encoded.ids, []) if known else ([], []) if row.text is None else next(fresh)
        for row, encoded, known in zip(rendered, own, is_known, strict=True)
    ]


def _common(prompt: Sequence[int], ids: Sequence[int]) -> int:
    """How many tokens both begin with."""
    for number, (first, second) in enumerate(zip(prompt, ids, strict=False)):
        if first != second:
            return number
    return min(len(prompt), len(ids))


def _closing(encoded: Encoded, ids: Sequence[int], subject: Subject) -> int:
    """How many tokens at the end close the turn."""
    if encoded.ids:
        # A special token that is spelled out changes nothing behind the response.
        return min(encoded.end, len(ids))
    end = subject.end or ()
    return len(end) if end and tuple(ids[len(ids) - len(end) :]) == tuple(end) else 0


__all__ = ["Prepared", "prepare"]
