"""AlpacaEval's files: model outputs and annotations, read and written."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypedDict

from instructsel import kinds
from instructsel.artifact import atomic_write, fingerprint, read_manifest, write_manifest
from instructsel.errors import InstructselError, PoolError, ScoresError
from instructsel.grading.judge import TIE, Judgment, Judgments, name_of
from instructsel.grading.outputs import Outputs, unique_words
from instructsel.structured import Refusal, parse_json, read_bytes

OFFICIAL: Final = 805
"""Instructions of AlpacaEval's own set."""


OFFICIAL_DIGEST: Final = "0d66f1a8c19f39a71f39437b813cf6be"
"""Of these, as `fingerprint` has it of their texts in AlpacaEval's own order."""


DATASETS: Final = frozenset({"helpful_base", "koala", "oasst", "selfinstruct", "vicuna"})
"""Of AlpacaEval's own set."""


ANNOTATIONS: Final = "Give AlpacaEval's annotations.json."


AGAIN: Final = "Give a JSON list of {instruction, output, generator}."


def write_outputs(path: str | Path, outputs: Outputs) -> None:
    """Write outputs as AlpacaEval reads them: a JSON list of {instruction, output, generator, dataset}.

    What has no output is not in the list, which AlpacaEval would take for a text; it stands in its manifest with the reason.

    Raises:
        EnvironmentFault: the folder is missing or not writable, or the disk is full.
    """
    rows: list[dict[str, Any]] = []
    for place, (instruction, text) in enumerate(zip(outputs.instructions, outputs.texts, strict=True)):
        dataset = {"dataset": outputs.datasets[place]} if outputs.datasets else {}
        if text is not None:
            rows.append({"instruction": instruction, "output": text, "generator": outputs.generator, **dataset})
    missing = [
        {"instruction": instruction, "reason": reason}
        for instruction, reason in zip(outputs.instructions, outputs.reasons, strict=True)
        if reason is not None
    ]
    _write_list(path, rows)
    record = {key: value for key, value in outputs.record.items() if key != "seconds"}
    manifest = {"kind": kinds.OUTPUTS, "generator": outputs.generator, "n": len(outputs), "missing": missing, "record": record}
    write_manifest(path, manifest, run={"seconds": outputs.record.get("seconds")})


class MissingOutput(TypedDict):
    """An instruction without an output."""

    instruction: str
    reason: str


class OutputsManifest(TypedDict, total=False):
    """The manifest of outputs."""

    kind: str
    missing: list[MissingOutput] | None
    generator: str | None
    record: dict[str, Any] | None


class AnnotationsManifest(TypedDict, total=False):
    """The manifest of annotations."""

    kind: str
    judge: dict[str, Any] | None


class AnnotationRow(TypedDict, total=False):
    """What a row of annotations may hold beside AlpacaEval's own keys; `signs` is the last release's word."""

    flags: list[Any] | None
    injection_patterns: list[Any] | None
    signs: list[Any] | None
    digests: list[Any] | None


