"""The licence of a row is its own field's or its source's; what is not known is told."""

from __future__ import annotations

from typing import Any

import pytest

from instructsel.gates.change import Change
from instructsel.gates.checks.licence import Licence, spdx
from instructsel.gates.config import GateConfig
from instructsel.pool.pool import Pool
from tests.gates.checks.asking import row


def keys(rows: list[dict[str, Any]], source_field: str | None = None, **settings: Any) -> list[str]:
    change = Change(Pool.of(rows, source_field=source_field))
    by_line = sorted(
        (change.rows[hit.position].place.line, hit.key) for hit in Licence(**settings).hits(change) if hit.position is not None
    )
    return [key for _, key in by_line]


def licensed(name: Any, **more: Any) -> dict[str, Any]:
    return {**row(f"A row of {name}."), "license": name, **more}


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("MIT", "mit"), ("Apache License 2.0", "apache-2.0"), ("CC BY 4.0", "cc-by-4.0"), ("cc-by-nc-sa-4.0", "cc-by-nc-sa-4.0"), ("CC0", "cc0-1.0"),
        ("Creative Commons Attribution-ShareAlike 3.0 Unported", "cc-by-sa-3.0"), ("https://creativecommons.org/publicdomain/zero/1.0/", "cc0-1.0"),
        ("GPL-3.0", "gpl-3.0"), ("My Own Terms", "my-own-terms"),
    ],
)  # fmt: skip
def test_licences_are_read_in_their_usual_spellings(written: str, name: str) -> None:
    assert spdx(written) == name


def test_what_is_not_allowed_is_reported() -> None:
    rows = [licensed("MIT"), licensed("CC BY 4.0"), licensed("CC BY-NC 4.0"), licensed("GPL-3.0")]
    assert keys(rows, allow=("mit", "cc-by-*"), deny=("*-nc-*",)) == ["cc-by-nc-4.0", "gpl-3.0"]
    assert keys(rows, deny=("cc-by-nc-4.0",)) == ["cc-by-nc-4.0"]


def test_a_row_of_several_licences_needs_all_of_them() -> None:
    assert keys([licensed(["MIT", "GPL-3.0"]), licensed("MIT AND GPL-3.0")], allow=("mit",)) == ["gpl-3.0", "gpl-3.0"]


@pytest.mark.parametrize("name", [None, "", "unknown", "other", "N/A"])
def test_what_is_not_known_is_told_unless_it_may_be(name: Any) -> None:
    assert keys([licensed(name)], allow=("mit",)) == ["unknown"]
    assert keys([licensed(name)], allow=("mit",), unknown=True) == []


def test_the_licence_of_a_source_stands_for_rows_without_one() -> None:
    rows = [{**row("One."), "from": "dolly"}, {**row("Two."), "from": "alpaca"}, {**row("Three."), "from": "port"}]
    sources = {"dolly": "CC BY-SA 3.0", "Alpaca": "CC BY-NC 4.0"}
    assert keys(rows, source_field="from", sources=sources, allow=("cc-by-sa-3.0",)) == ["cc-by-nc-4.0", "unknown"]


def test_the_field_is_a_setting() -> None:
    assert keys([{**row("One."), "meta": {"terms": "mit"}}], field_name="meta.terms", allow=("apache-2.0",)) == ["mit"]


def test_without_a_setting_the_check_says_what_it_needs() -> None:
    assert "allow" in str(Licence().locked(Change(Pool.of([row("One.")]))))


def test_sources_are_read_from_a_configuration(tmp_path: Any) -> None:
    file = tmp_path / "gate.toml"
    file.write_text('[[check]]\nkind = "licence"\nallow = ["mit"]\nsources = { dolly = "mit" }\n', encoding="utf-8")
    check = GateConfig.read(file).checks[0].check
    assert isinstance(check, Licence) and check.sources == {"dolly": "mit"}
