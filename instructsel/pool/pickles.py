"""`datasets` without the one decoder of its that unpickles: members of tar archives that end in .pth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from instructsel.extras import require


@contextmanager
def no_pickles(needed_by: str) -> Iterator[None]:
    """A block in which `datasets` refuses what it would read with torch.load, which can run code.

    Args:
        needed_by: what the user asked for, where datasets is not installed.
    """
    library = require("datasets.packaged_modules.webdataset.webdataset", needed_by=needed_by).WebDataset
    decoders = library.DECODERS
    library.DECODERS = {**decoders, "pth": _refuse, "pt": _refuse}
    try:
        yield
    finally:
        library.DECODERS = decoders


def _refuse(content: bytes) -> object:
    raise ValueError("an archive holds .pth files, which can run code when they are read; write them as JSON or text")


__all__ = ["no_pickles"]
