"""What people's judgments say: the figures of the released study, and planted faults of simulated annotators."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from instructsel.errors import ObservationsError, UsageError
from instructsel.human.files import read_judgments, write_judgments
from instructsel.human.record import Record, latest
from instructsel.human.summary import Annotator, HumanSummary, ordered_pairs, summarize
from tests.human.study_records import study


@pytest.fixture(scope="module")
def released() -> HumanSummary:
    return summarize(study(), votes="first", resamples=200)


def per_cent(value: float | None) -> float:
    assert value is not None
    return round(100 * value, 1)


@pytest.mark.parametrize(
    ("second", "rates", "clear", "accepted", "doubled", "agreed"),
    [
        ("chatgpt", (27.7, 33.1, 39.2), (7.2, 19.9), (79.2, 90.1), 63, (55.6, 68.3, 90.5)),
        ("tulu-7b", (45.2, 31.9, 22.9), None, (78.9, 68.7), 56, (60.7, 75.0, 78.6)),
        ("human-mix-65b", (50.0, 29.8, 20.2), None, (81.3, 72.3), 2, None),
    ],
)
def test_the_figures_of_the_released_study_come_out(
    released: HumanSummary,
    second: str,
    rates: tuple[float, float, float],
    clear: tuple[float, float] | None,
    accepted: tuple[float, float],
    doubled: int,
    agreed: tuple[float, float, float] | None,
) -> None:
    pair = next(pair for pair in released.pairs if pair.second == second)
    assert (pair.first, pair.n_instances, pair.agreement.n_instances) == ("tulu-65b", 332, doubled)
    assert tuple(per_cent(figure.value) for figure in (pair.wins, pair.ties, pair.losses)) == rates
    assert tuple(per_cent(figure.value) for figure in (pair.acceptance_first, pair.acceptance_second)) == accepted
    if clear is not None:
        assert (per_cent(pair.clear_wins), per_cent(pair.clear_losses)) == clear
    if agreed is not None:
        figures = (pair.agreement.preference, pair.agreement.relaxed, pair.agreement.acceptance)
        assert tuple(per_cent(figure.value) for figure in figures) == agreed


def test_replaced_records_do_not_count_and_the_headline_acceptance_is_the_mean_of_the_pairs(released: HumanSummary) -> None:
    assert (released.n_records, released.n_replaced, released.n_judgments, released.n_instances) == (1150, 9, 1141, 996)
    acceptance = {model: per_cent(figure.value) for model, figure in released.models.items()}
    assert acceptance == {"tulu-65b": 79.8, "chatgpt": 90.1, "human-mix-65b": 72.3, "tulu-7b": 68.7}


def test_the_order_of_rows_of_a_file_does_not_matter_and_files_of_both_kinds_say_the_same(released: HumanSummary, tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    records = study()[::-1]
    assert summarize(records, votes="first", resamples=200).as_dict() == released.as_dict()
    for suffix in (".xlsx", ".csv"):
        file = tmp_path / f"study{suffix}"
        assert write_judgments(file, records) == 1150
        assert read_judgments(file) == records
    assert summarize(read_judgments(file), votes="first", resamples=200) == released


def test_every_figure_of_all_votes_has_an_interval_around_it() -> None:
    found = summarize(study(), resamples=200)
    pair = found.pairs[0]
    for figure in (
        pair.wins,
        pair.win_rate,
        pair.order,
        pair.agreement.fleiss,
        pair.agreement.alpha_ordinal,
        found.agreement.alpha_acceptance,
    ):
        assert figure.low < figure.value < figure.high, figure
    # Two annotators an instance, but for those with three: all of them count.
    assert pair.agreement.n_instances == 63
    assert found.kappas and found.annotators[0].n_instances > 50


def simulated(seed: int, *, items: int = 120, order: float = 0.0, lenient: float = 0.0, annotators: int = 3) -> list[Record]:
    """Annotators of two models of unlike quality; the first one has the planted faults."""
    generator = np.random.default_rng(seed)
    difficulty = generator.normal(size=items)
    records = []
    for number in range(annotators):
        for item in range(items):
            turned = generator.random() < 0.5
            # The chance that the left response is preferred; responses are unlike, so that order and quality could be mixed up.
            quality = 0.15 * (-1 if turned else 1) + 0.05 * difficulty[item] * (-1 if turned else 1)
            left = 0.5 + quality + (order if number == 0 else 0.0)
            preference = 1 if generator.random() < np.clip(left, 0.02, 0.98) else 3
            accepted = [
                generator.random() < np.clip(0.6 + (lenient if number == 0 else 0.0) - 0.05 * difficulty[item], 0, 1) for _ in range(2)
            ]
            models = ("poor", "good") if turned else ("good", "poor")
            records.append(
                Record(
                    f"annotator-{number}",
                    f"i{item}",
                    "p",
                    *models,
                    acceptable_a=accepted[0],
                    acceptable_b=accepted[1],
                    preference=preference,
                )
            )
    return records


def first(summary: HumanSummary) -> Annotator:
    return summary.annotators[0]


def test_planted_order_effects_and_leniency_are_found_with_intervals_that_cover() -> None:
    covered: Counter[str] = Counter()
    told: Counter[str] = Counter()
    tries = 30
    for seed in range(tries):
        found = summarize(simulated(seed, order=0.2, lenient=0.25), resamples=2)
        one, two = found.annotators[:2]
        for name, figure, truth in (
            ("order", one.order, 0.2),
            ("lenient", one.leniency, 0.25),
            ("none", two.order, 0.0),
            ("less", two.leniency, -0.125),
        ):
            covered[name] += figure.low <= truth <= figure.high
            told[name] += not figure.low <= 0.0 <= figure.high
    # 95 % of 30 is 28; fewer than 25 happen once in 300.
    assert min(covered.values()) >= 25, covered
    assert told["order"] >= 26 and told["lenient"] == tries and told["none"] <= 6, told


def test_an_uneven_split_of_the_orders_does_not_pass_for_an_order_effect() -> None:
    preferred, effects = [], []
    for seed in range(12):
        simulation = enumerate(simulated(seed, items=300, annotators=1))
        records = [record for number, record in simulation if record.model_a == "good" or number % 4 == 0]
        preferred.append(np.mean([record.score_of(record.model_a) for record in records]))
        effects.append(summarize(records, resamples=2).order.value)
    # The share that prefers the left has the quality of the better model in it; the standard error of the mean effect is 0.012.
    assert np.mean(preferred) > 0.57 and abs(np.mean(effects)) < 0.03


def test_pairs_shown_in_one_order_alone_have_no_order_effect_and_a_reason() -> None:
    records = [Record("a", f"i{item}", "p", "one", "two", preference=item % 5) for item in range(20)]
    figure = summarize(records, resamples=2).order
    assert figure.value is None and "one order" in str(figure.reason)


def test_the_latest_record_of_an_annotator_counts_whatever_stood_on_the_left() -> None:
    before = Record("a", "i", "p", "one", "two", preference=0)
    after = replace(before, model_a="two", model_b="one", preference=1)
    kept, replaced = latest([before, replace(before, evaluator="b"), after])
    assert ([record.evaluator for record in kept], replaced) == (["b", "a"], 1)
    assert kept[1].score_of("two") == 1.0


def test_feedback_alone_is_no_judgment() -> None:
    feedback = Record("a", "i", "p", "one", "two", quality="invalid")
    with pytest.raises(ObservationsError, match="no judgment"):
        summarize([feedback])
    found = summarize([feedback, Record("a", "j", "p", "one", "two", preference=0)], resamples=2)
    assert (found.n_judgments, found.qualities) == (1, {"invalid": 1})


def test_settings_that_cannot_be_are_refused() -> None:
    record = Record("a", "j", "p", "one", "two", preference=0)
    with pytest.raises(UsageError):
        summarize([record], votes="some")  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        summarize([record], confidence=1.0)


def test_the_model_in_most_instances_comes_first() -> None:
    records = [Record("a", "i", "p", "x", "hub", preference=0), Record("a", "i", "p", "b", "hub", preference=0)]
    assert ordered_pairs(records) == [("hub", "b"), ("hub", "x")]
