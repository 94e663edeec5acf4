"""A baseline: what a pool was when changes to it began to be looked at, in one file without a text of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Required, Self, TypedDict

import orjson

from instructsel.artifact import atomic_write, dump_json
from instructsel.errors import BaselineError, UsageError
from instructsel.gates.baseline.base import Built, Order, Request
from instructsel.gates.baseline.identities import EXAMPLES, ROWS, Identities, IdentitiesShape
from instructsel.gates.baseline.registry import parts
from instructsel.gates.baseline.tensor_file import Array, TensorFile, digest_of, write_tensors
from instructsel.kinds import BASELINE, SCHEMA, head, newest_schema
from instructsel.pool.example import ID_RULE
from instructsel.pool.spec import Reading, RecordedReading
from instructsel.shapes import Count, Misfit, checked
from instructsel.structured import Refusal

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool

ENDING: Final = ".baseline"
MANIFEST: Final = "instructsel"
"""Where in the file's metadata the manifest stands."""
CHECKSUM: Final = "checksum"
"""Of the manifest and of the digests of all arrays."""
AGAIN: Final = "Make it again: instructsel gate baseline create POOL -o FILE"
REFUSAL: Final = Refusal(BaselineError, AGAIN, "a baseline")
IDENTITIES: Final = "identities"


class PartShape(TypedDict, total=False):
    """A part in a manifest."""

    version: Required[Count]
    about: Required[dict[str, Any]]


class ManifestShape(TypedDict, total=False):
    """The manifest."""

    kind: Required[str]
    schema: Required[Count]
    id_rule: Required[Count]
    pool: Required[str]
    reading: Required[RecordedReading]
    identities: Required[IdentitiesShape]
    parts: Required[dict[str, PartShape]]


