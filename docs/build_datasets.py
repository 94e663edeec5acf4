"""Write docs/reference/datasets.md from the catalogue of open datasets."""

from __future__ import annotations

from pathlib import Path

from instructsel.mixtures.catalogue import KINDS, Dataset, catalogue

PAGE = Path(__file__).with_name("reference") / "datasets.md"
HEAD = """# Open datasets

Written by `python docs/build_datasets.py` from the catalogue, `instructsel/mixtures/datasets`. [How to use it](../how-to/open-datasets.md).

Rows, turns and mean lengths in LLaMA's tokens are those of Wang et al. 2023, Table 1, for the first twelve, after their conversion; those of the others are their cards'.
NC: no commercial use. An empty cell is not known.

| key | rows | turns | prompt | response | licence | NC | written by |
| --- | ---: | ---: | ---: | ---: | --- | --- | --- |
"""


def page() -> str:
    """The page's text."""
    datasets = list(catalogue().values())
    return HEAD + "".join(map(_row, datasets)) + "\n" + "\n".join(map(_section, datasets))


def _row(dataset: Dataset) -> str:
    cells = [
        f"`{dataset.key}`",
        "" if dataset.rows is None else f"{dataset.rows:,}",
        *("" if value is None else f"{value}" for value in (dataset.rounds, dataset.prompt_length, dataset.completion_length)),
        dataset.licence or "",
        {True: "NC", False: "", None: "unknown"}[dataset.non_commercial],
        KINDS[dataset.generation_kind],
    ]
    return f"| {' | '.join(cells)} |\n"


def _section(dataset: Dataset) -> str:
    places = [
        f"[{source.address}]({source.url})"
        + (f" ({', '.join(f'`{file}`' for file in source.files)})" if source.files else "")
        + (f": {source.note}" if source.note else "")
        for source in dataset.sources
    ]
    lines = [f"## {dataset.key}", "", f"{dataset.title}. {dataset.generation[0].upper()}{dataset.generation[1:]}."]
    lines += ["", f"- original: {'; '.join(places)}"]
    lines += [f"- format `{dataset.format}`, fields {', '.join(f'`{name}`' for name in dataset.fields)}"]
    lines += [f"- {text}" for text in (*dataset.filters, dataset.notes) if text]
    lines += [f"- licence: {dataset.licence_note}"] if dataset.licence_note else []
    lines += [f"- mixtures: {', '.join(dataset.mixtures)}"] if dataset.mixtures else []
    lines += [f"- {dataset.paper}"] if dataset.paper else []
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
