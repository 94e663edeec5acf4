"""`gate --diff BASE`: the rows that a branch adds, and nothing that a repository or a name could have git do."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import polars
import pytest
from typer.testing import CliRunner

from instructsel.commands import app
from instructsel.errors import EnvironmentFault, UsageError
from instructsel.gates.baseline.baseline import Baseline
from instructsel.gates.git.new_rows import new_rows
from instructsel.gates.git.patterns import never_named

IDENTITY = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org"}


def git(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, **IDENTITY, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout


def row(number: int, output: str = "Yes, gladly so.") -> str:
    return json.dumps({"instruction": f"Say the number {number}.", "output": output})


def write(path: Path, *rows: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{text}\n" for text in rows), encoding="utf-8")
    return path


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`main` with data/pool.jsonl of ten rows and a few files more; on a branch of its own, with a later commit on main."""
    place = tmp_path / "repository"
    place.mkdir()
    git(place, "init", "-q", "-b", "main")
    write(place / "data" / "pool.jsonl", *map(row, range(10)))
    write(place / "data" / "other.jsonl", *map(row, range(100, 104)))
    (place / "package.json").write_text('{"name": "x"}')
    commit(place)
    git(place, "checkout", "-q", "-b", "branch")
    git(place, "checkout", "-q", "main")
    write(place / "data" / "pool.jsonl", row(77), *map(row, range(10)))
    commit(place)
    git(place, "checkout", "-q", "branch")
    monkeypatch.chdir(place)
    return place


def commit(place: Path) -> None:
    git(place, "add", "-A")
    git(place, "commit", "-q", "-m", "x")


def places(base: str = "main", names: list[str] | None = None) -> dict[str, list[int]]:
    """File → the lines of its new rows."""
    added = new_rows(base, names)
    result = {}
    for name in added.files:
        content = Path(name).read_bytes()
        result[os.path.relpath(name)] = sorted(content[:offset].count(b"\n") + 1 for offset in added.offsets[name])
    return result


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["gate", *arguments], prog_name="instructsel")


def test_rows_on_added_and_changed_lines_are_new_and_later_ones_of_the_base_are_not_missed(repository: Path) -> None:
    rows = [*map(row, range(5)), row(5, "Changed, gladly so."), *map(row, range(6, 10)), row(11)]
    write(repository / "data" / "pool.jsonl", *rows)
    assert places() == {"data/pool.jsonl": [6, 11]}, "before it is committed"
    commit(repository)
    assert places() == {"data/pool.jsonl": [6, 11]}, "since the merge base: the row that main got since is not missed"


def test_moved_rows_are_not_new_and_a_copy_is_the_one_on_the_added_line(repository: Path) -> None:
    rows = [row(n) for n in range(10)]
    write(repository / "data" / "pool.jsonl", rows[3], *rows[:3], *rows[4:], row(101))
    write(repository / "data" / "other.jsonl", row(100), row(102), row(103), row(102))
    added = new_rows("main")
    assert added.moved >= 1
    assert places() == {"data/other.jsonl": [4]}, "101 moved to the other file; 102 is there twice"


def test_a_file_is_renamed_where_half_of_it_has_another_name_and_deleted_where_less_has(repository: Path) -> None:
    def gone() -> tuple[int, int]:
        added = new_rows("main")
        return added.renamed, added.deleted

    pool, other = repository / "data" / "pool.jsonl", repository / "data" / "other.jsonl"
    pool.unlink()
    write(repository / "new" / "half.jsonl", *map(row, range(5)), *map(row, range(200, 230)))
    git(repository, "add", "-A")
    assert gone() == (1, 0)
    write(repository / "new" / "half.jsonl", *map(row, range(4)), *map(row, range(200, 230)))
    git(repository, "add", "-A")
    assert gone() == (0, 1)
    # One new file is the other name of one file alone.
    other.unlink()
    write(repository / "new" / "half.jsonl", *map(row, range(10)), *map(row, range(100, 104)))
    git(repository, "add", "-A")
    assert gone() == (1, 1)
    # Into a file that was there, rows move; no file has another name.
    git(repository, "reset", "-q", "--hard")
    pool.unlink()
    write(other, *map(row, range(100, 104)), *map(row, range(10)))
    assert gone() == (0, 1)


def test_a_file_of_turns_that_is_renamed_is_read_again_and_said_to_be_renamed(repository: Path) -> None:
    turns = [
        json.dumps({"message_id": "a", "parent_id": None, "role": "prompter", "text": "Name a river, please."}),
        json.dumps({"message_id": "b", "parent_id": "a", "role": "assistant", "text": "The Elbe is one of them."}),
    ]
    write(repository / "data" / "turns.jsonl", *turns)
    commit(repository)
    git(repository, "branch", "before")
    git(repository, "mv", "data/turns.jsonl", "data/threads.jsonl")
    added = new_rows("before")
    assert (added.rows, added.moved, added.renamed, added.deleted) == (2, 0, 1, 0)


