"""Shares of the sources, proposed from finished studies by the log-linear law, within limits of rows, tokens and repeats.

The law is `stats.log_linear`'s. It is refused where it explains nothing: where the loss of a composition that was left out of the fit is
predicted no better than by the mean of the others, or the shares together say no more than chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from instructsel.artifact import dump_json, release
from instructsel.errors import Negative, StudyError, UsageError
from instructsel.kinds import MIX_FIT, head
from instructsel.rules.observations import SHARE, Observations
from instructsel.stats.log_linear import EDGE, Limits, LogLinear, Predicted, left_out, left_out_r2, moving_together, p_values
from instructsel.study.study import OUTCOME, Study
from instructsel.text import counted

Floats = NDArray[np.float64]
MORE_THAN_SOURCES: Final = 3
"""Compositions beyond the number of sources that a fit takes at least."""
WELL: Final = 3
"""Compositions for each source below which a fit is said to be of few."""
MOST_CONDITION: Final = 100.0
"""Of the shares, beyond which sources are not told apart."""
ALIKE: Final = 0.05
"""Sizes of runs that differ by no more count as one."""
LEVEL: Final = 0.05
"""Of the test that shares say more than chance."""
MOST_REPEATS: Final = 4
"""Times that a row may stand in a mixture, unless said otherwise: up to about four epochs repeated data is worth nearly as much as new
(Muennighoff et al. 2023, arXiv:2305.16264, of pretraining)."""
OPTIMISM_DRAWS: Final = 60
FAR: Final = 2.0
"""Times the rows of the studies' runs, or the inverse, at which the law is said to be extended."""


@dataclass(frozen=True)
class Available:
    """What there is of a source."""

    rows: int
    tokens: float | None = None
    """A row, on average; None where tokens were not counted."""
    paths: tuple[str, ...] = ()
    """Its files; none where its rows stand in files with others'."""


@dataclass(frozen=True)
class MixSettings:
    """What the mixture is to be, and how sure its intervals are."""

    rows: int | None = None
    """In all, repeats counted; by default as many as the studies' runs have."""
    tokens: int | None = None
    """In all, instead of rows."""
    max_repeats: int = MOST_REPEATS
    """Times that a row may stand in the mixture."""
    outcomes: tuple[str, ...] = ()
    """Those whose mean is to be small; all by default."""
    confidence: float = 0.95
    """Of intervals."""
    seed: int = 0
    """Of the draws that say by how much the prediction is too good."""


@dataclass(frozen=True)
class OutcomeFit:
    """How well the law predicts one outcome."""

    name: str
    loo_r2: float
    """On the composition left out."""
    loo_error: float
    """Root of the mean squared error there, of ln L."""
    p: float
    """Of the shares together."""
    explained: bool
    """Whether its law is used; otherwise it is taken for the same whatever the shares are."""
    weights: Mapping[str, float]
    """Source → ln L of that source alone, by the law."""


@dataclass(frozen=True)
class Mixed:
    """A mixture and what the law predicts of it."""

    name: str
    shares: Mapping[str, float]
    """Source → of the rows."""
    loss: Predicted
    """The mean over outcomes, of a new run."""
    against: Predicted | None = None
    """The proposal's loss less this one's; None of the proposal."""
    fits_limits: bool = True
    """Whether there are rows enough for it."""


@dataclass(frozen=True)
class MixFit:
    """Shares proposed from studies."""

    sources: tuple[str, ...]
    outcomes: tuple[OutcomeFit, ...]
    proposal: Mixed
    rows: Mapping[str, int]
    """Source → rows of the proposal, repeats counted."""
    available: Mapping[str, Available]
    repeats: Mapping[str, float]
    """Source → how often each of its rows stands in the proposal, on average."""
    at_limit: tuple[str, ...]
    """Sources of which the limit lets no more in."""
    rivals: tuple[Mixed, ...]
    """The best single source, equal shares, the natural shares, and the best composition that was run."""
    optimism: float
    """By how much the proposal's predicted loss is too low, as the fit that chose it predicts it."""
    compositions: int
    runs: int
    settings: MixSettings
    unit: str
    n_rows: int
    """Of the studies' runs; 0 where they do not say."""
    tokens: float | None = None
    """Of the proposal, estimated; None where tokens were not counted."""
    notes: tuple[str, ...] = ()
    configurations: tuple[str, ...] = field(default=(), repr=False)
    """Of the plans of the studies."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data; no path."""
        content = asdict(self)
        content["available"] = {name: {"rows": source.rows, "tokens": source.tokens} for name, source in self.available.items()}
        plain: dict[str, Any] = orjson.loads(dump_json({**head(MIX_FIT), "instructsel": release(), **content}))
        return plain


