"""Scoring with models: asked once, remembered, and given up when a model fails too often."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsel.cache import Cache
from instructsel.errors import TooManyNulls
from instructsel.indicators import registry as registry
from instructsel.models import likelihood
from instructsel.models.likelihood import LikelihoodModel
from instructsel.models.yes_no import YesNoModel
from instructsel.neighbors.encoder import Encoder
from instructsel.pool.pool import Pool
from instructsel.scores.estimate import estimate
from instructsel.scores.run import score
from tests import tiny

DRAWN = random.Random(8)
ROWS = [
    {
        "instruction": " ".join(DRAWN.choices(tiny.TEXT, k=DRAWN.randint(2, 15))),
        "output": " ".join(DRAWN.choices(tiny.TEXT, k=DRAWN.randint(1, 40))),
    }
    for _ in range(200)
]


def pool(folder: Path, rows: list[dict[str, str]], name: str = "pool") -> Pool:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Pool.read(path)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    made = tmp_path_factory.mktemp("models")
    return {"lm": str(tiny.causal(made / "lm")), "t5": str(tiny.t5(made / "t5")), "rm": str(tiny.neox_reward(made / "rm"))}


def indicators(models: dict[str, str]) -> list[Any]:
    which = {"ppl": "lm", "ppl_cond": "lm", "ifd": "lm", "nat": "t5", "coh": "t5", "und": "t5", "rew": "rm"}
    made = [registry.make(symbol, model=models[kind], probe=False, precision="fp32") for symbol, kind in which.items()]
    return ["len", *made, registry.make("knn_6", precision="fp32")]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many questions and texts reach the models."""
    found = {"lm": 0, "t5": 0, "texts": 0}

    def counting(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, questions: Any, **given: Any) -> Any:
            found[name] += len(questions)
            return real(self, questions, **given)

        return call

    monkeypatch.setattr(LikelihoodModel, "answer", counting("lm", LikelihoodModel.answer))
    monkeypatch.setattr(YesNoModel, "answer", counting("t5", YesNoModel.answer))
    monkeypatch.setattr(Encoder, "encode", counting("texts", Encoder.encode))
    return found


def test_what_several_indicators_ask_of_one_model_is_asked_once(tmp_path: Path, models: dict[str, str], counted: dict[str, int]) -> None:
    table = score(pool(tmp_path, ROWS), indicators(models))
    # A likelihood alone and one after the instruction; three questions to the evaluator.
    assert counted == {"lm": 400, "t5": 600, "texts": 200}
    ppl, given, ifd = (table.values(symbol)[0] for symbol in ("ppl", "ppl_cond", "ifd"))
    assert ifd == pytest.approx(given / ppl, rel=1e-9)


def test_one_percent_new_rows_are_all_that_is_asked_again(tmp_path: Path, models: dict[str, str], counted: dict[str, int]) -> None:
    cache = Cache.open(tmp_path / "cache")
    score(pool(tmp_path, ROWS), indicators(models), cache=cache)
    for name in counted:
        counted[name] = 0
    grown = pool(tmp_path, [*ROWS, {"instruction": "boil", "output": "an egg"}, {"instruction": "sleep", "output": "seven hours"}], "grown")
    with_cache = score(grown, indicators(models), cache=Cache.open(tmp_path / "cache"))
    assert counted == {"lm": 4, "t5": 6, "texts": 2}
    without = score(grown, indicators(models))
    assert with_cache.frame.equals(without.frame) and with_cache.manifest == without.manifest


def test_values_do_not_depend_on_the_order_of_files_the_threads_or_the_state_of_the_cache(tmp_path: Path, models: dict[str, str]) -> None:
    import torch

    whole = score(pool(tmp_path, ROWS), indicators(models))
    before = torch.get_num_threads()
    for number in range(3):
        shuffled = ROWS.copy()
        random.Random(number).shuffle(shuffled)
        cache = Cache.open(tmp_path / f"cache{number}")
        torch.set_num_threads(number + 1)
        try:
            score(pool(tmp_path, shuffled[: 60 * number + 1] + ROWS[:7], f"part{number}"), indicators(models)[:-1], cache=cache)
            again = score(pool(tmp_path, shuffled), indicators(models), cache=cache)
        finally:
            torch.set_num_threads(before)
        assert again.frame.drop("line").equals(whole.frame.drop("line"))


def test_a_row_without_an_answer_or_an_instruction_is_null_with_its_reason(tmp_path: Path, models: dict[str, str]) -> None:
    rows = [*ROWS[:8], {"instruction": "boil", "output": ""}, {"instruction": "", "output": "an egg"}]
    table = score(pool(tmp_path, rows), indicators(models))
    nulls = {symbol: table.null_counts(symbol) for symbol in table.symbols}
    empty = {"empty_response": 1}
    assert nulls["ppl"] == nulls["nat"] == nulls["und"] == nulls["rew"] == nulls["knn_6"] == empty
    assert nulls["ppl_cond"] == nulls["ifd"] == nulls["coh"] == {"empty_instruction": 1, "empty_response": 1}


