"""What an error says to a caller from Python: arguments, where the command line has options."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import instructsel
import instructsel.adapters
from instructsel import Pool, by, score, select
from instructsel.errors import ARGUMENTS, InstructselError, UsageError, in_python
from instructsel.selection.settings import Changes


def parameters() -> Iterator[str]:
    """The names of what public functions, methods and classes take."""
    yield from Changes.__annotations__
    for module in (instructsel, instructsel.adapters):
        for name in module.__all__:
            thing = getattr(module, name)
            members = [thing, *(held for _, held in inspect.getmembers(thing, callable))] if inspect.isclass(thing) else [thing]
            for member in members:
                try:
                    yield from inspect.signature(member).parameters
                except (TypeError, ValueError):
                    continue


def test_every_argument_that_an_error_names_is_one_of_a_public_call() -> None:
    known = set(parameters())
    named = {name for said in ARGUMENTS.values() for name in re.findall(r"(\w+)=", said)}
    assert named <= known, named - known


def test_a_caller_from_python_reads_the_argument_and_a_user_of_a_terminal_the_option(tmp_path: Path) -> None:
    path = tmp_path / "pool.jsonl"
    path.write_text(
        json.dumps({"Ask": "Ebb?", "Say": {"x": 1}}) + "\n" + json.dumps({"Ask": "Flood?", "Say": {"x": 1}}) + "\n", encoding="utf-8"
    )
    with pytest.raises(InstructselError) as refused:
        Pool.read(path)
    assert refused.value.fix == "Name them with --map instruction=FIELD,response=FIELD"
    assert str(refused.value).endswith('In Python: format=Mapped.parse("instruction=FIELD,response=FIELD")')
    assert "In Python" not in refused.value.line


def test_the_limits_of_a_selection_are_named_as_arguments() -> None:
    pool = Pool.of([{"instruction": f"Say {n}.", "output": "" if n % 2 else f"It is {n}."} for n in range(8)])
    with pytest.raises(InstructselError, match=r"In Python: .*max_null_fraction=…"):
        select(pool, score(pool, "len"), by("len"), budget=2)


@pytest.mark.parametrize(
    ("said", "arguments"),
    [
        ("Score again with: instructsel score POOL --indicators len --max-length 9", ""),
        ("Use --max-length 2048, or --max-skipped-fraction 0.4.", "max_length=2048, max_skipped_fraction=0.4"),
        ("Say so: --role 'Q 1=user' --role AI=assistant (did you mean 'AI'?)", 'roles=["Q 1=user", "AI=assistant"]'),
        ("Add --to messages to write them all as messages.", 'to="messages"'),
        ("Nothing to add.", ""),
    ],
)
def test_options_of_a_line_for_a_shell_are_no_arguments(said: str, arguments: str) -> None:
    assert in_python(said) == arguments
    assert str(UsageError("No.", fix=said)) == f"No. {said}" + (f" In Python: {arguments}" if arguments else "")
