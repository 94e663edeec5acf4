"""The catalogue of open datasets: the figures of the paper's table, sums, licences, and what follows for a mixture."""

from __future__ import annotations

import doctest
import tomllib
from importlib.resources import files

import pytest

from instructsel.errors import UsageError
from instructsel.mixtures import catalogue as catalogue_module
from instructsel.mixtures.catalogue import KINDS, catalogue, entry, licences, non_commercial, of_mixture
from instructsel.pool.formats import _registry as registry

# Key: instances, rounds, tokens of prompt and completion, licence, of the Human mixture, of the Human+GPT mixture. Source: Wang et al. 2023, Table 1.
TABLE_1 = {
    "super_ni": (96_913, 1.0, 291.1, 38.7, "apache-2.0", False, False),
    "cot": (100_000, 1.0, 266.0, 53.2, "apache-2.0", True, True),
    "flan_v2": (100_000, 1.0, 355.7, 31.2, "apache-2.0", True, True),
    "dolly": (15_011, 1.0, 118.1, 91.3, "cc-by-sa-3.0", True, True),
    "oasst1": (34_795, 1.6, 34.8, 212.5, "apache-2.0", True, True),
    "self_instruct": (82_439, 1.0, 41.5, 29.3, "apache-2.0", False, False),
    "unnatural_instructions": (68_478, 1.0, 107.8, 23.6, "mit", False, False),
    "stanford_alpaca": (52_002, 1.0, 27.8, 64.6, "cc-by-nc-4.0", False, False),
    "code_alpaca": (20_022, 1.0, 35.6, 67.8, "cc-by-nc-4.0", False, True),
    "gpt4_alpaca": (52_002, 1.0, 28.0, 161.8, "cc-by-nc-4.0", False, True),
    "baize": (210_311, 3.1, 17.6, 52.8, "LicenseRef-research-only", False, False),
    "sharegpt": (168_864, 3.2, 71.0, 357.8, "apache-2.0", False, True),
}


def test_the_twelve_datasets_come_first_and_have_the_figures_of_the_papers_table() -> None:
    twelve = list(catalogue().values())[:12]
    assert {
        dataset.key: (
            dataset.rows,
            dataset.rounds,
            dataset.prompt_length,
            dataset.completion_length,
            dataset.licence,
            "human" in dataset.mixtures,
            "human-gpt" in dataset.mixtures,
        )
        for dataset in twelve
    } == TABLE_1
    assert [dataset.key for dataset in twelve] == list(TABLE_1)


def test_the_mixtures_of_the_paper_have_as_many_rows_as_the_paper_sums() -> None:
    assert sum(dataset.rows or 0 for dataset in of_mixture("human")) == 249_806
    assert sum(dataset.rows or 0 for dataset in of_mixture("human-gpt")) == 490_694
    assert sum(catalogue()[key].rows or 0 for key in TABLE_1) == 1_000_837


def test_one_non_commercial_dataset_makes_a_mixture_non_commercial() -> None:
    assert {key for key in TABLE_1 if entry(key).non_commercial} == {"stanford_alpaca", "code_alpaca", "gpt4_alpaca", "baize"}
    assert non_commercial(of_mixture("human")) is False
    assert non_commercial(of_mixture("human-gpt")) is True
    assert licences(of_mixture("human-gpt")) == {
        "apache-2.0": ("cot", "flan_v2", "oasst1", "sharegpt"),
        "cc-by-nc-4.0": ("code_alpaca", "gpt4_alpaca"),
        "cc-by-sa-3.0": ("dolly",),
    }


def test_todays_sets_say_what_is_known_of_them_and_nothing_else() -> None:
    todays = {key: dataset for key, dataset in catalogue().items() if key not in TABLE_1}
    assert {key: dataset.rows for key, dataset in todays.items()} == {
        "tulu_v1": 489_818,
        "tulu_v2": 326_154,
        "tulu_v3": 939_343,
        "dolci_instruct": 2_152_112,
        "smoltalk": None,
        "ultrachat": 207_865,
        "openhermes": None,
        "wildchat": None,
        "lima": 1_030,
        "magpie": 300_000,
    }
    assert {key for key, dataset in todays.items() if dataset.non_commercial} == {"tulu_v1", "tulu_v2", "tulu_v3", "lima"}
    assert {key for key, dataset in todays.items() if dataset.licence is None} == {"dolci_instruct", "openhermes"}
    assert all(dataset.hub is not None and dataset.conversion is None for dataset in todays.values())
    assert non_commercial([entry("dolly"), entry("openhermes")]) is None
    assert licences([entry("openhermes")]) == {"unknown": ("openhermes",)}


def test_a_key_that_is_not_there_names_the_closest() -> None:
    with pytest.raises(UsageError, match=r"There is no dataset 'doly' in the catalogue. Did you mean 'dolly'\?"):
        entry("doly")
    with pytest.raises(UsageError, match=r"There is no mixture 'humans' of the paper. Did you mean 'human'\?"):
        of_mixture("humans")


def test_every_dataset_says_where_it_lies_who_wrote_it_and_how_it_is_read() -> None:
    for dataset in catalogue().values():
        assert dataset.sources and dataset.title and dataset.generation and dataset.fields, dataset.key
        assert dataset.generation_kind in KINDS
        assert dataset.format in registry.classes()
        assert all(source.address.count("/") == 1 for source in dataset.sources)
        assert (dataset.licence is None) == (dataset.non_commercial is None)


def test_every_file_of_the_catalogue_has_only_keys_that_are_read() -> None:
    known = set(catalogue_module._DatasetTable.__annotations__)
    for file in (files("instructsel.mixtures") / "datasets").iterdir():
        if file.name.endswith(".toml"):
            table = tomllib.loads(file.read_text(encoding="utf-8"))
            assert set(table) <= known, file.name


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('key = "other"\n', "lacks the key order"),
        ("key =", "it is not readable TOML"),
        (
            'key = "b"\norder = 1\ntitle = "t"\nsources = []\ngeneration = "g"\ngeneration_kind = "human"\nformat = "f"\nfields = []\n',
            "a file is named as its key",
        ),
    ],
)
def test_a_damaged_file_of_the_catalogue_is_refused_with_its_name(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        catalogue_module._dataset(text.encode(), "a.toml")


def test_the_examples_of_the_catalogue_hold() -> None:
    assert doctest.testmod(catalogue_module).failed == 0