def failing(monkeypatch: pytest.MonkeyPatch, ppl: Any, share: float) -> None:
    # Loaded sound: at load a broken one would be found out and padded.
    ppl.loaded()
    real = likelihood._Causal.means

    def means(self: Any, ids: np.ndarray, lengths: np.ndarray, begins: np.ndarray) -> np.ndarray:
        found = real(self, ids, lengths, begins)
        found[: round(len(found) * share)] = np.nan
        return found

    monkeypatch.setattr(likelihood._Causal, "means", means)


def test_a_model_that_fails_too_often_ends_the_run_and_a_few_failures_are_null(
    tmp_path: Path, models: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ppl = registry.make("ppl", model=models["lm"], probe=False)
    failing(monkeypatch, ppl, 0.5)
    with pytest.raises(TooManyNulls, match="its model failed at") as refused:
        score(pool(tmp_path, ROWS), [ppl])
    assert refused.value.exit_code == 3
    table = score(pool(tmp_path, ROWS), [ppl], max_failed_fraction=0.9)
    counts = table.null_counts("ppl")
    assert set(counts) == {"not_finite"} and 0.3 < counts["not_finite"] / 200 < 0.7


def test_a_failure_is_not_remembered(tmp_path: Path, models: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    ppl = registry.make("ppl", model=models["lm"], probe=False)
    cache = Cache.open(tmp_path / "cache")
    with monkeypatch.context() as broken:
        failing(broken, ppl, 0.5)
        score(pool(tmp_path, ROWS), [ppl], cache=cache, max_failed_fraction=1)
    assert score(pool(tmp_path, ROWS), [ppl], cache=cache).frame.equals(score(pool(tmp_path, ROWS), [ppl]).frame)


def test_another_template_or_tokenizer_is_another_answer(tmp_path: Path, models: dict[str, str], counted: dict[str, int]) -> None:
    import shutil

    cache = Cache.open(tmp_path / "cache")
    few = pool(tmp_path, ROWS[:10])
    score(few, [registry.make("ppl", model=models["lm"], probe=False)], cache=cache)
    same = Path(shutil.copytree(models["lm"], tmp_path / "same"))
    score(few, [registry.make("ppl", model=str(same), probe=False)], cache=cache)
    assert counted["lm"] == 10, "the same content in another folder was asked again"
    changed = Path(shutil.copytree(models["lm"], tmp_path / "changed"))
    tokenizer = json.loads((changed / "tokenizer.json").read_text())
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:20]
    (changed / "tokenizer.json").write_text(json.dumps(tokenizer))
    score(few, [registry.make("ppl", model=str(changed), probe=False)], cache=cache)
    assert counted["lm"] == 20


def test_a_dry_run_fetches_and_keeps_nothing_and_says_what_is_known(tmp_path: Path, models: dict[str, str]) -> None:
    whole = pool(tmp_path, ROWS)
    cache = Cache.open(tmp_path / "cache")
    asked = ["len", registry.make("ppl", model=models["lm"], probe=False), "knn_6", registry.make("nat")]
    first = {each.symbol: each for each in estimate(whole, asked, cache=cache)}
    assert not list(cache.folder.rglob("*.values"))
    assert first["nat"].download == "MingZhong/unieval-dialog" and first["nat"].seconds is None
    assert first["ppl"].examples == 200 and first["ppl"].cached == 0 and first["ppl"].tokens and first["ppl"].memory
    low, high = first["ppl"].seconds[1:] if first["ppl"].seconds else (1, 0)
    assert 0 <= low <= first["ppl"].seconds[0] <= high  # type: ignore[index]
    score(whole, asked[:3], cache=cache)
    again = {each.symbol: each for each in estimate(whole, asked, cache=Cache.open(cache.folder))}
    assert again["ppl"].examples == 0 and again["ppl"].cached == again["knn_6"].cached == 200


@pytest.mark.parametrize(("turns", "expected"), [("last", 1), ("mean", 2), ("min", 2)])
def test_reward_scores_the_answers_its_policy_names(tmp_path: Path, models: dict[str, str], turns: str, expected: int) -> None:
    path = tmp_path / "chat.jsonl"
    talk = [("user", "boil an egg"), ("assistant", "cool it"), ("user", "and then"), ("assistant", "peel it")]
    path.write_text(json.dumps({"messages": [{"role": role, "content": content} for role, content in talk]}) + "\n")
    indicator: Any = registry.make("rew", model=models["rm"], probe=False, turns=turns)
    read = Pool.read(path)
    (questions,) = indicator.questions(
        next(iter([__import__("instructsel.indicators.base", fromlist=["Batch"]).Batch(tuple(read.examples()))]))
    )
    assert len(questions) == expected and questions[-1] == tuple(part for turn in talk for part in turn)
    values = [float(indicator.loaded().answer([question]).values[0]) for question in questions]
    found = score(read, [indicator]).values("rew")[0][0]
    assert found == {"last": values[-1], "mean": sum(values) / len(values), "min": min(values)}[turns]
