"""Documents say what is so."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_the_command_line_page_is_what_help_prints() -> None:
    module = _builder("build_reference")
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run: make docs"


def test_the_page_of_checks_is_what_the_checks_say() -> None:
    module = _builder("build_checks")
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run: python docs/build_checks.py"


def test_the_page_of_datasets_is_what_the_catalogue_says() -> None:
    module = _builder("build_datasets")
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run: python docs/build_datasets.py"


def test_every_link_between_documents_leads_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} → {target}"


def test_every_indicator_rule_and_format_is_in_the_reference() -> None:
    from instructsel.indicators import registry as indicators
    from instructsel.pool.formats import _registry as formats
    from instructsel.rules import catalog

    pages = {
        name: (ROOT / "docs" / name).read_text(encoding="utf-8")
        for name in ("reference/indicators.md", "reference/rules.md", "how-to/read-any-format.md")
    }
    for name in indicators.names():
        assert f"`{name}.py`" in pages["reference/indicators.md"]
    for name in catalog.names():
        assert f"`{name}`" in pages["reference/rules.md"]
    for name in formats.classes():
        assert f"`{name}`" in pages["how-to/read-any-format.md"]


def test_the_indicator_that_newcomers_are_shown_scores_and_keeps_the_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from instructsel.indicators.base import Batch
    from instructsel.pool.pool import Pool

    shown = re.search(r"```python\n(.*?)```", (ROOT / "AGENTS.md").read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    (tmp_path / "question_marks.py").write_text(shown[1], encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    indicator = importlib.import_module("question_marks").QuestionMarks()
    (tmp_path / "pool.jsonl").write_text(
        '{"instruction": "Ask me twice.", "output": "Why? How?"}\n{"instruction": "Say nothing.", "output": "  "}\n', encoding="utf-8"
    )
    examples = tuple(Pool.read(tmp_path / "pool.jsonl").examples())
    scored = indicator.score(Batch(examples))
    values = {
        example.response.strip(): (value, reason) for example, value, reason in zip(examples, scored.values, scored.reasons, strict=True)
    }
    assert values == {"Why? How?": (2.0, None), "": (None, "no_response")}
    assert indicator.fingerprint()["version"] == 1


def test_every_folder_that_newcomers_are_sent_to_exists() -> None:
    places = re.findall(r"^File: `([^`]*?)/?(?:NAME\.\w+)`", (ROOT / "AGENTS.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(places) >= 5
    for place in places:
        assert (ROOT / place).is_dir(), place
    for test in re.findall(r"`(tests/[\w/]+(?:\.py)?)`", (ROOT / "AGENTS.md").read_text(encoding="utf-8")):
        assert (ROOT / test).exists(), test


def _builder(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_figures_on_alpaca_are_those_of_the_results_file() -> None:
    builder = _builder("build_alpaca")
    assert builder.PAGE.read_text(encoding="utf-8") == builder.page(), "run: python docs/build_alpaca.py"


def test_what_the_alpaca_page_concludes_is_what_the_results_say() -> None:
    figures = _builder("build_alpaca").load("alpaca_labels")
    ratings = {name: entry for name, entry in figures["with_labels"].items() if name.startswith("rating by")}
    assert len(ratings) == 3
    for entry in ratings.values():
        others = [abs(entry[symbol]["plain"]["value"]) for symbol in ("mtld", "knn_6", figures["rule"])]
        assert entry["len"]["plain"]["value"] > max(others)
        assert entry[figures["rule"]]["plain"]["low"] > 0
    wrong = [entry[figures["rule"]]["plain"]["value"] > 0 for entry in figures["with_labels"].values()]
    assert sum(wrong) > len(wrong) / 2
    assert figures["variance_shares"]["knn_6"] > 0.95
    for entry in figures["with_labels"].values():
        for column in entry.values():
            for found in column.values():
                assert found["low"] <= found["value"] <= found["high"]
