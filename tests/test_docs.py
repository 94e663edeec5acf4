"""Documents say what is so."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_command_line_page_is_what_help_prints() -> None:
    spec = importlib.util.spec_from_file_location("build_reference", ROOT / "docs" / "build_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run: make docs"


def test_every_link_between_documents_leads_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} → {target}"


def test_every_indicator_rule_and_format_is_in_the_reference() -> None:
    from instructsel.indicators import _registry as indicators
    from instructsel.pool.formats import _registry as formats
    from instructsel.rules import catalog

    pages = {name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("reference/indicators.md", "reference/rules.md", "how-to/read-any-format.md")}
    for name in indicators.names():
        assert f"`{name}.py`" in pages["reference/indicators.md"]
    for name in catalog.names():
        assert f"`{name}`" in pages["reference/rules.md"]
    for name in formats.classes():
        assert f"`{name}`" in pages["how-to/read-any-format.md"]
