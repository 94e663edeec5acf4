"""Sources that are converted from their originals before they are mixed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from instructsel.errors import PoolError, UsageError
from instructsel.mixtures.mixture import Mixture, mix
from instructsel.mixtures.recipe import MixtureRecipe

DOLLY = [{"instruction": f"Name lake {n}.", "context": f"Lakes of {n}.", "response": f"Lake {n}.", "category": "x"} for n in range(12)]
READY = [{"messages": [{"role": "user", "content": f"Name {n}."}, {"role": "assistant", "content": f"It is {n}."}]} for n in range(4)]


def build(folder: Path, rows: list[dict[str, Any]], conversion: str) -> tuple[Mixture, list[str]]:
    (folder / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "r.toml").write_text(f'name = "x"\n[[source]]\ndataset = "dolly"\npath = "d.jsonl"\n{conversion}')
    mixture = mix(MixtureRecipe.read(folder / "r.toml"), folder / "x.jsonl")
    return mixture, [json.loads(line)["messages"][0]["content"] for line in (folder / "x.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("conversion", ['conversion = "original"', 'conversion = "dolly"', 'conversion = "auto"'])
def test_an_original_is_converted_as_the_recipe_says(tmp_path: Path, conversion: str) -> None:
    mixture, prompts = build(tmp_path, DOLLY, conversion)
    assert mixture.manifest["sources"][0]["conversion"] == "dolly"
    assert mixture.manifest["sources"][0]["rows"]["read"] == 12 == len(prompts)
    # Random templates lay the prompts out in more ways than one.
    assert len({prompt.replace(str(n), "N") for n in range(12) for prompt in prompts if f"lake {n}." in prompt}) > 1
    assert mixture.manifest["sources"][0]["files"][0]["name"] == "dolly/d.jsonl" and mixture.changed_inputs() == []


def test_the_order_of_the_rows_of_an_original_is_no_matter(tmp_path: Path) -> None:
    one, _ = build(tmp_path, DOLLY, 'conversion = "auto"')
    data = (tmp_path / "x.jsonl").read_bytes()
    other, _ = build(tmp_path, DOLLY[::-1], 'conversion = "auto"')
    assert one.hash == other.hash and data == (tmp_path / "x.jsonl").read_bytes()


def test_rows_that_are_converted_already_are_read_as_they_are_where_the_recipe_leaves_it_open(tmp_path: Path) -> None:
    mixture, prompts = build(tmp_path, READY, 'conversion = "auto"')
    assert mixture.manifest["sources"][0]["conversion"] is None and len(prompts) == 4
    with pytest.raises(PoolError):
        build(tmp_path, READY, 'conversion = "original"')
    mixture, prompts = build(tmp_path, DOLLY, "")
    assert mixture.manifest["sources"][0]["conversion"] is None and set(prompts) == {f"Name lake {n}.\nLakes of {n}." for n in range(12)}


@pytest.mark.parametrize(
    ("conversion", "words"),
    [
        ('conversion = "doly"', "Did you mean 'dolly'"),
        ('settings = { paths = "leaves" }', "settings of a conversion"),
        ('conversion = "oasst1"\nsettings = { path = "leaves" }', "has no path"),
        ('conversion = "original"\nsettings = { seed = 1 }', "are the recipe's"),
    ],
)
def test_a_conversion_that_there_is_not_is_refused(tmp_path: Path, conversion: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        build(tmp_path, DOLLY, conversion)
    assert words in f"{refused.value.message} {refused.value.fix}"
