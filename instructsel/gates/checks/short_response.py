"""Responses of a few characters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Final

from instructsel.experiments.limits import between
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.wording.texts import answers
from instructsel.pool.writing_systems import UNSEGMENTED
from instructsel.text import is_blank

NUMBER: Final = re.compile(r"[-+±~$€£¥#]?\s?\(?[\d٠-٩०-९]+(?:[.,:/][\d]+)*\)?\s?[%°‰²³]?[a-zA-Z]?\.?$")
OPTION: Final = re.compile(r"\(?[A-Za-z]\)?[.)]?$")
YES_OR_NO: Final = frozenset(
    [
        "yes",
        "no",
        "oui",
        "non",
        "ja",
        "nee",
        "nein",
        "sí",
        "si",
        "não",
        "sim",
        "да",
        "нет",
        "да.",
        "тak",
        "tak",
        "nie",
        "evet",
        "ano",
        "ne",
        "igen",
        "nem",
        "はい",
        "いいえ",
        "是",
        "否",
        "对",
        "错",
        "네",
        "예",
        "아니",
        "нi",
        "ні",
        "так",
        "true",
        "false",
        "ok",
    ]
)
LONG_FORM: Final = re.compile(
    r"^\W*(?:please |can you |could you )?(?:describe|explain|discuss|elaborate|outline|write (?:an?|the|some|me an?) (?:\w+ ){0,3}?"
    r"(?:essay|story|article|poem|paragraph|letter|speech|blog|report|description))\b|\bin (?:several|a few|two|three|\d) (?:sentences|paragraphs)\b",
    re.IGNORECASE,
)
"""What a prompt says that wants more than a word."""
IS_QUESTION: Final = re.compile(
    r"[?？؟;]|\b(?:is|are|was|were|does|do|did|can|will|should|has|have|true|false|yes|no|check|determine|classif\w+|decide|whether|if|ob|est-ce)\b|吗|か",
    re.IGNORECASE,
)
"""What a prompt has that yes or no may answer."""
ASKS_FOR_ONE: Final = re.compile(
    r"\b(?:options?|choices?|choose|select|pick|which|classif\w+|categor\w+|label|answer|letter|character|symbol|sign|grade|score|rate|rating|output|true or false|yes or no|"
    r"multiple|element|variable|operator|note|blood|vitamin|abbreviat\w+|code|acronym|initial|name|fill|blank|word|article|pronoun|preposition|what|who|how|value|result|"
    r"solve|find|identify|guess|detect|predict|determine|evaluate|convert|translate|unit|emoji|tell)\b|\?|？|____",
    re.IGNORECASE,
)
"""What a prompt says that a word or a letter may answer."""


@dataclass(frozen=True)
class ShortResponse(RowCheck):
    """Responses of fewer characters than there should be.

    Numbers, yes and no, and what the prompt offers or asks for as a word or a letter are none.
    """

    number: ClassVar[str] = "IS017"
    kind: ClassVar[str] = "short-response"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = "Zhao et al. 2024, arXiv:2402.04833: the shortest responses teach the least"
    fix: ClassVar[str] = "Write the answer out, or take the row out."

    min_characters: int = field(default=4, metadata=between(1, 1 << 40))
    """The fewest characters of an answer; one of a script without spaces counts for two."""
    strict: bool = False
    """Whether numbers, yes and no, and letters that the prompt asks for count, too."""

    def hits(self, change: Change) -> Iterator[Hit]:
        """Every answer that is shorter."""
        for answer in answers(change):
            length = len(answer.text)
            if length >= self.min_characters or answer.message.tool_calls or is_blank(answer.text):
                continue
            length += len(UNSEGMENTED.findall(answer.text))
            if length >= self.min_characters or (not self.strict and expected(answer.text, answer.prompt)):
                continue
            noun = "character" if len(answer.text) == 1 else "characters"
            yield answer.hit(f"{answer.name} has {len(answer.text)} {noun}.", value=float(len(answer.text)))


def expected(text: str, prompt: str) -> bool:
    """Whether a short answer is what its prompt asks for."""
    word = text.strip().rstrip(".!。").casefold()
    if NUMBER.match(text):
        return True
    if LONG_FORM.search(prompt) and not re.search("[?？؟]", prompt):
        return False
    if not word:
        return False
    if word in YES_OR_NO:
        return IS_QUESTION.search(prompt) is not None
    if OPTION.match(text) or len(word) <= 3:
        # An answer that the prompt has as a word of its own was offered there.
        return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", prompt.casefold()) is not None or bool(
            word and any(sign.isalnum() or ord(sign) > 0x2000 for sign in word) and ASKS_FOR_ONE.search(prompt)
        )
    return False
