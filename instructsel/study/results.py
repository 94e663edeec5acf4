"""What a study, a size search or an effect matrix left on disk, by its path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from instructsel.artifact import checked_version
from instructsel.errors import ScoresError
from instructsel.rules.observations import Observations
from instructsel.structured import Refusal, read_json
from instructsel.study.shape import CurveRecord, EffectsRecord
from instructsel.study.size_search import CONFIGURATION, read_search
from instructsel.study.study import Study


def read_study(path: str | Path) -> Study | Observations:
    """A study's observations: of a .parquet, or of a .csv, whose columns come back as numbers.

    Raises:
        StudyError, ObservationsError: missing, damaged, no observations, or of a newer release.
    """
    target = Path(path)
    return Observations.read(target) if target.suffix == ".csv" else Study.read(target)


def read_plan(path: str | Path) -> Study:
    """The study whose plan.json stands at the path.

    Raises:
        StudyError: it has no observations yet, or they are damaged.
    """
    return Study.read(Path(path).parent)


def read_size_search(path: str | Path) -> Mapping[str, Any]:
    """A size search as plain data: of its folder's search.json, or of the JSON that `study size` printed.

    Raises:
        ScoresError: no size is finished, or the data is not of a size search.
    """
    target = Path(path)
    if target.name == CONFIGURATION:
        return read_search(target.parent)
    refusal = Refusal(ScoresError, "Give the folder of the size search.", noun="the curve of a size search")
    content: dict[str, Any] = checked_version(read_json(target, CurveRecord, refusal), target)
    return content


def read_effects(path: str | Path) -> Mapping[str, Any]:
    """An effect matrix as plain data, as `study effects --json` printed it.

    Raises:
        ScoresError: the data is not of an effect matrix, or of a newer release.
    """
    refusal = Refusal(ScoresError, "Give what instructsel study effects wrote, or the folder of the study.", noun="an effect matrix")
    content: dict[str, Any] = checked_version(read_json(Path(path), EffectsRecord, refusal), path)
    return content


__all__ = ["read_effects", "read_plan", "read_size_search", "read_study"]
