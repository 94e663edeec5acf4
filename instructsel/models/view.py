"""A model's folder as libraries see it: the files that were checked and digested, and no others."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from instructsel.errors import EnvironmentFault, UntrustedModel
from instructsel.extras import require
from instructsel.models.load import PICKLED, LocalModel, stamps
from instructsel.models.modules import read_modules
from instructsel.models.vetting import ADAPTER, check_configuration
from instructsel.models.weights import INDEX, SUFFIX, WHOLE, check_inside, weight_files

SMALL: Final = ("*.json", "*.model", "*.jinja", "*.txt", "tokenizer*", "vocab*", "merges*")
"""What of a folder is no weights and is shown: configuration, tokenizer, template; what would be fetched from the hub."""
CODE: Final = (*PICKLED, ".py", ".pyc", ".so", ".dll", ".sh", ".npy", ".npz", ".gguf", ".onnx")


@contextmanager
def view(source: LocalModel) -> Iterator[Path]:
    """A folder with the files of a model that are checked, as links; code, pickles and files that no loader should find are not in it.

    Libraries look for more than a model needs: an adapter, weights in other layouts, code of a repository. In this folder there is
    none. Nothing is fetched from the hub in the block, whatever a library asks it for.

    Raises:
        UntrustedModel: its configuration leads elsewhere, or a weight file changed since it was digested.
        EnvironmentFault: the machine has no place for temporary files.
    """
    check_configuration(source.folder, source.name)
    check_unchanged(source)
    try:
        with tempfile.TemporaryDirectory(prefix="instructsel-model-") as place, _offline():
            shown = Path(place)
            _link_files(source, source.folder, shown, source.weights)
            for module in read_modules(source.folder):
                inside = source.folder / module.path
                if module.path and inside.is_dir():
                    (shown / module.path).mkdir(parents=True, exist_ok=True)
                    _link_files(source, inside, shown / module.path, weight_files(inside, f"{source.name}/{module.path}"))
            yield shown
    except OSError as error:
        if error.filename and str(error.filename).startswith(tempfile.gettempdir()):
            raise EnvironmentFault(
                f"{source.name} cannot be loaded: {error.strerror or error} ({tempfile.gettempdir()}).", fix="Set TMPDIR to another folder."
            ) from error
        raise
    check_unchanged(source)


def settings_digest(source: LocalModel) -> str:
    """SHA-256 over every file that a library sees in `view` and that is no weights: configurations, tokenizers, prompts, templates.

    Raises:
        UntrustedModel: a file is a link out of the folder.
    """
    digest = hashlib.sha256()
    places = dict.fromkeys(("", *(module.path for module in read_modules(source.folder))))
    for place in places:
        inside = source.folder / place
        for path in sorted(inside.iterdir()) if inside.is_dir() else ():
            if _is_small(path):
                check_inside(path, source.folder, source.name)
                shown = path.relative_to(source.folder).as_posix()
                digest.update(shown.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def check_unchanged(source: LocalModel) -> None:
    """Refuse a model whose weight files are not those that were digested.

    Raises:
        UntrustedModel: one was written since.
    """
    if source.stamps and stamps(path for path, *_ in source.stamps) != source.stamps:
        raise UntrustedModel(
            f"The weights of {source.name} changed after they were digested.", fix="Run it again when nothing writes them."
        )


def _link_files(source: LocalModel, folder: Path, shown: Path, weights: tuple[Path, ...]) -> None:
    names = {path.name for path in weights if path.parent == folder}
    if (folder / INDEX).is_file() and not (folder / WHOLE).is_file():
        names.add(INDEX)
    for path in folder.iterdir():
        if _is_small(path) or (path.name in names and path.is_file()):
            check_inside(path, source.folder, source.name)
            _link(path.resolve(), shown / path.name)


def _is_small(path: Path) -> bool:
    """Whether a file is shown that is no weights."""
    return (
        path.suffix.lower() not in (*CODE, SUFFIX)
        and not path.name.startswith(".")
        and not path.name.endswith(".index.json")
        and path.name != ADAPTER
        and any(fnmatch(path.name, pattern) for pattern in SMALL)
        and path.is_file()
    )


def _link(target: Path, link: Path) -> None:
    try:
        os.symlink(target, link)
    except (OSError, NotImplementedError):
        # Windows gives the right to link to few.
        shutil.copyfile(target, link)


@contextmanager
def _offline() -> Iterator[None]:
    """The hub's client answers from its cache alone."""
    constants = require("huggingface_hub.constants", needed_by="the model")
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


__all__ = ["check_unchanged", "settings_digest", "view"]
