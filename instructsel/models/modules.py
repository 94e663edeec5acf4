"""What a sentence-transformers folder says it is made of (modules.json)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import orjson

from instructsel.errors import ModelUnavailable, UntrustedModel
from instructsel.paths import resolved

FILE: Final = "modules.json"
MODULES: Final = (
    "Transformer",
    "Pooling",
    "Normalize",
    "Dense",
    "LayerNorm",
    "Dropout",
    "WeightedLayerPooling",
    "StaticEmbedding",
    "BoW",
    "CNN",
    "LSTM",
    "WordEmbeddings",
    "WordWeights",
    "CLIPModel",
)
"""Modules of sentence-transformers that are a step of an encoder; Router and Asym name classes of their own in a file of theirs."""
CLASS: Final = re.compile(r"sentence_transformers(\.[A-Za-z_]\w*)+")
POOLING: Final = "1_Pooling"
MODES: Final = {"mean": "mean", "mean_tokens": "mean", "cls": "cls", "cls_token": "cls"}
"""Pooling modes, by the names of both layouts of a pooling's config.json."""


@dataclass(frozen=True)
class Module:
    """One step from a text to its vector."""

    kind: str
    """The class's name: Transformer, Pooling, Dense, Normalize."""
    path: str
    """Its folder in the model's folder; "" is the model's folder itself."""


def read_modules(folder: Path) -> tuple[Module, ...]:
    """The modules of a folder in their order; none where it has no modules.json.

    Raises:
        UntrustedModel: a module is code of somebody else, or its folder lies outside the model's.
        ModelUnavailable: modules.json is not what sentence-transformers writes.
    """
    path = folder / FILE
    try:
        entries = orjson.loads(path.read_bytes())
        if not isinstance(entries, list) or not all(isinstance(entry["type"], str) and isinstance(entry["path"], str) for entry in entries):
            raise TypeError("type and path are texts")
        listed = [(entry["type"], entry["path"]) for entry in entries]
    except FileNotFoundError:
        return ()
    except (OSError, orjson.JSONDecodeError, TypeError, KeyError) as error:
        raise ModelUnavailable(f"{path} is not a list of modules with type and path: {error}.", fix="Fetch the model again.") from error
    for kind, subfolder in listed:
        # The type names a class to import: any class of any package on this machine, were it not checked.
        if not CLASS.fullmatch(kind):
            raise UntrustedModel(
                f"{path} names the class {kind[:100]}, which is not of sentence-transformers.",
                fix="Only models of sentence-transformers' own modules are used.",
            )
        if kind.rpartition(".")[2] not in MODULES:
            raise UntrustedModel(
                f"{path} names the class {kind[:100]}, which is no module of an encoder.",
                fix=f"Modules are {', '.join(MODULES)}.",
            )
        parts = PurePosixPath(subfolder)
        outside = parts.is_absolute() or ".." in parts.parts or any(mark in subfolder for mark in "\\:\0")
        if outside or not resolved(folder / subfolder).is_relative_to(resolved(folder)):
            raise UntrustedModel(f"{path} names the folder {subfolder}, which lies outside the model.", fix="Fetch the model again.")
    return tuple(Module(kind.rpartition(".")[2], subfolder) for kind, subfolder in listed)


def pooling_mode(config: dict[str, Any]) -> str:
    """mean or cls, or the names of other modes as a pooling's config.json gives them; mean where it names none."""
    mode = config.get("pooling_mode")
    if mode is None:
        names = [key.removeprefix("pooling_mode_") for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    else:
        names = [str(name) for name in mode] if isinstance(mode, list) else [str(mode)]
    if not names:
        return "mean"
    return MODES.get(names[0], names[0]) if len(names) == 1 else ", ".join(names)
