"""How a reward model goes with human preferences it never saw, beside the longer answer and beside the cosine.

    python benchmarks/models/embedded_reward/judge.py ../shared/data

Six sections: pairs that people judged (sets), what six large reward models picked from 16 answers (reward_models), ratings by
language models (ratings), answers worsened on purpose (corruption), pairs written for this (own), and how far the score
spreads (scale). Proportions stand with a 95 % Wilson interval, everything else with a percentile bootstrap. Ties in the label are
left out and counted; a tie in the score counts half; what a score is silent on (NaN) is left out and counted.

Length is words where answers are matched by it or have it partialled out, and characters where the longer one wins.
Writes benchmarks/results/embedded_reward.json.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
# Beside this script lies corruption; one folder up, what all benchmarks share; one more, the package.
sys.path[:0] = [str(HERE), str(HERE.parents[1]), str(HERE.parents[2])]

import _record
from alpaca_labels import correlation, partial, ranks, read

Floats = NDArray[np.float64]
Text = tuple[str, str]
"""A prompt and a response."""
Score = Callable[[Sequence[Text]], Floats]
"""A number for each, the higher the better; NaN where it cannot speak."""
Figure = dict[str, Any]

SEED = 20260101
DRAWS = 1000
"""Draws of a bootstrap."""
WILSON = 1.959963984540054
MATCHED = {"length_matched": 0.10, "length_matched_20": 0.20}
"""By how much of the longer one the lengths may differ."""
BINS = 10
STEEPEST = 1000.0
"""The largest scale, in units of one over the mean |difference|: pairs that a score tells apart without error have no finite one."""

ANSWERS = 16
SEEN = 800
"""Pairs taken of a family the model was developed on."""
NEAREST = 5
"""Answers nearest in length to which a picked one is compared."""

CORRUPTED_POOLS = ("alpaca", "lima_history", "self_instruct_5k", "code_alpaca_2k", "alpaca_gpt4_en_demo")
CORRUPTED = 60
"""Examples a pool and kind."""
TRIES = 3000
"""Examples tried for them."""
UNTOUCHED = 500
"""Examples of a pool that say where its 5th and 10th percentile lie, and that a corruption may borrow from."""

NUGGETS = 1000
SPREAD = 1000
"""Rows a pool from which the standard deviation is taken."""
REWARD_COEFFICIENT = -0.1498
LENGTH_COEFFICIENT = 8.257e-5
"""Eq. 4 of InstructMining: a logit of Rew, a token of Len."""
TOKENS_A_WORD = 1.3
"""Taken, not measured."""

TURN = re.compile(r"(?:\A|\n\n)\s*(?:## )?(Human|Assistant):")
MARKER = re.compile(r"\A(?:Human|Assistant):\s*")
"""A second marker at the beginning of a turn."""
STRAY = re.compile(r"\n+(?:Human|Assistant)\s*\Z")
"""A marker without a colon at the end of a turn: an empty turn that somebody cleaned away, all but its name."""
ESCAPE = re.compile(r'\\(u[0-9a-fA-F]{4}|[nt"\\])')
RATED = re.compile(r"\[Query\]: (.*?)\n?\*\*\*\n\[Response\]: (.*?)\n?\*\*\*\n\[END DATA\]", re.DOTALL)


class Pair(NamedTuple):
    """Two responses to one prompt, the better one known."""

    prompt: str
    better: str
    worse: str
    group: str = ""
    """The subset or the kind it belongs to."""


@dataclass(frozen=True)
class PairSet:
    """Pairs from one source."""

    name: str
    pairs: list[Pair]
    rows: int
    """Of the file."""
    left_out: dict[str, int]
    """Reason → rows that are no pair for it."""
    family: str = ""
    """The source it shares with other sets; its own name where it shares none."""
    seen_family: bool = False
    """Whether the model was developed on pairs of this family."""


class Corruption(Protocol):
    """The module benchmarks/models/embedded_reward/corruption.py, or what stands in for it."""

    KINDS: tuple[str, ...]
    Example: Callable[..., Any]
    """(prompt, response)."""
    corrupt: Callable[..., Any]
    """(kind, example, others, generator): prompt, better and worse, or None where the kind does not apply."""


@dataclass(frozen=True)
class Bench:
    """The scores under judgement, and where chance comes from."""

    score: Score
    cosine: Score | None
    seed: int
    known: dict[str, dict[Text, float]] = field(default_factory=lambda: {"score": {}, "cosine": {}})
    """What has been scored: a text is scored once."""

    def generator(self, name: str) -> np.random.Generator:
        """The same for the same name, whatever else was drawn before."""
        return np.random.default_rng([self.seed, *name.encode()])

    def sample(self, size: int, count: int, name: str) -> list[int]:
        """Positions below `size` in a random order, at most `count`."""
        return [int(position) for position in self.generator(name).permutation(size)[:count]]

    def scorers(self) -> dict[str, Score]:
        """The score, and the cosine where there is one."""
        return {"score": self.score} | ({} if self.cosine is None else {"cosine": self.cosine})

    def read(self, texts: Iterable[Text]) -> None:
        """Score what a section needs, all at once and each text once."""
        needed = list(dict.fromkeys(texts))
        for name, scorer in self.scorers().items():
            new = [text for text in needed if text not in self.known[name]]
            if not new:
                continue
            say(f"  {name}: {len(new)} texts")
            values = np.asarray(scorer(new), dtype=np.float64)
            if values.shape != (len(new),):
                raise ValueError(f"A score gives one number a text; {len(new)} texts, found shape {values.shape}.")
            self.known[name].update(zip(new, np.where(np.isfinite(values), values, np.nan).tolist(), strict=True))

    def values(self, texts: Iterable[Text], name: str = "score") -> Floats:
        """What was read before."""
        return np.array([self.known[name][text] for text in texts], dtype=np.float64)

    def differences(self, pairs: Sequence[Pair], name: str = "score") -> Floats:
        """Score of the better response less score of the worse one."""
        return self.values(((pair.prompt, pair.better) for pair in pairs), name) - self.values(
            ((pair.prompt, pair.worse) for pair in pairs), name
        )


def say(line: str) -> None:
    """Progress, on stderr."""
    print(line, file=sys.stderr, flush=True)


# Statistics


def figure(value: float, low: float, high: float, count: int) -> Figure:
    """A number with its 95 % interval; null where it is not defined."""
    numbers = {"value": value, "low": low, "high": high}
    return {name: float(number) if np.isfinite(number) else None for name, number in numbers.items()} | {"n": int(count)}


def proportion(points: Floats) -> Figure:
    """A mean of zeros, halves and ones, with Wilson's interval."""
    n = len(points)
    if n == 0:
        return figure(np.nan, np.nan, np.nan, 0)
    share, z = float(points.mean()), WILSON
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return figure(share, max(middle - half, 0.0), min(middle + half, 1.0), n)


