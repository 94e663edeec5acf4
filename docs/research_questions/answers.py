"""The five questions: the paper's figures, what was measured, and what cannot be answered at this size."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final

import build_skills_of_data_sets as published
import numpy as np

from instructsel.reports.figures import minus
from instructsel.stats.agreement import fleiss_kappa, krippendorff_alpha, raw_agreement
from instructsel.stats.correlation import length_bias
from instructsel.study.effects import ALONE, EffectMatrix
from instructsel.verification.skills import share_of_reference
from research_questions.measured import (
    OUTCOMES,
    RESULTS,
    TASKS,
    averages,
    carried_over,
    counted_by,
    detectable,
    figures,
    matrix,
    mean_of,
    ranks,
    together,
)
from research_questions.wording import NAMES, cells_table, listed, longer, named, share, table, with_interval, with_names

BASES: Final = {"Pythia 6.9B": 26.2, "OPT 6.7B": 22.2, "LLaMA 7B": 38.3, "LLaMA-2 7B": 45.7}
"""Wang et al. 2023, Table 4: the average of six after the Human+GPT mixture."""
SIZES: Final = {"7B": 38.3, "13B": 45.2, "30B": 54.1, "65B": 56.7}
"""Table 5: the same average of the Human+GPT mixture by size of LLaMA; 13B is the last row of Table 3."""
TUNED: Final = {
    "7B": ((31.5, 10.0, 33.0, 38.4, 20.5), (44.8, 25.0, 38.5, 43.5, 29.1)),
    "13B": ((42.3, 14.5, 39.3, 43.2, 28.6), (49.3, 40.5, 43.3, 45.6, 35.9)),
    "30B": ((54.6, 36.0, 49.5, 55.3, 42.8), (57.7, 53.0, 51.9, 51.9, 48.0)),
    "65B": ((58.7, 50.0, 58.1, 56.8, 46.9), (59.2, 59.0, 54.4, 56.6, 49.4)),
}
"""Table 5: MMLU, GSM8K, BBH, TyDiQA and HumanEval of LLaMA before and after the Human+GPT mixture."""
TOY: Final = "a LLaMA of 166,208 parameters, the toy size of `benchmarks/models/tinybase`, trained on 300,000 tokens (5.58 nats a token held out, 6.11 of a unigram model)"
ACCEPTED: Final = {"ChatGPT": 90.1, "Tülu 65B": 79.8, "Human mixture 65B": 72.3, "Tülu 7B": 68.7}
"""Of 332 prompts, the share of responses that people called acceptable (section 6 of the paper; the released records give the same)."""
JUDGED: Final = {"Tülu 7B": 48.6, "Human mixture 65B": 43.4}
"""AlpacaEval win rates of the two of these that people order the other way round (Tables 5 and 7)."""


def in_short(content: Mapping[str, Any]) -> list[str]:
    """The five answers in a row each."""
    untouched, base = matrix(content, "untouched"), matrix(content, "base")
    effects, comparisons = counted_by(untouched.cells), counted_by(base.cells)
    known = [cell for cell in untouched.cells if cell.p is not None]
    clearest = min(known, key=lambda cell: cell.p or 0.0) if known else None
    first = f"of {effects['all']} effects {effects['better']} better and {effects['worse']} worse by their own interval, {effects['better kept'] + effects['worse kept']} with all counted"
    if clearest is not None:
        first += minus(f"; the clearest is {named(clearest)}, {clearest.estimate:+.3f} ({clearest.low:+.3f} to {clearest.high:+.3f})")
    mean_ranks = ranks(untouched)
    place = sorted(mean_ranks, key=lambda arm: mean_ranks[arm]).index(ALONE) + 1
    second = f"of {comparisons['all']} comparisons with one source the mixture is better in {comparisons['worse']} and worse in {comparisons['better']}; by mean rank number {place} of {len(mean_ranks)}"
    has_second_base = (RESULTS / "skills_toybase.json").exists()
    third = (
        "a toy base that has hardly learned a language: the base decides the level, by far" if has_second_base else "one base: not answered"
    )
    preferences = json.loads((RESULTS / "preferences.json").read_text(encoding="utf-8"))
    shares = [
        longer(preferences["judge"]["verdict_and_longer"]),
        *(longer(table) for table in (preferences["pandalm"]["majority_and_longer"], preferences["webgpt"])),
    ]
    judge, *people = [share.partition(" %")[0] for share in shares]
    return table(
        ["question", "here"],
        [
            ["1. each data set, each skill", first],
            ["2. mixtures", second],
            ["3. the base", third],
            ["4. size and the best models", "not answered: one size"],
            [
                "5. benchmarks, judge, people",
                f"the longer response is preferred by GPT-4 in {judge} % and by people in {' and '.join(people)} %, on other pairs each",
            ],
        ],
    )


def _no_interval(counts: Mapping[str, int]) -> str:
    """How many cells have no interval, and why."""
    if not counts["unknown"]:
        return ""
    content = figures()
    is_early = ", or there is one replicate so far" if len(content["runs"]) < len(content["plan"]["subsets"]) else ""
    return f", {counts['unknown']} have no interval (every run gives the same answers there as what it is held against{is_early})"


def _unseen(sizes: Sequence[float]) -> str:
    """What passes unseen in a task of right and wrong answers."""
    if not sizes:
        return "Of tasks with right and wrong answers no interval is known."
    points = " to ".join(dict.fromkeys(f"{100 * size:.0f}" for size in (min(sizes), max(sizes))))
    return f"So a change of {points} points of right answers is needed to be seen; the paper's differences between data sets are of that order or smaller."


def first(content: Mapping[str, Any], effects: EffectMatrix) -> list[str]:
    below = {
        skill: sum((published.skills().cells[arm][skill].change or 0) < 0 for arm in published.LENGTHS)
        for skill in list(published.ITEMS)[:5]
    }
    best = published.skills()
    winners = {skill: " and ".join(best.best(skill)) for skill in best.skills}
    counts = counted_by(effects.cells)
    regressed = effects.regressions
    smallest = {
        outcome.name: statistics.median(
            size
            for source in effects.rows
            if (cell := effects.cell(source, outcome.name)) is not None and (size := detectable(cell)) is not None
        )
        for outcome in effects.outcomes
        if any(cell.outcome == outcome.name and detectable(cell) is not None for cell in effects.cells)
    }
    lines = [
        "## 1. What does each data set do to each skill?",
        "",
        f"**The paper.** Of LLaMA 13B tuned on one data set each, none is best at everything: the best are {', '.join(f'{name} on {skill}' for skill, name in winners.items())} (Table 3). "
        f"Single data sets fall below the untouched model in {' / '.join(str(count) for count in below.values())} of {len(published.LENGTHS)} cases on {' / '.join(below)}. "
        "Read with intervals: [no data set is best everywhere](skills_of_data_sets.md).",
        "",
        "**Here.** Each source and the mixture against the untouched model:",
        "",
        "![Sources against tasks, right answers](research_questions/tasks.svg)",
        "",
        "![Sources against the bits per byte of the same tasks' gold answers](research_questions/bits-of-tasks.svg)",
        "",
        "![Sources against the bits per byte of other gold answers](research_questions/bits-of-answers.svg)",
        "",
        f"Of {counts['all']} cells, {counts['better']} are better than the untouched model by their own 95 % interval (new runs and new items), {counts['worse']} worse, {counts['uncertain']} hold 0"
        + _no_interval(counts)
        + f". With all cells counted (Holm) {counts['better kept']} of the better and {counts['worse kept']} of the worse survive. "
        f"Regressions: {listed(regressed)}; forgotten, as it survives: {listed([cell for cell in regressed if cell.survives])}.",
        "",
        f"Between the sources: {with_names(matrix(content, 'base').verdict)} Best estimates: "
        + ", ".join(f"{NAMES[source]} on {count}" for source, count in effects.times_best.items())
        + ".",
        "",
    ]
    if smallest:
        lines += [
            "What it could not have seen: with intervals as wide as these, a true change of at least so much would be found in four of five repetitions. "
            + minus("; ".join(f"{OUTCOMES[name]} {size:.2g}" for name, size in smallest.items()))
            + ". "
            + _unseen([smallest[task] for task in TASKS if task in smallest]),
            "",
        ]
    lines += [
        "Every change against the untouched model; bold survives the correction; of right answers above 0 is better, of bits below:",
        "",
        *cells_table(effects),
        *_pilot(),
        "**Not answered here.** Thousands of rows, several passes and a base that was never tuned on instructions: SmolLM2-Instruct has seen data like these, so that a few rows change its format more than "
        "its knowledge. Multilinguality (TyDiQA is not at hand), programs and whole answers as outcomes. It would take a GPU for some hours: "
        "`study plan --add-one --equal-rows` with the suite `tulu-paper` as graders.",
        "",
    ]
    return lines


def _pilot() -> list[str]:
    """Whether whole answers are above 0 at this size."""
    path = RESULTS / "skills_pilot.json"
    if not path.exists():
        return []
    pilot = json.loads(path.read_text(encoding="utf-8"))
    settings = pilot["settings"]
    parts = {
        "gsm8k": f"of {settings['items']} whole questions of GSM8K (chat template, {settings['answer_tokens']} tokens, the last number counts)",
        "humaneval": f"of the {settings['items']} shortest programs of HumanEval (greedy, {settings['program_tokens']} tokens, run in the sandbox)",
    }
    right = "; ".join(f"{part}, {share(sum(pilot[name]['values']), len(pilot[name]['values']))}" for name, part in parts.items())
    return [
        f"Whole answers of the untouched model, asked beside the matrix: {right}. At 0 a task cannot fall, and on so few items it cannot be seen to rise: they are no outcomes of the matrix. Generating them took {pilot['gsm8k']['processor_seconds']} and "
        f"{pilot['humaneval']['processor_seconds']} s of processor time for one model.",
        "",
    ]


def second(content: Mapping[str, Any]) -> list[str]:
    base, untouched = matrix(content, "base"), matrix(content, "untouched")
    averages = {arm: value for arm, value in published.skills().averages().items() if value is not None}
    ordered = sorted(averages, key=lambda arm: averages[arm], reverse=True)
    counts = counted_by(base.cells)
    # An effect is a source less the mixture: where the source is worse, the mixture is better.
    mean_ranks = ranks(untouched)
    place = sorted(mean_ranks, key=lambda arm: mean_ranks[arm]).index(ALONE) + 1
    mixture = [cell for cell in untouched.cells if cell.source == ALONE]
    alone = counted_by(mixture)
    return [
        "## 2. Is a mixture of data sets better than each of them?",
        "",
        f"**The paper.** By the average of six the {ordered[0]} is first with {averages[ordered[0]]:.1f}, before {ordered[1]} ({averages[ordered[1]]:.1f}) and the {ordered[2]} ({averages[ordered[2]]:.1f}); "
        f"it is the best of {sum('Human+GPT mixture' in published.skills().best(skill) for skill in published.ITEMS)} of {len(published.ITEMS)} columns. It has 490,694 rows, the largest single set 210,311: mixing and size are not told apart.",
        "",
        f"**Here**, at equal rows: of {counts['all']} comparisons of a source with the mixture, the mixture is better in {counts['worse']} by the interval and worse in {counts['better']}; {counts['uncertain']} hold 0"
        + _no_interval(counts)
        + f". With all counted, {counts['worse kept']} and {counts['better kept']} survive. Shown to be better than the mixture: {listed([cell for cell in base.cells if cell.standing == 'better'])}; "
        f"shown to be worse: {listed([cell for cell in base.cells if cell.standing == 'worse'])}.",
        "",
        *(
            []
            if counts["unknown"] == counts["all"]
            else [
                f"By the estimates' mean rank over {len(untouched.outcomes)} outcomes the mixture is number {place} of {len(mean_ranks)}: "
                + ", ".join(f"{NAMES[arm]} {rank:.1f}" for arm, rank in sorted(mean_ranks.items(), key=lambda item: item[1]))
                + f". Against the untouched model it is better on {alone['better']} outcomes and worse on {alone['worse']} of {alone['all']}. "
                "A mean rank has no interval here, and no verdict rests on it.",
                "",
            ]
        ),
        "**Not answered here.** Other shares than equal ones, mixtures that are larger than each of their parts, and the paper's own twelve sets. Shares can be fitted: "
        "`study plan --mixtures` and `mix fit` ([how](../how-to/what-a-source-adds.md)).",
        "",
    ]


def third() -> list[str]:
    ordered = sorted(BASES.items(), key=lambda item: item[1])
    lines = [
        "## 3. How much does the base model matter?",
        "",
        f"**The paper.** The same mixture on four bases of 6.7 to 7 billion parameters: {', '.join(f'{name} {value:.1f}' for name, value in ordered)} (Table 4, average of six). "
        f"From the worst base to the best it is {ordered[-1][1] - ordered[0][1]:.1f} points, more than from the worst data set to the best of one base in Table 3 "
        f"({max(value for value in averages().values()) - min(value for value in averages().values()):.1f}).",
        "",
    ]
    if (RESULTS / "skills_toybase.json").exists():
        lines += _contrast_of_bases()
    else:
        lines += [
            "**Here** there is one language model. The project's base of 1.3 million parameters is trained on demand and its weights are not kept; a contrast of two bases at these rows was not run.",
            "",
        ]
    return [
        *lines,
        "**Not answered here.** Bases of equal size that saw other tokens. It takes two open bases of one size (Pythia 160M and SmolLM2 135M, for example), the same command with "
        "another `--base`, and bits per byte, which compare across tokenizers.",
        "",
    ]


def _contrast_of_bases() -> list[str]:
    large, small = figures(), figures("toybase")
    effects = {name: matrix(content, "untouched") for name, content in (("large", large), ("small", small))}
    rows = []
    for outcome in (name for name in OUTCOMES if name not in TASKS):
        cells = [effects[name].cell(ALONE, outcome) for name in ("large", "small")]
        changes = [
            "–"
            if cell is None or cell.estimate is None
            else f"{cell.estimate:+.3f}" + ("" if cell.low is None else f" ({cell.low:+.3f} to {cell.high:+.3f})")
            for cell in cells
        ]
        values = [f"{mean_of(content, arm, outcome):.3f}" for content in (large, small) for arm in ("untouched", "base")]
        rows.append([OUTCOMES[outcome], values[0], values[1], minus(changes[0]), values[2], values[3], minus(changes[1])])
    gap = [mean_of(small, "base", name) - mean_of(large, "untouched", name) for name in OUTCOMES if name not in TASKS]
    data = [abs(cell.estimate) for cell in matrix(large, "base").cells if cell.outcome not in TASKS and cell.estimate is not None]
    return [
        f"**Here** the same rows were trained on a second base, {TOY}. Bits per byte compare across tokenizers:",
        "",
        *table(
            ["", "SmolLM2, untouched", "after the mixture", "change", "toy base, untouched", "after the mixture", "change"],
            rows,
        ),
        f"After the same mixture the toy base needs {min(gap):.2f} to {max(gap):.2f} bits per byte more than the untouched SmolLM2; between a source and the mixture on SmolLM2 the largest difference is "
        f"{max(data):.2f}, the median {statistics.median(data):.3f}. The base decides, the data adjust: the paper's answer, here in an extreme case, as the toy base has hardly learned a language. "
        "Size and pretraining are not told apart by it.",
        "",
        *_carried(carried_over(large, small)),
    ]


def _carried(figure: tuple[float, float, float, int] | None) -> list[str]:
    if figure is None:
        return []
    r, low, high, n = figure
    return [
        f"Whether the same data help the same skill on both: over {n} cells (source and outcome, bits per byte less the mixture's) the effects of the two bases have a rank correlation of "
        + minus(f"{r:.2f} [{low:.2f}, {high:.2f}]")
        + ", cells taken as independent, which those of one outcome are not.",
        "",
    ]


def fourth() -> list[str]:
    share = share_of_reference(
        dict(zip(published.ITEMS, published.BEST_OPEN, strict=True)), dict(zip(published.ITEMS, published.CHATGPT, strict=True))
    )
    steps = [f"{size} {value:.1f}" for size, value in SIZES.items()]
    gains = {size: statistics.fmean(after) - statistics.fmean(before) for size, (before, after) in TUNED.items()}
    before, after = TUNED["65B"]
    changes = minus(", ".join(f"{skill} {after[place] - before[place]:+.1f}" for place, skill in enumerate(list(published.ITEMS)[:5])))
    return [
        "## 4. What does size bring, and how close do open models come?",
        "",
        f"**The paper.** The Human+GPT mixture on LLaMA: {', '.join(steps)} (averages of six, Table 5). Tuning adds less to larger bases: of the mean of five benchmarks {', '.join(f'{gain:+.1f} at {size}' for size, gain in gains.items())}; at 65B {changes} points against the untouched base. "
        f"The best open model of each skill reaches {100 * share:.1f} % of ChatGPT on average (recomputed from Table 5; the abstract says 87 %, and 73 % of GPT-4).",
        "",
        "**Here** there is one size, 135 million parameters; nothing can be said of how an effect of data changes with size, nor of the distance to a proprietary model. "
        "The shares above are recomputed by `share_of_reference`, and the arithmetic is all that is ours.",
        "",
        "**What it would take.** The same arms on three sizes of one family (SmolLM2 135M, 360M, 1.7B, trained on like data), one GPU, and a proprietary model's released answers to the same items; "
        "`instructsel verify` reads finished results of lm-evaluation-harness of other models as arms.",
        "",
    ]


def fifth(content: Mapping[str, Any]) -> list[str]:
    preferences = json.loads((RESULTS / "preferences.json").read_text(encoding="utf-8"))
    lengths, wins = list(published.LENGTHS.values()), [published.TABLE[arm][-1] or 0.0 for arm in published.LENGTHS]
    trained = length_bias(lengths, wins)
    benchmarks = [math.fsum(value for value in published.TABLE[arm][:5] if value is not None) / 5 for arm in published.LENGTHS]
    judged = length_bias(benchmarks, wins)
    models = preferences["judge"]["models"]
    ours = length_bias([model["characters"] for model in models.values()], [model["win_rate"] for model in models.values()])
    counts = np.array(
        [[pattern.count(code) for code in "012"] for pattern, n in preferences["pandalm"]["votes"].items() for _ in range(n)],
        dtype=np.float64,
    )
    same, moved = together(content)
    for bias in (trained, judged, ours):
        assert bias.r is not None
        assert bias.low is not None
        assert bias.high is not None
    return [
        "## 5. Do benchmarks, a judge and people agree?",
        "",
        f"**The paper.** Over twelve data sets the AlpacaEval win rate follows the mean length of a training response (r = {trained.r:.2f} [{trained.low:.2f}, {trained.high:.2f}]) and hardly the mean of five benchmarks "
        f"(r = {judged.r:.2f} [{minus(f'{judged.low:.2f}')}, {judged.high:.2f}]), both recomputed from Tables 1 and 3; with the number of different tokens in a model's responses the paper finds 0.96. "
        f"People called {', '.join(f'{name} {value:.1f} %' for name, value in ACCEPTED.items())} acceptable: Tülu 7B wins more by the judge than the Human mixture on 65B ({JUDGED['Tülu 7B']} and {JUDGED['Human mixture 65B']} %), "
        "and less by people. Two annotators agreed on acceptance in 84 % and on preference in 72 % of prompts, a tie against a win counting half; the released records give 85 and 71 %.",
        "",
        "**Here**, on released comparisons (no text of theirs is kept, counts alone):",
        "",
        *table(
            ["", "comparisons", "the longer response is preferred, where one is"],
            [
                [
                    "a judge: GPT-4, 16 models against text-davinci-003",
                    f"{_pairs(preferences['judge']['verdict_and_longer']):,}",
                    longer(preferences["judge"]["verdict_and_longer"]),
                ],
                [
                    "people: PandaLM, majority of three",
                    f"{_pairs(preferences['pandalm']['majority_and_longer']):,}",
                    longer(preferences["pandalm"]["majority_and_longer"]),
                ],
                ["people: WebGPT", f"{_pairs(preferences['webgpt']):,}", longer(preferences["webgpt"])],
                ["experts: LLMBar, natural", f"{_pairs(preferences['llmbar']['natural']):,}", longer(preferences["llmbar"]["natural"])],
                [
                    "experts: LLMBar, adversarial",
                    f"{_pairs(preferences['llmbar']['adversarial']):,}",
                    longer(preferences["llmbar"]["adversarial"]),
                ],
            ],
        ),
        f"- Over {len(models)} models the judge's win rate and the mean length of a response correlate at r = {ours.r:.2f} [{ours.low:.2f}, {ours.high:.2f}], as the paper's do. Better models are longer, too: it is no proof that length is what "
        "the judge rewards; the rows of people on other pairs, with other models and questions, are no contrast of judge and people on the same pairs.",
        f"- Three people on the same {len(counts):,} pairs agree in {with_interval(raw_agreement(counts))} of pairs of verdicts; Fleiss' kappa {with_interval(fleiss_kappa(counts))}, Krippendorff's alpha {with_interval(krippendorff_alpha(counts))}.",
        f"- In the study above, of {moved} changes of a task in a trained run, the bits of its gold answers moved to the same side in {share(same, moved)} (runs and tasks taken as independent, which they are not): "
        "on so few items a loss and its task are not the same measure.",
        "",
        "**Not answered here.** What people say of these models' answers: nobody judged them, and a model of this size writes too little that could be. It takes `judge-app`, two annotators, and "
        "some 300 pairs a contrast for an interval of ± 6 points; with a local judge on the same pairs, `verify` gives the agreement of judge, benchmark and people.",
        "",
    ]


def _pairs(counts: Mapping[str, int]) -> int:
    return sum(counts.values())
