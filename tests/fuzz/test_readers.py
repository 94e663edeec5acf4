"""Every reader of the project is registered with the harness, and keeps its rules on a fixed number of forged, odd and damaged files."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from instructsel.kinds import KINDS
from instructsel.pool.formats import _registry as formats
from tests.fuzz import seeds
from tests.fuzz.harness import keep, plan, run, summary
from tests.fuzz.readers import APART, FUNCTIONS, MODULES_APART, READERS, lay_out

ROOT: Final = Path(__file__).parent.parent.parent
READS: Final = re.compile(r"(read|load|of|from|open|latest|newest)(_|$)")
"""Names of functions that read."""
PARSERS: Final = re.compile(
    r"\b(orjson\.loads|json\.loads?|tomllib\.loads?|(pl|polars)\.(read|scan)_\w+|yaml\.\w*load\w*|(read|parse)_(json|toml)|parsed_parquet"
    r"|csv\.(reader|DictReader)|safe_open)\("
)
"""Calls that make sense of bytes."""


def sources() -> Iterator[tuple[str, str]]:
    """Module of the package, without its first name, and its text."""
    for folder in ("instructsel", "adapters"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if parts[:2] != ("instructsel", "adapters"):
                yield ".".join(parts[1:] if folder == "instructsel" else parts), path.read_text(encoding="utf-8")


def readers() -> set[str]:
    """`module:function` of everything public that reads a path."""

    def reads(function: ast.stmt) -> bool:
        if not isinstance(function, ast.FunctionDef) or not READS.match(function.name):
            return False
        arguments = (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
        return any(argument.annotation is not None and "Path" in ast.unparse(argument.annotation) for argument in arguments)

    names = set()
    for module, text in sources():
        for statement in ast.parse(text).body:
            members = statement.body if isinstance(statement, ast.ClassDef) else [statement]
            within = f"{statement.name}." if isinstance(statement, ast.ClassDef) else ""
            names |= {
                f"{module}:{within}{member.name}"
                for member in members
                if isinstance(member, ast.FunctionDef) and reads(member) and not any(part.startswith("_") for part in (within, member.name))
            }
    return names


def test_every_public_function_that_reads_a_path_is_tried() -> None:
    assert readers() == {*FUNCTIONS, *APART}, "register a new reader in tests/fuzz/readers.py: READERS and FUNCTIONS, or APART"
    assert set(FUNCTIONS.values()) <= {reader.name for reader in READERS}


def test_every_module_that_makes_sense_of_bytes_is_tried() -> None:
    parsing = {module for module, text in sources() if PARSERS.search(text)}
    tried = {module for reader in READERS for module in reader.modules}
    assert parsing - tried - set(MODULES_APART) == set(), (
        "register the reader in tests/fuzz/readers.py, or say in MODULES_APART who tries it"
    )
    known = {module for module, _ in sources()}
    assert (tried | set(MODULES_APART)) - known == set(), "modules that there are not"


def test_every_kind_of_result_and_every_row_format_is_tried() -> None:
    covered = {cover for reader in READERS for cover in reader.covers}
    assert {name for name, kind in KINDS.items() if kind.reader} - covered == set()
    assert set(formats.classes()) - covered == set()


def test_every_reader_reads_its_valid_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What refuses them would refuse everything, and try nothing."""
    monkeypatch.setenv("INSTRUCTSEL_CACHE", str(tmp_path / "cache"))
    valid, broken = seeds.make(tmp_path / "seeds"), []
    for number, reader in enumerate(READERS):
        place = tmp_path / str(number)
        place.mkdir()
        lay_out(reader, valid, place)
        try:
            reader.read(place)
        except Exception as error:
            broken.append(f"{reader.name}: {type(error).__name__}: {error}")
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("half", [0, 1])
def test_no_reader_breaks_on_forged_odd_or_damaged_files(half: int, tmp_path: Path) -> None:
    """A fixed number of inputs of a fixed seed: the same ones in every run, whatever the machine does meanwhile."""
    valid = seeds.make(tmp_path / "seeds")
    outcomes = run(valid, tmp_path / "room", seed=7, work=plan(1)[half::2])
    failures = [failure for outcome in outcomes.values() for failure in outcome.failures]
    kept = [keep(failure, valid, ROOT / "build" / "fuzz-failures") for failure in failures]
    assert not failures, "\n".join([summary(outcomes), *map(str, failures), *(f"python -m tests.fuzz --replay {place}" for place in kept)])
    assert sum(outcome.inputs for outcome in outcomes.values()) == sum(count for _, _, count in plan(1)[half::2])
