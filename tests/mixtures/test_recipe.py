"""What a recipe may say, and what is refused with the fix beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from instructsel.errors import EnvironmentFault, UsageError
from instructsel.mixtures.licences import forbids_commercial_use
from instructsel.mixtures.originals import located
from instructsel.mixtures.plan import Plan
from instructsel.mixtures.recipe import MixtureRecipe

ONE = '[[source]]\nlabel = "one"\npath = "one.jsonl"\n'
TWO = '[[source]]\nlabel = "two"\npath = "two.jsonl"\n'


def recipe(folder: Path, text: str) -> MixtureRecipe:
    (folder / "recipe.toml").write_text(text)
    return MixtureRecipe.read(folder / "recipe.toml")


def test_the_mixtures_of_the_paper_have_its_numbers_of_rows_by_the_catalogue_alone() -> None:
    plans = {name: Plan.of(MixtureRecipe.named(name)) for name in ("human", "human-gpt")}
    assert {name: plan.total_rows for name, plan in plans.items()} == {"human": 249_806, "human-gpt": 490_694}
    assert plans["human"].recipe.non_commercial is False
    assert plans["human-gpt"].as_dict()["licences"]["because_of"] == ["gpt4_alpaca", "code_alpaca"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('name = "x"\nsede = 1\n' + ONE, "Did you mean 'seed'"),
        ('name = "x"\n[budgett]\nrows = 1\n' + ONE, "Did you mean 'budget'"),
        ('name = "x"\n[budget]\nrowz = 1\n' + ONE, "Did you mean 'rows'"),
        ('name = "x"\n' + ONE + "shares = 0.5\n", "Did you mean 'share'"),
        ('name = "x"\n' + ONE + '[source.reading]\nformt = "alpaca"\n', "Did you mean 'format'"),
        ('name = "x"\n[[source]]\ndataset = "doly"\n', "Did you mean 'dolly'"),
        ('name = "x"\n' + ONE + "share = 0.5\n" + TWO + "share = 0.5\n", "no budget"),
        ('name = "x"\n[budget]\nrows = 9\n' + ONE + "share = 0.5\n" + TWO + "share = 0.4\n", "add up to 0.9"),
        ('name = "x"\n[budget]\nrows = 9\n' + ONE + "share = 1.0\n" + TWO, "two no share"),
        ('name = "x"\n[budget]\nrows = 9\n' + ONE + "rows = 5\n", "one no share"),
        ('name = "x"\n[budget]\nrows = 9\ntokens = 9\n' + ONE + "share = 1\n", "both rows and tokens"),
        ('name = "x"\n' + ONE + "rows = 5\ntokens = 4\n", "both rows and tokens"),
        ('name = "x"\n' + ONE + "times = 0\n", "Nothing is asked"),
        ('name = "x"\n' + ONE + "all = false\n", "not how much"),
        ('name = "x"\n' + ONE + "share = 1.5\n", "between 0 and 1"),
        ('name = "x"\n' + ONE + "repeat = 0\n", "between 1"),
        ('name = "x"\n' + ONE + ONE, "Two sources"),
        ('name = "x"\n[[source]]\nlabel = "one"\n', "neither files nor a dataset"),
        ('name = "x"\n[[source]]\npath = "one.jsonl"\n', "has no name"),
        ('name = "x"\n[[source]]\nlabel = "one"\npath = "https://example.org/x.jsonl"\n', "is not read"),
        ('name = "x"\n[[source]]\nlabel = "one"\npath = "no-*.jsonl"\n', "no file is called so"),
        ('name = "x"\nschema = 9\n' + ONE, "schema 9"),
        ('name = "../x"\n' + ONE, "outputs are called after it"),
        ('name = "x"\nsource = []\n', "no [[source]]"),
        ('name = "x"\n[duplicates]\nthreshold = 0.9\n' + ONE, "near-duplicates alone"),
    ],
)
def test_a_recipe_that_says_what_cannot_be_is_refused_in_these_words(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        recipe(tmp_path, text)
    assert words in f"{refused.value.message} {refused.value.fix}"


def test_sources_that_are_not_on_this_machine_are_named_with_what_fetches_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("instructsel.mixtures.originals.fetched", lambda source: ())
    (tmp_path / "d.jsonl").write_text("{}\n")
    with pytest.raises(EnvironmentFault) as refused:
        located(MixtureRecipe.named("human").with_paths({"dolly": [str(tmp_path / "d.jsonl")]}))
    assert "3 of the 4 sources of human" in refused.value.message
    assert "hf download OpenAssistant/oasst1" in refused.value.message
    assert "databricks" not in refused.value.message
    assert refused.value.fix is not None and "--source oasst1=FILE" in refused.value.fix


def test_a_file_that_is_not_there_is_named_with_its_source(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"The source one of .* no such file"):
        located(recipe(tmp_path, 'name = "x"\n' + ONE))


def test_the_files_of_a_source_are_those_of_a_flag_by_label_or_dataset() -> None:
    recipe = MixtureRecipe.named("human").with_paths({"cot": ["a.jsonl", "b.jsonl"]})
    assert {source.label: source.paths for source in recipe.sources}["cot"] == ("a.jsonl", "b.jsonl")
    with pytest.raises(UsageError, match="sharegp"):
        recipe.with_paths({"sharegp": ["a.jsonl"]})


@pytest.mark.parametrize(
    ("licence", "forbids"),
    [
        *((name, False) for name in ("apache-2.0", "MIT", "CC BY-SA 3.0", "cc0-1.0", "ODC-By", "GPL-3.0-only", "bsd-3-clause", "Apache License 2.0")),
        *((name, True) for name in ("CC BY-NC 4.0", "cc-by-nc-sa-4.0", "research only", "non-commercial use", "mit, cc-by-nc-4.0", "LicenseRef-NC")),
        *((name, None) for name in (None, "", "unknown", "our own terms", "LicenseRef-scancode", "mit AND whatever", "llama2")),
    ],
)  # fmt: skip
def test_whether_a_licence_forbids_commercial_use_is_told_by_its_name_and_never_guessed(licence: str | None, forbids: bool | None) -> None:
    assert forbids_commercial_use(licence) is forbids


def test_a_licence_of_the_recipe_stands_over_that_of_the_catalogue(tmp_path: Path) -> None:
    own = recipe(
        tmp_path,
        'name = "x"\n[[source]]\ndataset = "dolly"\nlicence = "cc-by-nc-4.0"\n[[source]]\ndataset = "code_alpaca"\nnon_commercial = false\n',
    )
    assert [source.non_commercial for source in own.sources] == [True, False]
    assert own.non_commercial is True