def test_renamed_and_deleted_files_bring_nothing_and_copied_ones_all_of_it(repository: Path) -> None:
    os.rename(repository / "data" / "pool.jsonl", repository / "data" / "renamed.jsonl")
    (repository / "data" / "other.jsonl").unlink()
    commit(repository)
    added = new_rows("main")
    assert places() == {} and (added.renamed, added.deleted) == (1, 1)
    assert added.statement().endswith("0 new rows in 0 files, 10 rows moved, 1 data file renamed, 1 data file deleted."), added.statement()
    git(repository, "reset", "-q", "--hard", "HEAD~1")
    write(repository / "data" / "copy.jsonl", *map(row, range(10)))
    commit(repository)
    assert places() == {"data/copy.jsonl": list(range(1, 11))}


def test_compressed_files_and_tables_are_compared_by_their_rows(repository: Path) -> None:
    import polars

    rows = [json.loads(row(n)) for n in range(6)]
    for size in (4, 6):
        (repository / "data" / "x.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps(r) + "\n" for r in rows[:size]).encode()))
        polars.DataFrame(rows[:size]).write_parquet(repository / "data" / "x.parquet")
        (repository / "data" / "x.json").write_text(json.dumps(rows[:size], indent=1))
        polars.DataFrame(rows[:size]).write_csv(repository / "data" / "x.csv")
        commit(repository)
        if size == 4:
            git(repository, "branch", "before")
    added = new_rows("before")
    assert {Path(name).name: len(offsets) for name, offsets in added.offsets.items()} == {
        "x.jsonl.gz": 2, "x.parquet": 2, "x.json": 2, "x.csv": 2
    }  # fmt: skip
    done = run("--diff", "before", "--json", "--fail-on", "never")
    assert json.loads(done.stdout)["rows"]["read"] == 8, done.stderr


def test_the_gate_looks_at_new_rows_alone(repository: Path) -> None:
    write(repository / "data" / "pool.jsonl", row(0, ""), *map(row, range(1, 10)), row(12), '{"cut')
    done = run("--diff", "main", "--json")
    report = json.loads(done.stdout)
    assert done.exit_code == 3 and report["rows"]["read"] == 3, done.stderr
    assert {(f["kind"], f["line"]) for f in report["findings"]} >= {("empty-response", 1), ("unreadable-row", 12)}
    assert "3 new rows in 1 file" in done.stderr
    done = run("--diff", "main", "data/other.jsonl", "--to", "junit=gate.xml")
    assert done.exit_code == 5 and Path("gate.xml").is_file(), "nothing to check is no pass, and is written all the same"


def save(path: Path, rows: list[str]) -> None:
    """Rows in the form that the ending names; .json on one line."""
    if path.suffix == ".jsonl":
        write(path, *rows)
    elif path.suffix == ".json":
        path.write_text(f"[{', '.join(rows)}]", encoding="utf-8")
    elif path.suffix == ".csv":
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["instruction", "output"], lineterminator="\n")
            writer.writeheader()
            writer.writerows(map(json.loads, rows))
    else:
        polars.DataFrame([json.loads(text) for text in rows]).write_parquet(path)


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "parquet"])
def test_a_copy_of_a_row_of_the_baseline_is_new_and_an_edited_row_is_not_compared_with_what_it_was(
    repository: Path, tmp_path: Path, ending: str
) -> None:
    git(repository, "checkout", "-q", "main")
    words = "The river rises in the north of the country and runs through four lakes before it comes to the sea."
    rows = [row(number, f"{number} {words}") for number in range(10)]
    pool = repository / "data" / f"lakes.{ending}"
    save(pool, rows)
    commit(repository)
    git(repository, "checkout", "-q", "-b", "edits")
    assert run("baseline", "create", f"data/lakes.{ending}", "-o", str(tmp_path / "pool.baseline")).exit_code == 0
    edited = row(3, f"3 {words} And then it rests.")
    save(pool, [*rows[:3], edited, *rows[4:], rows[5]])
    commit(repository)
    done = run("--diff", "main", "--baseline", str(tmp_path / "pool.baseline"), "--json")
    verdict = json.loads(done.stdout)
    assert [finding["kind"] for finding in verdict["findings"]] == ["exact-duplicate"], verdict["findings"]
    assert "baseline" in verdict["findings"][0]["message"] and (verdict["rows"]["read"], verdict["rows"]["in_baseline"]) == (2, 9)


