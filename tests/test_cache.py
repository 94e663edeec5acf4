"""The cache: what goes in comes out, damage is a miss, and nothing grows without end."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructsel import cache as module
from instructsel.cache import Cache, keys_of, parse_size
from instructsel.errors import EnvironmentFault, UsageError
from instructsel.scores.progress import Run, runs


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache.open(tmp_path / "cache")


def filled(cache: Cache, names: list[str], about: str = "a") -> None:
    namespace = cache.namespace({"model": about}, width=2, dtype="<f8")
    namespace.put(keys_of(names), np.array([[len(name), 1.0] for name in names]))
    namespace.flush()


def test_what_is_put_is_found_by_another_process_and_nothing_else_is(cache: Cache) -> None:
    filled(cache, ["one", "three"])
    found, values = Cache.open(cache.folder).namespace({"model": "a"}, width=2, dtype="<f8").get(keys_of(["two", "three", "one"]))
    assert found.tolist() == [False, True, True] and values.tolist() == [[0, 0], [5, 1], [3, 1]]


@pytest.mark.parametrize("changed", [{"model": "b"}, {"model": "a", "precision": "bf16"}, {}])
def test_another_fingerprint_is_another_namespace(cache: Cache, changed: dict[str, str]) -> None:
    filled(cache, ["one"])
    assert not cache.namespace(changed, width=2, dtype="<f8").get(keys_of(["one"]))[0].any()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(st.text(max_size=8), st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=3).map(tuple)), max_size=12, unique=True
    )
)
def test_keys_of_different_questions_differ(questions: list[str | tuple[str | None, ...]]) -> None:
    # A text alone and a list of just this text are one question.
    forms = {each if isinstance(each, tuple) else (each,) for each in questions}
    assert len(set(map(tuple, keys_of(questions).tolist()))) == len(forms)


def test_every_damaged_byte_is_a_miss_and_never_another_value(cache: Cache) -> None:
    filled(cache, ["one", "three"])
    (path,) = (cache.folder / "shelves").glob("*/*.values")
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x41]) + content[at + 1 :])
        found, _ = Cache.open(cache.folder).namespace({"model": "a"}, width=2, dtype="<f8").get(keys_of(["one", "three"]))
        assert not found.any(), at
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        assert not Cache.open(cache.folder).namespace({"model": "a"}, width=2, dtype="<f8").get(keys_of(["one"]))[0].any(), length
    assert cache.damaged() == [path]


def test_many_small_files_become_one_and_lose_nothing(cache: Cache) -> None:
    for number in range(60):
        filled(cache, [f"row {number}"])
    assert len(list((cache.folder / "shelves").glob("*/*.values"))) < module.MANY
    found, _ = Cache.open(cache.folder).namespace({"model": "a"}, width=2, dtype="<f8").get(keys_of([f"row {n}" for n in range(60)]))
    assert found.all()


def test_a_file_that_another_process_merged_away_is_no_error(cache: Cache) -> None:
    filled(cache, ["one"])
    reader = Cache.open(cache.folder).namespace({"model": "a"}, width=2, dtype="<f8")
    assert reader.get(keys_of(["one"]))[0].all()
    for number in range(40):
        filled(cache, [f"row {number}"])
    found, values = reader.get(keys_of(["one", "row 7"]))
    assert found.all() and values[:, 0].tolist() == [3, 5]


@pytest.mark.parametrize("listed", ["before the merge", "without the merged file"])
def test_a_merge_while_another_process_looks_hides_nothing(cache: Cache, monkeypatch: pytest.MonkeyPatch, listed: str) -> None:
    for number in range(module.MANY - 1):
        filled(cache, [f"row {number}"])
    reader = Cache.open(cache.folder).namespace({"model": "a"}, width=2, dtype="<f8")
    scan, merged = module._segments_in, []

    def meanwhile(folder: Path) -> set[str]:
        names = scan(folder)
        if not merged:
            merged.append(True)
            filled(Cache.open(cache.folder), ["the last"])
            if listed == "without the merged file":
                return names & scan(folder)
        return names

    monkeypatch.setattr(module, "_segments_in", meanwhile)
    found, _ = reader.get(keys_of([*(f"row {number}" for number in range(module.MANY - 1)), "the last"]))
    assert merged and found.all()
    assert len(list(reader.folder.glob("*.values"))) == 1


def test_a_folder_pruned_away_between_two_steps_of_a_write_is_made_again(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    namespace = cache.namespace({"model": "a"}, width=2, dtype="<f8")
    write, pruned = module.atomic_write, []

    def meanwhile(path: Path, **options: Any) -> object:
        if path.suffix == module.SEGMENT and not pruned:
            pruned.append(Cache.open(cache.folder).prune(-1))
        return write(path, **options)

    monkeypatch.setattr(module, "atomic_write", meanwhile)
    namespace.put(keys_of(["one"]), np.ones((1, 2)))
    namespace.flush()
    assert pruned and namespace.get(keys_of(["one"]))[0].all()


def test_pruning_removes_the_least_recently_used_first_and_no_more_than_needed(cache: Cache) -> None:
    for number, about in enumerate("abc"):
        filled(cache, [f"{about} {n}" for n in range(100)], about)
        note = next(path for path in (cache.folder / "shelves").glob("*/fingerprint.json") if about in path.read_text())
        os.utime(note, (1000 + number, 1000 + number))
    sizes = {kept.description["model"]: kept.bytes for kept in cache.usage()}
    assert cache.prune(sum(sizes.values())) == 0
    assert cache.prune(sizes["b"] + sizes["c"]) == sizes["a"]
    assert [kept.description["model"] for kept in cache.usage()] == ["b", "c"]
    assert cache.prune(0, since=1002) == sizes["b"]
    assert cache.prune(0) == sizes["c"] and not cache.usage()


def test_temporary_files_of_the_dead_are_swept_and_those_of_the_living_are_not(cache: Cache) -> None:
    from instructsel import artifact

    filled(cache, ["one"])
    (folder,) = (cache.folder / "shelves").iterdir()
    dead = folder / f".x.values.{artifact.machine()}-{2**22 + 1}-abc.tmp"
    living = folder / f".x.values.{artifact.machine()}-{os.getpid()}-abc.tmp"
    elsewhere = folder / ".x.values.00000000-1-abc.tmp"
    for path in (dead, living, elsewhere):
        path.write_bytes(b"x")
    Cache.open(cache.folder).namespace({"model": "a"}, width=2, dtype="<f8")
    assert not dead.exists() and living.exists() and elsewhere.exists()
    os.utime(elsewhere, (time.time() - 90_000,) * 2)
    Cache.open(cache.folder).namespace({"model": "a"}, width=2, dtype="<f8")
    assert not elsewhere.exists()


def test_a_cache_that_others_can_write_into_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(EnvironmentFault, match="written by anybody"):
        Cache.open(folder)


def test_a_cache_that_cannot_be_written_is_refused_before_any_work_and_can_be_looked_into(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(cache, ["one"])
    monkeypatch.setattr(module.os, "access", lambda path, mode: False)
    with pytest.raises(EnvironmentFault, match="cannot be written") as caught:
        Cache.open(cache.folder)
    assert "--no-cache" in str(caught.value.fix)
    assert [each.files for each in Cache.open(cache.folder, to_write=False).usage()] == [1]


def test_a_cache_whose_disk_is_full_names_its_own_flag(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("instructsel.artifact.tempfile.mkstemp", refuse)
    with pytest.raises(EnvironmentFault) as caught:
        Run.start(cache, {"pools": ["a"]})
    assert caught.value.fix == "Free some space, or choose another place with --cache."


def test_a_run_is_told_of_until_it_ends_and_taken_over_by_its_like(cache: Cache) -> None:
    run = Run.start(cache, {"target": "x.parquet"})
    run.tell("ppl", 3, 10)
    (told,) = runs(cache)
    assert told["progress"] == {"ppl": [3, 10]} and told["alive"] and told["process"] == os.getpid()
    Run.start(cache, {"target": "x.parquet"}).end()
    assert not list(runs(cache))


@pytest.mark.parametrize(("text", "size"), [("500MB", 500_000_000), ("20GiB", 20 << 30), ("1000", 1000), ("1.5 k", 1500)])
def test_a_size_is_read_as_people_write_it(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "many", "-1", "1XB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no size"):
        parse_size(text)
