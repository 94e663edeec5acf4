"""What a report is made of: results, or the files they stand in, sorted by what they are."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from instructsel.artifact import file_digest, fingerprint, read_manifest
from instructsel.errors import InstructselError, ScoresError, UsageError
from instructsel.experiments.arms import rows_digest
from instructsel.rules.observations import Observations
from instructsel.scores.table import ScoreTable
from instructsel.selection.baselines.base import RANDOM
from instructsel.selection.baselines.registry import names as baseline_names
from instructsel.selection.selection import Selection
from instructsel.stats.variance import BOTH, ESTIMANDS
from instructsel.study.folder import PLAN, TABLE
from instructsel.study.size_curve import KIND as SIZE
from instructsel.study.size_curve import SizeCurve
from instructsel.study.size_search import CONFIGURATION, read_search
from instructsel.study.study import Study
from instructsel.verification.schema import upgraded

VERIFICATION: Final = "verification"
TABLES: Final = (".parquet", ".csv")
SELECTION: Final = "selection"
"""What `instructsel verify` calls its arm."""
VERIFIED: Final = "verification.parquet"
"""In the folder of `instructsel verify`."""
VERDICT: Final = "verdict.json"
"""Beside it: what was said of it."""
LEVEL: Final = 0.95
UNTRAINED: Final = ("base", "full", "all")
"""Arms that are no selection, besides the baselines."""
AGAIN: Final = "Give a .selection.parquet, .scores.parquet, study.parquet, verification.parquet or .json, or the folder of a study, a size search or a verification."


@dataclass(frozen=True)
class File:
    """Where a result was read from."""

    name: str
    """Of the file, without its folder."""
    kind: str
    """selection, baseline, scores, study, verification or size-search."""
    digest: str | None
    """SHA-256 of its bytes; None for a folder."""


@dataclass(frozen=True, eq=False)
class Given:
    """The results of a report."""

    selection: Selection | None = None
    """What the report is about."""
    baselines: tuple[Selection, ...] = ()
    """Other selections of the same pool."""
    table: ScoreTable | None = None
    """Scores of that pool."""
    studies: tuple[Study | Observations, ...] = ()
    """Fine-tuned sets and their losses."""
    verifications: tuple[Mapping[str, Any], ...] = ()
    """As plain data: `verdicts`, `arms` and `graders`, `skills`, `length_bias`, `win_rate`, `length_controlled`, whatever is there."""
    sizes: tuple[Mapping[str, Any], ...] = ()
    """Size curves as plain data."""
    files: tuple[File, ...] = ()
    """Those that were read, in the order given."""
    notes: tuple[str, ...] = ()
    """What was looked for and not found, or does not fit, in sentences."""


def gather(results: Sequence[Any], *, arm: str | None = None) -> Given:
    """Sort results by what they are, and read those that are named by their files.

    Args:
        results: Selection (the first is the one reported, the others its baselines), ScoreTable, Study, Observations, Verification
            or Verdicts, SizeCurve, plain data of the last three, or paths.
        arm: of a verification, the one that is the selection.

    Raises:
        UsageError: nothing given, something that is no result, two score tables, selections and scores of different pools, or a
            verification whose selection cannot be told from its baselines.
        ScoresError: a file that is missing, damaged, or no result.
        StudyError: the same of a study or a verification.
    """
    if not results:
        raise UsageError("A report is made of at least one result.", fix=AGAIN)
    found, beside = Given(), None
    places = [Path(each).resolve() for each in results if isinstance(each, str | Path)]
    twice = next((each for each in places if places.count(each) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice.name} is given twice.", fix="Name every result once.")
    for each in results:
        if isinstance(each, str | Path):
            result, note = _of_arm(Path(each), read(each), arm)
            at = _behind(Path(each))
            # Of a verdict that is looked at for another arm, the grades beside it.
            grades = at.parent / VERIFIED if at.suffix == ".json" and (at.parent / VERIFIED).exists() else at
            found, kind = _added(found, result, arm, level=_level(grades), said=_said(grades))
            found = replace(found, notes=(*found.notes, *note))
            digest = None if Path(each).is_dir() else file_digest(_behind(Path(each)))
            found = replace(found, files=(*found.files, File(_behind(Path(each)).name, kind, digest)))
            if kind == "selection":
                beside = _behind(Path(each))
        else:
            found, _ = _added(found, each, arm)
    if found.table is None and found.selection is not None:
        found = _with_scores(found, beside)
    return _checked(found)


def read(path: str | Path) -> Any:
    """The result in a file or folder; what it is, is told by its manifest.

    Raises:
        ScoresError: there is none, or it is damaged or nothing that can be reported.
        StudyError: a study, a size search or a verification that is damaged.
    """
    target = Path(path)
    if target.is_dir():
        if (target / CONFIGURATION).exists():
            return read_search(target)
        if (target / PLAN).exists() or (target / TABLE).exists():
            return Study.read(target)
        if (target / VERIFIED).exists():
            return _verdict(target) or read(target / VERIFIED)
        raise ScoresError(f"{target} is the folder of no study, size search or verification.", fix=AGAIN)
    if not target.is_file():
        raise ScoresError(f"There is no file {target}.", fix=AGAIN)
    if target.suffix == ".json":
        return _from_json(target)
    if target.suffix not in TABLES:
        raise ScoresError(f"{target} is no result of instructsel.", fix=AGAIN)
    told = (read_manifest(target) or {}).get("kind")
    if told == VERIFICATION:
        from instructsel.verification.verification import Verification

        return Verification.read(target)
    readers = {"selection": Selection.read, "scores": ScoreTable.read, "study": _study}
    if told in readers:
        return readers[told](target)
    if target.suffix == ".csv":
        raise ScoresError(f"{target} has no manifest beside it that says what it is.", fix="Keep a result and its .json file together.")
    first: InstructselError | None = None
    for reader in readers.values():
        try:
            return reader(target)
        except InstructselError as error:
            first = first or error
    raise ScoresError(f"{target} is nothing that can be reported: {first.message if first else ''}", fix=AGAIN) from first


def _of_arm(path: Path, result: Any, arm: str | None) -> tuple[Any, tuple[str, ...]]:
    """What `verify` said, or its grades where they are to be looked at for another arm; and what is to be said of that."""
    if path.is_dir() and (path / VERIFIED).exists() and not isinstance(result, Mapping):
        note = (
            f"{VERDICT} is missing, damaged, or of other grades: the verdicts are recomputed; what was run, costs and plans are not known."
        )
        return result, (note,)
    if not isinstance(result, Mapping) or arm is None or result.get("selection") in (None, arm):
        return result, ()
    table = (path if path.is_dir() else path.parent) / VERIFIED
    if not table.exists():
        raise UsageError(f"{path.name} is about {result['selection']}, and its grades are not beside it.", fix=f"Name {VERIFIED}.")
    return read(table), (f"The verification was made of {result['selection']}; here its grades are looked at for {arm}.",)


def _said(target: Path) -> Mapping[str, Any]:
    """What `verify` said of the grades in a table: the selection, the baseline, the word, and the model's."""
    table = target / VERIFIED if target.is_dir() else target
    try:
        run = (read_manifest(table) or {}).get("run") or {} if table.is_file() and table.suffix in TABLES else {}
    except InstructselError:
        return {}
    run = upgraded(run)
    return {key: run[key] for key in ("selection", "against", "outcome", "model", "missing", "generalize_to", "leakage") if key in run}