def test_a_row_that_comes_from_a_file_that_is_not_looked_at_is_new(repository: Path) -> None:
    write(repository / "rejected.jsonl", row(50), row(51))
    write(repository / "data" / "in" / "a.jsonl", row(60), row(61))
    commit(repository)
    git(repository, "branch", "before")
    write(repository / "rejected.jsonl", row(50))
    write(repository / "data" / "other.jsonl", *map(row, range(100, 104)), row(51))
    git(repository, "mv", "data/in/a.jsonl", "data/in/b.jsonl")
    assert places("before", ["data/other.jsonl"]) == {"data/other.jsonl": [5]}
    assert places("before", ["data"]) == {"data/other.jsonl": [5]}, "of the renamed file none is"
    assert places("before") == {}, "where every file is looked at, it moved"
    for words in (["data/in/*.jsonl"], ["--config", "gate.toml"]):
        # Of a pattern, what it named before.
        Path("gate.toml").write_text('[data]\nnew = ["data/in/*.jsonl"]\n')
        done = run("--diff", "before", *words)
        assert done.exit_code == 5 and "2 rows moved, 1 data file renamed." in done.stderr, done.stderr


def test_where_nothing_is_new_no_check_is_said_to_have_passed(repository: Path, tmp_path: Path) -> None:
    done = run("--diff", "main")
    assert done.exit_code == 5 and "passed" not in done.stdout and "There is no row to look at." in done.stdout
    verdict = json.loads(run("--diff", "main", "--json").stdout)
    assert {check["state"] for check in verdict["checks"]} == {"skipped"}
    (tmp_path / "broken.baseline").write_text("{}")
    done = run("--diff", "main", "--baseline", str(tmp_path / "broken.baseline"))
    assert done.exit_code == 3 and "BROKEN" in done.stdout


def test_files_without_a_row_keep_no_other_from_being_looked_at_and_are_said(repository: Path) -> None:
    write(repository / "data" / "empty.jsonl")
    write(repository / "data" / "other.jsonl")
    (repository / "data" / "blank.jsonl").write_text("\n \n")
    write(repository / "data" / "new.jsonl", row(200))
    commit(repository)
    added = new_rows("main")
    assert places() == {"data/new.jsonl": [1]}
    assert added.notes == ("Without a row: data/blank.jsonl, data/empty.jsonl, data/other.jsonl.",)
    done = run("--diff", "main", "data/other.jsonl")
    assert done.exit_code == 5 and "Without a row: data/other.jsonl." in done.stderr
    git(repository, "checkout", "-q", "-b", "later")
    write(repository / "data" / "empty.jsonl", row(300))
    commit(repository)
    assert new_rows("branch").notes == () and places("branch") == {"data/empty.jsonl": [1]}


def test_a_changed_file_that_is_no_pool_is_named_with_its_folder_and_with_the_way_to_leave_it_out(repository: Path) -> None:
    write(repository / "logs" / "steps.jsonl", '{"loss": 1.5}')
    commit(repository)
    done = run("--diff", "main")
    said = " ".join(done.stdout.split())
    assert done.exit_code == 3 and "BROKEN logs/steps.jsonl, line 1: no known format has the fields loss." in said
    assert "name those that are: [data] new in gate.toml." in said
    (repository / "gate.toml").write_text('[data]\nnew = ["logs/*.jsonl"]\n')
    assert "name those that are" not in " ".join(run("--diff", "main").stdout.split())


def test_a_changed_file_that_cannot_be_read_keeps_no_other_from_being_looked_at(repository: Path) -> None:
    write(repository / "data" / "new.jsonl", row(200, ""))
    (repository / "data" / "x.parquet").write_bytes(b"PAR0")
    (repository / "data" / "cut.jsonl.gz").write_bytes(b"\x1f\x8b\x08\x00cut")
    write(repository / "data" / "other.jsonl", "{broken", *map(row, range(100, 104)))
    commit(repository)
    done = run("--diff", "main", "--json")
    verdict = json.loads(done.stdout)
    assert done.exit_code == 3 and "1 new row in 1 file." not in done.stderr and "2 new rows in 2 files." in done.stderr, done.stderr
    assert [text.partition(",")[0] for text in verdict["troubles"]] == ["data/other.jsonl", "data/cut.jsonl.gz", "data/x.parquet"]
    assert {(f["file"], f["line"]) for f in verdict["findings"]} == {("data/new.jsonl", 1), ("data/other.jsonl", 1)}
    done = run("--diff", "main", "data/new.jsonl", "--json")
    assert done.exit_code == 1 and not json.loads(done.stdout)["troubles"], "of files that are not named nothing is read"
    git(repository, "checkout", "-q", "-b", "later")
    (repository / "data" / "x.parquet").unlink()
    write(repository / "data" / "cut.jsonl.gz")
    added = new_rows("branch")
    assert not added.unread and not added.files and any("cannot be read, so its rows are new" in note for note in added.notes)
    assert not any("instructsel-gate-" in note for note in added.notes), "the folder that it was written to is nobody's"


