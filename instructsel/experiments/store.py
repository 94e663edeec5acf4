"""Run records: checksummed files in the folder of an experiment, leased to one worker each."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson

from instructsel.artifact import SCHEMA_VERSION, atomic_write, dump_json, fingerprint, sweep
from instructsel.errors import EnvironmentFault
from instructsel.experiments.arms import Failure
from instructsel.experiments.leases import Claims
from instructsel.protocols import Grades

if TYPE_CHECKING:
    pass

KIND: Final = "graded run"


FAILED: Final = ".failed.json"


SAFE: Final = re.compile(r"[^A-Za-z0-9._+-]")


def slug(arm: str, draw: int, seed: int) -> str:
    """A file's name for a run, one to one.

    >>> slug("random", 2, 0)
    'random-draw2-seed0'
    """
    told = SAFE.sub("_", arm)[:60]
    mark = "" if told == arm else "-" + hashlib.blake2b(arm.encode(), digest_size=4).hexdigest()
    return f"{told}{mark}-draw{draw}-seed{seed}"


def sealed(key: str, about: Mapping[str, Any], grades: Grades, run: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a run's grades.

    Args:
        key: of all that they depend on.
        about: whose they are.
        grades: item by item.
        run: what differs from time to time, as seconds.
    """
    return {
        "kind": KIND,
        "schema_version": SCHEMA_VERSION,
        "key": key,
        **about,
        "items": list(grades.items),
        "values": grades.values.tolist(),
        "weight": grades.weights.tolist(),
        "reasons": list(grades.reasons),
        "unit": grades.unit,
        "higher_is_better": grades.higher_is_better,
        "truncated": grades.truncated,
        "run": {**run, "grader": _plain(grades.record)},
    }


def unsealed(name: str, record: Mapping[str, Any]) -> Grades:
    """The grades that were kept."""
    return Grades(
        grader=name,
        items=tuple(record["items"]),
        values=np.array(record["values"], dtype=np.float64),
        weights=np.array(record["weight"], dtype=np.float64),
        reasons=tuple(record["reasons"]),
        unit=record["unit"],
        higher_is_better=record["higher_is_better"],
        truncated=record["truncated"],
        record=record["run"].get("grader") or {},
    )


@dataclass(frozen=True)
class RunFolder:
    """Where grades are kept, each sealed in a file of its own that is named after what it depends on; None keeps nothing."""

    folder: Path | None
    """`runs` in the folder of a verification."""

    @classmethod
    def of(cls, folder: str | Path | None) -> RunFolder:
        """In the folder of a verification, made if need be.

        Raises:
            EnvironmentFault: it cannot be made.
        """
        if folder is None:
            return cls(None)
        runs = Path(folder) / "runs"
        try:
            runs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentFault(f"Cannot make the folder {runs}: {error.strerror or error}.", fix="Choose another with -o.") from error
        sweep(runs)
        return cls(runs)

    def claimed(self, slug: str) -> Any:
        """Whether a run is this worker's."""
        return nullcontext(True) if self.folder is None else Claims(self.folder).held(slug)

    def read(self, slug: str, key: str) -> dict[str, Any] | None:
        """The record of a run by one grader; None where there is none that is whole."""
        if self.folder is None:
            return None
        try:
            whole = orjson.loads((self.folder / f"{slug}.{key[:12]}.json").read_bytes())
        except (FileNotFoundError, orjson.JSONDecodeError):
            return None
        if not isinstance(whole, dict) or whole.pop("digest", None) != fingerprint(whole) or whole.get("key") != key:
            return None
        return whole

    def write(self, slug: str, record: Mapping[str, Any]) -> None:
        """Keep a record, sealed."""
        if self.folder is None:
            return
        with atomic_write(self.folder / f"{slug}.{record['key'][:12]}.json") as file:
            file.write(dump_json({**record, "digest": fingerprint(record)}) + b"\n")
        (self.folder / f"{slug}{FAILED}").unlink(missing_ok=True)

    def fail(self, slug: str, failure: Failure) -> None:
        """Keep why a run came to nothing."""
        if self.folder is not None:
            with atomic_write(self.folder / f"{slug}{FAILED}") as file:
                file.write(dump_json({"run": failure.run, "reason": failure.reason, "message": failure.message}, indent=True) + b"\n")


def _plain(value: Any) -> Any:
    """As JSON has it, so that what is read again is what was written."""
    return orjson.loads(dump_json(dict(value))) if value else {}
