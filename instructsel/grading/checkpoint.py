"""A model that was not trained here, as a checkpoint to grade."""

from __future__ import annotations

from typing import Final

from instructsel.errors import ModelUnavailable
from instructsel.models.load import locate_language_model
from instructsel.protocols import Checkpoint

NEEDED_BY: Final = "grading"


def checkpoint_of(name: str, revision: str | None = None) -> Checkpoint:
    """A model that was not trained here, as a checkpoint to grade; an adapter is merged into its base first.

    Args:
        name: a local folder or a hub id.
        revision: a hub revision.

    Returns:
        A checkpoint that `discard` leaves where it is; its record has the model's name and revision, and an adapter's base.

    Raises:
        ModelUnavailable: it is neither on this machine nor on the hub, or it is a tokenizer without weights.
        UntrustedModel: only pickled weights.
        ModelRefused: an adapter that cannot be merged into its base.
    """
    source = locate_language_model(name, revision=revision, needed_by=NEEDED_BY)
    if not source.weights:
        raise ModelUnavailable(f"{source.name} has a tokenizer and no weights.", fix="Name the folder that holds the model's files.")
    record = {"name": source.name, "revision": source.revision}
    if source.adapter_of is not None:
        record["adapter_of"] = source.adapter_of
    return Checkpoint(source.folder, source.digest, record=record)


__all__ = ["checkpoint_of"]