def test_what_the_configuration_does_not_name_and_that_the_branch_changes_it_is_said(repository: Path) -> None:
    (repository / "gate.toml").write_text('[data]\nnew = ["data/*.jsonl"]\n')
    git(repository, "checkout", "-q", "main")
    commit(repository)
    git(repository, "checkout", "-q", "branch")
    git(repository, "merge", "-q", "main")
    write(repository / "data" / "new.jsonl", row(200))
    commit(repository)
    assert "not looked at" not in (said := run("--diff", "main").stderr) and "by which" not in said
    write(repository / "elsewhere" / "rows.jsonl", row(201))
    (repository / "settings.json").write_text('{"a": 1}')
    (repository / "gate.toml").write_text('[data]\nnew = ["data/*.jsonl"]\n[[check]]\nkind = "refusal"\n')
    commit(repository)
    said = " ".join(run("--diff", "main").stderr.split())
    assert "Changed, and not looked at: 1 data file that is not named (elsewhere/rows.jsonl)." in said
    assert "This branch changes gate.toml, by which its own rows are judged." in said


def test_a_pattern_that_never_named_a_file_is_refused_and_one_whose_files_are_gone_is_said(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(repository / "data" / "in" / "a.jsonl", row(200))
    commit(repository)
    (repository / "data" / "in" / "a.jsonl").unlink()
    (repository / "data" / "in").rmdir()
    (repository / "empty").mkdir()
    (repository / "empty" / ".gitkeep").touch()
    write(repository / "data" / "new.jsonl", row(201))
    commit(repository)
    config = repository / "gate.toml"
    for pattern in ("dta/*.jsonl", "data/*.josnl", "empty", "../*.jsonl", "data/in/*/*.jsonl"):
        config.write_text(f'[data]\nnew = ["data/*.jsonl", "{pattern}"]\n')
        done = run("--diff", "main")
        said = " ".join(done.stderr.split())
        assert done.exit_code == 2 and f"or ever was like {pattern}, which [data] new of gate.toml names" in said, done.output
        done = run("--diff", "main", "data/*.jsonl", pattern)
        assert done.exit_code == 2 and f"or ever was like {pattern}: no row would ever be looked at." in " ".join(done.stderr.split())
    for pattern in ("data/in/*.jsonl", "./data/i*/*", "**/a.jsonl", "data/?n", "data/in/**"):
        config.write_text(f'[data]\nnew = ["{pattern}"]\n')
        done = run("--diff", "main")
        assert done.exit_code == 5 and f"No file is like {pattern} ([data] new of gate.toml)." in done.stderr, done.output
        config.write_text(f'[data]\nnew = ["data/*.jsonl", "{pattern}"]\n')
        assert run("--diff", "main").exit_code == 0
    # From a folder in the repository, and where the base alone had such a file.
    (repository / "work").mkdir()
    monkeypatch.chdir(repository / "work")
    assert run("--diff", "main", "../data/in/*.jsonl").exit_code == 5
    assert run("--diff", "main", "data/in/*.jsonl").exit_code == 2
    monkeypatch.chdir(repository)
    git(repository, "stash", "-q", "-u")
    git(repository, "checkout", "-q", "main")
    write(repository / "elsewhere" / "b.jsonl", row(300))
    commit(repository)
    git(repository, "checkout", "-q", "branch")
    assert never_named("main", ["elsewhere/*.jsonl", "elsewhere"], repository) == []
    assert never_named("HEAD", ["elsewhere/*.jsonl", "elsewhere"], repository) == ["elsewhere/*.jsonl", "elsewhere"]


def test_without_a_commit_to_compare_with_patterns_that_are_like_no_file_are_said(repository: Path) -> None:
    (repository / "gate.toml").write_text('[data]\nnew = ["data/*.jsonl", "dta/*.jsonl"]\n')
    done = run("--to", "markdown")
    assert done.exit_code == 0 and "No file is like dta/*.jsonl ([data] new of gate.toml)." in done.stderr
    assert "No file is like dta/" in Path("gate.md").read_text()
    assert "No file is like dta/*.jsonl." in run("data/*.jsonl", "dta/*.jsonl").stderr
    (repository / "gate.toml").write_text('[data]\nnew = ["dta/*.jsonl"]\n')
    done = run()
    assert done.exit_code == 5 and "If files should be there, correct the pattern." in " ".join(done.stderr.split())


def test_a_file_that_is_named_is_looked_at_whatever_its_ending(repository: Path) -> None:
    write(repository / "data" / "rows.txt", row(200, ""))
    write(repository / "data" / "lines.json", row(201), row(202))
    commit(repository)
    assert places() == {"data/lines.json": [1, 2]}, "of itself nobody looks at a text, and at JSON where it has rows"
    assert places(names=["data/rows.txt"]) == {"data/rows.txt": [1]}
    for name in ("data/rows.txt", "data/*.txt"):
        assert run("--diff", "main", name).exit_code == 1
    git(repository, "mv", "data/rows.txt", "data/moved.txt")
    assert "1 data file renamed" in run("--diff", "HEAD", "data/*.txt").stderr


def test_which_rows_were_looked_at_stands_in_every_form_of_the_verdict(repository: Path) -> None:
    (repository / "gate.toml").write_text('[data]\nnew = ["data/*.jsonl"]\n')
    write(repository / "data" / "new.jsonl", row(200), row(1))
    write(repository / "elsewhere" / "rows.jsonl", row(201))
    commit(repository)
    done = run("--diff", "main", *[f"--to={name}={name}.out" for name in ("markdown", "json", "sarif")])
    assert done.exit_code == 0, done.output
    notes = json.loads(Path("json.out").read_text())["notes"]
    assert notes[0].startswith("Since main (merge base ") and "2 new rows in 1 file" in notes[0]
    assert notes[1:] == [
        "This branch changes gate.toml, by which its own rows are judged.",
        "Changed, and not looked at: 1 data file that is not named (elsewhere/rows.jsonl).",
    ]
    page = Path("markdown.out").read_text().replace("\\", "")
    assert all(f"Note: {note}" in page for note in notes) and "Exit code" not in page
    sarif = json.loads(Path("sarif.out").read_text())["runs"][0]["invocations"][0]["toolExecutionNotifications"]
    assert {note["message"]["text"] for note in sarif if note["descriptor"]["id"] == "rows"} == set(notes)
    done = run("--diff", "HEAD", "--to=markdown=none.md")
    page = Path("none.md").read_text()
    assert done.exit_code == 5 and "error" not in done.stderr and "Exit code 5: there is nothing to check." in page
    assert page.count("\n| all ") == page.count("There is no row to look at.") == 1, "in one line"
    assert run("--diff", "HEAD", "--to=markdown=none.md").exit_code == 5, "it is ours, and may be replaced"


def test_patterns_of_windows_are_refused(repository: Path) -> None:
    (repository / "gate.toml").write_text("[data]\nnew = ['data\\*.jsonl']\n")
    for arguments in ([], ["--diff", "main"]):
        done = run(*arguments)
        assert done.exit_code == 2 and "Write folders with /: data/*.jsonl" in " ".join(done.stderr.split())


def test_hosts_of_code_get_files_from_the_root_of_the_checkout(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(repository / "data" / "new.jsonl", row(200, ""))
    (repository / "data" / "x.parquet").write_bytes(b"PAR0")
    (repository / "work").mkdir()
    monkeypatch.chdir(repository / "work")
    forms = [f"--to={name}={name}.out" for name in ("github", "gitlab", "sarif", "junit", "markdown")]
    done = run("../data/new.jsonl", "../data/x.parquet", *forms)
    assert done.exit_code == 3, done.output
    assert "    ../data/new.jsonl:1 The response" in done.stdout and "BROKEN  ../data/x.parquet, line 1" in done.stdout
    assert "file=data/new.jsonl,line=1" in (annotations := Path("github.out").read_text())
    assert "file=data/x.parquet,line=1,title=cannot be read::data/x.parquet, line 1: named" in annotations
    assert [entry["location"]["path"] for entry in json.loads(Path("gitlab.out").read_text())][:2] == ["data/x.parquet", "data/new.jsonl"]
    assert 'name="reading data/x.parquet"><error message="data/x.parquet, line 1' in Path("junit.out").read_text()
    assert "Not complete: data/x.parquet, line 1" in Path("markdown.out").read_text()
    (repository / "work" / "gate.toml").write_text('[data]\nnew = ["../data/new.jsonl"]\n')
    for arguments in ([], ["--diff", "main"], ["--config", "../work/gate.toml"]):
        assert "    ../data/new.jsonl:1 The response" in run(*arguments).stdout
    monkeypatch.chdir(repository)
    assert "    data/new.jsonl:1 The response" in run("--config", "work/gate.toml").stdout, (
        "the folder of the configuration is no part of it"
    )
    monkeypatch.chdir(repository / "work")
    result = json.loads(Path("sarif.out").read_text())["runs"][0]["results"][0]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "data/new.jsonl"


def test_a_quoted_pattern_is_the_files_that_it_matches(repository: Path) -> None:
    assert "14 rows read" in run("data/*.jsonl").stderr
    assert "14 rows read" in run("**/*.jsonl").stderr
    done = run("data/none-*.jsonl")
    assert done.exit_code == 2 and "data/none-*.jsonl" in done.stderr
    write(repository / "data" / "[a].jsonl", row(1))
    assert "1 row read" in run("data/[a].jsonl").stderr, "a file of that very name"


def test_rows_that_a_baseline_has_are_passed_over_too(repository: Path, tmp_path: Path) -> None:
    from instructsel.pool.pool import Pool

    write(repository / "data" / "pool.jsonl", *map(row, range(10)), row(20), row(21))
    Baseline.create(Pool.read(write(tmp_path / "data" / "pool.jsonl", *map(row, range(10)), row(20)))).write(tmp_path / "pool.baseline")
    done = run("--diff", "main", "--baseline", str(tmp_path / "pool.baseline"), "--json", "--fail-on", "never")
    assert json.loads(done.stdout)["rows"]["read"] == 1, done.stderr


def test_turns_of_one_conversation_are_read_together(repository: Path) -> None:
    turns = [
        {"message_id": "a", "parent_id": None, "role": "prompter", "text": "How are you today?", "lang": "en"},
        {"message_id": "b", "parent_id": "a", "role": "assistant", "text": "Fine, thank you very much.", "lang": "en"},
    ]
    write(repository / "data" / "oasst.jsonl", *map(json.dumps, turns))
    commit(repository)
    git(repository, "branch", "before")
    more = {"message_id": "c", "parent_id": "a", "role": "assistant", "text": "Good, and you, how are you?", "lang": "en"}
    write(repository / "data" / "oasst.jsonl", *map(json.dumps, [*turns, more]))
    assert len(new_rows("before").offsets[str(repository / "data" / "oasst.jsonl")]) == 3


NAMES = ["two  blanks.jsonl", "new\nline.jsonl", "-option.jsonl", "--output=x.jsonl", ":(top)magic.jsonl", "*.jsonl", "[a].jsonl", 'quote".jsonl', "::error::x.jsonl"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_any_name_is_found(repository: Path, name: str) -> None:
    write(repository / "data" / name, row(30), row(31, ""))
    git(repository, "add", "-A")
    added = new_rows("main")
    assert [Path(file).name for file in added.files] == [name] and added.rows == 2
    done = run("--diff", "main", "--json")
    assert done.exit_code == 1 and json.loads(done.stdout)["rows"]["read"] == 2, done.stderr


def test_a_name_that_is_not_utf_8_is_refused_in_these_words(repository: Path) -> None:
    Path(os.fsdecode(os.fsencode(repository) + b"/data/b\xff.jsonl")).write_text(row(30) + "\n" + row(31) + "\n")
    git(repository, "add", "-A")
    done = run("--diff", "main")
    assert done.exit_code == 2 and "is not UTF-8" in done.stderr


@pytest.mark.parametrize(
    "base", ["--output=x", "-p", "--exec=touch owned", "nowhere", "main..branch", "", "a b", "main:data", "HEAD:../x", "\n", "x\x1b[31m"]
)
def test_what_is_no_commit_is_refused_with_what_to_write(repository: Path, base: str) -> None:
    before = sorted(repository.rglob("*"))
    with pytest.raises(UsageError) as caught:
        new_rows(base)
    assert caught.value.fix and sorted(repository.rglob("*")) == before
    assert run(f"--diff={base}").exit_code == 2


def test_a_shallow_checkout_is_refused_with_the_fix(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(repository / "data" / "pool.jsonl", row(1))
    commit(repository)
    git(tmp_path, "clone", "-q", "--depth", "1", "--branch", "branch", f"file://{repository}", "shallow")
    monkeypatch.chdir(tmp_path / "shallow")
    with pytest.raises(UsageError, match="no commit origin/main") as caught:
        new_rows("origin/main")
    assert "fetch-depth: 0" in str(caught.value.fix)
    git(tmp_path / "shallow", "fetch", "-q", "--depth", "1", "origin", "main:refs/remotes/origin/main")
    with pytest.raises(UsageError, match="shallow") as caught:
        new_rows("origin/main")
    assert "--unshallow" in str(caught.value.fix)


def test_whether_a_pattern_ever_named_a_file_does_not_stand_in_a_shallow_checkout(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(repository / "old" / "a.jsonl", row(1))
    commit(repository)
    git(repository, "rm", "-q", "-r", "old")
    commit(repository)
    write(repository / "data" / "pool.jsonl", row(1))
    commit(repository)
    assert run("--diff", "HEAD~1", "old/*.jsonl").exit_code == 5
    git(tmp_path, "clone", "-q", "--depth", "2", "--branch", "branch", f"file://{repository}", "shallow")
    monkeypatch.chdir(tmp_path / "shallow")
    done = run("--diff", "HEAD~1", "old/*.jsonl")
    assert (
        done.exit_code == 2 and "does not stand in this shallow checkout" in " ".join(done.output.split()) and "--unshallow" in done.output
    )


def test_a_folder_that_held_data_once_is_no_typo_whatever_its_name(repository: Path) -> None:
    git(repository, "rm", "-q", "-r", "data")
    commit(repository)
    (repository / "a[1]").mkdir()
    for name, code in ((".", 5), (str(repository), 5), ("a[1]", 2)):
        assert run("--diff", "main", name).exit_code == code, name


def test_outside_of_a_repository_and_without_git_the_way_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UsageError, match="git repository"):
        new_rows("main")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFault, match="not installed"):
        new_rows("main")
    for name in ("-", "hf://owner/name"):
        assert run("--diff", "main", name).exit_code in (2, 4)


def test_nothing_that_a_repository_configures_is_run(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/owned\n")
    program.chmod(0o755)
    (repository / ".gitattributes").write_text("*.jsonl diff=x -text\n")
    for name in ("diff.x.textconv", "diff.x.command", "diff.external", "core.fsmonitor", "core.pager"):
        git(repository, "config", name, str(program))
    for variable in ("GIT_EXTERNAL_DIFF", "GIT_PAGER"):
        monkeypatch.setenv(variable, str(program))
    write(repository / "data" / "pool.jsonl", *map(row, range(10)), row(40))
    assert places() == {"data/pool.jsonl": [11]}
    assert not (tmp_path / "owned").exists()


def test_a_pointer_of_git_lfs_is_no_row_and_is_said(repository: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 5\n"
    (repository / "data" / "big.jsonl").write_text(pointer)
    commit(repository)
    git(repository, "branch", "before")
    write(repository / "data" / "big.jsonl", row(1), row(2))
    added = new_rows("before")
    assert added.rows == 2 and "Git LFS" in added.notes[0]


def test_rows_of_a_file_that_git_lfs_keeps_are_told_by_their_bytes_and_not_by_lines_of_its_pointer(repository: Path) -> None:
    clean = """printf 'version https://git-lfs.github.com/spec/v1\\noid sha256:%s\\nsize 5\\n' "$(sha256sum | cut -c 1-64)\""""
    git(repository, "config", "filter.lfs.clean", clean)
    (repository / ".gitattributes").write_text("big.jsonl filter=lfs\n")
    big = write(repository / "data" / "big.jsonl", *map(row, range(50, 60)))
    content = big.read_bytes()
    commit(repository)
    assert "git-lfs" in git(repository, "show", "HEAD:data/big.jsonl")
    git(repository, "branch", "before")
    write(big, *map(row, range(50, 60)), row(60))
    commit(repository)
    added = new_rows("before")
    assert added.rows == 11 and "git lfs fetch" in added.notes[0]
    digest = hashlib.sha256(content).hexdigest()
    stored = repository / ".git" / "lfs" / "objects" / digest[:2] / digest[2:4] / digest
    stored.parent.mkdir(parents=True)
    stored.write_bytes(content)
    assert places("before") == {"data/big.jsonl": [11]} and new_rows("before").moved == 0 and not new_rows("before").notes


def test_a_file_that_git_lfs_keeps_from_this_branch_on_has_its_rows_looked_at(repository: Path) -> None:
    git(repository, "config", "filter.lfs.clean", "echo version https://git-lfs.github.com/spec/v1")
    (repository / ".gitattributes").write_text("*.jsonl filter=lfs\n")
    write(repository / "data" / "pool.jsonl", *map(row, range(10)), row(41), row(42))
    commit(repository)
    assert places() == {"data/pool.jsonl": [11, 12]}


def test_a_named_file_that_git_ignores_is_new_and_one_like_a_pattern_is_said(repository: Path) -> None:
    (repository / ".gitignore").write_text("made/\n")
    commit(repository)
    write(repository / "made" / "new.jsonl", row(1), row(2, ""))
    assert places("main", ["made/new.jsonl"]) == {"made/new.jsonl": [1, 2]}
    assert places("main", ["made"]) == places() == {}
    assert run("--diff", "main", "made/new.jsonl").exit_code == 1
    assert run("--diff", "main", "made/*.jsonl").exit_code == run("--diff", "main", "made*").exit_code == 2
    done = run("--diff", "main", "**/*.jsonl")
    assert done.exit_code == 5 and "Ignored by git, and not looked at: 1 file (made/new.jsonl)." in " ".join(done.output.split())


def test_patterns_of_a_configuration_outside_of_the_repository_are_asked_of_the_one_that_is_worked_in(
    repository: Path, tmp_path: Path
) -> None:
    config = tmp_path / "gate.toml"
    write(repository / "data" / "pool.jsonl", *map(row, range(10)), row(41))
    for pattern, code in (("data/*.jsonl", 0), ("dtaa/*.jsonl", 2)):
        config.write_text(f'[data]\nnew = ["{repository}/{pattern}"]\n')
        assert run("--diff", "main", "--config", str(config)).exit_code == code


def test_a_submodule_is_another_repository_s_and_is_said(repository: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    git(theirs, "init", "-q", "-b", "main")
    write(theirs / "new.jsonl", row(1))
    commit(theirs)
    git(repository, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(theirs), "data/theirs")
    write(repository / "data" / "mine.jsonl", row(2))
    commit(repository)
    for names in (None, ["data"]):
        assert places(names=names) == {"data/mine.jsonl": [1]}
        (note,) = new_rows("main", names).notes
        assert note.startswith("Changed, and not looked at: 1 submodule (data/theirs).")
    assert not new_rows("main", ["data/mine.jsonl"]).notes and not new_rows("HEAD").notes
    for name in ("data/theirs", "data/theirs/new.jsonl"):
        with pytest.raises(UsageError, match=f"{name} is of the submodule data/theirs"):
            new_rows("main", [name])
    # A pattern goes through everything.
    for words in (["**/*.jsonl"], ["--config", "gate.toml"]):
        (repository / "gate.toml").write_text('[data]\nnew = ["data/**/*.jsonl"]\n')
        done = run("--diff", "main", *words)
        said = " ".join(done.stderr.split())
        assert done.exit_code == 0 and "1 new row in 1 file." in said and "not looked at: 1 submodule (data/theirs)" in said, done.output
    done = run("--diff", "HEAD", "data/**/*.jsonl")
    assert done.exit_code == 5 and "submodule" not in done.stderr
    # One that goes nowhere else looks at no row of this repository, ever.
    done = run("--diff", "main", "data/theirs/*.jsonl")
    assert done.exit_code == 2 and "is or ever was like data/theirs/*.jsonl" in " ".join(done.stderr.split())


def test_links_and_files_of_settings_are_no_data_and_links_are_said(repository: Path) -> None:
    (repository / "package.json").write_text('{"name": "y"}')
    git(repository, "add", "-A")
    assert places() == {} and not new_rows("main").notes
    (repository / "link.jsonl").symlink_to("/etc/passwd")
    (repository / "data" / "pool.jsonl").unlink()
    (repository / "data" / "pool.jsonl").symlink_to("/etc/passwd")
    git(repository, "add", "-A")
    assert places() == {}
    added = new_rows("main")
    assert added.notes == ("Changed, and not looked at: 2 links (data/pool.jsonl, …). Name the file that it leads to.",)
    assert not added.deleted, "it is there, as something else"


def test_a_sparse_checkout_without_files_that_the_branch_changes_is_refused(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(repository / "data" / "new.jsonl", row(200, ""))
    commit(repository)
    git(tmp_path, "clone", "-q", "--no-checkout", str(repository), "sparse")
    sparse = tmp_path / "sparse"
    git(sparse, "sparse-checkout", "set", "--no-cone", "/*", "!/data/")
    git(sparse, "checkout", "-q", "branch")
    monkeypatch.chdir(sparse)
    assert not (sparse / "data").exists()
    for names in ([], ["data/*.jsonl"], ["dat*"], ["data/new.jsonl"]):
        done = run("--diff", "origin/main", *names)
        said = " ".join(done.stderr.split())
        assert done.exit_code == 2 and "sparse, and lacks 1 data file that the branch changes (data/new.jsonl)." in said, done.output
    git(sparse, "sparse-checkout", "disable")
    assert run("--diff", "origin/main").exit_code == 1


def test_what_may_be_the_reason_that_there_is_no_such_commit_is_said(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for base, cause, fix in (
        ("0" * 40, "000000000000… is what hosts give in place of a commit", "--diff origin/main"),
        ("c" * 40, "There is no commit cccccccccccc in this checkout; a force-push may", f"git fetch origin {'c' * 40}, or name a branch"),
        ("HEAD~99", "There is no commit HEAD~99 in this checkout.", "the files of new rows without --diff"),
        ("FETCH_HEAD", "There is no commit FETCH_HEAD in this checkout.", "Name a commit that is there"),
        ("topic", "There is no commit topic in this checkout.", "git fetch origin topic:refs/remotes/origin/topic, and name origin/topic."),
    ):
        with pytest.raises(UsageError) as caught:
            new_rows(base)
        assert caught.value.message.startswith(cause) and fix in (caught.value.fix or "")
    (tmp_path / "new").mkdir()
    git(tmp_path / "new", "init", "-q")
    monkeypatch.chdir(tmp_path / "new")
    with pytest.raises(UsageError, match="This repository has no commit yet"):
        new_rows("main")


def test_a_row_of_several_lines_is_new_where_one_of_them_is_taken_out(repository: Path) -> None:
    rows = [{"instruction": f"Say the number {number}.", "input": "In words.", "output": "Yes, gladly so."} for number in range(3)]
    path = repository / "data" / "array.json"
    path.write_text(json.dumps(rows, indent=2))
    commit(repository)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for number, line in enumerate(lines) if number != 8))
    assert '"input"' in lines[8]
    assert new_rows("HEAD").rows == 1
    # A row between them that goes, as a whole, leaves the others as they are.
    path.write_text(json.dumps([rows[0], rows[2]], indent=2))
    assert new_rows("HEAD").rows == 0


def test_a_file_that_git_does_not_track_is_looked_at_where_it_is_named_and_else_is_said(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(repository / "data" / "draft.jsonl", row(500), row(3))
    monkeypatch.chdir(repository / "data")
    assert new_rows("main", ["draft.jsonl"]).rows == 2
    unnamed = new_rows("main")
    assert unnamed.rows == 0
    assert "not looked at: 1 data file (draft.jsonl)" in unnamed.notes[0]
    with pytest.raises(UsageError, match="no file of the repository"):
        new_rows("main", [str(write(tmp_path / "elsewhere.jsonl", row(1)))])