def mix_fit(studies: Sequence[Study | Observations], available: Mapping[str, Available], settings: MixSettings | None = None) -> MixFit:
    """Propose shares of the sources.

    Args:
        studies: finished ones, of one base, recipe and evaluation; runs of one size, of mixtures or of arms that add or leave out a source.
        available: source → its rows; tokens where the budget is one of tokens.
        settings: rows or tokens, and repeats.

    Raises:
        StudyError: too few compositions, sources that are not told apart, studies that do not go together, or limits that leave no mixture.
        Negative: the law explains nothing.
        UsageError: settings that cannot be, an outcome or a source that is not there.
        MissingExtra: scipy is not installed.
    """
    settings = settings or MixSettings()
    _check(settings)
    data = _Data.of(studies, settings.outcomes)
    missing = [source for source in data.sources if source not in available]
    if missing:
        raise UsageError(
            f"It is not known how many rows there are of {', '.join(missing)}.",
            fix="Name the pool files with --pool; each file is a source.",
        )
    outcomes, law = _law(data)
    if settings.rows is None and settings.tokens is None and not data.n_rows:
        raise UsageError(
            "The studies do not say how many rows a run has.", fix="Say how large the mixture is to be, with --rows or --tokens."
        )
    rows = data.n_rows if settings.rows is None else settings.rows
    limits = _limits(data.sources, available, settings, rows)
    start = _start(data.sources, available, settings, rows)
    best = law.optimum(limits, start)
    n_rows = rows if settings.tokens is None else _rows_of(best, data.sources, available, settings.tokens)
    counts = _whole(best, n_rows, data.sources, available, settings)
    taken = np.array([counts[source] for source in data.sources], dtype=float) / sum(counts.values())
    proposal = Mixed("proposal", _named(data.sources, taken), law.predicted(taken, settings.confidence))
    optimism = max(law.optimism(limits, start, draws=OPTIMISM_DRAWS, seed=settings.seed), 0.0)
    rivals = _rivals(law, data, available, limits, taken, settings.confidence)
    repeats = {source: counts[source] / max(available[source].rows, 1) for source in data.sources}
    full = tuple(source for source in data.sources if counts[source] and counts[source] >= settings.max_repeats * available[source].rows)
    tokens = [available[source].tokens for source in data.sources]
    return MixFit(
        sources=data.sources,
        outcomes=outcomes,
        proposal=proposal,
        rows=counts,
        available={source: available[source] for source in data.sources},
        repeats=repeats,
        at_limit=full,
        rivals=rivals,
        optimism=optimism,
        compositions=len(data.shares),
        runs=data.runs,
        settings=settings,
        unit=data.unit,
        n_rows=data.n_rows,
        tokens=sum(counts[source] * size for source, size in zip(data.sources, tokens, strict=True) if size is not None)
        if None not in tokens
        else None,
        notes=tuple(_notes(law, data, taken, outcomes, sum(counts.values()))),
        configurations=data.configurations,
    )


def recipe_text(fit: MixFit, name: str, *, reading: Mapping[str, str] | None = None) -> str:
    """The proposal as a recipe that `instructsel mix` reads.

    Args:
        fit: whose sources have a file each.
        name: of the recipe.
        reading: how the files are read, by the names a recipe has.

    Raises:
        UsageError: the rows of a source stand in files with those of others.
    """
    mixed = [source for source in fit.sources if fit.rows[source] and not fit.available[source].paths]
    if mixed:
        raise UsageError(
            f"The rows of {', '.join(mixed)} stand in files with those of other sources; a recipe names a file a source.",
            fix="Write each source to a file of its own, and name them with --pool; or leave -o out.",
        )
    loss = fit.proposal.loss
    lines = [
        f"# Fitted to {counted(fit.runs, 'run')} on {counted(fit.compositions, 'composition')}: predicted mean loss {loss.value:.4g}",
        f"# [{loss.low:.4g}, {loss.high:.4g}] {fit.unit}, too low by about {fit.optimism:.2g} as the same fit chose the shares.",
        "schema = 1",
        f"name = {_toml(name)}",
        f"seed = {fit.settings.seed}",
    ]
    for source in fit.sources:
        if not fit.rows[source]:
            continue
        paths = fit.available[source].paths
        repeat = math.ceil(fit.repeats[source] - EDGE)
        lines += ["", "[[source]]", f"label = {_toml(source)}"]
        lines.append(f"path = {_toml(paths[0])}" if len(paths) == 1 else f"path = [{', '.join(map(_toml, paths))}]")
        lines.append(f"rows = {fit.rows[source]}")
        lines += [f"repeat = {repeat}"] if repeat > 1 else []
        if reading:
            lines += ["[source.reading]", *(f"{key} = {_toml(value)}" for key, value in reading.items())]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, eq=False)
