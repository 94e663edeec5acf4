"""The flags of a fine-tune that several commands share, and what of a recipe they change."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from instructsel.commands import _options as options
from instructsel.errors import UsageError

BITS: Final = {"none": None, "8": 8, "4": 4}

Preset = Annotated[str, typer.Option(help="paper-v1, paper-v2, tulu-7b, or tiny for a base of a few million parameters.")]
Epochs = Annotated[float | None, typer.Option(help="Passes over the rows.")]
Steps = Annotated[int | None, typer.Option(help="Optimizer steps instead of epochs: the same for sets of any size.")]
Tokens = Annotated[int | None, typer.Option(help="Tokens seen instead of epochs: the same for sets of any length.")]
Method = Annotated[str | None, typer.Option(help="full or lora.")]
Bits = Annotated[str | None, typer.Option(help="The base in 8 or 4 (NF4) bits, or none. lora only.")]
LearningRate = Annotated[float | None, typer.Option(help="Learning rate.")]
BatchSize = Annotated[int | None, typer.Option(help="Rows of an optimizer step.")]
MaxLength = Annotated[int | None, typer.Option(help="Tokens of a row; the rest is cut off and counted.")]
Revision = Annotated[str | None, typer.Option(help="Revision of the base on the hub.")]
Precision = Annotated[str, typer.Option(help="fp32, bf16 or auto.")]
MaxSkippedFraction = Annotated[float, typer.Option(help="Share of rows that may have no loss token.")]
Device = options.Device


def changes(*, method: str | None, bits: str | None, **others: Any) -> dict[str, Any]:
    """What of a recipe was given by flag, by the recipe's names; None was not given.

    Raises:
        UsageError: bits that are none of 8, 4, none.
    """
    if bits is not None and bits not in BITS:
        raise UsageError(f"--bits is 8, 4 or none, not '{bits}'.")
    found: dict[str, Any] = {name: value for name, value in others.items() if value is not None}
    if method is not None:
        found["method"] = method
    if bits is not None or method == "full":
        # A preset's 8 bits go with its LoRA.
        found["bits"] = BITS[bits or "none"]
    return found
