"""People and judges on released comparisons: how far people agree, and how far people and a judge follow the longer response.

    python benchmarks/skills/preferences.py --data ../shared/data

Writes benchmarks/results/preferences.json: counts, and means by model, from which docs/build_research_questions.py computes shares with intervals.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]
import _record
from _rows import lines

ANNOTATORS: Final = ("annotator1", "annotator2", "annotator3")
JUDGE: Final = "alpaca_eval_gpt4"
"""GPT-4 against text-davinci-003's responses."""


def longer(first: str, second: str) -> int:
    """Which of two has more characters: 1 or 2, 0 where neither."""
    return 0 if len(first) == len(second) else 1 if len(first) > len(second) else 2


def majority(votes: Iterable[int]) -> int:
    """What most say: 1, 2 or 0 for a tie, and for no majority."""
    vote, count = Counter(votes).most_common(1)[0]
    return vote if count > 1 else 0


def table(pairs: Iterable[tuple[int, int]]) -> dict[str, int]:
    """How often which verdict (1, 2, 0) stands beside which longer response."""
    return {f"{verdict}{length}": count for (verdict, length), count in sorted(Counter(pairs).items())}


def pandalm(data: Path) -> dict[str, Any]:
    """Three people on 999 pairs."""
    rows = lines(data / "preferences/pandalm_human_999.jsonl.zst")
    votes = [tuple(int(row[name]) for name in ANNOTATORS) for row in rows]
    verdicts = [(majority(vote), longer(str(row["response1"]), str(row["response2"]))) for vote, row in zip(votes, rows, strict=True)]
    patterns = Counter("".join(map(str, vote)) for vote in votes)
    return {"votes": dict(sorted(patterns.items())), "majority_and_longer": table(verdicts)}


def llmbar(data: Path) -> dict[str, Any]:
    """Experts' labels where one response follows the instruction; the adversarial part rewards style."""
    parts: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for row in lines(data / "preferences/llmbar_419.jsonl.zst"):
        part = "natural" if row["_subset"] == "Natural" else "adversarial"
        parts[part].append((int(row["label"]), longer(str(row["output_1"]), str(row["output_2"]))))
    return {part: table(pairs) for part, pairs in sorted(parts.items())}


def judged(data: Path) -> dict[str, Any]:
    """A judge's verdicts, model by model, with the mean length of its responses, and verdict by verdict which was longer."""
    outputs = {(row["_model_dir"], row["instruction"]): row["output"] for row in lines(data / "eval/alpaca_eval_outputs.jsonl.zst")}
    models: dict[str, list[tuple[float, int, int]]] = defaultdict(list)
    for row in lines(data / "eval/alpaca_eval_annotations.jsonl.zst"):
        response = outputs.get((row["_model_dir"], row["instruction"]))
        reference = outputs.get(("text_davinci_003", row["instruction"]))
        if row["_annotator_dir"] == JUDGE and row["preference"] is not None and response is not None and reference is not None:
            models[row["_model_dir"]].append((float(row["preference"]) - 1.0, longer(reference, response), len(response)))
    verdicts = [(0 if won == 0.5 else 2 if won > 0.5 else 1, length) for rows in models.values() for won, length, _ in rows]
    return {
        "models": {
            name: {
                "pairs": len(rows),
                "win_rate": math.fsum(won for won, _, _ in rows) / len(rows),
                "characters": math.fsum(size for _, _, size in rows) / len(rows),
            }
            for name, rows in sorted(models.items())
        },
        "verdict_and_longer": table(verdicts),
    }


def webgpt(data: Path) -> dict[str, int]:
    """People on answers to questions with sources."""
    pairs = []
    for row in lines(data / "preferences/dsp_webgpt_test.jsonl.zst"):
        first, second = row["score"]
        pairs.append((0 if first == second else 1 if first > second else 2, longer(*row["text"])))
    return table(pairs)


def main() -> None:
    """Count and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="the folder of the data")
    data = parser.parse_args().data
    print(_record.write("preferences", {"pandalm": pandalm(data), "llmbar": llmbar(data), "judge": judged(data), "webgpt": webgpt(data)}))


if __name__ == "__main__":
    main()
