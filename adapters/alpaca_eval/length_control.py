"""AlpacaEval's own length-controlled win rate, from its file of instruction difficulties."""

from __future__ import annotations

import csv
import importlib.util
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from instructsel.adapters.alpaca_eval.files import OFFICIAL
from instructsel.adapters.alpaca_eval.official_order import official_order
from instructsel.adapters.alpaca_eval.seam import NEEDED_BY, contained, substituted
from instructsel.errors import ScoresError, UsageError
from instructsel.extras import require

HUB: Final = "tatsu-lab/alpaca_eval"


GAMED: Final = "df_gamed.csv"
"""In the data set HUB: what two models that were told to be brief and to be verbose were preferred by, which length control is fitted with."""


GAMED_COLUMNS: Final = ("model", "index", "preference", "std_delta_len", "instruction_difficulty", "not_gamed_baseline")


TRUTH: Final[Mapping[str, bool]] = {"false": False, "0": False, "0.0": False, "true": True, "1": True, "1.0": True}
"""How files write a truth value."""


def official_length_control(rows: Sequence[Mapping[str, Any]], files: str | Path | None = None) -> dict[str, float] | None:
    """AlpacaEval 2's own length-controlled win rate, in per cent, by its own package; None where it cannot be had.

    It is of AlpacaEval's own 805 instructions, and needs the file df_gamed.csv of the data set tatsu-lab/alpaca_eval. The package looks
    an instruction's difficulty up by its place: rows and file are brought into AlpacaEval's own order first, whatever order they come in.
    Its regulariser and its instructions' difficulties were made with GPT-4 Turbo as judge and as reference.

    Args:
        rows: as in annotations.json: instruction, output_1, output_2, generator_1, generator_2, preference.
        files: a folder with df_gamed.csv; without one it is looked for in the cache of the Hugging Face hub, and not downloaded.

    Returns:
        win_rate and standard_error; None for other instructions, with an output missing, without the file or the package, where all
        differences in length are equal, and where the fit does not come out.

    Raises:
        MissingExtra: `files` are given, and alpaca_eval is not installed.
        ScoresError: the file is not what AlpacaEval publishes.

    Source: Dubois et al. 2024, arXiv:2404.04475; alpaca_eval 0.6.6, length_controlled_v1.
    """
    if any(not isinstance(row.get(key), str) for row in rows for key in ("instruction", "output_1", "output_2")):
        return None
    order = official_order([row["instruction"] for row in rows])
    if order is None:
        return None
    rows = [rows[position] for position in order]
    path = _gamed(files)
    differences = {len(row["output_1"]) - len(row["output_2"]) for row in rows}
    if path is None or (files is None and importlib.util.find_spec("alpaca_eval") is None):
        return None
    if all(row["output_1"] == row["output_2"] for row in rows):
        # A model against itself, whatever the two are called.
        return {"win_rate": 50.0, "standard_error": 0.0}
    if len(differences) == 1:
        # It divides by how much they differ.
        return None
    gamed = _read_gamed(path)
    with contained(), tempfile.TemporaryDirectory() as folder:
        glm = require("alpaca_eval.metrics.glm_winrate", needed_by=NEEDED_BY)
        keys = ("instruction", "output_1", "output_2", "generator_1", "generator_2", "preference")
        frame = require("pandas", needed_by=NEEDED_BY).DataFrame([{key: row.get(key) for key in keys} for row in rows])
        if frame["preference"].isna().all():
            return None
        copy = _written(gamed, Path(folder) / GAMED)
        try:
            with warnings.catch_warnings(), substituted(glm, hf_hub_download=lambda **_: str(copy)):
                warnings.simplefilter("ignore")
                # Only its weights and preferences, which it would write into the package.
                figures = glm.get_length_controlled_winrate(
                    frame, save_weights_dir=None, is_add_glm_preference_inplace=False, is_warn_extreme_changes=False
                )
        except (KeyError, ValueError, AssertionError, ArithmeticError):
            # Its fit does not come out for every set of preferences; then there is no such win rate, and everything else stands.
            return None
    return {"win_rate": float(figures["length_controlled_winrate"]), "standard_error": float(figures["lc_standard_error"])}


def _gamed(files: str | Path | None) -> Path | None:
    if files is not None:
        path = Path(files) / GAMED
        return path if path.is_file() else None
    if importlib.util.find_spec("huggingface_hub") is None:
        return None
    cached = require("huggingface_hub", needed_by=NEEDED_BY).try_to_load_from_cache(HUB, GAMED, repo_type="dataset")
    return Path(cached) if isinstance(cached, str) else None


def _read_gamed(path: Path) -> list[dict[str, str]]:
    """The rows of df_gamed.csv in AlpacaEval's own order, with whole numbers and truth values in the form that its package reads.

    A file that went through a spreadsheet or a data frame says 0.0 for False and 12.0 for 12, or has its rows in another order.

    Raises:
        ScoresError: it cannot be read, lacks a column, does not name all 805 instructions by their places, or holds no truth value where
            one belongs.
    """
    again = f"Take {GAMED} from the data set {HUB}."
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        places = [_place(row["index"]) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ScoresError(f"{path} is not AlpacaEval's: {type(error).__name__}.", fix=again) from error
    missing = [name for name in GAMED_COLUMNS if not rows or name not in rows[0]]
    if missing or set(places) != set(range(OFFICIAL)):
        why = f"it has no column {', '.join(missing)}" if missing else f"it names {len(set(places))} of {OFFICIAL} instructions"
        raise ScoresError(f"{path} is not AlpacaEval's: {why}.", fix=again)
    for number, (row, place) in enumerate(zip(rows, places, strict=True), start=2):
        truth = TRUTH.get(str(row["not_gamed_baseline"]).strip().lower())
        if truth is None:
            raise ScoresError(
                f"{path}, line {number}: not_gamed_baseline is {row['not_gamed_baseline']!r}; True or False is expected.", fix=again
            )
        row |= {"not_gamed_baseline": str(truth), "index": str(place)}
    if places == list(range(OFFICIAL)) * (len(places) // OFFICIAL):
        return rows
    models = sorted({row["model"] for row in rows})
    return sorted(rows, key=lambda row: (models.index(row["model"]), int(row["index"])))


def _place(text: str) -> int:
    """A place among the instructions, which a data frame may have made a number with a point."""
    number = float(text)
    if not number.is_integer():
        raise ValueError(text)
    return int(number)


def _written(rows: Sequence[Mapping[str, str]], path: Path) -> Path:
    """A file with these rows, as AlpacaEval's package reads it."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, GAMED_COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def check_files(files: str | Path | None) -> None:
    """Refuse a folder for AlpacaEval's own length control before anything is trained.

    Raises:
        UsageError: df_gamed.csv is not in it.
        ScoresError: it is not AlpacaEval's.
        MissingExtra: alpaca_eval is not installed.
    """
    if files is None:
        return
    path = _gamed(files)
    if path is None:
        raise UsageError(f"There is no {GAMED} in {files}.", fix=f"It is in the data set {HUB}.")
    _read_gamed(path)
    with contained():
        require("alpaca_eval.metrics.glm_winrate", needed_by=NEEDED_BY)