class _Data:
    """Compositions and losses, the runs of one composition averaged."""

    sources: tuple[str, ...]
    shares: Floats
    log_losses: Floats
    outcomes: tuple[str, ...]
    unit: str
    n_rows: int
    runs: int
    configurations: tuple[str, ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, studies: Sequence[Study | Observations], chosen: Sequence[str]) -> _Data:
        """What studies have in common."""
        observed = [study.observations if isinstance(study, Study) else study for study in studies]
        if not observed:
            raise UsageError("Shares are fitted to finished studies, and none is named.", fix="Name the folder of one.")
        _go_together(observed)
        sources = tuple(sorted({name.removeprefix(SHARE) for table in observed for name in table.shares()}))
        if len(sources) < 2:
            raise StudyError(
                "The runs have one source, so that there are no shares to choose.", fix="Study mixtures of two sources or more."
            )
        outcomes = _outcomes(observed, chosen)
        shares = np.concatenate([np.stack([_column(table, f"{SHARE}{source}") for source in sources], axis=1) for table in observed])
        losses = np.concatenate([np.stack([table.numbers(column) for column in outcomes.values()], axis=1) for table in observed])
        sizes = np.concatenate([table.numbers("rows") if "rows" in table.names else np.zeros(len(table)) for table in observed])
        # The model before any training has no shares.
        trained = shares.sum(axis=1) > EDGE
        shares, losses, sizes = shares[trained], losses[trained], sizes[trained]
        if not len(shares):
            raise StudyError("No run with shares has finished.", fix="Let the study go on: instructsel study run FOLDER")
        if (losses <= 0).any():
            raise StudyError("A loss is not above 0, so it has no logarithm.", fix="Fit to losses; name them with --outcome.")
        frequent = max(set(sizes.tolist()), key=lambda size: ((np.abs(sizes - size) <= ALIKE * size).sum(), size))
        alike = np.abs(sizes - frequent) <= ALIKE * frequent
        notes = []
        if not alike.all():
            notes.append(
                f"{counted(int((~alike).sum()), 'run')} of another size than {frequent:,.0f} rows were left out: the law is of shares, not of sizes."
            )
        shares, log_losses = shares[alike], np.log(losses[alike])
        used = shares.max(axis=0) > EDGE
        if not used.all():
            gone = [source for source, is_used in zip(sources, used, strict=True) if not is_used]
            notes.append(f"No run of this size has rows of {', '.join(gone)}: nothing is said of them.")
        rounded, places = np.unique(shares[:, used].round(9), axis=0, return_inverse=True)
        means = np.stack([log_losses[places.ravel() == number].mean(axis=0) for number in range(len(rounded))])
        units = {table.loss_unit for table in observed}
        return cls(
            tuple(source for source, is_used in zip(sources, used, strict=True) if is_used),
            rounded / rounded.sum(axis=1, keepdims=True),
            means,
            tuple(outcomes),
            units.pop() if len(units) == 1 else "",
            int(frequent),
            len(shares),
            tuple(sorted({str(table.manifest["configuration"]) for table in observed if table.manifest.get("configuration")})),
            tuple(notes),
        )


def _go_together(observed: Sequence[Observations]) -> None:
    for part in ("trainer", "grader"):
        kinds = {dump_json(table.manifest[part]) for table in observed if table.manifest.get(part)}
        if len(kinds) > 1:
            what = "trained" if part == "trainer" else "graded"
            raise StudyError(
                f"The runs of these studies were {what} in {len(kinds)} different ways, so that their losses do not compare.",
                fix="Fit to studies of one base, one recipe and the same evaluation files.",
            )


def _outcomes(observed: Sequence[Observations], chosen: Sequence[str]) -> dict[str, str]:
    """Outcome → its column, of those that all tables have."""
    columns = [{name.removeprefix(OUTCOME): name for name in table.names if name.startswith(OUTCOME)} for table in observed]
    common = {name: column for name, column in columns[0].items() if all(name in others for others in columns)} or {"loss": "loss"}
    if not chosen:
        return common
    for name in chosen:
        if name not in common:
            raise UsageError.named(name, common, noun="outcome")
    return {name: common[name] for name in chosen}


