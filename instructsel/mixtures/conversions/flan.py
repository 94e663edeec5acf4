"""FLAN v2 by its portions, and its chain-of-thought part without and with examples in the prompt."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Final

from instructsel.errors import UsageError
from instructsel.mixtures.conversions._base import Conversion, Converted, InputRow, Outcome, digest, exchange
from instructsel.pool.formats._base import text
from instructsel.pool.formats.flan import Flan

PORTIONS: Final[Mapping[str, Fraction]] = {
    **{f"flan_{shots}{options}": Fraction(10, 100) for shots in ("zs", "fs") for options in ("opt", "noopt")},
    **{f"t0_{shots}{options}": Fraction(8, 100) for shots in ("zs", "fs") for options in ("opt", "noopt")},
    **{f"niv2_{shots}opt": Fraction(10, 100) for shots in ("zs", "fs")},
    **{f"cot_{shots}opt": Fraction(25, 1000) for shots in ("zs", "fs")},
    **{f"dialog_{shots}opt": Fraction(15, 1000) for shots in ("zs", "fs")},
}
"""File of the collection → its share of the sample. Source: Longpre et al. 2023; open-instruct."""
FILE: Final = re.compile(r"(?P<part>flan|t0|niv2|cot|dialog)_(?P<shots>zs|fs)_?(?P<options>noopt|opt)(?![a-z])")
"""In the name of a file: flan_zs_opt_train, flan_zsopt, …"""
LACKING: Final = ("t0_fsopt", "t0_fsnoopt")
"""A file that the Hub's copies lack, and the one whose share is as much more then, as in the original."""
TSV: Final = ("question", "answer", "rationale")
"""Columns of the tables that FLAN's chain-of-thought part is made of."""


def prompt_of(inputs: str) -> str:
    """A prompt as the original writes it: with a new line behind it, unless it ends in one or, blanks aside, in a colon.

    >>> prompt_of("How many?"), prompt_of("A: "), prompt_of("So\\n")
    ('How many?\\n', 'A: ', 'So\\n')
    """
    return inputs if inputs.endswith("\n") or inputs.rstrip().endswith(":") else f"{inputs}\n"


def pair_of(fields: Mapping[str, Any]) -> tuple[str, str]:
    """Prompt and response of a row: FLAN's, or question, answer and rationale of a table.

    Raises:
        RowFault: a field is missing or no text.
    """
    if "inputs" not in fields and all(name in fields for name in TSV):
        question, answer, rationale = (text(fields, name) for name in TSV)
        return question, f"{rationale} The answer is {answer}."
    user, model = Flan().conversations(fields)[0].messages
    return user.content, model.content


@dataclass(frozen=True)
class Sampled(Conversion):
    """Rows of `inputs` and `targets`."""

    def content(self, row: InputRow) -> bytes:
        """Prompt and response."""
        return digest(list(pair_of(row.fields)))

    def convert(self, row: InputRow, occurrence: int) -> Outcome:
        """One conversation."""
        inputs, targets = pair_of(row.fields)
        return Outcome((Converted(self.content(row).hex(), exchange(prompt_of(inputs), targets)),))


@dataclass(frozen=True)
class FlanV2(Sampled):
    """FLAN v2: all rows of a sample, or so many of the collection's files by their portions."""

    rows: int | None = None
    """Rows in all; None takes every row of the files, which are a sample then."""

    name: ClassVar[str] = "flan_v2"

    def group(self, row: InputRow) -> str | None:
        """The portion that the name of the file says."""
        if self.rows is None:
            return None
        match = FILE.search(row.file.lower())
        portion = f"{match['part']}_{match['shots']}{match['options']}" if match else ""
        if portion not in PORTIONS:
            raise UsageError(
                f"The file {row.file} is none of those that FLAN is sampled from by portions: its name holds none of {', '.join(PORTIONS)}.",
                fix="Name the files as the collection does, or leave --rows out to take every row.",
            )
        return portion

    def quotas(self, groups: Mapping[str, int]) -> Mapping[str, int]:
        """The whole number below share × rows, for each file."""
        if self.rows is None:
            return {}
        shares = dict(PORTIONS)
        absent, instead = LACKING
        if absent not in groups and instead in groups:
            shares[instead] += shares.pop(absent)
        return {portion: int(share * self.rows) for portion, share in shares.items()}


@dataclass(frozen=True)
class ChainOfThought(Sampled):
    """The chain-of-thought part of FLAN v2: files with `fs` in their names hold prompts with examples, others prompts without."""

    zero_shot: int = 50_000
    """Most rows without examples in the prompt."""
    few_shot: int = 50_000
    """Most rows with."""

    name: ClassVar[str] = "cot"

    def group(self, row: InputRow) -> str | None:
        """Whether the name of the file says that its prompts hold examples."""
        return "few_shot" if re.search(r"(?<![a-z])fs_?(no)?opt|few_?shot", row.file.lower()) else "zero_shot"

    def quotas(self, groups: Mapping[str, int]) -> Mapping[str, int]:
        """As the settings say."""
        return {"zero_shot": self.zero_shot, "few_shot": self.few_shot}
