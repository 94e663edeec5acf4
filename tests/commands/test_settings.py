"""instructsel.toml: what is read, what is refused, and what --print-config writes for it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from instructsel.commands import SECTIONS, _trust, app
from instructsel.commands._parsing import RENAMED
from instructsel.commands._settings import flag_of, toml


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, settings: str = "", **environment: str) -> Any:
    Path("instructsel.toml").write_text(settings, encoding="utf-8")
    return CliRunner().invoke(app, list(arguments), env=environment, prog_name="instructsel")


def test_what_print_config_prints_can_be_pasted_into_the_settings_file() -> None:
    arguments = ("score", "a pool.jsonl", "--model", 'rew="x"', "--max-failed-fraction", "0.2", "--no-cache", "--print-config")
    printed = run(*arguments, settings='[score]\nformat = "dolly"\n')
    assert printed.exit_code == 0, printed.output
    table = tomllib.loads(printed.stdout)["score"]
    assert (
        '# argument POOL...: ["a pool.jsonl"]' in printed.stdout
        and "pools" not in table
        and table["model"] == ['rew="x"']
        and table["no-cache"] is True
    )
    assert table["max-failed-fraction"] == 0.2 and table["format"] == "dolly" and "print-config" not in table
    again = run("score", "p", "--print-config", settings=printed.stdout)
    assert tomllib.loads(again.stdout)["score"] == table


def test_print_config_says_where_each_value_is_from() -> None:
    printed = run("score", "p", "--print-config", settings='[score]\nformat = "dolly"\n', INSTRUCTSEL_SCORE_RULE="longest").stdout
    assert 'format = "dolly"  # instructsel.toml' in printed and 'rule = "longest"  # environment' in printed
    assert "# output is not set" in printed and 'oasst = "best-path"  # default' in printed


def test_an_argument_is_no_setting_and_hidden_options_are_not_printed() -> None:
    for key in ("pool", "pools"):
        refused = run("score", settings=f'[score]\n{key} = ["a"]\n')
        assert refused.exit_code == 2 and f"{key} in [score] of instructsel.toml is an argument, no setting." in refused.stderr
    assert "worker" not in run("verify", "x", "-o", "y", "--print-config").stdout


@pytest.mark.parametrize(
    "arguments, settings, error, fix",
    [
        (("select", "--random-subsets", "0"), "", "--random-subsets is 0; it is a whole number from 1.", "See: instructsel select --help"),
        (
            ("verify", "-o", "y"),
            '[verify]\nlimit = "x"\n',
            '[verify] limit in instructsel.toml is "x"; it is a whole number from 0.',
            "verify --help",
        ),
        (("select", "--floor", "len=3"), "", "There is no option --floor in instructsel select.", "Did you mean --min?"),
        (("select", "--seeds", "3"), "", "There is no option --seeds in instructsel select.", "Did you mean --random-subsets?"),
        (("verify", "--speaks-of", "x"), "", "There is no option --speaks-of in instructsel verify.", "Did you mean --generalize-to?"),
        (("score",), "", "POOL... is missing.", "See: instructsel score --help"),
        (("score", "--precision"), "", "--precision needs a value.", "See: instructsel score --help"),
        (("scor",), "", "No such command 'scor'.", "Did you mean 'score', 'doctor'?"),
    ],
)
def test_what_the_parser_refuses_is_said_as_every_error_is(arguments: tuple[str, ...], settings: str, error: str, fix: str) -> None:
    refused = run(*arguments, settings=settings)
    assert refused.exit_code == 2 and refused.stderr.startswith(f"error: {error}\nfix:   ") and fix in refused.stderr


def test_every_renamed_flag_leads_to_one_that_exists() -> None:
    helps = "".join(run(*verb, "--help").stdout for verb in (["score"], ["select"], ["verify"], ["train"], ["rules", "fit"]))
    for flag in RENAMED.values():
        assert flag in helps, flag


def test_a_variable_of_no_option_is_warned_of() -> None:
    shown = run("score", "p", "--print-config", INSTRUCTSEL_SCORE_INDICATOR="len").stderr
    assert "warning: INSTRUCTSEL_SCORE_INDICATOR sets nothing" in shown and "Did you mean INSTRUCTSEL_SCORE_INDICATORS?" in shown
    assert "warning" not in run("score", "p", "--print-config", INSTRUCTSEL_SCORE_INDICATORS="len").stderr


@pytest.mark.parametrize(
    "command, settings, message",
    [
        (["status"], "[status]\njsn = true\n", "Did you mean 'json'?"),
        (["doctor"], "[doctor]\ncahce = 'x'\n", "Did you mean 'cache'?"),
        (["explain", "x"], "[explain]\nselecton = 'x'\n", "Did you mean 'selection'?"),
        (["cache", "prune"], "[cache.prune]\nlimt = '1GB'\n", "There is no setting 'limt' in [cache.prune] of instructsel.toml."),
        (["cache", "show"], "[cache]\nprun = 3\n", "There is no command 'prun' in [cache] of instructsel.toml."),
        (["rules", "list"], "[rules]\nlist = 3\n", "Write [rules.list] in a line of its own"),
        (["status"], "[statsu]\njson = true\n", "Did you mean 'status'?"),
        (["status"], "status = 3\n", "Write [status] in a line of its own"),
        (["status"], "[status.json]\nx = 1\n", "json in [status] of instructsel.toml is a table."),
        (["explain", "x"], "[explain]\nrule = ['eq4']\n", "Write rule = …, without brackets."),
        (["status"], "[status\n", "instructsel.toml cannot be read"),
    ],
)
def test_what_the_settings_file_says_wrongly_is_refused_with_the_fix(command: list[str], settings: str, message: str) -> None:
    done = run(*command, settings=settings)
    assert done.exit_code == 2 and message in done.stderr and done.stderr.count("error: ") == 1, done.output


def test_help_is_there_whatever_the_settings_file_says() -> None:
    for settings in ("[status]\njsn = true\n", "[cache.prune]\nlimt = 1\n", "[cache]\nprune = 1\n"):
        assert run("cache", "prune", "--help", settings=settings).exit_code == 0


def test_one_value_of_a_repeated_flag_needs_no_brackets() -> None:
    printed = run("score", "p", "--print-config", settings='[score]\nmodel = "rew=some/model"\n')
    assert tomllib.loads(printed.stdout)["score"]["model"] == ["rew=some/model"]


def test_a_nested_command_has_a_nested_table() -> None:
    assert "2.0 MB" in run("cache", "show", settings="", INSTRUCTSEL_CACHE_LIMIT="2MB").stdout
    done = run("cache", "prune", "--dry-run", settings='[cache.prune]\nlimit = "3MB"\ncache = "c"\n')
    assert done.exit_code == 0 and "3.0 MB" in done.stdout


def test_a_variable_is_called_as_its_flag_is() -> None:
    printed = run("score", "p", "--print-config", INSTRUCTSEL_SCORE_FORMAT="dolly", INSTRUCTSEL_SCORE_MAP="instruction=a,response=b")
    table = tomllib.loads(printed.stdout)["score"]
    assert table["format"] == "dolly" and table["map"] == "instruction=a,response=b"


def test_a_setting_cannot_write_to_the_terminal() -> None:
    assert toml("a\x1b[31m\x7f\u202e") == '"a\\u001b[31m\\u007f\\u202e"'
    assert tomllib.loads(f"x = {toml('a' + chr(27) + chr(127) + ' ü 🎈')}")["x"] == "a\x1b\x7f ü 🎈"


def commands() -> Iterator[tuple[list[str], Any]]:
    """Every command with its path."""
    pending: list[tuple[list[str], Any]] = [([], typer.main.get_command(app))]
    while pending:
        path, command = pending.pop()
        if hasattr(command, "commands"):
            pending += [([*path, name], command.commands[name]) for name in command.list_commands(None)]
            pending += [(path, command.run)] if hasattr(command, "run") else []
        else:
            yield path, command


def options() -> list[tuple[list[str], Any]]:
    return [
        (path, parameter)
        for path, command in commands()
        for parameter in command.params
        if parameter.param_type_name == "option" and not getattr(parameter, "hidden", False)
    ]


def test_every_option_of_every_command_is_classed_by_whether_a_settings_file_may_set_it() -> None:
    classes = (set(_trust.TRUSTED_ONLY), _trust.WRITTEN, _trust.READ, _trust.PLAIN)
    flags = {flag_of(parameter) for _, parameter in options()}
    assert {path[0] for path, _ in commands()} == {name for names in SECTIONS.values() for name in names}
    unclassed = flags - set().union(*classes)
    assert _trust.FORMS <= _trust.PLAIN
    assert not unclassed, f"class {sorted(unclassed)} in instructsel/commands/_trust.py: TRUSTED_ONLY, WRITTEN, READ or PLAIN"
    assert sum(map(len, classes)) == len(set().union(*classes)) and set().union(*classes) == flags
    # An option that takes a path reads or writes.
    paths = {flag_of(parameter) for _, parameter in options() if "Path" in str(parameter.type_descriptor.annotation)}
    assert not paths & _trust.PLAIN, paths & _trust.PLAIN


@pytest.mark.parametrize(
    ("path", "flag"),
    [(path, flag_of(parameter)) for path, parameter in options() if flag_of(parameter) in _trust.TRUSTED_ONLY],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_what_sends_something_or_runs_code_is_refused_in_the_settings_file_and_taken_from_a_variable(path: list[str], flag: str) -> None:
    secret = "not-to-be-shown"
    switch = flag.startswith("allow") or flag in ("force", "replace")
    refused = run(*path, settings=f"[{'.'.join(path)}]\n{flag} = {'true' if switch else toml(secret)}\n")
    variable = f"INSTRUCTSEL_{'_'.join([*path, flag])}".replace("-", "_").upper()
    message = " ".join(refused.stderr.split())
    assert refused.exit_code == 2 and f"{flag} in [{'.'.join(path)}] of instructsel.toml" in message, refused.output
    assert f"write --{flag} on the command line, or set {variable}." in message and secret not in message
    command = next(command for names, command in commands() if names == path)
    if any(flag_of(parameter) == "print-config" for parameter in command.params):
        needed = [f"-{'o'}", "x"] if path == ["verify"] else []
        arguments = [str(parameter.name) for parameter in command.params if parameter.param_type_name == "argument"]
        value = {"report-to": "wandb"}.get(flag, "1" if switch else secret)
        printed = run(*path, *arguments, *needed, "--print-config", **{variable: value})
        shown = "true" if switch else toml(value)
        assert printed.exit_code == 0 and f"# {flag} = {shown}  # environment; set by flag or variable alone" in printed.stdout
        # What is printed can be pasted.
        assert run(*path, *arguments, *needed, "--print-config", settings=printed.stdout).exit_code == 0


@pytest.mark.parametrize(
    "value", ["hf://owner/name", "name=HF://owner/name", "a,hf:\\\\x", "https://x.example/a", "\\\\host\\share", "//host/share"]
)
@pytest.mark.parametrize("flag", ["pool", "target", "with-scores"])
def test_an_address_in_the_settings_file_is_refused(value: str, flag: str) -> None:
    refused = run("select", settings=f"[select]\n{flag} = {toml(value)}\n")
    assert refused.exit_code == 2 and "holds an address" in refused.stderr, refused.output


@pytest.mark.parametrize("value", ["../x.jsonl", "/tmp/x.jsonl", "inside/../../x", "link/x", "~root/../../x/../../../tmp/x"])
def test_what_the_settings_file_has_written_lies_inside_the_working_folder(folder: Path, value: str) -> None:
    (folder / "link").symlink_to(folder.parent)
    refused = run("select", settings=f"[select]\noutput = {toml(value)}\n")
    assert refused.exit_code == 2 and "leads out of the working folder" in refused.stderr, refused.output
    for inside in ("x.jsonl", "new/x.jsonl", str(folder / "x.jsonl"), "-"):
        assert (
            f"output = {toml(inside)}  # instructsel.toml"
            in run("select", "--print-config", settings=f"[select]\noutput = {toml(inside)}\n").stdout
        )
    stated = run("select", "-o", value, "--print-config")
    assert "set by flag or variable alone" in stated.stdout and run("select", "--print-config", settings=stated.stdout).exit_code == 0


def test_models_and_files_to_read_may_stand_in_the_settings_file() -> None:
    printed = run("score", "p", "--print-config", settings='[score]\nmodel = "rew=owner/model@main"\ncache = "/big/cache"\n')
    assert (
        'model = ["rew=owner/model@main"]  # instructsel.toml' in printed.stdout
        and 'cache = "/big/cache"  # instructsel.toml' in printed.stdout
    )
