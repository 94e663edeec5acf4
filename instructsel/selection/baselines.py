"""The honest comparisons: other rankings of the same eligible rows under the same budget and the same removals."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import UsageError
from instructsel.pool.pool import Pool
from instructsel.rules.catalog import load
from instructsel.rules.linear import Floats
from instructsel.selection.budget import Tokens, cap_of
from instructsel.selection.candidates import Ranking, Setting
from instructsel.selection.retrieval import RDS, TextEncoder, retrieval_ranking
from instructsel.selection.selection import Selection

RANDOM: Final = "random"
LONGEST: Final = "longest"
LENGTH_MATCHED: Final = "length-matched"
REWARD_ONLY: Final = "reward-only"

NAMES: Final = (RANDOM, LONGEST, LENGTH_MATCHED, REWARD_ONLY, RDS)
SEEDED: Final = (RANDOM, LENGTH_MATCHED)
"""The baselines that are drawn once per seed."""
BINS: Final = 10


def baselines(
    selection: Selection,
    names: Sequence[str] = (RANDOM,),
    *,
    seeds: Sequence[int] = (0, 1, 2),
    target: Pool | None = None,
    encoder: TextEncoder | None = None,
) -> list[Selection]:
    """Baseline selections to compare a selection with.

    `random` draws rows; `longest` takes the longest responses; `length-matched` draws rows whose response lengths are
    distributed as the selection's (deciles of `len`); `reward-only` takes the highest rewards; `rds+` takes the rows nearest to
    a target set. Each passes through the selection's own pipeline: the same eligible rows, duplicates, quotas and budget. Nothing
    but the ranking differs.

    Args:
        selection: made by `select`, not read from a file.
        names: of the baselines; `random` and `length-matched` are drawn once per seed and named `random-seed0`, …
        seeds: whole numbers.
        target: examples of what the fine-tuned model is to do, for `rds+`.
        encoder: `PooledStates` of the base, for `rds+`.

    Raises:
        UsageError: no baseline of that name; or
            the selection was read from a file, a seed stands twice, or the table lacks `len` or `rew`.
        ModelUnavailable: `reward-only` without any reward.
    """
    setting = selection.setting
    if setting is None:
        raise UsageError(
            "Baselines are drawn beside a selection as it is made; this one was read from a file.", fix="Select again, with --baseline."
        )
    if len(set(seeds)) != len(seeds):
        raise UsageError(f"A seed stands twice among {', '.join(map(str, seeds))}.", fix="Equal seeds give equal subsets; name each once.")
    made: list[Selection] = []
    for name in dict.fromkeys(names):
        if name not in NAMES:
            raise UsageError.named(name, NAMES, noun="baseline")
        if name in SEEDED and not seeds:
            raise UsageError(f"The baseline {name} needs a seed.", fix="For example: --seed 0")
        if name == RANDOM:
            made += [setting.ranked(random_ranking(setting, seed)) for seed in seeds]
        elif name == RDS:
            if target is None or encoder is None:
                raise UsageError("The baseline rds+ needs a target set and a model.", fix="Give both, or leave it out.")
            made.append(setting.ranked(retrieval_ranking(setting, target, encoder)))
        elif name == LENGTH_MATCHED:
            made += [setting.ranked(length_matched_ranking(setting, selection, seed)) for seed in seeds]
        else:
            made.append(setting.ranked(rule_ranking(setting, name)))
    return made


def draw(ids: Sequence[str], seed: int) -> Floats:
    """A number in [0, 1) per id: blake2b of the seed and the id, so that no other row and no order has a part in it.

    >>> draw(["a", "b"], 0)[0] == draw(["b", "a"], 0)[1]
    np.True_
    """
    key = f"instructsel random {seed}\0".encode()
    return (
        np.array(
            [int.from_bytes(hashlib.blake2b(key + name.encode(), digest_size=8).digest(), "big") >> 11 for name in ids], dtype=np.float64
        )
        / 2.0**53
    )


def random_ranking(setting: Setting, seed: int) -> Ranking:
    """The eligible rows in random order."""
    values = draw([setting.ids[position] for position in setting.eligible.tolist()], seed)
    return Ranking(f"{RANDOM}-seed{seed}", "a random number", values, details={"seed": seed}, indicators=())


def rule_ranking(setting: Setting, name: str) -> Ranking:
    """The eligible rows by another preset: `longest` or `reward-only`. Rows it cannot score are left out and say so."""
    rule = load(name)
    rule.check_columns(setting.table)
    columns = {symbol: setting.column(symbol) for symbol in rule.indicators}
    prediction = rule.combine(columns)
    unscored = _unscored(setting, rule.indicators)
    return Ranking(name, rule.target, prediction.values, prediction.contributions, unscored, indicators=rule.indicators)


def length_matched_ranking(setting: Setting, selection: Selection, seed: int) -> Ranking:
    """Random rows with the selection's distribution of response length first, the other rows after them.

    As many rows per bin as the selection has there, in random order and without near-duplicates; where a bin has too few,
    the nearest bin that has more fills in, and the summary says how many. Bins are the deciles of the selection's `len`,
    and one below and one above them.
    """
    if "len" not in setting.table.symbols:
        raise UsageError(
            "The baseline length-matched needs len, which the table does not have.",
            fix="Score again with: instructsel score POOL --indicators len,…",
        )
    lengths, scored = setting.column("len")
    unscored = _unscored(setting, ("len",))
    values = draw([setting.ids[position] for position in setting.eligible.tolist()], seed)
    name = f"{LENGTH_MATCHED}-seed{seed}"
    order = setting.order(Ranking(name, "", values, unscored=unscored))
    kept = np.isin(setting.eligible, [setting.pool.position(found) for found in selection.kept_ids]) & scored
    if not kept.any():
        return Ranking(name, "a random number", values, unscored=unscored, details={"seed": seed}, indicators=("len",))
    # Where many lengths are equal some deciles are, too: those bins are one.
    deciles = np.unique(np.quantile(lengths[kept], np.arange(1, BINS) / BINS))
    bins = np.searchsorted(deciles, lengths, side="right") + 1
    # Shorter or longer than anything selected: bins of their own, of which nothing is wanted.
    count = len(deciles) + 3
    bins[lengths < lengths[kept].min()] = 0
    bins[lengths > lengths[kept].max()] = count - 1
    wanted = np.bincount(bins[kept], minlength=count)
    fresh = order[setting.repeats(order) < 0]
    waiting = [fresh[bins[fresh] == number].tolist() for number in range(count)]
    available = [len(rows) for rows in waiting]
    picked, from_nearest = _pick(setting, waiting, wanted.tolist())
    first = np.zeros(len(values), dtype=bool)
    first[picked] = True
    matching = {
        "deciles": deciles.tolist(),
        "wanted": wanted.tolist(),
        "available": available,
        "filled_from_nearest_bin": from_nearest,
        "not_filled": int(wanted.sum()) - len(picked),
    }
    # The picked rows keep their random order among themselves, and so do the others behind them.
    return Ranking(
        name,
        "a random number, plus 1 where the row is not in the length-matched draw",
        np.where(first, values, values + 1.0),
        unscored=unscored,
        details={"seed": seed, "length_matching": matching},
        indicators=("len",),
    )


def _pick(setting: Setting, waiting: list[list[int]], wanted: list[int]) -> tuple[list[int], int]:
    """From each bin as many rows as wanted, then the nearest bins for what is missing; quotas of examples are kept."""
    caps = (
        {} if isinstance(setting.budget, Tokens) else {source: cap_of(quota, setting.limit()) for source, quota in setting.quotas.items()}
    )
    spent: Counter[str] = Counter()
    picked: list[int] = []

    def take(number: int, amount: int) -> int:
        """Move up to `amount` rows of a bin to the picked ones; how many are still missing."""
        rows, waiting[number] = waiting[number], []
        for at, row in enumerate(rows):
            if not amount:
                waiting[number] = rows[at:]
                break
            source = setting.sources[int(setting.eligible[row])]
            if source in caps and spent[source] >= caps[source]:
                continue
            spent[source] += 1
            picked.append(row)
            amount -= 1
        return amount

    missing = [take(number, amount) for number, amount in enumerate(wanted)]
    own = len(picked)
    for number, amount in enumerate(missing):
        for other in sorted(range(len(wanted)), key=lambda candidate: (abs(candidate - number), candidate)):
            if not amount:
                break
            amount = take(other, amount)
    return picked, len(picked) - own


def _unscored(setting: Setting, symbols: Sequence[str]) -> dict[int, str]:
    """Eligible rows that lack one of these indicators, with the reason."""
    found: dict[int, str] = {}
    for symbol in symbols:
        missing: NDArray[Any] = np.flatnonzero(~setting.column(symbol)[1])
        if len(missing):
            reasons = setting.table.reasons(symbol)
            for row in missing.tolist():
                found.setdefault(row, f"unscored:{symbol}:{reasons[int(setting.rows[setting.eligible[row]])]}")
    return found
