"""Which files of a folder, or of a data set on the hub, are a pool: what `save_to_disk` wrote, the README's configurations, or files by their names.

The rules are those of `datasets`: https://huggingface.co/docs/hub/datasets-file-names-and-splits and …/datasets-manual-configuration. A split
is taken, `train` where none is named; what else is there is said. Nothing outside the folder is read.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Final

import orjson

from instructsel.errors import PoolError, UsageError
from instructsel.extras import require
from instructsel.text import excerpt

FAMILIES: Final = {
    ".jsonl": ".jsonl",
    ".ndjson": ".jsonl",
    ".json": ".json",
    ".csv": ".csv",
    ".tsv": ".tsv",
    ".parquet": ".parquet",
    ".arrow": ".arrow",
}
"""Ending of a pool's file → the kind that it is counted as."""
PACKED: Final = (".gz", ".zst")
IGNORED: Final = frozenset({"config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"})
"""Names of files beside the data, as `datasets` ignores them."""
OURS: Final = (".scores.parquet", ".selection.parquet")
"""Endings of files that are made from a pool."""
KEYWORDS: Final = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
SHARDED: Final = re.compile(r"data/(?P<split>\w+(?:\.\w+)*)-\d{5}-of-\d{5}[^/]*\.[^/]*")
SHARD: Final = re.compile(r"(?P<start>.*-)(?P<number>\d{5})-of-(?P<count>\d{5})(?P<end>\.[^/]*)")
SPLIT: Final = re.compile(r"(?P<start>.+?):(?P<split>[^:/\\\[]+(?:\[[^\]/]*\])?)", re.DOTALL)
"""A folder with a split."""
FRONT: Final = re.compile(r"\A---[ \t]*\r?\n(?P<yaml>.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
"""The part of a README that is YAML."""
MAX_README: Final = 4 << 20
"""Bytes of a README, a state or a list of splits."""
MAX_WILDCARDS: Final = 8
"""Of a pattern of a README."""
MOST: Final = 65_535
"""Files of a folder."""
SHOWN: Final = 6
"""Names that a message lists."""
README: Final = "README.md"
STATE: Final = "state.json"
DICTIONARY: Final = "dataset_dict.json"
DEFAULT: Final = "default"
ALL: Final = "all"
"""A configuration of this name stands for the others, as smoltalk's does, where the README has no default."""
TRAIN: Final = "train"
TRAIN_SFT: Final = "train_sft"
"""The split for fine-tuning of sets that have others for preferences, as UltraChat 200k has."""


class Listing(ABC):
    """The files of a data set."""

    name: str
    """For messages."""
    paths: tuple[str, ...]
    """Of its files, relative, with slashes, in order."""

    @abstractmethod
    def read(self, path: str) -> bytes:
        """The first MAX_README bytes of a file."""


class FolderListing(Listing):
    """A folder on this machine; links to folders are not followed, and what is hidden is passed over."""

    def __init__(self, folder: Path, name: str | None = None) -> None:
        """List it.

        Raises:
            PoolError: it cannot be, or has too many files.
        """
        self.folder = folder
        self.name = name or str(folder)
        paths: list[str] = []
        refused: list[OSError] = []
        for parent, folders, files in os.walk(folder, onerror=refused.append):
            folders[:] = sorted(inner for inner in folders if not _hidden(inner))
            inside = os.path.relpath(parent, folder)
            paths += [file if inside == "." else f"{inside}/{file}".replace(os.sep, "/") for file in files if not _hidden(file)]
            if len(paths) > MOST:
                raise PoolError(f"{self.name} has more than {MOST:,} files.", fix="Name the files that make the pool.")
        if refused:
            raise PoolError(f"{self.name}: {refused[0].strerror or refused[0]} ({refused[0].filename}).", fix="Let it be read.")
        self.paths = tuple(sorted(paths))

    def read(self, path: str) -> bytes:
        """The first MAX_README bytes of a file."""
        with open(self.folder / path, "rb") as file:
            return file.read(MAX_README)


@dataclass(frozen=True)
class Taken:
    """What of a data set is the pool."""

    paths: tuple[str, ...]
    """Of its files, relative, in order."""
    note: str | None
    """What was taken, where that was a choice."""


def take(listing: Listing, config: str | None, split: str | None, *, how: str) -> Taken:
    """The files of a configuration and a split.

    Args:
        listing: the data set.
        config: the configuration; None for the one that stands for all.
        split: the split, or several with + between them; None for train.
        how: to name another split of it, with {split} and {config}.

    Raises:
        PoolError: there is no pool in it.
        UsageError: no such configuration or split, or several and none of them named.
    """
    left: Sequence[str] = ()
    if DICTIONARY in listing.paths:
        _no_config(listing, config)
        splits = _saved_splits(listing)
    elif STATE in listing.paths:
        _no_config(listing, config)
        splits = {"": _saved(listing, "")}
    else:
        configs = _configs(listing)
        if configs:
            config, splits = _of_config(listing, configs, config, how)
        else:
            _no_config(listing, config)
            splits = _by_names(listing, listing.paths)
            left = _data(listing.paths)
    chosen = _chosen_splits(listing, splits, split, how)
    paths = tuple(path for name in chosen for path in splits[name])
    _check_kinds(listing, paths)
    _check_shards(listing, paths)
    others = [name for name in splits if name not in chosen]
    left = [path for path in left if not any(path in files for files in splits.values())]
    if not others and not left and config is None:
        return Taken(paths, None)
    note = f"{listing.name}: " + (f"the configuration {config}, " if config else "") + f"the split {' and '.join(chosen)} is read"
    if left:
        note += f"; of no split: {_list(left)}"
    if others and split is None:
        note += f"; others are {_list(others)}, e.g. {how.format(config=f'/{config}' if config else '', split=f':{others[0]}')}"
    return Taken(paths, note)


def _hidden(name: str) -> bool:
    return name.startswith((".", "__"))


def _list(names: Iterable[str]) -> str:
    shown = [excerpt(name, 40) for name in names]
    return ", ".join(shown[:SHOWN]) + (f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else "")


def family(path: str) -> str | None:
    """The kind of a file by its ending; None where it is none of a pool."""
    name = PurePosixPath(path).name.lower()
    for ending in PACKED:
        name = name.removesuffix(ending)
    return FAMILIES.get(PurePosixPath(name).suffix)


def _data(paths: Sequence[str]) -> tuple[str, ...]:
    """The files that may be of a pool: neither beside it nor made from it."""
    known = set(paths)
    return tuple(
        path
        for path in paths
        if family(path) is not None
        and PurePosixPath(path).name not in IGNORED
        and not path.endswith(OURS)
        # What is written here has a manifest of its name beside it.
        and not (path.endswith(".json") and path.removesuffix(".json") in known)
    )


# What `save_to_disk` wrote.


def _read_json(listing: Listing, path: str) -> Any:
    try:
        return orjson.loads(listing.read(path))
    except (OSError, orjson.JSONDecodeError) as error:
        raise PoolError(f"{listing.name}/{path} cannot be read ({str(error)[:100]}).", fix="Save the data set again.") from error


def _saved_splits(listing: Listing) -> dict[str, tuple[str, ...]]:
    value = _read_json(listing, DICTIONARY)
    names = value.get("splits") if isinstance(value, dict) else None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and _is_plain(name) for name in names):
        raise PoolError(f"{listing.name}/{DICTIONARY} names no splits.", fix="Save the data set again.")
    return {name: _saved(listing, f"{name}/") for name in names}


