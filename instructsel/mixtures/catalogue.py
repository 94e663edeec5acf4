"""The open datasets that users mix: size, turns, lengths, licence, who wrote them, where they lie and how they are read.

One file a dataset, `datasets/KEY.toml`. What is not known of a dataset is None, and never guessed.

>>> entry("dolly").rows, entry("dolly").licence, entry("dolly").non_commercial
(15011, 'cc-by-sa-3.0', False)
>>> [dataset.key for dataset in of_mixture("human")]
['cot', 'flan_v2', 'dolly', 'oasst1']
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final, Literal, NotRequired, TypedDict, cast

from instructsel.errors import UsageError
from instructsel.structured import Refusal, parse_toml

SUFFIX: Final = ".toml"
GenerationKind = Literal["human", "model", "human-and-model", "nlp-datasets", "mixture"]
KINDS: Final[Mapping[str, str]] = {
    "human": "written by people",
    "model": "written by a model",
    "human-and-model": "prompts of people, responses of models",
    "nlp-datasets": "datasets of NLP tasks with instructions written by people",
    "mixture": "a mixture of several kinds",
}
"""Who wrote a dataset, in words."""


@dataclass(frozen=True)
class Source:
    """Where the original of a dataset lies."""

    host: Literal["hub", "github"]
    """The Hugging Face Hub, or GitHub."""
    address: str
    """OWNER/NAME there."""
    files: tuple[str, ...] = ()
    """Those that are read; all of the default configuration where none is named."""
    note: str = ""
    """What else there is to say of it, or ""."""

    @property
    def url(self) -> str:
        """What a browser opens."""
        return f"https://huggingface.co/datasets/{self.address}" if self.host == "hub" else f"https://github.com/{self.address}"


@dataclass(frozen=True)
class Dataset:
    """One dataset. Figures are those of the paper or card that is named; None where they are not known."""

    key: str
    """Its name here and in the code of the paper: `dolly`."""
    title: str
    """Its name for readers."""
    sources: tuple[Source, ...]
    """Where the original lies."""
    generation: str
    """Who wrote prompts and responses, in words."""
    generation_kind: GenerationKind
    """The same as one of `KINDS`."""
    format: str
    """The row format that reads the original, as `--format` names it."""
    fields: tuple[str, ...]
    """The fields of the original that are read."""
    rows: int | None = None
    """Examples, after the conversion of the original."""
    rounds: float | None = None
    """Mean number of exchanges of an example."""
    prompt_length: float | None = None
    """Mean tokens of a prompt, by LLaMA's tokenizer."""
    completion_length: float | None = None
    """Mean tokens of a response, by LLaMA's tokenizer."""
    licence: str | None = None
    """Of the data, as SPDX names it; a name of SPDX's form `LicenseRef-…` where SPDX has none."""
    licence_note: str = ""
    """Where that is stated, or what else holds; or ""."""
    non_commercial: bool | None = None
    """Whether the licence forbids commercial use; None where no licence is known."""
    conversion: str | None = None
    """The conversion of the original, as `instructsel datasets convert` names it; None where the row format alone reads it."""
    filters: tuple[str, ...] = ()
    """What the original conversion samples, leaves out or changes, a sentence each."""
    paper: str = ""
    """To cite; "" where there is none."""
    mixtures: tuple[str, ...] = ()
    """The mixtures of Wang et al. 2023 that have it: `human`, `human-gpt`."""
    notes: str = ""
    """What else a user should know, or ""."""
    order: int = 1_000
    """Its place in lists."""

    @property
    def hub(self) -> str | None:
        """The address that reads it without a flag, `hf://OWNER/NAME`; None where it does not lie on the Hub."""
        return next((f"hf://{source.address}" for source in self.sources if source.host == "hub"), None)


class _SourceTable(TypedDict):
    host: Literal["hub", "github"]
    address: str
    files: NotRequired[list[str]]
    note: NotRequired[str]