def _column(table: Observations, name: str) -> Floats:
    return table.numbers(name) if name in table.names else np.zeros(len(table))


def _law(data: _Data) -> tuple[tuple[OutcomeFit, ...], LogLinear]:
    """The law, or why there is none."""
    n, sources = data.shares.shape
    if n < sources + MORE_THAN_SOURCES:
        raise StudyError(
            f"{counted(n, 'composition')} of {counted(sources, 'source')} are too few: a fit takes {sources + MORE_THAN_SOURCES} at least, "
            f"and is sure of little below {WELL * sources}.",
            fix=f"Study more mixtures: instructsel study plan … --mixtures {WELL * sources} --seeds 1",
        )
    together = moving_together(data.shares, data.sources, most=MOST_CONDITION)
    if together:
        raise StudyError(
            f"The shares of {', '.join(together)} move together in all compositions, so that no fit tells them apart.",
            fix="Study mixtures in which they vary on their own, or make them one source.",
        )
    predicted, means = left_out(data.shares, data.log_losses)
    r2 = left_out_r2(data.log_losses, predicted, means)
    p = p_values(data.shares, data.log_losses)
    # Several outcomes are several chances to be fooled.
    explained = (r2 > 0) & (p * len(data.outcomes) <= LEVEL)
    if not explained.any():
        figures = "; ".join(f"{name} R² {value:.2f}, p {chance:.2g}" for name, value, chance in zip(data.outcomes, r2, p, strict=True))
        raise Negative(
            f"The law explains nothing: on compositions left out of the fit ({figures}) it is no better than their mean, or than chance.",
            fix="Study more or larger runs, outcomes that the sources change, or more seeds; until then take equal or natural shares.",
        )
    law = LogLinear(data.shares, data.log_losses, explained)
    errors = np.sqrt(((data.log_losses - predicted) ** 2).mean(axis=0))
    fits = tuple(
        OutcomeFit(name, float(r2[at]), float(errors[at]), float(p[at]), bool(explained[at]), _named(data.sources, law.weights[:, at]))
        for at, name in enumerate(data.outcomes)
    )
    return fits, law


def _limits(sources: Sequence[str], available: Mapping[str, Available], settings: MixSettings, rows: int) -> Limits:
    """No source gives more rows than it has, times the repeats; in tokens, N tokens are N / Σ share · tokens a row of rows."""
    most = np.array([settings.max_repeats * available[source].rows for source in sources], dtype=float)
    if settings.tokens is None:
        if most.sum() < rows:
            raise StudyError(
                f"{rows:,} rows are more than there are: {most.sum():,.0f}, each row {counted(settings.max_repeats, 'time')}.",
                fix="Ask for fewer rows, or allow more repeats with --max-repeats.",
            )
        return Limits(np.eye(len(sources)), most / rows)
    sizes = _sizes(sources, available)
    if (most * sizes).sum() < settings.tokens:
        raise StudyError(
            f"{settings.tokens:,} tokens are more than there are: about {(most * sizes).sum():,.0f}, each row {counted(settings.max_repeats, 'time')}.",
            fix="Ask for fewer tokens, or allow more repeats with --max-repeats.",
        )
    # share · tokens ≤ most · Σ share · size
    return Limits(np.eye(len(sources)) - np.outer(most, sizes) / settings.tokens, np.zeros(len(sources)))


def _start(sources: Sequence[str], available: Mapping[str, Available], settings: MixSettings, rows: int) -> Floats:
    """Shares within the limits: as equal as the limits let them be."""
    most = np.array([settings.max_repeats * available[source].rows for source in sources], dtype=float)
    sizes = np.ones(len(sources)) if settings.tokens is None else _sizes(sources, available)
    total = float(rows if settings.tokens is None else settings.tokens)
    # Water filling: the smallest sources give all they have.
    counts = np.zeros(len(sources))
    left = total
    order = np.argsort(most)
    for number, place in enumerate(order):
        rest = sizes[order[number:]].sum()
        counts[place] = min(most[place], left / rest)
        left -= counts[place] * sizes[place]
    return np.asarray(counts / counts.sum(), dtype=np.float64)


def _sizes(sources: Sequence[str], available: Mapping[str, Available]) -> Floats:
    sizes = [available[source].tokens for source in sources]
    if any(size is None or size <= 0 for size in sizes):
        raise UsageError("A budget of tokens needs the tokens of the sources' rows.", fix="Give them, or ask for --rows.")
    return np.array(sizes, dtype=float)