def percentiles(draws: Floats | Sequence[float]) -> tuple[float, float]:
    """The middle 95 %, of the draws that gave a number."""
    finite = np.asarray(draws, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if len(finite) == 0:
        return np.nan, np.nan
    low, high = np.quantile(finite, [0.025, 0.975])
    return float(low), float(high)


def drawn(size: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """(draws, size): positions drawn with replacement."""
    return generator.integers(0, size, (DRAWS, size))


def mean(values: Floats, generator: np.random.Generator) -> Figure:
    """A mean with its bootstrap interval."""
    if len(values) == 0:
        return figure(np.nan, np.nan, np.nan, 0)
    return figure(float(values.mean()), *percentiles(values[drawn(len(values), generator)].mean(axis=1)), len(values))


def points(differences: Floats) -> Floats:
    """1 where the better one has more, 0 where it has less, a half at a tie."""
    return (np.sign(differences) + 1) / 2


def halves(right: Floats, longer: Floats) -> Floats:
    """Accuracy where the pairs with the better one longer (longer > 0) and those with it shorter weigh half each, along the last axis."""
    with np.errstate(invalid="ignore"):
        accuracies = [(right * chosen).sum(axis=-1) / chosen.sum(axis=-1) for chosen in (longer > 0, longer < 0)]
    return np.asarray((accuracies[0] + accuracies[1]) / 2)


def balanced(right: Floats, longer: Floats, generator: np.random.Generator) -> Figure:
    """`halves` with its bootstrap interval; pairs of equal length are left out."""
    right, longer = right[longer != 0], longer[longer != 0]
    if len(right) == 0:
        return figure(np.nan, np.nan, np.nan, 0)
    rows = drawn(len(right), generator)
    return figure(float(halves(right, longer)), *percentiles(halves(right[rows], longer[rows])), len(right))


def by_prompt(right: Floats, prompts: Sequence[str], generator: np.random.Generator) -> Figure:
    """Accuracy with a bootstrap that draws prompts: several pairs of one prompt, or one pair twice, are no independent evidence."""
    if len(right) == 0:
        return figure(np.nan, np.nan, np.nan, 0)
    _, prompt = np.unique(np.asarray(prompts, dtype=str), return_inverse=True)
    sums, counts = np.bincount(prompt, right), np.bincount(prompt)
    rows = drawn(len(counts), generator)
    return figure(float(right.mean()), *percentiles(sums[rows].sum(axis=1) / counts[rows].sum(axis=1)), len(right))


def sigmoid(x: Floats) -> Floats:
    """Without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))


def best_scales(differences: Floats) -> Floats:
    """The s >= 0 under which each row's pairs are likeliest, the better one winning with sigmoid(s · difference): (b, n) → (b,).

    Newton's method on the mean of log(1 + exp(-s · difference)), which is convex in s; bisection where Newton leaves the bracket.
    """
    size = np.abs(differences).mean(axis=1)
    unit = differences / np.where(size > 0, size, 1.0)[:, None]
    low, high = np.zeros(len(unit)), np.full(len(unit), STEEPEST)
    scale = np.ones(len(unit))
    for _ in range(100):
        wrong = sigmoid(-scale[:, None] * unit)
        pull = unit * wrong
        slope = -pull.mean(axis=1)
        bend = (pull * unit * (1 - wrong)).mean(axis=1)
        low, high = np.where(slope < 0, scale, low), np.where(slope < 0, high, scale)
        newton = scale - slope / np.where(bend > 0, bend, np.inf)
        following = np.where((newton > low) & (newton < high), newton, (low + high) / 2)
        moved = np.abs(following - scale).max(initial=0.0)
        scale = following
        if moved < 1e-9:
            break
    scale = np.where((unit >= 0).all(axis=1), STEEPEST, scale)
    # At or below chance the best scale is 0: the slope there is minus half the mean difference.
    return np.where(unit.mean(axis=1) > 0, scale / np.where(size > 0, size, 1.0), 0.0)


def calibration_error(differences: Floats, scale: float) -> float:
    """Expected calibration error of sigmoid(scale · |difference|), in bins of as many pairs each, by |difference|."""
    order = np.argsort(np.abs(differences), kind="stable")
    predicted, right = sigmoid(scale * np.abs(differences))[order], points(differences)[order]
    gaps = [
        len(bin_rows) * abs(predicted[bin_rows].mean() - right[bin_rows].mean())
        for bin_rows in np.array_split(np.arange(len(order)), BINS)
        if len(bin_rows)
    ]
    return float(sum(gaps) / len(differences)) if len(differences) else np.nan


def calibration(differences: Floats, generator: np.random.Generator) -> Figure:
    """How steep the score is as a logit, and how far its promises are off, as it is and at the best scale."""
    n = len(differences)
    if n == 0:
        return dict.fromkeys(("scale", "error_at_1", "error_at_scale"), figure(np.nan, np.nan, np.nan, 0)) | {"capped": False}
    taken = differences[drawn(n, generator)]
    scale, scales = float(best_scales(differences[None])[0]), best_scales(taken)
    at_one = [calibration_error(row, 1.0) for row in taken]
    at_scale = [calibration_error(row, scale_of_row) for row, scale_of_row in zip(taken, scales.tolist(), strict=True)]
    return {
        "scale": figure(scale, *percentiles(scales), n),
        "error_at_1": figure(calibration_error(differences, 1.0), *percentiles(at_one), n),
        "error_at_scale": figure(calibration_error(differences, scale), *percentiles(at_scale), n),
        # Told apart without error: the scale is where the search ends, not where the best one lies.
        "capped": bool((differences >= 0).all() and (differences > 0).any()),
    }


def spread(values: Floats) -> bool:
    """Whether there is anything to rank."""
    return len(values) > 2 and float(np.ptp(values)) > 0


def related(x: Floats, y: Floats, z: Floats | None, generator: np.random.Generator) -> Figure:
    """A Spearman correlation with its bootstrap interval, z's ranks partialled out; examples are drawn, ranks are kept."""
    columns = [ranks(column) for column in (x, y, *([] if z is None else [z]))]
    if not all(spread(column) for column in columns):
        return figure(np.nan, np.nan, np.nan, len(x))
    function: Callable[..., float] = correlation if z is None else partial
    rows = drawn(len(x), generator)
    with np.errstate(invalid="ignore", divide="ignore"):
        draws = [function(*(column[row] for column in columns)) for row in rows]
        return figure(function(*columns), *percentiles(draws), len(x))


def area(untouched: Floats, corrupted: Floats, allowed: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """For every two allowed examples, whether the untouched one of the first lies above the corrupted one of the second."""
    return points(untouched[:, None] - corrupted[None, :]) * allowed, allowed.astype(np.float64)


def detection(
    untouched: Floats, corrupted: Floats, allowed: NDArray[np.bool_], generator: np.random.Generator
) -> tuple[float, Floats, int]:
    """Area under the curve over the allowed pairs of examples, its bootstrap draws (examples are drawn), and the examples."""
    n = len(untouched)
    if not allowed.any():
        return np.nan, np.full(DRAWS, np.nan), n
    above, counted = area(untouched, corrupted, allowed)
    weights = generator.multinomial(n, np.full(n, 1 / n), DRAWS).astype(np.float64)
    with np.errstate(invalid="ignore"):
        draws = ((weights @ above) * weights).sum(axis=1) / ((weights @ counted) * weights).sum(axis=1)
    return float(above.sum() / counted.sum()), draws, n


def words(text: str) -> int:
    """Length in words."""
    return len(text.split())


# Reading


def rows_of(data: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a file of shared data."""
    return read(data / f"{name}.jsonl.zst")


def asked(row: Mapping[str, Any]) -> str:
    """Instruction and input, the earlier turns before them."""
    turns = [turn for earlier in row.get("history") or [] for turn in earlier]
    return "\n".join(part for part in (*turns, str(row["instruction"]), str(row.get("input") or "")) if part.strip())


def split(dialogue: str) -> tuple[str, str] | None:
    """What comes before the last assistant turn, without role markers, and that turn; None where the last turn is another's."""
    parts = TURN.split(dialogue)
    roles, turns = parts[1::2], [STRAY.sub("", turn).strip() for turn in parts[2::2]]
    if parts[0].strip() or len(roles) < 2 or roles[-1] != "Assistant":
        return None
    return "\n".join(turn for turn in (MARKER.sub("", turn) for turn in turns[:-1]) if turn), turns[-1]


def dialogues(name: str, pairs: Sequence[tuple[str, str]], ties: int = 0, **about: Any) -> PairSet:
    """Pairs of whole dialogues, the better first; those without a common history are left out."""
    loaded = []
    for better, worse in pairs:
        sides = split(better), split(worse)
        if sides[0] is not None and sides[1] is not None and sides[0][0] == sides[1][0]:
            loaded.append(Pair(sides[0][0], sides[0][1], sides[1][1]))
    return PairSet(name, loaded, len(pairs) + ties, {"ties": ties, "not_split": len(pairs) - len(loaded)}, **about)


def scored_texts(name: str, rows: Sequence[Mapping[str, Any]], **about: Any) -> PairSet:
    """DSP's layout: two dialogues in `text`, two numbers in `score`."""
    decided = [row for row in rows if row["score"][0] != row["score"][1]]
    ordered = [tuple(row["text"] if row["score"][0] > row["score"][1] else row["text"][::-1]) for row in decided]
    return dialogues(name, [(better, worse) for better, worse in ordered], len(rows) - len(decided), **about)


def webgpt(data: Path) -> PairSet:
    """Answers with quoted sources, compared by people."""
    return scored_texts("webgpt", rows_of(data, "preferences/dsp_webgpt_test"))


def hh_helpful(data: Path) -> PairSet:
    """HH-RLHF, the helpful side, as DSP cleaned it."""
    return scored_texts("hh_helpful", rows_of(data, "preferences/dsp_helpful_test"), family="hh", seen_family=True)


def hh_harmless(data: Path) -> PairSet:
    """HH-RLHF, the harmless side."""
    rows = rows_of(data, "preferences/hh_harmless_base_test")
    return dialogues("hh_harmless", [(row["chosen"], row["rejected"]) for row in rows], family="hh", seen_family=True)


def pandalm(data: Path) -> PairSet:
    """What at least two of three annotators chose."""
    rows = rows_of(data, "preferences/pandalm_human_999")
    pairs = []
    for row in rows:
        votes = [row[f"annotator{number}"] for number in (1, 2, 3)]
        for winner, loser in ((1, 2), (2, 1)):
            if votes.count(winner) >= 2:
                # Six responses are the truth value true, once the word "True".
                pairs.append(Pair(asked(row), str(row[f"response{winner}"]), str(row[f"response{loser}"])))
    return PairSet("pandalm", pairs, len(rows), {"ties_or_no_majority": len(rows) - len(pairs)})


def llmbar(data: Path) -> PairSet:
    """Pairs labelled by experts, most of them made so that the worse one looks better."""
    rows = rows_of(data, "preferences/llmbar_419")
    return PairSet(
        "llmbar",
        [Pair(row["input"], row[f"output_{row['label']}"], row[f"output_{3 - row['label']}"], row["_subset"]) for row in rows],
        len(rows),
        {"ties": 0},
    )


def unescaped(text: str) -> str:
    r"""Literal \n, \t, \", \\ and \uXXXX as the characters they mean."""
    escapes = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}
    unescaped = ESCAPE.sub(lambda match: escapes.get(match[1]) or chr(int(match[1][1:], 16)), text)
    # Two escapes may be the halves of one character.
    return unescaped.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def normalized(text: str) -> str:
    """With one space where there was white space."""
    return " ".join(text.split())


def expert_revisions(data: Path) -> PairSet:
    """Alpaca's rows as experts revised them, over what they were."""
    rows = rows_of(data, "preferences/alpaca_expert_revised_train")
    pairs = []
    for row in rows:
        prompt = unescaped(row["src"].removeprefix("Instruction: ")).replace(" Input: ", "\n", 1).strip()
        better, worse = (unescaped(row[side].removeprefix("Response: ")).strip() for side in ("pos", "neg"))
        if normalized(better) != normalized(worse):
            pairs.append(Pair(prompt, better, worse))
    return PairSet("expert_revisions", pairs, len(rows), {"equal": len(rows) - len(pairs)})


def faireval(data: Path) -> PairSet:
    """ChatGPT against Vicuna-13B on Vicuna's 80 questions."""
    rows = rows_of(data, "preferences/faireval_human_80")
    questions = {row["question_id"]: "\n".join(row["turns"]) for row in rows_of(data, "eval/vicuna_80")}
    answers = {(row["_model"], row["question_id"]): row["text"] for row in rows_of(data, "eval/vicuna_80_answers")}
    models = {"CHATGPT": ("gpt-3.5-turbo", "vicuna-13b"), "VICUNA13B": ("vicuna-13b", "gpt-3.5-turbo")}
    pairs = []
    for row in rows:
        if row["human"] in models:
            better, worse = (answers[model, row["question_id"]] for model in models[row["human"]])
            pairs.append(Pair(questions[row["question_id"]], better, worse))
    return PairSet("faireval", pairs, len(rows), {"ties": sum(row["human"] == "TIE" for row in rows)})


SETS: tuple[Callable[[Path], PairSet], ...] = (webgpt, pandalm, llmbar, expert_revisions, faireval, hh_helpful, hh_harmless)


def refined(data: Path) -> PairSet:
    """Alpaca's 1,000 longest answers as GPT-4 rewrote them, over what they were."""
    alpaca = rows_of(data, "pools/alpaca")
    rows = rows_of(data, "scores/alpaca_1k_longest_refined_by_gpt4")
    pairs = []
    for row in rows:
        original = alpaca[int(row["id"].removeprefix("identity_"))]
        rewritten = row["conversations"][1]["value"]
        if normalized(rewritten) != normalized(original["output"]):
            pairs.append(Pair(asked(original), rewritten, original["output"]))
    return PairSet("refined_over_original", pairs, len(rows), {"equal": len(rows) - len(pairs)})


def autoj(data: Path) -> tuple[list[Text], Floats]:
    """Single responses with GPT-4's rating, 1 to 10."""
    rows = rows_of(data, "scores/autoj_single_ratings_960")
    matches = [RATED.search(row["usrmsg"]) for row in rows]
    texts = [(match[1].strip(), match[2].strip()) for match in matches if match is not None]
    return texts, np.array([float(row["pred_score"]) for row, match in zip(rows, matches, strict=True) if match is not None])


# A. Human pairs


def compared(bench: Bench, pairs: Sequence[Pair], name: str) -> Figure:
    """How often the score and both baselines prefer the better response, at any length and at about the same one."""
    generator = bench.generator(name)
    every = bench.differences(pairs)
    spoken = np.isfinite(every)
    pairs = [pair for pair, sound in zip(pairs, spoken, strict=True) if sound]
    difference = every[spoken]
    longer = np.array([len(pair.better) - len(pair.worse) for pair in pairs], dtype=np.float64)
    lengths = np.array([(words(pair.better), words(pair.worse)) for pair in pairs], dtype=np.float64).reshape(-1, 2)
    apart = np.abs(lengths[:, 0] - lengths[:, 1])
    matched = {control: apart <= share * lengths.max(axis=1) for control, share in MATCHED.items()}
    chosen = {"all": np.ones(len(pairs), dtype=bool), "length_matched": matched["length_matched"]}
    right = points(difference)
    figures: Figure = {
        "n": len(pairs),
        "prompts": len({pair.prompt for pair in pairs}),
        "repeated_pairs": len(pairs) - len(set(pairs)),
        "unscored": int((~spoken).sum()),
        "accuracy": proportion(right),
        **{control: proportion(right[mask]) for control, mask in matched.items()},
        "by_prompt": {
            which: by_prompt(right[mask], [pair.prompt for pair, one in zip(pairs, mask, strict=True) if one], generator)
            for which, mask in chosen.items()
        },
        "length_balanced": balanced(right, longer, generator),
        "longer_wins": {which: proportion(points(longer[mask])) for which, mask in chosen.items()},
        "ahead_of_longer": {which: mean((right - points(longer))[mask], generator) for which, mask in chosen.items()},
        "calibration": calibration(difference, generator),
    }
    if bench.cosine is not None:
        other = bench.differences(pairs, "cosine")
        heard = np.isfinite(other)
        figures["cosine_unscored"] = int((~heard).sum())
        figures["cosine"] = {which: proportion(points(other[mask & heard])) for which, mask in chosen.items()}
        figures["ahead_of_cosine"] = {
            which: mean(right[mask & heard] - points(other[mask & heard]), generator) for which, mask in chosen.items()
        }
    lows = [figures["length_matched"]["low"], figures["by_prompt"]["length_matched"]["low"], figures["length_balanced"]["low"]]
    figures["beats_chance"] = all(low is not None and low > 0.5 for low in lows)
    return figures


def by_group(bench: Bench, pairs: Sequence[Pair], name: str) -> Figure:
    """The same for each subset or kind."""
    groups = sorted({pair.group for pair in pairs})
    return {group: compared(bench, [pair for pair in pairs if pair.group == group], f"{name} {group}") for group in groups}


def texts_of(pairs: Iterable[Pair]) -> list[Text]:
    """Both sides of all pairs."""
    return [(pair.prompt, response) for pair in pairs for response in (pair.better, pair.worse)]


def sampled(each: PairSet, bench: Bench) -> PairSet:
    """All of an unseen set; of a seen family as many pairs as are worth the time, and none that was trained on."""
    if not each.seen_family:
        return each
    sampled = [each.pairs[position] for position in bench.sample(len(each.pairs), SEEN, each.name)]
    return replace(each, pairs=sampled, left_out={**each.left_out, "not_drawn": len(each.pairs) - len(sampled)})


def human_sets(bench: Bench, data: Path) -> Figure:
    """Section A."""
    sets = [sampled(make(data), bench) for make in SETS]
    bench.read(text for evaluation in sets for text in texts_of(evaluation.pairs))
    figures = {}
    for evaluation in sets:
        figures[evaluation.name] = {
            "family": evaluation.family or evaluation.name,
            "seen_family": evaluation.seen_family,
            "unseen": not evaluation.seen_family,
            "rows": evaluation.rows,
            "left_out": evaluation.left_out,
            **compared(bench, evaluation.pairs, evaluation.name),
        }
        if any(pair.group for pair in evaluation.pairs):
            figures[evaluation.name]["subsets"] = by_group(bench, evaluation.pairs, evaluation.name)
    return figures


# B. What reward models picked


def percentile(values: Floats, picked: int, among: NDArray[np.int64]) -> float:
    """The share of others that lie below the picked one, ties counting half."""
    return float(points(values[picked] - values[among]).mean())


def nearest(lengths: Floats, picked: int) -> NDArray[np.int64]:
    """The answers nearest to the picked one in length."""
    others = np.array([position for position in range(len(lengths)) if position != picked], dtype=np.int64)
    return others[np.argsort(np.abs(lengths[others] - lengths[picked]), kind="stable")[:NEAREST]]


def same_pick(values: Floats, outputs: Sequence[str], picked: int) -> float:
    """1 where our best is the picked one, a share where several are best; equal texts are one answer."""
    best = np.flatnonzero(values == values.max())
    return sum(outputs[position] == outputs[picked] for position in best.tolist()) / len(best)


def agreement(values: Sequence[Floats], rows: Sequence[dict[str, Any]], judge_name: str, generator: np.random.Generator) -> Figure:
    """How our order of the answers goes with one reward model's pick."""
    same, rank, among_nearest = [], [], []
    for column, row in zip(values, rows, strict=True):
        outputs, picked = row["outputs"], row["rm_pick"][judge_name]
        lengths = np.array([len(output) for output in outputs], dtype=np.float64)
        others = np.array([position for position in range(len(outputs)) if position != picked], dtype=np.int64)
        same.append(same_pick(column, outputs, picked))
        rank.append(percentile(column, picked, others))
        among_nearest.append(percentile(column, picked, nearest(lengths, picked)))
    return {
        "same_pick": mean(np.array(same), generator),
        "percentile_of_pick": mean(np.array(rank), generator),
        "percentile_among_nearest_in_length": mean(np.array(among_nearest), generator),
    }


def within_prompt(values: Sequence[Floats], rows: Sequence[dict[str, Any]], generator: np.random.Generator, *, plain_only: bool) -> Figure:
    """The Spearman correlation with GPT-4's preference within a prompt, averaged over prompts."""
    correlations, without = [], []
    for column, row in zip(values, rows, strict=True):
        known = [position for position, value in enumerate(row["gpt4_preference_vs_gpt35"]) if value is not None]
        preference = np.array([row["gpt4_preference_vs_gpt35"][position] for position in known], dtype=np.float64)
        lengths = np.array([words(row["outputs"][position]) for position in known], dtype=np.float64)
        if not (spread(column[known]) and spread(preference)):
            continue
        ours, theirs = ranks(column[known]), ranks(preference)
        correlations.append(correlation(ours, theirs))
        with np.errstate(invalid="ignore", divide="ignore"):
            without.append(partial(ours, theirs, ranks(lengths)) if spread(lengths) else np.nan)
    finite = np.array(without)[np.isfinite(without)] if without else np.zeros(0)
    return {"plain": mean(np.array(correlations), generator)} | ({} if plain_only else {"without_length": mean(finite, generator)})


def reward_models(bench: Bench, data: Path, count: int) -> Figure:
    """Section B."""
    # The prompts that AlpacaEval took from OASST1 stand among those that were trained on, with other answers.
    every = [row for row in rows_of(data, "preferences/bon16_tulu2_rm_picks") if row["dataset"] != "oasst"]
    rows = [every[position] for position in bench.sample(len(every), count, "bon16")]
    bench.read((row["instruction"], output) for row in rows for output in row["outputs"])
    columns = {
        name: [bench.values([(row["instruction"], output) for output in row["outputs"]], name) for row in rows] for name in bench.scorers()
    }
    columns["longest"] = [np.array([len(output) for output in row["outputs"]], dtype=np.float64) for row in rows]
    spoken = [all(np.isfinite(columns[name][position]).all() for name in columns) for position in range(len(rows))]
    scored_rows = [row for row, sound in zip(rows, spoken, strict=True) if sound]
    columns = {name: [column for column, sound in zip(scores, spoken, strict=True) if sound] for name, scores in columns.items()}
    judges = sorted({name for row in every for name in row["rm_pick"]})
    return {
        "prompts": len(scored_rows),
        "unscored_prompts": len(rows) - len(scored_rows),
        "prompts_in_file": len(every),
        "limit": count,
        "answers": ANSWERS,
        "nearest": NEAREST,
        "chance": {"same_pick": 1 / ANSWERS, "percentile_of_pick": 0.5, "percentile_among_nearest_in_length": 0.5},
        "picks": {
            judge_name: {
                # A little over 1 / 16: in some prompts the picked answer stands there more than once.
                "chance_of_same_pick": float(
                    np.mean([row["outputs"].count(row["outputs"][row["rm_pick"][judge_name]]) / ANSWERS for row in scored_rows])
                ),
                **{
                    name: agreement(scores, scored_rows, judge_name, bench.generator(f"bon16 {judge_name} {name}"))
                    for name, scores in columns.items()
                },
            }
            for judge_name in judges
        },
        "gpt4_preference": {
            name: within_prompt(scores, scored_rows, bench.generator(f"gpt4 {name}"), plain_only=name == "longest")
            for name, scores in columns.items()
        },
    }


# C. Ratings


def rated(bench: Bench, texts: Sequence[Text], label: Floats, name: str) -> Figure:
    """How score, cosine and length go with a rating, plainly and with the rank of length partialled out."""
    bench.read(texts)
    columns = {scorer: bench.values(texts, scorer) for scorer in bench.scorers()}
    finite = np.isfinite(list(columns.values())).all(axis=0) & np.isfinite(label)
    lengths = np.array([words(response) for _, response in texts], dtype=np.float64)
    figure: Figure = {"n": int(finite.sum()), "unscored": int((~finite).sum())}
    for scorer, values in columns.items():
        figure[scorer] = {
            "plain": related(values[finite], label[finite], None, bench.generator(f"{name} {scorer}")),
            "without_length": related(values[finite], label[finite], lengths[finite], bench.generator(f"{name} {scorer}")),
        }
    figure["length"] = {"plain": related(lengths[finite], label[finite], None, bench.generator(f"{name} length"))}
    return figure


def ratings(bench: Bench, data: Path, count: int) -> Figure:
    """Section C."""
    alpaca = rows_of(data, "pools/alpaca")
    labels = rows_of(data, "scores/alpaca_ds2_llm_ratings_half")
    sample = [labels[position] for position in bench.sample(len(labels), count, "ds2")]
    texts = [(asked(alpaca[row["index"]]), alpaca[row["index"]]["output"]) for row in sample]
    nuggets = rows_of(data, "scores/nuggets_alpaca_gpt4_low")
    lowest = [nuggets[position] for position in bench.sample(len(nuggets), NUGGETS, "nuggets")]
    rated_texts, rating = autoj(data)
    contrast = refined(data)
    golden = [(asked(row), row["output"]) for row in lowest]
    bench.read([*texts, *rated_texts, *texts_of(contrast.pairs), *golden])
    figure = {
        f"alpaca_ds2 {rater}": rated(bench, texts, np.array([row[rater] for row in sample], dtype=np.float64), f"ds2 {rater}")
        for rater in ("gpt-4o-mini", "llama-3.1-8b-instruct", "mistral-7b-v0.3-instruct")
    }
    figure["autoj"] = rated(bench, rated_texts, rating, "autoj")
    figure["nuggets"] = rated(bench, golden, np.array([row["score"] for row in lowest], dtype=np.float64), "nuggets")
    figure[contrast.name] = {"rows": contrast.rows, "left_out": contrast.left_out} | compared(bench, contrast.pairs, contrast.name)
    return figure | {"alpaca_ds2_sample": len(sample), "nuggets_sample": len(lowest)}


# D. Corruption


@dataclass(frozen=True)
class Attempt:
    """The examples of a pool worsened in one way."""

    pairs: list[Pair]
    tried: int
    """Examples it was tried on."""


def worsened(corruption: Corruption, examples: Sequence[Any], bench: Bench, pool: str, kind: str) -> Attempt:
    """Go through a pool's examples until enough could be worsened in this way."""
    chance = random.Random(f"{bench.seed}:{pool}:{kind}")
    pairs: list[Pair] = []
    tried = 0
    for example in examples[:TRIES]:
        if len(pairs) == CORRUPTED:
            break
        tried += 1
        others = [other for other in examples[:UNTOUCHED] if other is not example]
        corrupted = corruption.corrupt(kind, example, others, chance)
        if corrupted is not None:
            pairs.append(Pair(corrupted.prompt, corrupted.better, corrupted.worse, kind))
    return Attempt(pairs, tried)


@dataclass(frozen=True, eq=False)
class Found:
    """What the score made of one kind of corruption in one pool."""

    right: Floats
    below: dict[str, Floats]
    """Percentile of the untouched → 1 for each corrupted response below it."""
    area: float
    draws: Floats
    """(draws,), bootstrap of the area."""
    count: int

    def figures(self) -> Figure:
        """For the record."""
        return {
            "recall": proportion(self.right),
            "detection": figure(self.area, *percentiles(self.draws), self.count),
            **{name: proportion(column) for name, column in self.below.items()},
        }


def caught(bench: Bench, pairs: Sequence[Pair], floors: Mapping[str, float], generator: np.random.Generator) -> Found:
    """Recall, detection across prompts, and how many fall below the floors."""
    better = bench.values((pair.prompt, pair.better) for pair in pairs)
    worse = bench.values((pair.prompt, pair.worse) for pair in pairs)
    finite = np.isfinite(better) & np.isfinite(worse)
    better, worse = better[finite], worse[finite]
    prompts = np.array([pair.prompt for pair, sound in zip(pairs, finite, strict=True) if sound], dtype=object)
    value, draws, count = detection(better, worse, prompts[:, None] != prompts[None, :], generator)
    below = {name: (worse < floor).astype(np.float64) for name, floor in floors.items()}
    return Found(points(better - worse), below, value, draws, count)


def together(found: Sequence[Found]) -> Found:
    """One kind over all pools: shares over all examples, the area as the mean of the pools' areas."""
    areas = np.array([kind.area for kind in found])
    known = np.isfinite(areas)
    draws = np.mean([kind.draws for kind in found if np.isfinite(kind.area)], axis=0) if known.any() else np.zeros(0)
    return Found(
        np.concatenate([kind.right for kind in found]),
        {name: np.concatenate([kind.below[name] for kind in found]) for name in found[0].below},
        float(areas[known].mean()) if known.any() else np.nan,
        draws,
        sum(kind.count for kind in found),
    )


def corrupted(bench: Bench, data: Path, corruption: Corruption) -> Figure:
    """Section D."""
    attempts: dict[str, dict[str, Attempt]] = {}
    untouched: dict[str, list[Text]] = {}
    for pool in CORRUPTED_POOLS:
        rows = [row for row in rows_of(data, f"pools/{pool}") if row["output"].strip()]
        # One order for all kinds: most untouched responses are then scored once.
        order = bench.sample(len(rows), len(rows), f"corruption {pool}")
        examples = [corruption.Example(asked(rows[position]), rows[position]["output"]) for position in order]
        untouched[pool] = [(example.prompt, example.response) for example in examples[:UNTOUCHED]]
        attempts[pool] = {kind: worsened(corruption, examples, bench, pool, kind) for kind in corruption.KINDS}
    bench.read(
        [text for texts in untouched.values() for text in texts]
        + [text for kinds in attempts.values() for attempt in kinds.values() for text in texts_of(attempt.pairs)]
    )
    floors = {}
    for pool, texts in untouched.items():
        values = bench.values(texts)
        low = np.quantile(values[np.isfinite(values)], [0.05, 0.10]) if np.isfinite(values).any() else np.full(2, np.nan)
        floors[pool] = {"below_5th_percentile": float(low[0]), "below_10th_percentile": float(low[1])}
    figure: Figure = {"examples_a_pool_and_kind": CORRUPTED, "untouched_rows_a_pool": UNTOUCHED, "kinds": {}}
    for kind in corruption.KINDS:
        by_pool = {
            pool: caught(bench, attempts[pool][kind].pairs, floors[pool], bench.generator(f"{kind} {pool}")) for pool in CORRUPTED_POOLS
        }
        figure["kinds"][kind] = {
            "all_pools": together(list(by_pool.values())).figures(),
            "pools": {
                pool: kinds.figures() | {"tried": attempts[pool][kind].tried, "unscored": len(attempts[pool][kind].pairs) - kinds.count}
                for pool, kinds in by_pool.items()
            },
        }
    return figure


# E. Own pairs


def own_pairs(path: Path) -> list[Pair]:
    """Lines with kind, prompt, better, worse."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    return [Pair(row["prompt"], row["better"], row["worse"], row["kind"]) for row in rows]


def own(bench: Bench, path: Path) -> Figure:
    """Section E."""
    pairs = own_pairs(path)
    bench.read(texts_of(pairs))
    return {"all": compared(bench, pairs, "own"), "kinds": by_group(bench, pairs, "own")}


# F. Scale


def deviation(values: Floats, generator: np.random.Generator) -> Figure:
    """A standard deviation with its bootstrap interval."""
    if len(values) < 2:
        return figure(np.nan, np.nan, np.nan, len(values))
    return figure(float(values.std()), *percentiles(values[drawn(len(values), generator)].std(axis=1)), len(values))


def times(coefficient: float, found: Figure) -> Figure:
    """A figure in other units."""
    return {name: number if name == "n" or number is None else abs(coefficient) * number for name, number in found.items()}


def scale(bench: Bench, data: Path) -> Figure:
    """Section F."""
    texts: dict[str, list[Text]] = {}
    for pool, context_field, answered in (("dolly", "context", "response"), ("alpaca", "input", "output")):
        rows = rows_of(data, f"pools/{pool}")
        sample = [rows[position] for position in bench.sample(len(rows), SPREAD, f"scale {pool}")]
        texts[pool] = [(asked({"instruction": row["instruction"], "input": row[context_field]}), row[answered]) for row in sample]
    texts["both"] = texts["dolly"] + texts["alpaca"]
    bench.read(texts["both"])
    figure: Figure = {
        "coefficient_of_reward": REWARD_COEFFICIENT,
        "coefficient_of_length": LENGTH_COEFFICIENT,
        "tokens": f"words of the response times {TOKENS_A_WORD}, not counted by a tokenizer",
    }
    for pool, pool_rows in texts.items():
        values = bench.values(pool_rows)
        lengths = TOKENS_A_WORD * np.array([words(response) for _, response in pool_rows], dtype=np.float64)
        finite = np.isfinite(values)
        score = deviation(values[finite], bench.generator(f"scale {pool} score"))
        length = deviation(lengths[finite], bench.generator(f"scale {pool} length"))
        figure[pool] = {
            "unscored": int((~finite).sum()),
            "mean": mean(values[finite], bench.generator(f"scale {pool} mean")),
            "standard_deviation": score,
            "contribution_of_reward": times(REWARD_COEFFICIENT, score),
            "contribution_of_length": times(LENGTH_COEFFICIENT, length),
        }
    return figure


def judge(
    score: Score,
    data: Path,
    *,
    cosine: Score | None = None,
    seed: int = SEED,
    bon: int = 100,
    rating_rows: int = 2000,
    corruption: Corruption | None = None,
    own_file: Path | None = None,
) -> Figure:
    """All sections, as plain JSON data.

    Args:
        score: the model under judgement.
        data: the folder of shared data.
        cosine: the cosine of prompt and response, a baseline; left out without one.
        seed: of samples and bootstraps.
        bon: prompts of section B.
        rating_rows: rows of Alpaca's ratings in section C.
        corruption: the kinds of section D; left out without them.
        own_file: the pairs of section E; left out without them.
    """
    bench = Bench(score, cosine, seed)
    say("sets")
    sets = human_sets(bench, data)
    figure: Figure = {
        "seed": seed,
        "draws": DRAWS,
        "length_matched": MATCHED,
        "sets": sets,
        "unseen_sets_beating_chance": [name for name, evaluation in sets.items() if evaluation["unseen"] and evaluation["beats_chance"]],
    }
    say("reward_models")
    figure["reward_models"] = reward_models(bench, data, bon)
    say("ratings")
    figure["ratings"] = ratings(bench, data, rating_rows)
    # From here on only the score is asked: the cosine has no floor and no scale of its own.
    alone = Bench(score, None, seed, bench.known)
    if corruption is not None:
        say("corruption")
        figure["corruption"] = corrupted(alone, data, corruption)
    if own_file is not None:
        say("own")
        figure["own"] = own(bench, own_file)
    say("scale")
    figure["scale"] = scale(alone, data)
    return figure


def reward(model: Any) -> Score:
    """An PlausibilityModel as a score: NaN where it gives a reason instead of a number."""

    def score(texts: Sequence[Text]) -> Floats:
        answers = model.score(texts)
        silent = np.array([reason is not None for reason in answers.reasons], dtype=bool)
        return np.where(silent, np.nan, answers.values)

    return score


def closeness(encoder: Any) -> Score:
    """The cosine of the vectors of prompt and response."""

    def score(texts: Sequence[Text]) -> Floats:
        unique = list(dict.fromkeys(part for text in texts for part in text))
        place = {part: position for position, part in enumerate(unique)}
        embedded = encoder.encode(unique)
        vectors = np.asarray(embedded.vectors, dtype=np.float64)
        vectors[[reason is not None for reason in embedded.reasons]] = np.nan
        prompts, responses = ([place[text[side]] for text in texts] for side in (0, 1))
        return np.asarray((vectors[prompts] * vectors[responses]).sum(axis=1))

    return score


def main() -> None:
    """Judge the embedded reward model, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--own", type=Path, default=HERE / "own_pairs.jsonl", help="pairs of section E")
    parser.add_argument("--bon", type=int, default=100, help="prompts of section B")
    parser.add_argument("--ratings", type=int, default=2000, help="rows of Alpaca's ratings in section C")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    if not options.own.is_file():
        parser.error(f"there are no pairs at {options.own}")
    import corruption

    from instructsel.models.plausibility import PlausibilityModel
    from instructsel.neighbors.encoder import Encoder

    results = judge(
        reward(PlausibilityModel.load()),
        options.data,
        cosine=closeness(Encoder.load()),
        seed=options.seed,
        bon=options.bon,
        rating_rows=options.ratings,
        corruption=corruption,
        own_file=options.own,
    )
    for name, evaluation in results["sets"].items():
        print(name, {control: evaluation[control]["value"] for control in ("accuracy", *MATCHED, "length_balanced")}, evaluation["n"])
    print("unseen sets beating chance:", ", ".join(results["unseen_sets_beating_chance"]) or "none")
    print(_record.write("embedded_reward", results, "torch", "transformers", "numpy"))


if __name__ == "__main__":
    main()