@dataclass(frozen=True, eq=False)
class Baseline:
    """What a change is compared with. Make one with `create`, read one with `read`."""

    identities: Identities
    reading: Reading
    """How its pool was read."""
    about: Mapping[str, PartShape]
    """Its parts, with what their arrays are read by."""
    arrays: Mapping[str, Array] = field(default_factory=dict, repr=False)
    """PART/ARRAY → the array; of a file they are read when they are asked for."""
    file: TensorFile | None = field(default=None, repr=False)
    """Where it was read from."""

    def __len__(self) -> int:
        return len(self.identities)

    @classmethod
    def create(cls, pool: Pool, request: Request | None = None) -> Self:
        """Of a pool.

        Args:
            pool: its examples.
            request: what is put into it besides what every baseline has.

        Raises:
            MissingExtra: a part that is asked for needs a package.

        >>> Baseline.create(Pool.read("pool.jsonl")).write("pool.baseline")  # doctest: +SKIP
        """
        wanted = request or Request()
        identities, index = Identities.of(pool)
        return cls._built(pool.at(index), identities, {name: wanted for name, part in parts().items() if part.wanted(wanted)})

    @classmethod
    def _built(cls, ordered: Pool, identities: Identities, requests: Mapping[str, Request]) -> Self:
        about: dict[str, PartShape] = {}
        arrays: dict[str, Array] = {}
        for name, request in requests.items():
            if request.progress is not None:
                request.progress(name)
            built = parts()[name].build(ordered, request)
            about[name] = {"version": parts()[name].version, "about": dict(built.about)}
            arrays |= {f"{name}/{key}": array for key, array in built.arrays.items()}
        return cls(identities, ordered.spec.reading, about, arrays)

    def updated(self, pool: Pool, request: Request | None = None) -> Self:
        """With the files of a pool: new ones are added, those that it had under the same name are replaced.

        Equal, bit for bit, to a baseline of all files together.

        Raises:
            UsageError: the pool was read in another way, or a part needs what the request lacks.
            BaselineError: a part is of another release: the rest alone would be no baseline of all files.
        """
        others = [name for name in self.about if not self.has(name)]
        if others:
            raise BaselineError(f"The baseline's {' and '.join(others)} is of another release, and cannot be extended.", fix=AGAIN)
        if pool.spec.reading != self.reading:
            differing = [name for name, value in self.reading.as_dict().items() if pool.spec.reading.as_dict()[name] != value]
            raise UsageError(
                f"The baseline's pool was read with other options: {', '.join(differing)}.", fix="Read the new rows with the same options."
            )
        wanted = request or Request()
        identities, index = Identities.of(pool)
        requests = {name: parts()[name].request_of(self.about[name]["about"], wanted) for name in self.about if self.has(name)}
        other = self._built(pool.at(index), identities, requests)
        both, order = self.identities.merged(identities)
        return self._merged(other, both, order)

    def _merged(self, other: Self, identities: Identities, order: Order) -> Self:
        about: dict[str, PartShape] = {}
        arrays: dict[str, Array] = {}
        for name in other.about:
            built = parts()[name].merged(self.part(name), other.part(name), order)
            about[name] = {"version": parts()[name].version, "about": dict(built.about)}
            arrays |= {f"{name}/{key}": array for key, array in built.arrays.items()}
        return replace(self, identities=identities, about=about, arrays=arrays, file=None)

    def has(self, name: str) -> bool:
        """Whether it has a part that this release reads."""
        return name in self.about and name in parts() and self.about[name]["version"] == parts()[name].version

    def part(self, name: str) -> Built:
        """A part.

        Raises:
            BaselineError: it has none of this name and version, or the file is damaged there.
        """
        if not self.has(name):
            raise BaselineError(f"The baseline has no part {name}{self._other_version(name)}.", fix=AGAIN)
        keys = self.arrays if self.file is None else self.file.entries
        prefix = name + "/"
        names = [key.removeprefix(prefix) for key in keys if key.startswith(prefix)]
        return Built({key: self._array(prefix + key) for key in names}, self.about[name]["about"])

    def _other_version(self, name: str) -> str:
        return "" if name not in self.about or name not in parts() else f" of version {parts()[name].version}"

    def _array(self, name: str) -> Array:
        return self.arrays[name] if self.file is None else self.file.array(name)

    @cached_property
    def pool(self) -> str:
        """blake2b-128 over the examples and their rows, whatever their files are called."""
        identities = self.identities
        return digest_of(identities.content.astype("<u8").tobytes() + identities.raw.astype("<u8").tobytes())

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What it is: plain data."""
        return {
            **head(BASELINE),
            "id_rule": ID_RULE,
            "pool": self.pool,
            "reading": self.reading.as_dict(),
            "identities": self.identities.about,
            "parts": {name: dict(part) for name, part in self.about.items()},
        }

    @property
    def fingerprint(self) -> str:
        """The address of its content: the same for the same examples and parts."""
        return digest_of(
            dump_json({"manifest": self.manifest, "arrays": {name: digest_of(array.tobytes()) for name, array in self._all().items()}})
        )

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each part."""
        sizes: dict[str, int] = {}
        for name, array in self._all().items():
            part = name.partition("/")[0]
            sizes[part] = sizes.get(part, 0) + array.nbytes
        return sizes

    def _all(self) -> dict[str, Array]:
        names = self.arrays if self.file is None else [name for name in self.file.entries if not name.startswith(IDENTITIES + "/")]
        return {name: self._array(name) for name in names} | {
            f"{IDENTITIES}/{name}": array for name, array in self.identities.arrays.items()
        }

    def write(self, path: str | Path) -> None:
        """Write it, whole or not at all: the same baseline gives the same bytes.

        Raises:
            EnvironmentFault: it cannot be written.
        """
        text = dump_json(self.manifest).decode()
        with atomic_write(path) as file:
            write_tensors(file, self._all(), {MANIFEST: text, CHECKSUM: digest_of(text.encode())})

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read one. Parts are read, and compared with their digests, when they are asked for.

        Raises:
            BaselineError: it is missing, no baseline, damaged, of a newer release, or of another rule for ids.
        """
        file = TensorFile.open(path, REFUSAL)
        text = file.metadata.get(MANIFEST)
        if text is None:
            raise REFUSAL.of(path, "it holds arrays, and no manifest of instructsel")
        if digest_of(text.encode("utf-8", "surrogatepass")) != file.metadata.get(CHECKSUM):
            raise REFUSAL.of(path, "its manifest is damaged: the digest is another")
        try:
            manifest = orjson.loads(text)
            _check_version(manifest, path)
            checked(manifest, ManifestShape)
            arrays = {name: file.array(f"{IDENTITIES}/{name}") for name in EXAMPLES + ROWS}
            identities = Identities.stored(manifest["identities"], arrays)
        except (orjson.JSONDecodeError, Misfit, ValueError) as error:
            if isinstance(error, BaselineError):
                raise
            raise REFUSAL.of(path, str(error)) from error
        if manifest["id_rule"] != ID_RULE:
            raise BaselineError(f"{path} has ids of rule {manifest['id_rule']}; this release makes those of rule {ID_RULE}.", fix=AGAIN)
        return cls(identities, Reading.of(manifest["reading"]), manifest["parts"], {}, file)

    @classmethod
    def read_whole(cls, path: str | Path) -> Self:
        """Read one, and compare every part with its digest: one that no check asks for today is damaged for the next.

        Raises:
            BaselineError: as `read`, or a part is damaged.
        """
        baseline = cls.read(path)
        if baseline.file is not None:
            baseline.file.check_all()
        return baseline


def _check_version(manifest: Any, path: str | Path) -> None:
    """Refuse what is no baseline, or one of a newer release."""
    if not isinstance(manifest, dict) or manifest.get("kind") != BASELINE:
        raise REFUSAL.of(path, "its manifest is of another kind")
    schema = manifest.get(SCHEMA)
    if isinstance(schema, int) and schema > newest_schema(manifest):
        raise BaselineError(
            f"{path} was written by a newer instructsel (schema {schema}, this one reads {newest_schema(manifest)}).",
            fix="Upgrade with: pip install -U instructsel",
        )


def is_baseline(path: str | Path) -> bool:
    """Whether a file is a baseline, judged by its header."""
    try:
        return MANIFEST in TensorFile.open(path, REFUSAL).metadata
    except BaselineError:
        return False


__all__ = ["ENDING", "Baseline", "is_baseline"]
