"""--help and completion: what a stranger reads first, and what it costs."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from instructsel.commands import SECTIONS, _completion, app
from instructsel.commands._console import continued
from instructsel.commands._help import COMMON, Command, first_sentence, wrapped
from instructsel.commands._lazy import command_of
from instructsel.indicators import registry as indicators
from instructsel.mixtures.catalogue import catalogue
from instructsel.pool.formats import _registry as formats
from instructsel.rules import catalog
from instructsel.selection.baselines.registry import names
from tests.commands.test_commands import VERBS

LINES = {name: line for commands in SECTIONS.values() for name, line in commands.items()}


def help_of(*verb: str) -> str:
    done = CliRunner().invoke(app, [*verb, "--help"], env={"COLUMNS": "80"}, prog_name="instructsel")
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_lines_of_the_root_are_the_first_sentences_of_the_commands() -> None:
    for name, line in LINES.items():
        command = command_of(importlib.import_module(f"instructsel.commands.{name.replace('-', '_')}"), name)
        assert first_sentence(command.help or "") == line, name


def test_every_module_of_the_folder_is_a_command_of_the_root() -> None:
    import pkgutil

    from instructsel import commands

    modules = {module.name for module in pkgutil.iter_modules(commands.__path__) if not module.name.startswith("_")}
    assert modules == {name.replace("-", "_") for name in LINES}


@pytest.mark.parametrize("verb", [[], *VERBS, ["study"], ["rules"], ["cache"]], ids=lambda verb: " ".join(verb) or "root")
def test_every_help_fits_eighty_columns(verb: list[str]) -> None:
    assert [line for line in help_of(*verb).splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_help_states_the_variables_and_the_settings_file_once(verb: list[str]) -> None:
    text = help_of(*verb)
    assert "env var" not in text
    assert (
        " ".join(text.split()).count(
            f"a variable, INSTRUCTSEL_{'_'.join(verb).upper().replace('-', '_')}_<OPTION>, or in instructsel.toml below"
        )
        == 1
    )
    assert text.count("INSTRUCTSEL_") <= 2


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["scor"]])
def test_neither_version_nor_help_imports_a_command(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom instructsel.commands import main\nsys.argv = ['instructsel', *sys.argv[1:]]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'polars', 'numpy', 'orjson', 'torch', 'jinja2', 'rich'} & set(sys.modules)\n"
        "ours = [name for name in sys.modules if name.startswith('instructsel.commands.') and not name.rpartition('.')[2].startswith('_')]\n"
        "assert not heavy and not ours, (heavy, ours)\n"
    )
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)


def complete(line: str) -> list[str]:
    environment = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1), "_INSTRUCTSEL_COMPLETE": "complete_bash"}
    done = CliRunner().invoke(app, [], env=environment, prog_name="instructsel")
    return done.stdout.split()


def test_commands_are_completed_without_importing_any() -> None:
    root: Any = get_command(app)
    context = root.make_context("instructsel", ["x"], resilient_parsing=True)
    assert [item.value for item in root.shell_complete(context, "s")] == ["score", "select", "status", "study", "schema", "skill"]
    assert root.commands.loaded == {}
    assert complete("instructsel ver") == ["verify"]


def test_values_are_completed() -> None:
    assert complete("instructsel score pool.jsonl --format dol") == ["dolly"]
    assert complete("instructsel explain pool.jsonl:3 --rule eq4-w") == ["eq4-without-reward"]
    assert complete("instructsel diff longest eq4-w") == ["eq4-without-reward"]
    assert complete("instructsel score pool.jsonl --indicators len,plau") == ["len,plausibility"]
    assert complete("instructsel select --baseline long") == ["longest"]
    assert _completion.indicators("len,mt") == [("len,mtld", _completion.INDICATORS["mtld"])]
    assert _completion.by("-m") == [("-mtld", _completion.INDICATORS["mtld"])]
    assert _completion.thresholds("pl") == [("plausibility=", _completion.INDICATORS["plausibility"])]


def test_completed_values_are_those_that_there_are() -> None:
    assert set(_completion.INDICATORS) == set(indicators.symbols())
    assert set(_completion.FORMATS) == {"auto", *formats.classes()}
    assert set(_completion.rules("")) == set(catalog.names())
    assert set(_completion.BASELINES) == set(names())
    assert list(_completion.DATASETS) == list(catalogue())
    assert set(_completion.conversions("")) == {key for key, dataset in catalogue().items() if dataset.conversion}


def test_options_stand_under_their_headings_and_the_common_ones_last() -> None:
    text = help_of("score")
    headings = [line for line in text.splitlines() if line and not line.startswith((" ", "Usage")) and line.endswith(":")]
    assert headings[:2] == ["Examples:", "Arguments:"] and headings[-1] == f"{COMMON}:"
    assert text.index("--quiet") > text.index(f"{COMMON}:") < text.index("--help")


def test_a_long_example_is_continued_between_its_words() -> None:
    lines = continued("instructsel score pool.jsonl --indicators len,mtld --output 'a b.parquet'", width=44)
    assert lines == ["  instructsel score pool.jsonl \\", "    --indicators len,mtld \\", "    --output 'a b.parquet'"]


def test_lines_break_between_words_and_a_wider_word_after_its_commas() -> None:
    assert wrapped("one of len,mtld,knn_6 and", 12) == ["one of", "len,mtld,", "knn_6 and"]
    assert wrapped("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]
    assert wrapped("", 10) == []


def test_every_command_checks_its_settings() -> None:
    for name in LINES:
        command: Any = command_of(importlib.import_module(f"instructsel.commands.{name.replace('-', '_')}"), name)
        pending = [command]
        while pending:
            inner = pending.pop()
            if hasattr(inner, "commands"):
                pending += [*inner.commands.values(), *([inner.run] if hasattr(inner, "run") else [])]
            else:
                assert isinstance(inner, Command), (name, inner.name)