class _DatasetTable(TypedDict):
    key: str
    order: int
    title: str
    sources: list[_SourceTable]
    generation: str
    generation_kind: GenerationKind
    format: str
    fields: list[str]
    rows: NotRequired[int]
    rounds: NotRequired[float]
    prompt_length: NotRequired[float]
    completion_length: NotRequired[float]
    licence: NotRequired[str]
    licence_note: NotRequired[str]
    non_commercial: NotRequired[bool]
    conversion: NotRequired[str]
    filters: NotRequired[list[str]]
    paper: NotRequired[str]
    mixtures: NotRequired[list[str]]
    notes: NotRequired[str]


@cache
def catalogue() -> Mapping[str, Dataset]:
    """Key → dataset, in the order of lists: the twelve of the paper first.

    Raises:
        UsageError: a file of the catalogue is damaged.
    """
    folder = files("instructsel.mixtures") / "datasets"
    datasets = [_dataset(file.read_bytes(), file.name) for file in folder.iterdir() if file.name.endswith(SUFFIX)]
    return MappingProxyType({dataset.key: dataset for dataset in sorted(datasets, key=lambda dataset: (dataset.order, dataset.key))})


def entry(key: str) -> Dataset:
    """One dataset.

    Raises:
        UsageError: there is none of this key; the closest is named.
    """
    datasets = catalogue()
    if key not in datasets:
        raise UsageError.named(key, datasets, noun="dataset", where="in the catalogue")
    return datasets[key]


def of_mixture(name: str) -> tuple[Dataset, ...]:
    """The datasets of a mixture of the paper, in the order of lists.

    Raises:
        UsageError: no dataset is of a mixture of this name.
    """
    members = tuple(dataset for dataset in catalogue().values() if name in dataset.mixtures)
    if not members:
        known = {mixture for dataset in catalogue().values() for mixture in dataset.mixtures}
        raise UsageError.named(name, known, noun="mixture", where="of the paper")
    return members


def non_commercial(datasets: Iterable[Dataset]) -> bool | None:
    """Whether what is mixed of them is for non-commercial use alone; None where that is not known of one, and no other is.

    >>> non_commercial([entry("dolly"), entry("code_alpaca")]), non_commercial([entry("dolly")])
    (True, False)
    """
    flags = {dataset.non_commercial for dataset in datasets}
    return True if True in flags else None if None in flags else False


def licences(datasets: Iterable[Dataset]) -> dict[str, tuple[str, ...]]:
    """Licence → keys of the datasets under it, for a card; "unknown" where none is known."""
    by_licence: dict[str, list[str]] = {}
    for dataset in datasets:
        by_licence.setdefault(dataset.licence or "unknown", []).append(dataset.key)
    return {licence: tuple(keys) for licence, keys in sorted(by_licence.items())}


def _dataset(data: bytes, name: str) -> Dataset:
    """A dataset of a file.

    Raises:
        UsageError: it is no TOML, lacks a key, or is named otherwise than its file.
    """
    refusal = Refusal(UsageError)
    table = cast(_DatasetTable, parse_toml(data, _DatasetTable, name, refusal))
    if table["key"] + SUFFIX != name:
        raise refusal.of(name, f"its key is '{table['key']}', and a file is named as its key")
    if ("licence" in table) != ("non_commercial" in table):
        raise refusal.of(name, "it needs both licence and non_commercial, or neither")
    sources = tuple(
        Source(source["host"], source["address"], tuple(source.get("files", ())), source.get("note", "")) for source in table["sources"]
    )
    return Dataset(
        key=table["key"],
        title=table["title"],
        sources=sources,
        generation=table["generation"],
        generation_kind=table["generation_kind"],
        format=table["format"],
        fields=tuple(table["fields"]),
        rows=table.get("rows"),
        rounds=table.get("rounds"),
        prompt_length=table.get("prompt_length"),
        completion_length=table.get("completion_length"),
        licence=table.get("licence"),
        licence_note=table.get("licence_note", ""),
        non_commercial=table.get("non_commercial"),
        conversion=table.get("conversion"),
        filters=tuple(table.get("filters", ())),
        paper=table.get("paper", ""),
        mixtures=tuple(table.get("mixtures", ())),
        notes=table.get("notes", ""),
        order=table["order"],
    )


__all__ = ["KINDS", "Dataset", "GenerationKind", "Source", "catalogue", "entry", "licences", "non_commercial", "of_mixture"]
