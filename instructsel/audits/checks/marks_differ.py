"""Generation marks that cover other tokens than the responses and their ends."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import Pooled, Seen, TemplateCheck
from instructsel.audits.subject import Subject


class MarksDiffer(TemplateCheck):
    """Generation marks that cover other tokens than the responses and their ends."""

    kind: ClassVar[str] = "marks-differ"
    severity: ClassVar[str] = "info"
    unit: ClassVar[str] = "template"
    cause: ClassVar[str] = (
        "The template's generation marks cover other tokens than the responses with their ends of turn: with "
        "assistant_only_loss TRL trains on what is marked, instructsel on the responses."
    )
    fix: ClassVar[str] = "Put the marks around the response and its end of turn, and nothing else."

    def see(self, subject: Subject, pooled: Pooled) -> Seen | None:
        """What is wrong; None where nothing is."""
        ours, marked = subject.marks_differ
        if not ours and not marked:
            return None
        only = [
            f"{name}: {subject.named(tuple(dict.fromkeys(tokens)))}"
            for name, tokens in (("not marked", ours), ("marked beside them", marked))
            if tokens
        ]
        # The line break behind an end of turn, or a header of reasoning, changes little; the prompt, or a part of a response, much.
        is_alarm = subject.settings.loss == "assistant" and (subject.marks_prompt or not subject.marks_whole)
        return Seen(detail="; ".join(only), severity="warning" if is_alarm else None)


__all__ = ["MarksDiffer"]