def _rows_of(shares: Floats, sources: Sequence[str], available: Mapping[str, Available], tokens: int) -> int:
    return max(int(tokens / float(shares @ _sizes(sources, available)) + EDGE), 1)


def _whole(shares: Floats, rows: int, sources: Sequence[str], available: Mapping[str, Available], settings: MixSettings) -> dict[str, int]:
    """Whole rows within the limits: largest remainder, and no source beyond what it has."""
    most = [settings.max_repeats * available[source].rows for source in sources]
    exact = [share * rows for share in shares.tolist()]
    counts = [min(int(value + EDGE), limit) for value, limit in zip(exact, most, strict=True)]
    order = sorted(range(len(sources)), key=lambda place: (counts[place] - exact[place], sources[place]))
    while sum(counts) < rows:
        before = sum(counts)
        for place in order:
            # A source that the law leaves out stays out, unless there is no other.
            if sum(counts) < rows and counts[place] < most[place] and exact[place] > EDGE:
                counts[place] += 1
        if sum(counts) == before:
            break
    while settings.tokens is not None and float(np.dot(counts, sizes := _sizes(sources, available))) > settings.tokens and sum(counts) > 1:
        # Rounding may have gone beyond the tokens by less than a row.
        place = max((place for place in order if counts[place]), key=lambda place: (counts[place] - exact[place], sizes[place]))
        counts[place] -= 1
    return dict(zip(sources, counts, strict=True))


def _rivals(
    law: LogLinear, data: _Data, available: Mapping[str, Available], limits: Limits, taken: Floats, confidence: float
) -> tuple[Mixed, ...]:
    n = len(data.sources)
    single = min(np.eye(n), key=law.objective)
    natural = np.array([available[source].rows for source in data.sources], dtype=float)
    run = data.shares[int(np.exp(data.log_losses).mean(axis=1).argmin())]
    candidates = {
        f"only {data.sources[int(single.argmax())]}": single,
        "equal shares": np.full(n, 1.0 / n),
        "natural shares": natural / natural.sum(),
        "the best run": run,
    }
    return tuple(
        Mixed(
            name,
            _named(data.sources, shares),
            law.predicted(shares, confidence),
            law.gain(taken, shares, confidence),
            fits_limits=limits.hold(shares),
        )
        for name, shares in candidates.items()
    )


def _notes(law: LogLinear, data: _Data, taken: Floats, outcomes: Sequence[OutcomeFit], rows: int) -> list[str]:
    notes = list(data.notes)
    n, sources = data.shares.shape
    if n < WELL * sources:
        notes.append(f"{n} compositions are fewer than {WELL} for each of {sources} sources: shares will be uncertain.")
    lost = [outcome.name for outcome in outcomes if not outcome.explained]
    if lost:
        notes.append(f"The shares do not explain {', '.join(lost)}: there a mean loss is predicted whatever the shares are.")
    beyond = [
        source
        for source, share, column in zip(data.sources, taken.tolist(), data.shares.T, strict=True)
        if not column.min() - EDGE <= share <= column.max() + EDGE
    ]
    if beyond:
        notes.append(
            f"The shares of {', '.join(beyond)} lie beyond all that were run: the law is extended there, and a run should confirm it."
        )
    elif law.leverage(taken) > law.largest_leverage + EDGE:
        notes.append("The proposal lies beyond all compositions that were run: the law is extended there, and a run should confirm it.")
    if data.n_rows and not data.n_rows / FAR <= rows <= data.n_rows * FAR:
        notes.append(
            f"The runs have {data.n_rows:,} rows and the mixture {rows:,}: that shares do there what they do here is assumed, not known."
        )
    return notes


def _check(settings: MixSettings) -> None:
    if settings.rows is not None and settings.tokens is not None:
        raise UsageError("A mixture has so many rows, or so many tokens, not both.", fix="Leave one out.")
    for name in ("rows", "tokens", "max_repeats"):
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise UsageError(f"{name} is {value}; it is at least 1.", fix="Give a whole number above 0.")
    if not 0.0 < settings.confidence < 1.0:
        raise UsageError(f"The confidence is {settings.confidence}; it lies between 0 and 1.", fix="For example: 0.95")


def _named(sources: Sequence[str], values: Floats) -> dict[str, float]:
    return dict(zip(sources, values.tolist(), strict=True))


def _toml(text: str) -> str:
    """A text as TOML writes it: a JSON string is one, but for DEL."""
    return orjson.dumps(str(text)).decode().replace("\x7f", "\\u007f")


__all__ = ["Available", "MixFit", "MixSettings", "Mixed", "OutcomeFit", "mix_fit", "recipe_text"]
