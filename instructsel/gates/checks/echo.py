"""Responses that repeat the prompt."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Final

from instructsel.experiments.limits import between
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.wording.endings import ENDS, is_code
from instructsel.gates.wording.texts import answers

SHINGLE: Final = 5
"""Words of a shingle."""
LENGTHS: Final = 1.6
"""How many times as long as one another prompt and answer may be, to be compared by words."""
HEAD: Final = 48
"""Characters at the beginning of a prompt, where it says what to do."""
LABEL: Final = re.compile(r"\s*(?:question|q|prompt|instruction|input|user|human|task|problem|query)\s*[:.]\s+", re.IGNORECASE)
"""What may stand in front of a prompt that is told again."""
LEAST_SAME: Final = (3, 12)
"""Words and characters of a question that is the whole of its answer."""
COMMENT: Final = frozenset("#/\"'*-<;")
"""How code begins that says what it is for."""
WORD: Final = re.compile(r"\w+")
ASCII_WORDS: Final = bytes(ord(chr(code).lower() if WORD.match(chr(code)) else " ") for code in range(128)) + bytes(128)
"""Of ASCII what WORD finds, in small letters, with spaces between."""


@dataclass(frozen=True)
class Echo(RowCheck):
    """Responses that repeat the prompt, whole or nearly so, or that begin with all of it.

    A choice among options and a quotation from a passage are no repetition, nor is a text that the prompt wants back.
    """

    number: ClassVar[str] = "IS015"
    kind: ClassVar[str] = "echo"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = "Wang et al. 2023, arXiv:2212.10560 (Self-Instruct): instances whose output repeats the input are taken out"
    fix: ClassVar[str] = "Take the prompt out of the response, or take the row out."
    of_row: ClassVar[bool] = True

    min_share: float = field(default=0.9, metadata=between(0.5, 1))
    """How much of prompt and answer has to be common, by groups of five words or by characters."""
    min_characters: int = field(default=24, metadata=between(1, 1 << 40))
    """Shorter answers are not looked at."""

    def hits(self, change: Change) -> Iterator[Hit]:
        """Every answer that is its prompt again."""
        for answer in answers(change):
            if len(answer.text) < self.min_characters or len(answer.prompt.strip()) < self.min_characters:
                if answer.prompt.rstrip().endswith("?") and _is_same(answer.text, answer.prompt):
                    yield answer.hit(f"{answer.name} repeats its prompt: 100% of it.", value=1.0)
                continue
            share = self.share(answer.text, answer.prompt)
            if share is not None:
                yield answer.hit(f"{answer.name} repeats its prompt: {share:.0%} of it.", value=share)

    def share(self, text: str, prompt: str) -> float | None:
        """How much of a prompt stands in an answer that repeats it; None for an answer of its own."""
        if not _may_hold(text, prompt):
            return None
        if label := LABEL.match(text):
            text = text[label.end() :]
        raw_text, raw_prompt = text, prompt
        text, prompt = _plain(text), _plain(prompt)
        # What repeats a prompt has its beginning.
        if not prompt or not text or prompt[:HEAD] not in text:
            return None
        short, long = sorted((len(text), len(prompt)))
        goes_on = text.startswith(prompt) and len(text) > len(prompt) > HEAD and raw_prompt.rstrip()[-1:] in ENDS
        if goes_on and not is_code(raw_prompt) and raw_text.lstrip()[:1] not in COMMENT:
            # Generators that give back prompt and continuation.
            return 1.0
        if long > LENGTHS * short:
            return None
        if (text in prompt or prompt in text) and short >= self.min_share * long:
            return short / long
        ours, theirs = _shingles(text), _shingles(prompt)
        if not ours or not theirs:
            return None
        common = len(ours & theirs) / max(len(ours), len(theirs))
        return common if common >= self.min_share else None


def _is_same(text: str, prompt: str) -> bool:
    """Whether an answer is a question of a few words, and nothing else."""
    label = LABEL.match(text)
    asked = _plain(prompt)
    return len(asked) >= LEAST_SAME[1] and asked.count(" ") + 1 >= LEAST_SAME[0] and _plain(text[label.end() :] if label else text) == asked


def _may_hold(text: str, prompt: str) -> bool:
    """Whether a text may hold the beginning of a prompt: it has the longest of its first words."""
    if not text.isascii() or not prompt.isascii():
        return True
    # The last one may be cut in two.
    words = WORD.findall(prompt[:HEAD])[:-1]
    return not words or max(words, key=len).lower() in text.lower()


def _plain(text: str) -> str:
    if text.isascii():
        return b" ".join(text.encode().translate(ASCII_WORDS).split()).decode()
    return " ".join(WORD.findall(text.casefold()))


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return set(zip(*(words[start:] for start in range(SHINGLE)), strict=False))
