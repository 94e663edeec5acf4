"""The fixture `instructsel_gate`, in tests of others."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib

import pytest

from tests.conftest import ROOT

pytest_plugins = ["pytester"]
PLUGIN = ("-p", "no:instructsel", "-p", "instructsel.pytest_plugin", "-p", "no:cacheprovider")
GOOD = {"instruction": "Name a color of the sky at noon.", "output": "It is blue, as the air scatters short waves most."}
BAD = {"instruction": "Name a color of the grass.", "output": ""}


def rows(pytester: pytest.Pytester, *values: dict[str, str]) -> None:
    (pytester.path / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in values))


def run(pytester: pytest.Pytester, body: str) -> pytest.RunResult:
    pytester.makepyfile(f"def test_rows(instructsel_gate):\n    {body}\n")
    return pytester.runpytest_inprocess(*PLUGIN)


def test_rows_that_may_join_pass_and_the_verdict_comes_back(pytester: pytest.Pytester) -> None:
    rows(pytester, GOOD)
    run(pytester, "verdict = instructsel_gate('new.jsonl'); assert verdict.change.n_rows == 1").assert_outcomes(passed=1)
    run(pytester, f"instructsel_gate([{GOOD!r}])").assert_outcomes(passed=1)
    run(pytester, f"from instructsel import Pool; instructsel_gate(Pool.of([{GOOD!r}]))").assert_outcomes(passed=1)


def test_rows_that_may_not_join_fail_with_file_line_and_fix_and_no_traceback(pytester: pytest.Pytester) -> None:
    rows(pytester, GOOD, BAD)
    result = run(pytester, "instructsel_gate('new.jsonl')")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*IS010 empty-response: 1 of 2 rows*", "*new.jsonl:2: The response is empty.*", "*Fill in the response*"])
    assert "pytest_plugin.py" not in result.stdout.str()
    run(pytester, "instructsel_gate('new.jsonl', fail_on='never')").assert_outcomes(passed=1)


def test_settings_of_the_ini_file_are_taken(pytester: pytest.Pytester) -> None:
    rows(pytester, GOOD, BAD)
    (pytester.path / "mine.toml").write_text('schema = 1\n[[check]]\nkind = "empty-response"\nmax_rows = 5\n')
    pytester.makeini("[pytest]\ninstructsel_gate_config = mine.toml\n")
    run(pytester, "instructsel_gate('new.jsonl')").assert_outcomes(passed=1)
    pytester.makeini("[pytest]\ninstructsel_gate_fail_on = never\n")
    run(pytester, "instructsel_gate('new.jsonl')").assert_outcomes(passed=1)
    pytester.makeini("[pytest]\ninstructsel_gate_baseline = none.baseline\n")
    run(pytester, "instructsel_gate('new.jsonl', config='@structure')").assert_outcomes(failed=1)


def test_files_are_read_as_the_configuration_says(pytester: pytest.Pytester) -> None:
    rows(pytester, {"q": GOOD["instruction"], "a": GOOD["output"]}, {"q": BAD["instruction"], "a": " "})
    (pytester.path / "gate.toml").write_text('[data]\nmap = "instruction=q,response=a"\n[[check]]\nkind = "empty-response"\n')
    result = run(pytester, "instructsel_gate('new.jsonl')")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*IS010 empty-response: 1 of 2 rows*"])


def test_many_findings_are_counted_and_hostile_ones_are_obeyed_nowhere(pytester: pytest.Pytester) -> None:
    rows(pytester, GOOD, *({"instruction": f"\x1b[31m::error::{n}", "output": ""} for n in range(30)))
    result = run(pytester, "instructsel_gate('new.jsonl')")
    result.stdout.fnmatch_lines(["*and 20 more*"])
    assert "\x1b" not in result.stdout.str()


def test_an_unused_plugin_loads_nothing_of_ours() -> None:
    code = (
        "import sys\nimport instructsel.pytest_plugin\n"
        "ours = {name for name in sys.modules if name.startswith('instructsel')}\n"
        "assert ours == {'instructsel', 'instructsel.pytest_plugin'}, ours\nassert not {'polars', 'numpy', 'orjson', 'typer'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_pytest_finds_the_plugin_by_its_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"instructsel": "instructsel.pytest_plugin"}
