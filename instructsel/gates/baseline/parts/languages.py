"""The language of each response, where the library that tells them is installed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from instructsel.gates.baseline.base import Built, Order, Part, Request
from instructsel.gates.measures import LIBRARY, languages_of
from instructsel.gates.wording.languages import LIBRARIES

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool


class Languages(Part):
    """A code of each example, and the languages that the codes are of."""

    name: ClassVar[str] = "languages"
    title: ClassVar[str] = "languages of responses, for drift and quotas"

    def wanted(self, request: Request) -> bool:
        """Where the library is installed."""
        return find_spec(LIBRARIES[LIBRARY]) is not None

    def build(self, pool: Pool, request: Request) -> Built:
        """`codes`, uint16 (n,), into `languages`, in order."""
        return _coded(languages_of(pool))

    def merged(self, first: Built, second: Built, order: Order) -> Built:
        """The languages of both; those of examples that are gone go with them."""
        both: NDArray[np.str_] = order.rows(_names(first), _names(second))
        return _coded(both.tolist())


def _names(built: Built) -> NDArray[np.str_]:
    names: NDArray[np.str_] = np.array([*built.about["languages"], ""])[built.arrays["codes"]]
    return names


def _coded(languages: Sequence[str]) -> Built:
    known = sorted(set(languages))
    codes = {language: code for code, language in enumerate(known)}
    return Built({"codes": np.array([codes[language] for language in languages], dtype=np.uint16)}, {"languages": known})