def _saved(listing: Listing, folder: str) -> tuple[str, ...]:
    """The files of a data set that was saved, in the order of its state."""
    path = folder + STATE
    if path not in listing.paths:
        raise PoolError(f"{listing.name} has no {path}.", fix="Save the data set again.")
    value = _read_json(listing, path)
    files = value.get("_data_files") if isinstance(value, dict) else None
    names = [file.get("filename") if isinstance(file, dict) else None for file in files] if isinstance(files, list) else []
    if not names or not all(isinstance(name, str) and _is_plain(name) for name in names):
        raise PoolError(f"{listing.name}/{path} names no files of data.", fix="Save the data set again.")
    paths = tuple(f"{folder}{name}" for name in names)
    if missing := [name for name in paths if name not in listing.paths]:
        raise PoolError(f"{listing.name} lacks {_list(missing)}, which its {path} names.", fix="Save or copy the data set again.")
    return paths


def _is_plain(name: str) -> bool:
    """Whether a name stays in its folder."""
    return bool(name) and "/" not in name and "\\" not in name and name not in (".", "..")


# The README's configurations.


def _configs(listing: Listing) -> list[Mapping[str, Any]]:
    """What a README says of configurations; nothing where it says nothing."""
    if README not in listing.paths:
        return []
    try:
        text = listing.read(README).decode("utf-8", "replace").removeprefix("\ufeff")
    except OSError as error:
        raise PoolError(f"{listing.name}/{README} cannot be read ({error.strerror or error}).", fix="Let it be read.") from error
    front = FRONT.match(text)
    if front is None or "configs" not in front["yaml"]:
        return []
    yaml = require("yaml", needed_by=f"The configurations in {listing.name}/{README}")
    try:
        value = yaml.safe_load(front["yaml"])
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise PoolError(
            f"{listing.name}/{README}: its YAML cannot be read ({str(error).splitlines()[0][:100]}).", fix="Name the files instead."
        ) from error
    configs = value.get("configs") if isinstance(value, dict) else None
    if configs is None:
        return []
    if not isinstance(configs, list) or not all(isinstance(entry, dict) for entry in configs):
        raise PoolError(f"{listing.name}/{README}: its configs are no list of configurations.", fix="Name the files instead.")
    # An entry without files holds settings of loading alone.
    return [entry for entry in configs if "data_files" in entry or "data_dir" in entry]


