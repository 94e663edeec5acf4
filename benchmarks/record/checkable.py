"""Instructions with rules that a program can check: a grader of the share of rules that a model's answer keeps.

The instructions and rules are those of IFEval (Zhou et al. 2023, arXiv:2311.07911), of which the rules are taken whose check needs no language
model, word list or further data, and prompts all of whose rules are among these. Checks are written from the rules' descriptions; strict,
without the loose variants of the paper.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from instructsel import Checkpoint, Grades
from instructsel.artifact import fingerprint
from instructsel.grading.generation import Generator

Arguments = Mapping[str, Any]
Rule = Callable[[str, Arguments], bool]


def _compared(count: int, arguments: Arguments, limit: str, relation: str = "relation") -> bool:
    """Whether a count keeps a limit: `at least` or `less than`."""
    return count >= arguments[limit] if arguments[relation] == "at least" else count < arguments[limit]


def _counted(text: str, word: str) -> int:
    return len(re.findall(rf"\b{re.escape(word)}\b", text, flags=re.IGNORECASE))


def _is_json(text: str) -> bool:
    bare = re.sub(r"^```(json)?|```$", "", text.strip(), flags=re.IGNORECASE).strip()
    try:
        json.loads(bare)
    except ValueError:
        return False
    return True


RULES: Final[Mapping[str, Rule]] = {
    "punctuation:no_comma": lambda text, _: "," not in text,
    "length_constraints:number_words": lambda text, given: _compared(len(re.findall(r"\w+", text)), given, "num_words"),
    "keywords:forbidden_words": lambda text, given: not any(_counted(text, word) for word in given["forbidden_words"]),
    "keywords:existence": lambda text, given: all(word.lower() in text.lower() for word in given["keywords"]),
    "keywords:frequency": lambda text, given: _compared(text.lower().count(given["keyword"].lower()), given, "frequency"),
    "keywords:letter_frequency": lambda text, given: _compared(
        text.lower().count(given["letter"].lower()), given, "let_frequency", "let_relation"
    ),
    "detectable_format:number_highlighted_sections": lambda text, given: (
        sum(bool(part.strip("* \n")) for part in re.findall(r"\*[^\n*]+\*", text)) >= given["num_highlights"]
    ),
    "detectable_format:title": lambda text, _: re.search(r"<<[^\n>]+>>", text) is not None,
    "detectable_format:json_format": lambda text, _: _is_json(text),
    "detectable_format:number_bullet_lists": lambda text, given: (
        len(re.findall(r"^\s*(?:\*(?!\*)|-)\s*\S", text, flags=re.MULTILINE)) == given["num_bullets"]
    ),
    "detectable_format:constrained_response": lambda text, _: any(
        answer in text for answer in ("My answer is yes.", "My answer is no.", "My answer is maybe.")
    ),
    "detectable_content:number_placeholders": lambda text, given: len(re.findall(r"\[.*?\]", text)) >= given["num_placeholders"],
    "detectable_content:postscript": lambda text, given: (
        given["postscript_marker"].lower().replace(" ", "") in text.lower().replace(" ", "")
    ),
    "startend:quotation": lambda text, _: len(text.strip()) > 1 and text.strip()[0] == text.strip()[-1] == '"',
    "startend:end_checker": lambda text, given: text.strip().strip('"').lower().endswith(given["end_phrase"].strip().lower()),
    "combination:two_responses": lambda text, _: (
        len({part.strip() for part in text.split("******") if part.strip()})
        == 2
        == sum(bool(part.strip()) for part in text.split("******"))
    ),
    "combination:repeat_prompt": lambda text, given: text.strip().lower().startswith(given["prompt_to_repeat"].strip().lower()),
}
"""Rule → whether a text keeps it, given the rule's arguments."""


def checkable(rows: Sequence[Mapping[str, Any]], tokens: int) -> list[Mapping[str, Any]]:
    """Those rows of IFEval all of whose rules are here and can be kept within so many tokens."""
    return [
        row
        for row in rows
        if all(name in RULES for name in row["instruction_id_list"])
        and not any(
            arguments.get("relation") == "at least" and (arguments.get("num_words") or 0) > tokens // 2 for arguments in row["kwargs"]
        )
    ]


@dataclass(frozen=True, eq=False)
class Checkable:
    """A grader: the share of an instruction's rules that the model's answer keeps, instruction by instruction."""

    rows: Sequence[Mapping[str, Any]] = field(repr=False)
    generator: Generator
    name: str = "checkable"

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """The rows, and how answers are written."""
        return {"kind": "checkable", "version": 1, "rows": fingerprint(self.rows), "generator": self.generator.fingerprint}

    def grade(self, checkpoint: Checkpoint) -> Grades:
        """Answers, and what they keep; an answer that could not be written has the generator's reason."""
        prompts = [row["prompt"] for row in self.rows]
        outputs = self.generator.outputs(checkpoint, prompts)
        texts = [text or "" for text in outputs.texts]
        values = [
            sum(bool(text.strip()) and RULES[name](text, arguments) for name, arguments in zip(row["instruction_id_list"], row["kwargs"], strict=True))
            / len(row["instruction_id_list"])
            for row, text in zip(self.rows, texts, strict=True)
        ]  # fmt: skip
        reasons = tuple(outputs.reasons)
        return Grades(
            self.name,
            tuple(str(row["key"]) for row in self.rows),
            np.array([0.0 if reason else value for value, reason in zip(values, reasons, strict=True)]),
            np.ones(len(values)),
            reasons if any(reasons) else (),
            unit="share of rules kept",
            higher_is_better=True,
        )