def read_outputs(path: str | Path, *, official: bool = False) -> Outputs:
    """Outputs out of a JSON list of {instruction, output, generator, dataset}, with what its manifest names as missing.

    Args:
        path: of model outputs or of reference outputs: they have one form.
        official: whether it must be AlpacaEval's own set, with an output for each of 805 instructions.

    Raises:
        PoolError: it cannot be read, is no such list, has two generators, or an instruction twice; or official, another number.
        ScoresError: the manifest is damaged, or of a newer release.
    """
    rows = _read_list(path, PoolError, AGAIN)
    texts: dict[str, str] = {}
    datasets: dict[str, str | None] = {}
    for number, row in enumerate(rows, 1):
        instruction, output = row.get("instruction"), row.get("output")
        if not isinstance(instruction, str) or not isinstance(output, str):
            raise PoolError(f"{path}, row {number}: instruction and output are not both texts.", fix=AGAIN)
        if instruction in texts:
            raise PoolError(f"{path}, row {number}: the instruction {instruction[:80]!r} stands twice.", fix="Keep one of the two.")
        texts[instruction] = output
        dataset = row.get("dataset")
        datasets[instruction] = dataset if isinstance(dataset, str) else None
    generators = sorted({str(row.get("generator", "")) for row in rows})
    if len(generators) > 1:
        raise PoolError(f"{path} has outputs of {len(generators)} generators: {', '.join(generators[:4])}.", fix="Give a file to each.")
    if official and len(texts) != OFFICIAL:
        raise PoolError(f"{path} has outputs for {len(texts)} instructions; AlpacaEval has {OFFICIAL}.", fix="Answer every one of them.")
    manifest = read_manifest(path, OutputsManifest) or {}
    missing = {
        entry["instruction"]: entry["reason"]
        for entry in (manifest.get("missing") or [] if manifest.get("kind") == kinds.OUTPUTS else [])
        if entry["instruction"] not in texts
    }
    return Outputs(
        generators[0] if generators else str(manifest.get("generator", "")),
        (*texts, *missing),
        (*texts.values(), *(None for _ in missing)),
        (*(None for _ in texts), *missing.values()),
        (*datasets.values(), *(None for _ in missing)) if any(datasets.values()) else (),
        manifest.get("record") or {},
    )


def write_annotations(path: str | Path, judgments: Judgments, outputs: Outputs, reference: Outputs) -> None:
    """Write judgments as AlpacaEval's annotations.json, which its own tools read: output_1 is the reference's, preference may be null.

    A row has further columns with our reason, flags and digests; the manifest says which judge it was.

    Raises:
        EnvironmentFault: the folder is missing or not writable, or the disk is full.
    """
    rows = [
        {
            **stated,
            "reason": row.reason,
            "flags": list(row.flags),
            "injection_patterns": list(row.injection_patterns),
            "preference_forward": row.forward,
            "preference_swapped": row.swapped,
            "digests": list(row.digests),
        }
        for row, stated in zip(judgments.rows, annotation_rows(judgments, outputs, reference), strict=True)
    ]
    _write_list(path, rows)
    manifest = {
        "kind": kinds.ANNOTATIONS,
        "judge": dict(judgments.judge),
        "n": len(rows),
        "n_total": judgments.n_total,
        "nulls": judgments.nulls,
        "flags": judgments.flags,
    }
    write_manifest(path, manifest, run={"record": dict(judgments.record)})


def rows_of(path: str | Path) -> list[dict[str, Any]]:
    """The rows of an annotations.json as they stand there, with 0 and what is no preference as `read_annotations` has them.

    Raises:
        ScoresError: it cannot be read.
    """
    return [{**row, "preference": _stated(row.get("preference"))[0]} for row in _read_list(path, ScoresError, ANNOTATIONS)]


