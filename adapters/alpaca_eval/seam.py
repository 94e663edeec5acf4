"""Where alpaca_eval is entered: its functions replaced for a block, and what it does to the process undone."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final

from instructsel.adapters.substitution import substituted
from instructsel.errors import EnvironmentFault
from instructsel.extras import require

NEEDED_BY: Final = "AlpacaEval"


@contextmanager
def contained() -> Iterator[None]:
    """A block in which alpaca_eval shows no bars, and after which logging, environment and scikit-learn's settings are restored."""
    root, disabled, environment = logging.getLogger(), logging.root.manager.disable, dict(os.environ)
    level, handlers = root.level, list(root.handlers)
    sklearn = sys.modules.get("sklearn")
    settings = sklearn.get_config() if sklearn is not None else None
    logging.disable(logging.CRITICAL)
    try:
        with substituted(_utils(), tqdm=SimpleNamespace(tqdm=lambda items, **_: items)):
            yield
    finally:
        logging.disable(disabled)
        root.setLevel(level)
        root.handlers[:] = handlers
        for key in set(os.environ) - set(environment):
            # Out of a .env file that the package reads on import, from any folder above its own.
            del os.environ[key]
        sklearn = sys.modules.get("sklearn")
        if sklearn is not None:
            sklearn.set_config(**(settings if settings is not None else {"enable_metadata_routing": False}))


def _utils() -> Any:
    try:
        with warnings.catch_warnings():
            # That pkg_resources goes away is known: the package is pinned, and so is what it needs.
            warnings.simplefilter("ignore")
            return require("alpaca_eval.utils", needed_by=NEEDED_BY)
    except ModuleNotFoundError as error:
        if error.name != "pkg_resources":
            raise
        raise EnvironmentFault(
            "alpaca_eval 0.6.6 needs pkg_resources, which setuptools has no more since 82.",
            fix="Install it with: pip install 'instructsel[alpaca]'",
        ) from error


__all__ = ["NEEDED_BY", "contained", "substituted"]