def _of_config(
    listing: Listing, configs: Sequence[Mapping[str, Any]], wanted: str | None, how: str
) -> tuple[str | None, dict[str, tuple[str, ...]]]:
    names = {str(entry.get("config_name", DEFAULT)): entry for entry in configs}
    if wanted is None:
        marked = [name for name, entry in names.items() if entry.get("default") is True]
        preferred = marked or next(([name] for name in (DEFAULT, ALL) if name in names), list(names))
        if len(preferred) > 1:
            raise UsageError(
                f"{listing.name} has the configurations {_list(names)}; one of them is a pool.",
                fix=f"Name one, e.g. {how.format(config=f'/{preferred[0]}', split='')}",
            )
        wanted = preferred[0]
    if wanted not in names:
        raise UsageError(f"{listing.name} has no configuration {excerpt(wanted, 40)}: it has {_list(names)}.", fix="Name one of them.")
    splits = _config_splits(listing, names[wanted])
    if not any(splits.values()):
        raise PoolError(f"{listing.name}: the files of its configuration {wanted} are not there.", fix="Fetch the data set again.")
    return (wanted if len(names) > 1 else None), {name: paths for name, paths in splits.items() if paths}


def _config_splits(listing: Listing, entry: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Split → its files, by an entry of a README."""
    inside = entry.get("data_dir")
    files = entry.get("data_files")
    start = ""
    if inside is not None:
        if not isinstance(inside, str) or not _stays(inside):
            raise PoolError(f"{listing.name}/{README}: the data_dir of a configuration is no folder in it.", fix="Name the files instead.")
        start = inside.strip("/").removeprefix("./")
        start = f"{start}/" if start not in ("", ".") else ""
    if files is None:
        return _by_names(listing, tuple(path for path in listing.paths if path.startswith(start)), start)
    if isinstance(files, str) or (isinstance(files, list) and all(isinstance(item, str) for item in files)):
        named: list[tuple[str, Any]] = [(TRAIN, files)]
    elif isinstance(files, list) and all(isinstance(item, dict) and "path" in item for item in files):
        named = [(str(item.get("split", TRAIN)), item["path"]) for item in files]
    elif isinstance(files, dict):
        named = [(str(name), value) for name, value in files.items()]
    else:
        raise PoolError(f"{listing.name}/{README}: the data_files of a configuration are no names of files.", fix="Name the files instead.")
    splits: dict[str, tuple[str, ...]] = {}
    for name, value in named:
        patterns = [value] if isinstance(value, str) else value
        if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
            raise PoolError(
                f"{listing.name}/{README}: the files of the split {excerpt(name, 40)} are no names.", fix="Name the files instead."
            )
        paths = [path for pattern in patterns for path in _matching(listing, start, pattern)]
        splits[name] = tuple(dict.fromkeys([*splits.get(name, ()), *paths]))
    return splits


def _stays(path: str) -> bool:
    """Whether a relative path stays in its folder."""
    return "://" not in path and "::" not in path and not path.startswith("/") and ".." not in path.split("/")


def _matching(listing: Listing, start: str, pattern: str) -> list[str]:
    """The files that a pattern of a README names."""
    if not _stays(pattern) or pattern.count("*") + pattern.count("?") > MAX_WILDCARDS:
        raise PoolError(
            f"{listing.name}/{README} names files by {excerpt(pattern, 60)}, which is not followed.", fix="Name the files themselves."
        )
    wanted = start + pattern.removeprefix("./")
    if wanted in listing.paths:
        return [wanted]
    matches = re.compile(shell_expression(wanted)).fullmatch
    inside = wanted.rstrip("/") + "/"
    matching = [path for path in listing.paths if matches(path) or path.startswith(inside)]
    return [path for path in matching if family(path) is not None and PurePosixPath(path).name not in IGNORED]


def shell_expression(pattern: str) -> str:
    """A pattern of a shell as a regular expression; ** goes through folders."""
    parts: list[str] = []
    for piece in re.findall(r"\*\*/|\*+|\?|\[[^\]]+\]|[^*?\[]+|\[", pattern):
        if piece == "**/":
            parts.append("(?:.*/)?")
        elif piece.startswith("**"):
            parts.append(".*")
        elif piece == "*":
            parts.append("[^/]*")
        elif piece == "?":
            parts.append("[^/]")
        elif piece.startswith("[") and len(piece) > 2:
            inside = piece[1:-1].replace("\\", "\\\\").replace("[", "\\[")
            parts.append(f"[{'^' + inside[1:] if inside.startswith('!') else inside}]")
        else:
            parts.append(re.escape(piece))
    return "".join(parts)


# Files by their names.


def _by_names(listing: Listing, paths: Sequence[str], start: str = "") -> dict[str, tuple[str, ...]]:
    """Split → its files: shards in data/, folders named after splits, files named after splits, or all as train."""
    data = _data(paths)
    if not data:
        endings = sorted({PurePosixPath(path).suffix or "no ending" for path in paths})
        has = f"it has files with {_list(endings)}" if endings else "it is empty"
        raise PoolError(f"{listing.name} holds no file of a pool: {has}.", fix=f"Known: {', '.join(FAMILIES)}, each also as .gz or .zst.")
    inside = {path: path.removeprefix(start) for path in data}
    sharded: dict[str, list[str]] = {}
    for path in data:
        if match := SHARDED.fullmatch(inside[path]):
            sharded.setdefault(match["split"], []).append(path)
    if sharded:
        return {name: tuple(sharded[name]) for name in sorted(sharded, key=_order)}
    for part_of in (slice(None, -1), slice(-1, None)):
        splits = {
            name: tuple(path for path in data if any(_is_called(part, words) for part in PurePosixPath(inside[path]).parts[part_of]))
            for name, words in KEYWORDS.items()
        }
        if any(splits.values()):
            return {name: files for name, files in splits.items() if files}
    return {TRAIN: data}


def _order(split: str) -> tuple[int, str]:
    known = list(KEYWORDS)
    return (known.index(split) if split in known else len(known), split)


def _is_called(name: str, words: Sequence[str]) -> bool:
    """Whether a name has one of these words, between marks or digits or its ends."""
    return any(re.search(rf"(?:^|[-._ 0-9]){word}(?:$|[-._ 0-9])", name) for word in words)


def _no_config(listing: Listing, config: str | None) -> None:
    if config is not None:
        raise UsageError(
            f"{listing.name} has no configuration {excerpt(config, 40)}: it names none.",
            fix=f"Name the folder itself, e.g. {listing.name}/{config}, if there is one.",
        )


def _chosen_splits(listing: Listing, splits: Mapping[str, Sequence[str]], wanted: str | None, how: str) -> list[str]:
    if wanted is None:
        if len(splits) == 1:
            return list(splits)
        for name in (TRAIN, TRAIN_SFT):
            if name in splits:
                return [name]
        raise UsageError(
            f"{listing.name} has the splits {_list(splits)}, and none is train.",
            fix=f"Name one, e.g. {how.format(config='', split=f':{next(iter(splits))}')}",
        )
    if "[" in wanted:
        raise UsageError(f"{wanted}: a part of a split is not read.", fix="Name the split, and take a part with select.")
    names = list(dict.fromkeys(wanted.split("+")))
    if missing := [name for name in names if name not in splits]:
        have = f"it has {_list(name for name in splits if name)}" if any(splits) else "it has no splits"
        raise UsageError(f"{listing.name} has no split {excerpt(missing[0], 40)}: {have}.", fix="Name one of its splits, or leave it out.")
    return names


def _check_kinds(listing: Listing, paths: Sequence[str]) -> None:
    """Refuse files of several kinds in one split: often the same rows twice, or something beside them."""
    counts: dict[str, int] = {}
    for path in paths:
        kind = family(path) or PurePosixPath(path).suffix
        counts[kind] = counts.get(kind, 0) + 1
    if len(counts) > 1:
        named = ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items()))
        most = max(counts, key=lambda kind: counts[kind])
        raise UsageError(
            f"{listing.name} holds files of several kinds ({named}), which may be the same rows twice.",
            fix=f"Name those that make the pool, e.g. {listing.name}/*{most}",
        )


def _check_shards(listing: Listing, paths: Sequence[str]) -> None:
    """Refuse a split of which shards are missing."""
    counted: dict[tuple[str, str, str], set[str]] = {}
    for path in paths:
        if match := SHARD.fullmatch(path):
            counted.setdefault((match["start"], match["count"], match["end"]), set()).add(match["number"])
    for (start, count, end), numbers in counted.items():
        if len(numbers) < int(count):
            missing = next(f"{number:05d}" for number in range(int(count)) if f"{number:05d}" not in numbers)
            raise PoolError(
                f"{listing.name} holds {len(numbers):,} of {int(count):,} shards: {start}{missing}-of-{count}{end} is missing.",
                fix=f"Fetch it, or name the files that are to be read, e.g. {listing.name}/{start}*",
            )


@dataclass(frozen=True)
class Entry:
    """A file to read as part of a pool."""

    name: str
    """What it is called in messages and places."""
    path: str
    """Where it lies; - for standard input."""
    label: str | None = None
    """The source of its examples; None for one made of its name."""


@dataclass(frozen=True)
class Named:
    """What a user named as a pool, as files."""

    entries: tuple[Entry, ...]
    """At least one."""
    recorded: tuple[str, ...]
    """What names it in a record: the files, or an hf:// name."""
    note: str | None = None
    """What was taken of it."""


class LocalFolder:
    """A folder that is named as FOLDER[/CONFIG][:SPLIT]."""

    def __init__(self, name: str) -> None:
        """Take the name apart; `folder` is None where it names none."""
        self.name = name
        self.folder: Path | None = None
        self.config: str | None = None
        self.split: str | None = None
        # A name that is there is that name, whatever it looks like.
        match = None if os.path.lexists(name) else SPLIT.fullmatch(name)
        path, split = (Path(name), None) if match is None else (Path(match["start"]), match["split"])
        if path.is_dir() and not self._is_config(path):
            self.folder, self.split = path, split
        elif path.parent.is_dir() and not path.is_file() and self._is_config(path):
            self.folder, self.config, self.split = path.parent, path.name, split

    @staticmethod
    def _is_config(path: Path) -> bool:
        """Whether the README beside a folder, which may be there or not, names a configuration after it."""
        if not path.name or any((path / name).is_file() for name in (README, STATE, DICTIONARY)):
            return False
        if not (path.parent / README).is_file():
            return False
        try:
            front = FRONT.match((path.parent / README).read_bytes()[:MAX_README].decode("utf-8", "replace"))
        except OSError:
            return False
        return (
            front is not None
            and re.search(rf"config_name:\s*['\"]?{re.escape(path.name)}['\"]?\s*$", front["yaml"], re.MULTILINE) is not None
        )

    @cached_property
    def named(self) -> Named:
        """Its files."""
        assert self.folder is not None
        listing = FolderListing(self.folder)
        shown = str(self.folder)
        taken = take(listing, self.config, self.split, how=shown + "{config}{split}")
        files = [str(self.folder / path) for path in taken.paths]
        label = (self.folder.resolve().name or "pool") + (f"/{self.config}" if self.config else "")
        entries = [Entry(file, file, label_in(label, path, len(files))) for file, path in zip(files, taken.paths, strict=True)]
        return Named(tuple(entries), tuple(os.path.realpath(file) for file in files), taken.note)


def label_in(label: str, path: str, count: int) -> str:
    """The label of a file of a data set: the data set's, with the file's where there are several."""
    name = PurePosixPath(path).name
    for ending in PACKED:
        name = name.removesuffix(ending)
    return label if count == 1 else f"{label}/{PurePosixPath(path).parent / PurePosixPath(name).stem}".replace("/./", "/")


__all__ = ["Entry", "FolderListing", "Listing", "LocalFolder", "Named", "Taken", "family", "label_in", "take"]