def read_annotations(path: str | Path) -> Judgments:
    """Judgments out of an annotations.json, or of JSON lines of the same rows; AlpacaEval's own, or ours.

    A preference may be whole or not, 0 is an old way to write a tie, and null stays null (null_in_file). What is no number in [1, 2]
    is null, too (out_of_range). The record has the lengths of both outputs in characters, where they stand in the file; what they were
    compared with (`reference`: the generator, and a digest of its outputs); and whether all rows are of AlpacaEval's own sets (`official`).

    Raises:
        ScoresError: it cannot be read, has no such rows, or an instruction twice; or the annotations of two judges.
    """
    rows = _read_list(path, ScoresError, ANNOTATIONS, AnnotationRow)
    judges = sorted({str(row.get("annotator", "")) for row in rows})
    if len(judges) != 1:
        raise ScoresError(
            f"{path} has the annotations of {len(judges)} judges: {', '.join(judges[:4])}." if judges else f"{path} has no annotations.",
            fix="One result has one judge: give a file to each." if judges else ANNOTATIONS,
        )
    judgments: list[Judgment] = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row.get("instruction"), str) or "preference" not in row:
            raise ScoresError(f"{path}, row {number}: there is no instruction, or no preference.", fix=ANNOTATIONS)
        preference, reason = _stated(row["preference"])
        if reason is not None and isinstance(row.get("reason"), str):
            reason = row["reason"]
        judgments.append(
            Judgment(
                row["instruction"],
                preference,
                reason,
                _stated(row.get("preference_forward"))[0],
                _stated(row.get("preference_swapped"))[0],
                tuple(map(str, row.get("flags") or ())),
                tuple(map(str, row.get("injection_patterns") or row.get("signs") or ())),
                tuple(map(str, row.get("digests") or ())),
            )
        )
    manifest = read_manifest(path, AnnotationsManifest) or {}
    judge = manifest.get("judge") if manifest.get("kind") == kinds.ANNOTATIONS else None
    lengths = {
        f"{prefix}{side}": [count(text) if isinstance(text := row.get(key), str) else None for row in rows]
        for side, key in (("output", "output_2"), ("reference", "output_1"))
        for prefix, count in (("", len), ("unique_", unique_words))
    }
    references = {str(row.get("generator_1", "")) for row in rows}
    texts = sorted((row["instruction"], row["output_1"]) for row in rows if isinstance(row.get("output_1"), str))
    reference = {"generator": ", ".join(sorted(references)), "digest": fingerprint(texts) if len(texts) == len(rows) else None}
    datasets = {str(row.get("dataset", "")) for row in rows}
    record = {"lengths": lengths, "reference": reference, "official": bool(rows) and datasets <= DATASETS}
    try:
        return Judgments(judge if judge is not None else {"kind": "annotations", "name": judges[0]}, tuple(judgments), record)
    except PoolError as error:
        raise ScoresError(f"{path}: {error.message}", fix=error.fix) from error


def annotation_rows(judgments: Judgments, outputs: Outputs, reference: Outputs) -> list[dict[str, Any]]:
    """Judgments as rows of AlpacaEval's annotations.json: output_1 is the reference's, preference may be None."""
    rows: list[dict[str, Any]] = []
    for row in judgments.rows:
        place = reference.places.get(row.instruction)
        rows.append(
            {
                "instruction": row.instruction,
                "output_1": reference.of(row.instruction)[0],
                "generator_1": reference.generator,
                "dataset": reference.datasets[place] if reference.datasets and place is not None else None,
                "output_2": outputs.of(row.instruction)[0],
                "generator_2": outputs.generator,
                "annotator": name_of(judgments.judge),
                "preference": row.preference,
            }
        )
    return rows


def _stated(value: Any) -> tuple[float | None, str | None]:
    """A preference as it stands in a file, or why it is none."""
    if value is None:
        return None, "null_in_file"
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None, "out_of_range"
    if value == 0:
        return TIE, None
    return (float(value), None) if 1 <= value <= 2 else (None, "out_of_range")


def _write_list(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with atomic_write(path) as file:
        file.write(json.dumps(rows, ensure_ascii=False, indent=2).encode("utf-8", "replace") + b"\n")


def _read_list(path: str | Path, error: type[InstructselError], fix: str, row: Any = dict[str, Any]) -> list[dict[str, Any]]:
    """A JSON list of objects, or JSON lines of them; of a shape."""
    refusal = Refusal(error, fix)
    data = read_bytes(path, refusal).removeprefix(b"\xef\xbb\xbf").strip()
    if data.startswith(b"["):
        rows: list[dict[str, Any]] = parse_json(data, list[row], path, refusal)
        return rows
    lines = enumerate(data.split(b"\n"), start=1)
    return [parse_json(line, row, f"{path}, line {number}", refusal) for number, line in lines if line.strip()]
