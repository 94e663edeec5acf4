"""Kinds: every result names its kind and schema, and one table says what reads it."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from instructsel import kinds
from instructsel.artifact import checked_version, stamped, write_manifest
from instructsel.errors import ScoresError
from instructsel.reports.reading import read_artifact


@pytest.mark.parametrize("name", sorted(kinds.KINDS))
def test_the_reader_of_every_kind_is_there(name: str) -> None:
    kind = kinds.KINDS[name]
    reader = kinds.reader_of(name)
    assert callable(reader) if kind.reader else reader is None
    assert kind.schema >= 1 and kind.noun
    assert kinds.head(name) == {"kind": name, "schema": kind.schema}


def test_every_constant_is_a_row_of_the_table_and_every_row_a_constant() -> None:
    settings = {"SCHEMA", "OLD_SCHEMA"}
    constants = {value for name, value in vars(kinds).items() if name.isupper() and isinstance(value, str) and name not in settings}
    assert constants == set(kinds.KINDS)


def test_a_newer_schema_is_refused_in_one_sentence_and_the_last_release_s_is_read() -> None:
    assert checked_version({"kind": "verification", "schema_version": 1}, "v") and checked_version(
        {"kind": "verification", "schema": 2}, "v"
    )
    with pytest.raises(ScoresError, match=r"v was written by a newer instructsel \(schema 3, this one reads 2\)\.") as raised:
        checked_version({"kind": "verification", "schema": 3}, "v")
    assert raised.value.fix is not None and "pip install -U" in raised.value.fix
    assert stamped({"kind": "scores", "schema_version": 1, "a": 2}) == {"kind": "scores", "a": 2, "schema": 1}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"sizes": [], "fine_tunes": []}, "carries no kind"),
        ({"graders": {}, "arms": {}, "verdicts": []}, "carries no kind"),
        ({"kind": "verificaton"}, "There is no kind of result 'verificaton'"),
        ({"kind": "verification", "schema": 99}, "newer instructsel"),
        ({"kind": "size-search"}, "lacks the key sizes"),
    ],
)
def test_no_result_is_recognised_by_its_keys(tmp_path: Path, content: dict[str, object], said: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ScoresError, match=said):
        read_artifact(path)


def test_a_manifest_of_an_unknown_kind_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ScoresError, match="no kind of result 'rows with everything'"):
        write_manifest(tmp_path / "rows.csv", {"kind": "rows with everything"}, run={})
    assert not list(tmp_path.iterdir())


def test_every_kind_that_is_written_is_a_constant_of_the_table() -> None:
    written: dict[str, ast.expr] = {}
    for path in sorted(Path(kinds.__file__).parent.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef) or path.name in ("kinds.py", "artifact.py"):
                continue
            calls = [node for node in ast.walk(function) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
            heads = [call.args[0] for call in calls if getattr(call.func, "id", "") == "head"]
            written |= {f"{path.name}:{value.lineno}": value for value in heads}
            if not any(getattr(call.func, "id", "") in ("write_manifest", "stamped") for call in calls):
                continue
            for node in ast.walk(function):
                entries = zip(node.keys, node.values, strict=True) if isinstance(node, ast.Dict) else ()
                named = [value for key, value in entries if isinstance(key, ast.Constant) and key.value == "kind"]
                written |= {f"{path.name}:{value.lineno}": value for value in named}
    names = {place: getattr(value, "attr", getattr(value, "id", None)) for place, value in written.items()}
    unknown = {place: name for place, name in names.items() if getattr(kinds, name or "", None) not in kinds.KINDS}
    assert len(written) > 10 and not unknown
