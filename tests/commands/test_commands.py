"""The command line from end to end: what it prints, writes and ends with."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from instructsel.commands import app
from instructsel.examples import toy_study
from tests import tiny
from tests.commands.conftest import Run

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "pool.jsonl"
VERBS = (
    ["score"],
    ["select"],
    ["export"],
    ["report"],
    ["gate"],
    ["gate", "checks"],
    ["gate", "waive"],
    ["gate", "baseline", "create"],
    ["gate", "baseline", "update"],
    ["gate", "baseline", "show"],
    ["gate", "init"],
    ["gate", "index"],
    ["datasets", "list"],
    ["datasets", "show"],
    ["datasets", "convert"],
    ["mix"],
    ["mix", "check"],
    ["mix", "fit"],
    ["dedup"],
    ["decontaminate"],
    ["rules", "list"],
    ["rules", "show"],
    ["rules", "fit"],
    ["train"],
    ["verify"],
    ["judge-app"],
    ["study", "plan"],
    ["study", "run"],
    ["study", "status"],
    ["study", "effects"],
    ["study", "size"],
    ["explain"],
    ["diff"],
    ["status"],
    ["doctor"],
    ["cache", "show"],
    ["cache", "prune"],
    ["schema"],
    ["skill", "show"],
    ["skill", "install"],
    ["demo"],
)


def rows(n: int, *, empty: int = 0) -> bytes:
    words = [
        "river",
        "stone",
        "lantern",
        "paper",
        "orchard",
        "winter",
        "silver",
        "engine",
        "market",
        "garden",
        "violin",
        "copper",
        "harbor",
        "meadow",
        "thunder",
        "candle",
    ]
    made = []
    for number in range(n):
        drawn = random.Random(number).choices(words, k=12 + number % 30)
        made.append(
            {
                "instruction": f"Write about {drawn[0]} and {drawn[1]}, number {number}.",
                "input": "",
                "output": "" if number < empty else " ".join(drawn) + ".",
            }
        )
    return b"".join(json.dumps(row).encode() + b"\n" for row in made)


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = tmp_path / "pool.jsonl"
    path.write_bytes(rows(60))
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fails(done: subprocess.CompletedProcess[str], code: int, *said: str) -> None:
    assert done.returncode == code, done.stderr
    assert done.stderr.count("error: ") == 1 and "Traceback" not in done.stderr
    for part in said:
        assert part in done.stderr


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_help_shows_two_examples(run: Run, verb: list[str]) -> None:
    done = run(*verb, "--help")
    assert done.returncode == 0
    assert len(re.findall(r"^ *instructsel ", done.stdout.split("Examples:")[1], flags=re.MULTILINE)) == 2


@pytest.mark.usefixtures("trainer_loaded")
def test_the_examples_of_every_help_run(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # In this process: sixty times over, starting Python and importing torch would take most of the time.
    monkeypatch.chdir(tmp_path)
    for name, value in (("INSTRUCTSEL_CACHE", str(cache)), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    run = lambda *given: CliRunner().invoke(app, list(given))  # noqa: E731
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    tiny.causal(tmp_path / "study-demo" / "toybase", "llama")
    toy_study.sources(tmp_path / "study-demo" / "sources")
    named = [f"study-demo/sources/{name}.jsonl" for name in ("clean", "short", "mismatched", "shuffled")]
    assert run("score", *named, "--indicators", "len", "-o", "study-demo/sources.scores.parquet").exit_code == 0
    place = tmp_path / "out"
    place.mkdir()
    for verb in VERBS:
        # A long example is continued with a backslash.
        text = run(*verb, "--help").stdout.split("Examples:")[1].split("\n\n")[0].replace("\\\n", " ")
        commands = re.findall(r"^ *(instructsel .*)$", text, flags=re.MULTILINE)
        for command in commands:
            arguments = [part.replace("/tmp/", f"{place}/") for part in shlex.split(command)[1:]]
            done = run(*arguments)
            assert done.exit_code == 0, (command, done.output)


def test_the_main_job_gives_original_lines_and_a_whole_account(run_alone: Run, pool: Path, tmp_path: Path) -> None:
    assert run_alone("score", pool, "--indicators", "len,mtld,knn_6").returncode == 0
    done = run_alone(
        "select",
        "--rule",
        "eq4-without-reward",
        "--n",
        "20",
        "-o",
        "chosen.jsonl",
        "--random-subsets",
        "2",
        "--baseline",
        "random",
        "--baseline",
        "longest",
        "--baseline",
        "length-matched",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    assert "The newest score table is taken: pool.scores.parquet" in done.stderr
    chosen = (tmp_path / "chosen.jsonl").read_bytes().splitlines(keepends=True)
    assert len(chosen) == 20 and set(chosen) <= set(pool.read_bytes().splitlines(keepends=True))
    sidecar = pl.read_parquet(tmp_path / "chosen.selection.parquet")
    assert sidecar.height == 60 and sidecar["kept"].sum() == 20
    assert sidecar.filter("kept")["reason"].null_count() == 20 and sidecar.filter(~pl.col("kept"))["reason"].null_count() == 0
    whole = (1.0694 + sidecar["len_contribution"] + sidecar["knn_6_contribution"] - sidecar["score"]).abs()
    assert whole.drop_nulls().max() < 1e-12
    summary = json.loads(done.stdout)
    assert summary["selection"]["kept"] == 20 and summary["selection"]["read"] == 60
    names = [entry["name"] for entry in summary["baselines"]]
    assert names == ["random-seed0", "random-seed1", "longest", "length-matched-seed0", "length-matched-seed1"]
    for name in names:
        assert len((tmp_path / f"chosen.{name}.jsonl").read_bytes().splitlines()) == 20
    longest = pl.read_parquet(tmp_path / "chosen.longest.selection.parquet")
    assert longest.filter("kept")["score"].max() <= longest.filter(pl.col("reason") == "below_budget")["score"].min()


def test_two_runs_give_the_same_bytes_and_shuffled_rows_differ_in_their_lines_only(
    run: Run, run_alone: Run, pool: Path, tmp_path: Path
) -> None:
    lines = pool.read_bytes().splitlines(keepends=True)
    seen, contents = [], []
    for seed in range(3):
        folder = tmp_path / f"run{seed}"
        folder.mkdir()
        shuffled = list(lines)
        random.Random(seed).shuffle(shuffled)
        (folder / "pool.jsonl").write_bytes(b"".join(shuffled if seed == 2 else lines))
        (folder / "other.jsonl").write_bytes(rows(3 + seed))
        # The two that must be equal in processes of their own, with hash seeds of their own.
        call = run if seed == 2 else run_alone
        assert (
            call("score", folder / "pool.jsonl", "--indicators", "len,mtld,knn_6", *(["--no-cache"] if seed == 2 else [])).returncode == 0
        )
        done = call(
            "select",
            folder / "pool.scores.parquet",
            "--rule",
            "eq4-without-reward",
            "--n",
            "15",
            "-o",
            folder / "chosen.jsonl",
            "--baseline",
            "random",
        )
        assert done.returncode == 0, done.stderr
        files = (
            "pool.scores.parquet",
            "chosen.jsonl",
            "chosen.selection.parquet",
            "chosen.random-seed0.jsonl",
            "chosen.random-seed0.selection.parquet",
        )
        seen.append([digest(folder / name) for name in files])
        frames = [pl.read_parquet(folder / name).drop("line", strict=False) for name in files if name.endswith(".parquet")]
        contents.append([digest(folder / name) for name in files if name.endswith(".jsonl")] + [frame.write_csv() for frame in frames])
    assert seen[0] == seen[1]
    assert contents[0] == contents[1] == contents[2]


def test_eq4_without_a_reward_model_refuses_and_names_both_ways_out(run: Run, pool: Path) -> None:
    done = run("score", pool, "--rule", "eq4")
    assert done.returncode == 0 and "rew is null (model_unavailable)" in done.stderr
    table = pl.read_parquet(pool.with_name("pool.scores.parquet"))
    assert table["rew"].null_count() == 60 and set(table["rew_reason"]) == {"model_unavailable"}
    fails(
        run("select", "--rule", "eq4", "--n", "5"),
        4,
        "instructsel score POOL --reward OpenAssistant/reward-model-deberta-v3-large-v2",
        "--rule eq4-without-reward",
    )


def test_a_reward_model_asked_for_and_not_to_be_had_ends_before_any_work(run: Run, pool: Path) -> None:
    done = run("score", pool, "--reward", "OpenAssistant/reward-model-deberta-v3-large-v2")
    fails(done, 4, "hf download OpenAssistant/reward-model-deberta-v3-large-v2")
    assert not pool.with_name("pool.scores.parquet").exists()
    fails(run("score", pool, "--reward", "embedded"), 2, "no embedded reward model", "--indicators plausibility")


def test_a_minimum_under_plausibility_keeps_out_what_looks_least_like_an_answer(run: Run, tmp_path: Path) -> None:
    good = [{"instruction": f"What is {n} plus {n}?", "input": "", "output": f"{n} plus {n} is {2 * n}."} for n in range(3, 20)]
    bad = [{"instruction": "Name a fruit.", "input": "", "output": "qwer asdf zxcv jkl; uiop qwer asdf"}]
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*good, *bad]))
    assert run("score", path, "--indicators", "len,plausibility").returncode == 0
    done = run("select", "--rule", "longest", "--min", "plausibility=6%", "--n", "18", "--keep-near-duplicates", "-o", "chosen.jsonl")
    assert (
        done.returncode == 0 and "below_minimum:plausibility 1" in done.stderr and "minimum: 1 row with plausibility below" in done.stderr
    )
    kept = [json.loads(line) for line in (tmp_path / "chosen.jsonl").read_text().splitlines()]
    assert bad[0] not in kept and len(kept) == 17
    fails(run("select", "--rule", "longest", "--min", "mtld=6%", "--n", "3"), 2, "asks for mtld", "--indicators len,plausibility,mtld")
    fails(run("select", "--rule", "longest", "--min", "plausibility", "--n", "3"), 2, "is not a minimum")


def test_the_card_of_the_model_that_ships_is_shown(run: Run) -> None:
    done = run("rules", "show", "plausibility")
    for said in ("no rule and no reward", "human pairs it", "pandalm", "mismatched", "CC BY-SA 3.0", "languages: en", "limit: "):
        assert said in done.stdout, said
    assert json.loads(run("rules", "show", "plausibility", "--json").stdout)["outcome"] == "plausibility"
    assert "instructsel rules show plausibility" in run("rules", "show", "eq4").stdout


def test_a_pool_that_changed_since_it_was_scored_is_refused(run: Run, pool: Path) -> None:
    run("score", pool, "--indicators", "len")
    pool.write_bytes(rows(59))
    fails(run("select", "--rule", "longest", "--n", "5"), 2, "changed")
    pool.unlink()
    fails(run("select", "--rule", "longest", "--n", "5"), 2, "--pool")


def test_two_score_tables_of_one_moment_are_refused(run: Run, pool: Path) -> None:
    for name in ("a", "b"):
        assert run("score", pool, "--indicators", "len", "-o", f"{name}.scores.parquet", SOURCE_DATE_EPOCH="1700000000").returncode == 0
    fails(run("select", "--rule", "longest", "--n", "5"), 2, "at the same moment")
    assert run("score", pool, "--indicators", "len", "-o", "c.scores.parquet", SOURCE_DATE_EPOCH="1700000001").returncode == 0
    assert "The newest score table is taken: c.scores.parquet" in run("select", "--rule", "longest", "--n", "5").stderr


def test_too_many_nulls_and_too_many_bad_rows_end_with_3(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "pool.jsonl"
    path.write_bytes(rows(20, empty=2))
    run("score", path, "--indicators", "len")
    fails(run("select", "--rule", "longest", "--n", "5"), 3, "empty_response: 2", "--max-null-fraction")
    assert run("select", "--rule", "longest", "--n", "5", "--max-null-fraction", "0.1").returncode == 0
    path.write_bytes(rows(20) + b"broken\n" * 2)
    done = run("score", path, "--indicators", "len", "--replace")
    assert "2 quarantined (invalid_json 2)" in done.stderr
    entries = [json.loads(line) for line in (tmp_path / "pool.scores.quarantine.jsonl").read_text().splitlines()]
    assert [entry["line"] for entry in entries] == [21, 22]
    fails(run("select", "--rule", "longest", "--n", "5"), 3, "quarantined")
    assert run("select", "--rule", "longest", "--n", "5", "--max-bad-fraction", "0.2").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["score", "none.jsonl"], 3, "No such file"),
        (["score", "pool.jsonl", "--indicators", "lenn"], 2, "Did you mean 'len'"),
        (["score", "pool.jsonl", "--indicators", "knn_0"], 2, "knn_0"),
        (["score", "pool.jsonl", "--indicators", "len,len"], 2, "once"),
        (["score", "pool.jsonl", "--rule", "eq5"], 2, "Did you mean 'eq4'"),
        (["score", "pool.jsonl", "--rule", "eq4", "--indicators", "len"], 2, "exclude each other"),
        (["score", "pool.jsonl", "--model", "mtld=x", "--indicators", "mtld"], 2, "uses no model"),
        (["score", "pool.jsonl", "--format", "alpacca"], 2, "Did you mean 'alpaca'"),
        (["score", "pool.jsonl", "-o", "scores.txt", "--indicators", "len"], 2, "neither .parquet nor .csv"),
        (["score", "pool.jsonl", "-o", "nowhere/x.parquet", "--indicators", "mtld"], 4, "Cannot write"),
        (["select"], 2, "one budget"),
        (["select", "--n", "5"], 2, "no score table"),
        (["select", "--n", "0"], 2, "from 1"),
        (["select", "--fraction", "1.5"], 2, "fraction"),
        (["select", "--tokens", "100"], 2, "tokenizer"),
        (["select", "pool.jsonl", "--n", "5"], 2, "score it first with: instructsel score pool.jsonl"),
        (["doctor", "now"], 2, "instructsel doctor does not take 'now'."),
        (["audit", "pool.jsonl", "--base", "./none"], 4, "The audit needs the model ./none"),
        (["rules", "show", "eq44"], 2, "Did you mean 'eq4'"),
        (["diff", "longest", "x.parquet"], 2, "selection"),
        (["demo", "--pool", "pool.jsonl"], 2, "go together"),
    ],
)
def test_a_mistake_is_one_line_of_cause_and_one_of_fix(run: Run, pool: Path, arguments: list[str], code: int, said: str) -> None:
    done = run(*arguments)
    fails(done, code, said)
    assert done.stdout == ""


def test_a_traceback_is_shown_only_when_asked(run_alone: Run) -> None:
    assert "Traceback" in run_alone("score", "none.jsonl", "--traceback").stderr


def test_stdin_and_stdout_carry_data_only(run: Run, run_alone: Run, pool: Path) -> None:
    done = run_alone("score", "-", "--indicators", "len", "-o", "-", stdin=pool.read_bytes())
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "id,file,line,len,len_reason" and len(done.stdout.splitlines()) == 61
    assert run("score", "-", "--indicators", "len", "-q", stdin=pool.read_bytes()).stderr == ""
    fails(run("select", "stdin.scores.parquet", "--rule", "longest", "--n", "3"), 2, "--pool")
    streamed = run("select", "stdin.scores.parquet", "--pool", "pool.jsonl", "--rule", "longest", "--n", "3", "-o", "-")
    # Standard input held the same rows, so the file is the same pool.
    assert streamed.returncode == 0, streamed.stderr
    run("score", pool, "--indicators", "len")
    streamed = run_alone("select", "pool.scores.parquet", "--rule", "longest", "--n", "3", "-o", "-")
    assert set(streamed.stdout.splitlines()) <= set(pool.read_text().splitlines()) and len(streamed.stdout.splitlines()) == 3


def test_settings_come_from_flags_then_environment_then_file_then_defaults(run: Run, pool: Path, tmp_path: Path) -> None:
    (tmp_path / "instructsel.toml").write_text('[score]\nindicators = "mtld"\nprecision = "fp32"\n')
    shown = run("score", pool, "--print-config").stdout
    assert 'indicators = "mtld"  # instructsel.toml' in shown and 'oasst = "best-path"  # default' in shown
    shown = run("score", pool, "--print-config", INSTRUCTSEL_SCORE_INDICATORS="len").stdout
    assert 'indicators = "len"  # environment' in shown
    shown = run("score", pool, "--print-config", "--indicators", "len_in", INSTRUCTSEL_SCORE_INDICATORS="len").stdout
    assert 'indicators = "len_in"  # flag' in shown
    run("score", pool)
    assert pl.read_parquet(tmp_path / "pool.scores.parquet").columns == ["id", "file", "line", "mtld", "mtld_reason"]
    (tmp_path / "instructsel.toml").write_text("[score]\nindicator = 'mtld'\n")
    fails(run("score", pool), 2, "Did you mean 'indicators'")
    (tmp_path / "instructsel.toml").write_text("[score\n")
    fails(run("score", pool), 2, "cannot be read")


def test_quotas_cap_a_source_and_tokens_cap_the_whole(run: Run, tmp_path: Path) -> None:
    for name, content in (("a", rows(30)), ("b", rows(60).split(b"\n", 30)[30])):
        (tmp_path / f"{name}.jsonl").write_bytes(content)
    assert run("score", "a.jsonl", "b.jsonl", "--indicators", "len").returncode == 0
    done = run("select", "--rule", "longest", "--n", "20", "--quota", "a=0.25", "-o", "c.jsonl", "--json")
    composition = json.loads(done.stdout)["selection"]["composition"]
    assert composition["a"]["kept"] <= 5 and composition["b"]["kept"] >= 15
    tiny.tokenizer(tmp_path / "base", ["[PAD]", "[SEP]"])
    done = run("select", "--rule", "longest", "--tokens", "2000", "--tokenizer", "base", "-o", "c.jsonl", "--json")
    summary = json.loads(done.stdout)["selection"]
    assert summary["used"] + summary["unused_tokens"] == 2000 and summary["unused_tokens"] < 400
    fails(run("select", "--rule", "longest", "--n", "20", "--quota", "c=5"), 2, "c")


def test_other_models_than_the_rule_assumes_are_refused_unless_allowed_and_then_named(run: Run, pool: Path) -> None:
    rule = pool.with_name("own.toml")
    rule.write_text(
        'name = "own"\ntitle = "My rule"\ntarget = "x"\n[[terms]]\nindicator = "len"\nweight = 1.0\naccepts = ["some/other-tokenizer"]\n'
    )
    run("score", pool, "--indicators", "len")
    fails(run("select", "--rule", "own.toml", "--n", "5"), 2, "some/other-tokenizer", "--allow-mismatch")
    done = run("select", "--rule", "own.toml", "--n", "5", "--allow-mismatch", "-o", "c.jsonl", "--json")
    assert "My rule's form, substitute models" in done.stderr and "mismatch: len" in done.stderr
    assert json.loads(done.stdout)["selection"]["form"] == "My rule's form, substitute models"
    assert "substitute models" in pl.read_parquet_metadata(pool.with_name("c.selection.parquet"))["instructsel"]
    explained = run("explain", "pool.jsonl:1", "--selection", "c.selection.parquet").stdout
    assert "My rule's form, substitute models" in explained


def test_explain_says_why_and_diff_says_what_changed(run: Run, pool: Path) -> None:
    run("score", pool, "--indicators", "len,knn_6")
    run("select", "--rule", "eq4-without-reward", "--n", "10", "-o", "a.jsonl", "--baseline", "random")
    done = run("explain", "pool.jsonl:7", "--selection", "a.selection.parquet", "--json")
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["lines"] == [7]
    assert told["value"] == pytest.approx(told["intercept"] + sum(told["contributions"].values()))
    assert told["kept"] or told["reason"]
    assert run("explain", told["id"][:10], "--scores", "pool.scores.parquet", "--rule", "longest").returncode == 0
    fails(run("explain", "ffffffffffff", "--scores", "pool.scores.parquet"), 2, "No example")
    found = json.loads(run("diff", "a.selection.parquet", "a.random-seed0.selection.parquet", "--json").stdout)
    assert found["both"] + found["only_a"] == 10 == found["both"] + found["only_b"]
    assert json.loads(run("diff", "a.selection.parquet", "a.selection.parquet", "--json").stdout)["jaccard"] == 1.0
    assert "Spearman" in run("diff", "longest", "eq4-without-reward", "--scores", "pool.scores.parquet").stdout


def test_no_row_writes_control_characters_to_the_screen(run: Run, tmp_path: Path) -> None:
    bad = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\u202etxt ::error::x\r\nnext"
    rows_ = [{"instruction": bad, "output": f"{bad} {n}"} for n in range(3)]
    name = "pool\x1b[31m.jsonl"
    (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows_))
    done = run("score", name, "--indicators", "len", "-o", "s.parquet")
    explained = run("explain", f"{name}:1", "--scores", "s.parquet", "--rule", "longest")
    assert explained.returncode == 0, explained.stderr
    for text in (done.stdout, done.stderr, explained.stdout, explained.stderr):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", text)


def test_a_reader_that_stops_listening_is_no_error(run: Run, pool: Path, tmp_path: Path) -> None:
    pool.write_bytes(rows(3000))
    run("score", pool, "--indicators", "mtld")
    command = (
        f"{sys.executable} -m instructsel select pool.scores.parquet --rule r.toml --n 2900 --keep-near-duplicates -q -o - | head -n 1"
    )
    (tmp_path / "r.toml").write_text('name = "r"\n[[terms]]\nindicator = "mtld"\nweight = 1.0\n')
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == "" and done.stdout.count("\n") == 1


def test_the_limit_scores_a_part_and_select_uses_that_part(run: Run, pool: Path) -> None:
    run("score", pool, "--indicators", "len", "--limit", "25")
    done = run("select", "--rule", "longest", "--n", "5", "--json", "-o", "c.jsonl")
    assert json.loads(done.stdout)["selection"]["read"] == 25
