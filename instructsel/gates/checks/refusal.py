"""Responses that refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Final

from instructsel.experiments.limits import between
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.checks.self_reference import is_dialogue, spoken
from instructsel.gates.wording.evading import ABOUT_A_TEXT, LONGEST, evades
from instructsel.gates.wording.phrases import Held, folded
from instructsel.gates.wording.refusal_phrases import ABROAD, ANYWHERE, CLOSING, OPENING, SHORT
from instructsel.gates.wording.sieve import sieve_of_answers
from instructsel.gates.wording.texts import answers, around
from instructsel.gates.wording.tool_limits import of_tools

WORDS: Final = frozenset(word for phrases in (OPENING, ANYWHERE, SHORT, ABROAD) for word in phrases.words)
"""Those of all phrases; a closing's are an opening's."""
FIRST: Final = 260
"""Characters of a response in which an opening stands."""
LAST: Final = 260
"""Characters at its end in which a closing stands."""
A_SHORT: Final = 200
"""Characters of a response that is short."""
END_OF_SENTENCE: Final = re.compile(r"[.!?][\"')\]]{0,2}\s+|\n\s*")
LETTER: Final = re.compile(r"^\W{0,3}(?:subject|dear|hi|hello|hey|to whom|re)\b", re.IGNORECASE)
"""How letters begin: what they refuse is no refusal of the prompt."""
ENDS: Final = 400
"""Characters of a prompt at either end."""
A_LINE: Final = 120
"""Characters."""
TO_REFUSE: Final = ("refus", "declin", "apolog", "reject", "turn down", "excuse", "customer")
"""What a prompt asks for whose answer may be a refusal of a line; the last is who hears it."""
OWN: Final = re.compile(
    r"\b(?:help|assist|comply|fulfil|provide|answer|request)|(?:ayud|aider|helfen|aiut|ajud|helpen|yardım|pomóc|помо|回答|帮|応え|手伝|도와|مساعد|giúp|membantu)"
)
"""What a model says that does not help."""
REQUEST: Final = re.compile(r"\b(?:help|assist)(?: you)? with (?:that|this|your) request\b")
"""What nobody but a model says, wherever it stands."""
LINE: Final = re.compile(r"(?:^|\n)[ \t*>-]{0,4}\w[\w .'-]{0,24}:\**[ \t]*(?:[^\n.!?]{0,40}[.!?,] )?[^\n.!?:]{0,30}$")
"""What stands before the first words of somebody in a play."""
ASKED_TO_REFUSE: Final = re.compile(
    r"(?:writ|draft|compos|creat|generat|mak|repl|respon|prepar|rewrit|rephras|translat|say|classif|edit|correct|identif)[^\n]{0,80}"
    r"(?:refus|declin|apolog|reject|turn(?:s|ing)? down|excuse)"
)
"""A prompt whose answer refuses because it was asked to."""
BEGINNING: Final = 40
SENTENCE: Final = 60
"""Characters at the beginning, and behind a phrase, that are looked at."""
ASKED_FOR: Final = (
    "letter",
    "email",
    "e-mail",
    "message to",
    "reply to",
    "respond to the",
    "refus",
    "decline",
    "apolog",
    "reject",
    "turn down",
    "excuse",
    "customer",
)
"""What a prompt asks for whose answer may refuse on behalf of somebody."""


@dataclass(frozen=True)
class Refusal(RowCheck):
    """Responses that refuse, or that say they cannot do what is asked.

    English and thirty other languages. Letters, and what somebody says in a story, are none, nor is what a model with tools says of what
    these cannot do.
    """

    number: ClassVar[str] = "IS012"
    kind: ClassVar[str] = "refusal"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = (
        "Taori et al. 2023, Alpaca; Röttger et al. 2024, arXiv:2308.01263: refusals in training data make models refuse more"
    )
    fix: ClassVar[str] = "Answer the prompt, or take the row out; keep refusals that are meant with a waiver or a max_rate."
    of_row: ClassVar[bool] = True

    max_characters: int = field(default=0, metadata=between(0, 1 << 40))
    """Only responses up to so long count as refusals; 0 where their length does not matter."""

    def hits(self, change: Change) -> Iterator[Hit]:
        """The first refusal of each answer."""
        sieve = sieve_of_answers(change)
        likely = sieve.holding(OPENING.words, first=FIRST, any_case=True) | sieve.holding(CLOSING.words, last=LAST, any_case=True)
        likely |= sieve.holding(ANYWHERE.words, any_case=True) | sieve.holding((*SHORT.words, *ABROAD.words), first=A_SHORT, any_case=True)
        held_by_likely = iter(sieve.held(WORDS, likely))
        for answer, is_likely in zip(answers(change), likely.tolist(), strict=True):
            held = next(held_by_likely) if is_likely else None
            if self.max_characters and len(answer.text) > self.max_characters:
                continue
            if is_likely:
                place = refused(answer.text, answer.prompt, held)
            elif len(answer.text) <= LONGEST and evades(folded(answer.text), answer.prompt):
                place = (0, len(answer.text))
            else:
                continue
            if place is not None and not of_tools(folded(answer.text), place[0], change.rows[answer.position].example):
                yield answer.hit(f"{answer.name} refuses.", value=float(place[0]), evidence=around(answer.text, *place))


def refused(text: str, prompt: str = "", held: Held = None) -> tuple[int, int] | None:
    """Where a response refuses; None where it does not.

    Args:
        text: the response.
        prompt: what it answers.
        held: of WORDS those that the response holds, where they are known.

    >>> refused("I'm sorry, but I can't help with that.")
    (4, 22)
    """
    low = folded(text)
    places = OPENING.places(low[:FIRST], held) or ANYWHERE.places(low, held) or _closing(low, held)
    places = places or (_of_short(low, prompt, held) if len(low) <= A_SHORT else [])
    if not places:
        return (0, len(text)) if evades(low, prompt) else None
    question, is_letter = folded(prompt), LETTER.search(low[:40])
    # What is asked for stands at the beginning or at the end: a passage in between asks for nothing.
    asking = f"{question[:ENDS]}\n{question[-ENDS:]}"
    # A letter has more than a line.
    wanted = any(words in asking for words in (ASKED_FOR if len(text) >= A_LINE else TO_REFUSE))
    for start, end in places:
        if low[start:end] in question or _is_quoted(low, start):
            continue
        if REQUEST.search(low[start : end + SENTENCE]):
            # What nobody but a model says is no part of a letter or a list; it may be a line of a play, or what a reply was asked to say.
            is_line = LINE.search(low[max(0, start - A_LINE) : start]) and is_dialogue(prompt.lower(), low)
            # A letter ends with a greeting: what refuses behind all else is none of it.
            if not is_line and (not ASKED_TO_REFUSE.search(asking) or (start > A_LINE and len(low) - end < SENTENCE)):
                return start, end
            continue
        if is_letter or spoken(prompt, low, start):
            continue
        # On behalf of somebody: what a letter of apology says is what it was asked to say. A refusal to help is nobody's letter.
        is_own = start < BEGINNING and OWN.search(low[start : end + SENTENCE])
        if not wanted or (is_own and not ASKED_TO_REFUSE.search(asking)):
            return start, end
    return None


def _of_short(low: str, prompt: str, held: Held) -> list[tuple[int, int]]:
    """Where a short response refuses."""
    return SHORT.places(low, held) or ([] if ABOUT_A_TEXT.search(prompt.lower()) else ABROAD.places(low, held))


def _closing(low: str, held: Held) -> list[tuple[int, int]]:
    """Where the last sentences refuse; of none is the beginning cut off."""
    first = max(0, len(low) - LAST)
    behind = END_OF_SENTENCE.search(low, first)
    first = first if not first or behind is None else behind.end()
    return [(start + first, end + first) for start, end in CLOSING.places(low[first:], held)]


def _is_quoted(low: str, start: int) -> bool:
    """Whether a place is between quotation marks on its line."""
    line = low[low.rfind("\n", 0, start) + 1 : start][-400:]
    last = line.rfind('"')
    # A mark that opens stands before a word and not behind one: where others are inches, or close what began on a line before, none is open.
    opens = line.count('"') % 2 == 1 and line[last + 1 : last + 2] != " " and not line[max(0, last - 1) : last].strip(" (*[{-—–:'")
    return opens or line.rfind("“") > line.rfind("”") or line.rfind("「") > line.rfind("」") or line.rfind("«") > line.rfind("»")
