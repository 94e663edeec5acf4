"""Data sets of the hub, or of a local folder of the same layout."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from instructsel.artifact import spool
from instructsel.errors import ModelUnavailable, PoolError
from instructsel.extras import require
from instructsel.pool.columnar import Temporary
from instructsel.pool.pickles import no_pickles

HUB: Final = re.compile(r"hf://(?P<name>[^:@]+?)(?::(?P<split>[\w.\[\]%:]+))?(?:@(?P<revision>[\w./-]+))?")


def fetch(name: str) -> tuple[str, Temporary]:
    """A data set of the hub, or of a local folder of the same layout, through `datasets`: its label, and a Parquet file of it."""
    match = HUB.fullmatch(name)
    if match is None:
        raise PoolError(
            f"{name} is not of the form hf://OWNER/NAME[/CONFIG][:SPLIT][@REVISION].",
            fix="For example hf://databricks/databricks-dolly-15k:train",
        )
    datasets = require("datasets", needed_by=name)
    place, split, revision = match["name"], match["split"] or "train", match["revision"]
    config: str | None = None
    if not place.startswith(("/", ".")) and place.count("/") >= 2:
        owner, repo, config = place.split("/", 2)
        place = f"{owner}/{repo}"
    handle, temporary = spool()
    os.close(handle)
    spooled = Temporary(Path(temporary))
    try:
        with no_pickles(name):
            datasets.load_dataset(place, config, split=split, revision=revision).to_parquet(temporary)
    except (ConnectionError, FileNotFoundError) as error:
        raise ModelUnavailable(
            f"{name} cannot be had: {str(error).splitlines()[0][:200]}", fix="Go online once, or name a local file."
        ) from error
    except (ValueError, RuntimeError, OSError) as error:
        raise PoolError(f"{name}: {str(error).splitlines()[0][:200]}", fix="Check the name, configuration, split and revision.") from error
    return Path(place).name, spooled


__all__ = ["fetch"]