def _verdict(folder: Path) -> Mapping[str, Any] | None:
    """What `instructsel verify` said last, where it is whole and of the grades that stand beside it."""
    try:
        told = orjson.loads((folder / VERDICT).read_bytes())
        table = (read_manifest(folder / VERIFIED) or {}).get("sha256")
    except (OSError, orjson.JSONDecodeError):
        return None
    whole = isinstance(told, dict) and told.pop("digest", None) == fingerprint(told)
    return told if whole and table is not None and told.get("table") == table else None


def _from_json(target: Path) -> Any:
    """A result that is JSON itself, or the one whose manifest a file is."""
    behind = _behind(target)
    if behind != target:
        return read(behind)
    if target.name == CONFIGURATION:
        return read_search(target.parent)
    try:
        plain = orjson.loads(target.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise ScoresError(f"{target} is not readable JSON: {error}.", fix=AGAIN) from error
    if not isinstance(plain, dict) or _kind(plain) is None:
        raise ScoresError(f"{target} is no result of instructsel.", fix=AGAIN)
    if "digest" in plain and plain.get("kind") == VERIFICATION and plain.pop("digest") != fingerprint(plain):
        raise ScoresError(
            f"{target} is not what verify wrote: it was changed or damaged.", fix="Verify again; finished runs are not made anew."
        )
    return plain


def _behind(target: Path) -> Path:
    """The result a manifest stands beside; else the file itself."""
    result = target.with_suffix("")
    return result if target.suffix == ".json" and result.suffix in TABLES and result.is_file() else target


def _level(target: Path) -> float:
    """At which a verification was judged when it was made."""
    try:
        run = (read_manifest(target / VERIFIED if target.is_dir() else target) or {}).get("run") or {}
        found = {finite(each.get("confidence")) for each in upgraded(run)["verdicts"]["verdicts"]}
    except (KeyError, TypeError, AttributeError, OSError):
        return LEVEL
    return next(iter(found)) or LEVEL if len(found) == 1 else LEVEL


def _study(target: Path) -> Study | Observations:
    # Columns of a CSV come back as text; as observations they are read as numbers.
    return Observations.read(target) if target.suffix == ".csv" else Study.read(target)


def _kind(plain: Mapping[str, Any]) -> str | None:
    """What plain data is of, by its keys."""
    if plain.get("kind") == SIZE or {"sizes", "fine_tunes"} <= plain.keys():
        return SIZE if {"sizes", "fine_tunes"} <= plain.keys() else None
    if {"graders", "arms"} <= plain.keys() or "verdicts" in plain or "verdict" in plain:
        return VERIFICATION
    return VERIFICATION if _part(plain) is not None else None


def _part(plain: Mapping[str, Any]) -> str | None:
    """The part of a verification that plain data is."""
    for part, keys in PARTS.items():
        if keys <= plain.keys():
            return part
    return None


PARTS: Final[Mapping[str, frozenset[str]]] = {
    "skills": frozenset({"base", "skills", "rows"}),
    "length_bias": frozenset({"r", "r_log", "rank"}),
    "length_controlled": frozenset({"win_rate", "raw_win_rate", "length_coefficient"}),
    "win_rate": frozenset({"win_rate", "wins", "ties", "losses"}),
}


def _added(found: Given, result: Any, arm: str | None, *, level: float = LEVEL, said: Mapping[str, Any] | None = None) -> tuple[Given, str]:
    """The results with one more, and what it is."""
    if isinstance(result, Selection):
        if found.selection is None:
            return replace(found, selection=result), "selection"
        return replace(found, baselines=(*found.baselines, result)), "baseline"
    if isinstance(result, ScoreTable):
        if found.table is not None:
            raise UsageError("Two score tables are given.", fix="Name the one that the selection was made from.")
        return replace(found, table=result), "scores"
    if isinstance(result, Study | Observations):
        return replace(found, studies=(*found.studies, result)), "study"
    if isinstance(result, SizeCurve):
        return replace(found, sizes=(*found.sizes, result.as_dict())), SIZE
    plain = _plain(result, arm, found, level, said or {})
    kind = None if plain is None else _kind(plain)
    if plain is None or kind is None:
        raise UsageError(f"{type(result).__name__} is nothing that can be reported.", fix=AGAIN)
    if kind == SIZE:
        return replace(found, sizes=(*found.sizes, plain)), SIZE
    part = _part(plain)
    if part is not None and "arms" not in plain:
        plain = {part: plain}
    elif "verdicts" in plain and isinstance(plain["verdicts"], list):
        plain = {"verdicts": plain}
    return replace(found, verifications=(*found.verifications, plain)), VERIFICATION


def _plain(result: Any, arm: str | None, found: Given, level: float, said: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if isinstance(result, Mapping):
        return result if _kind(result) == SIZE else upgraded(result)
    if not hasattr(result, "as_dict"):
        return None
    plain: dict[str, Any] = result.as_dict()
    if plain.get("kind") == VERIFICATION and callable(getattr(result, "verdicts", None)):
        selection, others = _sides(sorted(plain["arms"]), arm, found)
        if selection is not None and others:
            # The bootstrap stands beside the interval and changes no verdict.
            ranked = ranked_by(said)
            apart = {(name, grader) for grader, arms in ranked.items() for name in others if selection in arms or name in arms}
            generalize_to = said.get("generalize_to") if said.get("generalize_to") in ESTIMANDS else BOTH
            made = result.verdicts(selection, others, confidence=level, n_resamples=0, leakage=apart, generalize_to=generalize_to)
            own = said if said.get("selection") == selection else {}
            plain |= {"leakage": ranked, "generalize_to": generalize_to}
            fixed = set(plain.get("fixed") or ())
            rivals = [name for name in others if name not in fixed]
            against = own.get("against") or (RANDOM if RANDOM in others else rivals[0] if len(rivals) == 1 else None)
            plain |= {"verdicts": made.as_dict(), "selection": selection, **own}
            if against is not None:
                plain |= {"against": against, "outcome": own.get("outcome") or made.against(against).outcome}
    return plain


def ranked_by(plain: Mapping[str, Any]) -> dict[str, list[str]]:
    """Grader → the arms whose rows its own model ranked; without arms where that was not written down."""
    told = plain.get("leakage") or {}
    if not isinstance(told, Mapping):
        return {str(grader): [] for grader in told}
    return {str(grader): [str(arm) for arm in arms] for grader, arms in told.items()}


def _sides(arms: Sequence[str], asked: str | None, found: Given) -> tuple[str | None, list[str]]:
    """The arm that is the selection, and those it is compared with."""
    if asked is not None:
        if asked not in arms:
            raise UsageError.named(asked, arms, noun="arm")
        return asked, [name for name in arms if name != asked]
    own = next((name for name in (SELECTION, found.selection.name if found.selection is not None else "") if name in arms), None)
    candidates = [own] if own is not None else [name for name in arms if not name.startswith((*baseline_names(), *UNTRAINED))]
    if len(arms) < 2:
        return None, []
    if len(candidates) != 1:
        raise UsageError(
            f"Which of the arms {', '.join(arms)} is the selection cannot be told.", fix="Name it with --arm, or arm= in Python."
        )
    return candidates[0], [name for name in arms if name != candidates[0]]


def _with_scores(found: Given, beside: Path | None) -> Given:
    """With the scores the selection was made from, where they can be had."""
    assert found.selection is not None
    if found.selection.candidates is not None:
        return replace(found, table=found.selection.candidates.table)
    named = ((read_manifest(beside) or {}).get("run") or {}).get("scores") if beside is not None else None
    if isinstance(named, str) and Path(named).is_file():
        table = ScoreTable.read(named)
        file = File(Path(named).name, "scores", file_digest(named))
        return replace(found, table=table, files=(*found.files, file))
    sentence = "The score table behind the selection was not found: distributions are of what each term adds to the value."
    return replace(found, notes=(*found.notes, sentence))


def _checked(found: Given) -> Given:
    """All of one pool, in the order of the ids.

    Raises:
        UsageError: they are not.
    """
    if found.selection is None:
        return found
    selection = _in_order(found.selection)
    ids = selection.frame["id"]
    others = []
    for each in found.baselines:
        other = _in_order(each)
        if len(other.frame) != len(ids) or not (other.frame["id"] == ids).all():
            raise UsageError(f"{other.name} was selected from another pool than {selection.name}.", fix="Report selections of one pool.")
        others.append(other)
    if found.table is not None:
        table = found.table
        if len(table) != len(ids) or not (table.frame["id"] == ids).all():
            raise UsageError("The scores are not of the pool the selection was made from.", fix="Name the right table with --scores.")
        told, scored = selection.manifest.get("indicators") or {}, table.manifest.get("indicators") or {}
        differing = [symbol for symbol in told if symbol in scored and told[symbol] != scored[symbol]]
        if differing:
            sentence = f"The scores of {', '.join(differing)} are not those the selection was made from: they were scored in another way."
            found = replace(found, notes=(*found.notes, sentence))
    _same_rows(selection, found.verifications)
    return replace(found, selection=selection, baselines=tuple(others))


def _same_rows(selection: Selection, verifications: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a verdict on other rows than those that were selected.

    Raises:
        UsageError: the verification's selection has other rows.
    """
    own = rows_digest(sorted(selection.kept_ids))
    for plain in verifications:
        subsets = (plain.get("subsets") or {}).get(str(plain.get("selection"))) or []
        if subsets and all(isinstance(each, Mapping) and each.get("digest") != own for each in subsets):
            raise UsageError(
                f"The verification is of other rows than {selection.name} keeps: its verdict says nothing of them.",
                fix="Report the two apart, or name the selection that was verified.",
            )


def _in_order(selection: Selection) -> Selection:
    if selection.frame["id"].is_sorted():
        return selection
    return replace(selection, frame=selection.frame.sort("id", maintain_order=True))


def finite(value: Any) -> float | None:
    """A number, or None for what is none or is not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def digest_of(value: Any) -> str:
    """A digest of plain data, of halves of surrogate pairs, too."""
    try:
        return fingerprint(value)
    except TypeError:
        return fingerprint(json.dumps(value, sort_keys=True, default=str))


def kept_digest(selection: Selection) -> str:
    """A digest of the kept ids, best first."""
    return digest_of(list(selection.kept_ids))


def sources(selection: Selection) -> pl.Series:
    """The source of every row, "" where there is none."""
    return selection.frame["source"].cast(pl.String).fill_null("")


__all__ = ["File", "Given", "digest_of", "finite", "gather", "kept_digest", "ranked_by", "read", "sources"]
