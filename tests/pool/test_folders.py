"""Folders of shards and splits, what `save_to_disk` wrote, data sets in the caches of the hub; labels of files of one name; files without rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from instructsel.errors import EmptyFile, InstructselError, ModelUnavailable, PoolError, UnknownExample, UsageError
from instructsel.pool import hub
from instructsel.pool.pool import Pool
from instructsel.pool.spec import Reading


def rows(name: str, count: int = 3) -> list[dict[str, str]]:
    return [{"instruction": f"{name} {number}", "output": f"word {number}"} for number in range(count)]


def make(folder: Path, *names: str, readme: str | None = None) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".parquet"):
            pl.DataFrame(rows(name)).write_parquet(path)
        elif name.endswith(".arrow"):
            pl.DataFrame(rows(name)).write_ipc_stream(path)
        elif name.endswith(".csv"):
            pl.DataFrame(rows(name)).write_csv(path)
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in rows(name)))
    folder.mkdir(exist_ok=True)
    if readme is not None:
        (folder / "README.md").write_text(readme)
    return folder


def read(path: str | Path, root: Path) -> list[str]:
    """The files that are read, in order."""
    return [os.path.relpath(file.source.name, root) for file in Pool.read(path).files]


LAYOUTS = {
    "shards": ("data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test-00000-of-00001.parquet"),
    "own splits": ("data/odd-00000-of-00001.parquet", "data/other.x-00000-of-00001.parquet"),
    "plain": ("b.jsonl", "a.jsonl", "c/d.jsonl"),
    "files": ("train.jsonl", "test.jsonl", "extra.jsonl"),
    "folders": ("train/1.csv", "test/2.csv", "3.csv"),
    "words": ("my-train-2.jsonl", "dev_set.jsonl", "training.jsonl", "trains.jsonl", "val9.jsonl"),
    "both": ("test/train.jsonl", "train/test.jsonl"),
    "hidden": ("a.jsonl", ".b.jsonl", "__c/d.jsonl", "dataset_infos.json", "config.json"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_splits_are_those_that_datasets_makes_of_the_names(tmp_path: Path, layout: str) -> None:
    library = pytest.importorskip("datasets.data_files")
    folder = make(tmp_path / "pool", *LAYOUTS[layout])

    def resolved(pattern: str) -> list[str]:
        try:
            return [str(path) for path in library.resolve_pattern(pattern, str(folder))]
        except FileNotFoundError:
            return []

    for split, patterns in library.get_data_patterns(str(folder)).items():
        files = {os.path.relpath(path, folder) for pattern in patterns for path in resolved(pattern)}
        assert read(f"{folder}:{split}", folder) == sorted(files)


def test_train_is_read_where_no_split_is_named_and_the_others_are_said(tmp_path: Path) -> None:
    folder = make(tmp_path / "pool", *LAYOUTS["files"])
    pool = Pool.read(folder)
    assert [Path(file.source.name).name for file in pool.files] == ["train.jsonl"]
    (note,) = pool.report.notes
    for part in ("the split train is read", "others are test", f"{folder}:test", "of no split: extra.jsonl"):
        assert part in note
    assert set(pool.sources) == {"pool"}
    assert read(f"{folder}:train+test", folder) == ["train.jsonl", "test.jsonl"]
    # The record names the files, so that another one in the folder is no part of the pool later.
    make(folder, "train-more.jsonl")
    assert pool.spec.read().ids == pool.ids
    assert all(digest is not None for digest in pool.spec.digests)


@pytest.mark.parametrize(
    ("names", "ending", "why"),
    [
        (LAYOUTS["own splits"], "", "has the splits odd, other.x, and none is train"),
        (LAYOUTS["files"], ":dev", "has no split dev: it has train, test"),
        (LAYOUTS["files"], ":train[:10%]", "a part of a split is not read"),
        (("a.jsonl", "b.csv"), "", r"several kinds \(1 .csv, 1 .jsonl\)"),
        (("data/train-00000-of-00003.parquet", "data/train-00002-of-00003.parquet"), "", "train-00001-of-00003.parquet is missing"),
        (("a.txt",), "", "holds no file of a pool: it has files with .txt"),
        ((), "", "it is empty"),
    ],
)
def test_a_folder_that_is_no_one_pool_is_refused_with_what_it_has(tmp_path: Path, names: tuple[str, ...], ending: str, why: str) -> None:
    with pytest.raises(InstructselError, match=why):
        Pool.read(f"{make(tmp_path / 'pool', *names)}{ending}")


CARD = """---
license: mit
configs:
- config_name: en
  default: true
  data_files: en/*.jsonl
- config_name: fr
  data_files:
  - split: train
    path: "fr/c*"
  - split: test
    path:
    - fr/t.jsonl
- config_name: all
  data_files: "**/*.jsonl"
---
# A card
"""


def test_the_configurations_of_a_readme_are_followed(tmp_path: Path) -> None:
    folder = make(tmp_path / "pool", "en/a.jsonl", "en/b.jsonl", "fr/c.jsonl", "fr/t.jsonl", readme=CARD)
    assert read(folder, folder) == ["en/a.jsonl", "en/b.jsonl"]
    assert "the configuration en, the split train" in Pool.read(folder).report.notes[0]
    assert read(f"{folder}/fr", folder) == ["fr/c.jsonl"]
    assert read(f"{folder}/fr:test", folder) == read(f"hf://{folder}/fr:test", folder) == ["fr/t.jsonl"]
    assert len(read(f"{folder}/all", folder)) == 4
    two = CARD.replace("  default: true\n", "").replace("config_name: all", "config_name: both")
    with pytest.raises(UsageError, match="has the configurations en, fr, both; one of them is a pool"):
        Pool.read(make(folder, readme=two))


@pytest.mark.parametrize(
    "files",
    [
        "../other/*.jsonl",
        "/etc/*",
        "hf://datasets/a/b/c.jsonl",
        "https://a.example/b.jsonl",
        "a/../../b.jsonl",
        "*" * 40,
        "[",
        "zip://a::b",
        "(a+)+$",
        "none.jsonl",
    ],
)
def test_a_readme_leads_to_no_file_outside_its_folder_and_to_no_endless_pattern(tmp_path: Path, files: str) -> None:
    make(tmp_path / "other", "x.jsonl")
    folder = make(
        tmp_path / "pool", "a" * 60 + ".jsonl", readme=f"---\nconfigs:\n- config_name: default\n  data_files: {json.dumps(files)}\n---\n"
    )
    with pytest.raises(PoolError):
        Pool.read(folder)


@pytest.mark.parametrize(
    "yaml",
    [
        "configs: [",
        "configs: 3",
        "configs:\n- 1",
        "a: &a [1]\nconfigs: *b",
        "configs:\n- config_name: x\n  data_files: 7",
        "[" * 3000 + "configs",
    ],
)
def test_a_readme_that_makes_no_sense_is_refused_in_one_sentence(tmp_path: Path, yaml: str) -> None:
    with pytest.raises(PoolError, match=r"README\.md"):
        Pool.read(make(tmp_path / "pool", "a.jsonl", readme=f"---\n{yaml}\n---\n"))


def test_what_save_to_disk_wrote_is_read_with_its_splits(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    train, test = (datasets.Dataset.from_list(rows(name, 5)) for name in ("train", "test"))
    train.save_to_disk(tmp_path / "one", num_shards=2)
    datasets.DatasetDict({"train": train, "test": test}).save_to_disk(tmp_path / "several")
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows("train", 5)))
    expected = Pool.read(tmp_path / "pool.jsonl").ids
    assert Pool.read(tmp_path / "one").ids == Pool.read(tmp_path / "several").ids == expected
    assert Pool.read(tmp_path / "several").report.notes
    assert Pool.read(f"{tmp_path}/several:test").ids != expected
    (tmp_path / "one" / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(PoolError, match=r"lacks data-00001-of-00002.arrow"):
        Pool.read(tmp_path / "one")
    state = tmp_path / "one" / "state.json"
    for forged in (
        {"_data_files": [{"filename": "../several/train/data-00000-of-00001.arrow"}]},
        {"_data_files": []},
        [],
        {"_data_files": "x"},
    ):
        state.write_text(json.dumps(forged))
        with pytest.raises(PoolError, match="names no files of data"):
            Pool.read(tmp_path / "one")


def test_what_is_made_from_a_pool_is_no_part_of_its_folder(tmp_path: Path) -> None:
    folder = make(tmp_path / "pool", "a.jsonl", "b.jsonl", "a.scores.parquet", "a.selection.parquet")
    for name in ("a.jsonl.json", "a.scores.parquet.json"):
        (folder / name).write_text("{}")
    assert read(folder, folder) == ["a.jsonl", "b.jsonl"]


# The hub.


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    pytest.importorskip("huggingface_hub")
    import huggingface_hub.constants as constants

    home = tmp_path / "home"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_HOME", str(home))
    monkeypatch.delenv("HF_DATASETS_CACHE", raising=False)
    return home


def snapshot(home: Path, *names: str, readme: str | None = None, commit: str = "a" * 40, ref: str = "main") -> Path:
    """A data set as `huggingface_hub` lays it out: blobs, and links to them."""
    store = home / "hub" / "datasets--owner--name"
    (store / "refs").mkdir(parents=True, exist_ok=True)
    (store / "refs" / ref).write_text(commit)
    plain = make(home / "plain", *names, readme=readme)
    for path in sorted(plain.rglob("*")):
        if path.is_file():
            link = store / "snapshots" / commit / path.relative_to(plain)
            link.parent.mkdir(parents=True, exist_ok=True)
            blob = store / "blobs" / f"{len(list((store / 'blobs').glob('*'))) if (store / 'blobs').is_dir() else 0}"
            blob.parent.mkdir(exist_ok=True)
            path.rename(blob)
            link.symlink_to(os.path.relpath(blob, link.parent))
    return store


def test_a_data_set_in_the_cache_of_the_hub_is_read_offline(offline: Path) -> None:
    snapshot(offline, *LAYOUTS["shards"])
    pool = Pool.read("hf://owner/name")
    assert [file.source.name for file in pool.files] == [f"hf://owner/name/{name}" for name in LAYOUTS["shards"][:2]]
    assert set(pool.sources) == {"name/data/train-00000-of-00002", "name/data/train-00001-of-00002"}
    assert pool.spec.paths == ("hf://owner/name",)
    assert "others are test, e.g. hf://owner/name:test" in pool.report.notes[0]
    assert set(Pool.read("hf://owner/name:test").sources) == {"name"}
    assert pool.position("hf://owner/name/data/train-00001-of-00002.parquet:2") == pool.position("train-00001-of-00002.parquet:2")


def test_configurations_and_revisions_of_the_hub_are_told_apart(offline: Path) -> None:
    snapshot(offline, "en/a.jsonl", "en/b.jsonl", "fr/c.jsonl", "fr/t.jsonl", readme=CARD)
    snapshot(offline, "old.jsonl", commit="b" * 40, ref="v1")
    assert len(Pool.read("hf://owner/name").files) == 2
    assert [file.source.name for file in Pool.read("hf://owner/name/fr:test").files] == ["hf://owner/name/fr/t.jsonl"]
    assert [file.source.name for file in Pool.read("hf://owner/name@v1").files] == ["hf://owner/name@v1/old.jsonl"]
    with pytest.raises(ModelUnavailable, match="in no cache here"):
        Pool.read("hf://owner/name@v2")
    with pytest.raises(UsageError, match="has no configuration de"):
        Pool.read("hf://owner/name/de")


def test_a_data_set_in_the_cache_of_datasets_is_read_offline(offline: Path) -> None:
    folder = offline / "datasets" / "owner___name" / "default" / "0.0.0" / ("c" * 40)
    make(folder, "name-train-00000-of-00002.arrow", "name-train-00001-of-00002.arrow", "name-test.arrow")
    pool = Pool.read("hf://owner/name")
    assert [Path(file.source.name).name for file in pool.files] == ["name-train-00000-of-00002.arrow", "name-train-00001-of-00002.arrow"]
    assert "from the cache of datasets" in pool.report.notes[0]
    assert len(Pool.read(f"hf://owner/name/default:test@{'c' * 40}").files) == 1
    for name in ("hf://owner/name/other", "hf://owner/name:dev", "hf://owner/name@v2"):
        with pytest.raises(UsageError):
            Pool.read(name)


def test_online_nothing_but_the_chosen_files_is_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library = pytest.importorskip("huggingface_hub")
    import huggingface_hub.constants as constants

    names = [*LAYOUTS["shards"], "script.py", "big.bin"]
    folder = make(tmp_path / "remote", *LAYOUTS["shards"])
    fetched: list[str] = []

    def download(repository: str, path: str, *, repo_type: str, revision: str) -> str:
        assert (repository, repo_type, revision) == ("owner/name", "dataset", "f" * 40)
        fetched.append(path)
        return str(folder / path)

    info = SimpleNamespace(sha="f" * 40, siblings=[SimpleNamespace(rfilename=name) for name in names])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(library, "hf_hub_download", download)
    monkeypatch.setattr(library, "HfApi", lambda: SimpleNamespace(dataset_info=lambda repository, revision: info))
    Pool.read("hf://owner/name:test@v1")
    assert fetched == ["data/test-00000-of-00001.parquet"]


def test_a_folder_of_this_machine_under_an_hf_name_is_said_plainly(tmp_path: Path) -> None:
    folder = make(tmp_path / "pool", "train.jsonl", "test.jsonl")
    pool = Pool.read(f"hf://{folder}:test")
    assert f"hf://{folder}:test is the folder {folder} of this machine" in pool.report.notes[0]
    assert pool.spec.paths == (str(folder / "test.jsonl"),)
    with pytest.raises(UsageError, match="no revisions"):
        Pool.read(f"hf://{folder}@v1")
    with pytest.raises(PoolError, match="there is no folder"):
        Pool.read("hf:///no/such/folder")
    for name in ("hf://", "hf://a/b/c/d", "hf://a//b", "hf://a b:c:d@@"):
        with pytest.raises(InstructselError):
            hub.named(name)


# Labels and places.


def test_files_of_one_name_are_different_sources_and_places(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        make(tmp_path / folder, "train.jsonl")
        (tmp_path / folder / "train.csv").write_text(f"instruction,output\n{folder} csv,word\n")
        (tmp_path / folder / "other.jsonl").write_text(json.dumps(rows(f"{folder} other")[0]) + "\n")
    pool = Pool.read(tmp_path / "first/train.jsonl", tmp_path / "second/train.jsonl", tmp_path / "first/other.jsonl")
    assert set(pool.sources) == {"first/train", "second/train", "other"}
    with pytest.raises(UnknownExample, match=r"train.jsonl:1 may be any of first/train.jsonl:1, second/train.jsonl:1"):
        pool.position("train.jsonl:1")
    for place in ("second/train.jsonl:1", "second/train:1", f"{tmp_path}/second/train.jsonl:1", f"{tmp_path.name}/second/train.jsonl:1"):
        assert pool.locate(pool.position(place))[0] == str(tmp_path / "second/train.jsonl")
    assert pool.locate(pool.position("other.jsonl:1"))[0] == str(tmp_path / "first/other.jsonl")
    pool = Pool.read(tmp_path / "first/train.jsonl", tmp_path / "first/train.csv", tmp_path / "second/train.csv")
    assert set(pool.sources) == {"first/train.jsonl", "first/train.csv", "second/train.csv"}


def test_a_link_and_its_file_are_one_file(tmp_path: Path) -> None:
    make(tmp_path, "a.jsonl")
    (tmp_path / "b.jsonl").symlink_to(tmp_path / "a.jsonl")
    with pytest.raises(UsageError, match="is named twice"):
        Pool.read(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    with pytest.raises(UsageError, match="is named twice"):
        Pool.read(tmp_path / "a.jsonl", make(tmp_path / "folder", "c.jsonl"), tmp_path / "folder" / "c.jsonl")


# Files without rows.


def test_files_without_rows_are_named_and_the_others_read(tmp_path: Path) -> None:
    empty = {"a.jsonl": b"", "b.csv": b"instruction,output\n", "c.json": b"[]", "d.jsonl": b"\n \n", "e.jsonl": b"\xef\xbb\xbf"}
    for name, data in empty.items():
        (tmp_path / name).write_bytes(data)
    pl.DataFrame({"instruction": [], "output": []}, schema={"instruction": pl.String, "output": pl.String}).write_parquet(
        tmp_path / "f.parquet"
    )
    pl.DataFrame({"instruction": [], "output": []}, schema={"instruction": pl.String, "output": pl.String}).write_ipc_stream(
        tmp_path / "g.arrow"
    )
    paths = [tmp_path / name for name in (*empty, "f.parquet", "g.arrow")]
    make(tmp_path, "z.jsonl")
    calls: list[tuple[int, int]] = []
    pool = Pool.read(*paths, tmp_path / "z.jsonl", progress=lambda done, total: calls.append((done, total)))
    assert len(pool) == 3
    assert all(path.name in pool.report.notes[0] for path in paths)
    assert calls[-1][0] == calls[-1][1]
    assert pool.spec.read().ids == pool.ids
    for path in paths:
        with pytest.raises(EmptyFile):
            Pool.read(path)
    with pytest.raises(EmptyFile) as refusal:
        Pool.read(*paths)
    assert all(path.name in str(refusal.value) for path in paths)


def test_a_folder_goes_through_score_select_and_explain(tmp_path: Path) -> None:
    folder = make(tmp_path / "pool", *LAYOUTS["shards"])

    def call(*arguments: str) -> str:
        command = [sys.executable, "-m", "instructsel", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    said = call("score", "pool", "--indicators", "len_in", "--no-cache")
    assert "the split train is read" in said
    call("select", "pool.scores.parquet", "--by", "-len_in", "--n", "2", "-o", "out.parquet")
    assert pl.read_parquet(tmp_path / "out.parquet").height == 2
    assert "train-00001-of-00002.parquet:2" in call("explain", "train-00001-of-00002.parquet:2", "--selection", "out.parquet")
    refused: Any = subprocess.run(
        [
            sys.executable,
            "-m",
            "instructsel",
            "score",
            "pool",
            "--indicators",
            "len_in",
            "--no-cache",
            "-o",
            str(folder / LAYOUTS["shards"][0]),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2, refused.stderr


def test_a_folder_with_a_split_is_here_and_has_a_name_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from instructsel.pool.naming import is_here

    make(tmp_path / "pool", "train.jsonl", "test.jsonl")
    monkeypatch.chdir(tmp_path)
    assert is_here("pool")
    assert is_here("pool:test")
    assert not is_here("none:test")
    assert Pool.read("pool:test").spec.paths == (str(tmp_path / "pool" / "test.jsonl"),)


def test_the_configuration_all_and_the_split_train_sft_stand_for_the_others(tmp_path: Path) -> None:
    row = {"prompt": "Hello", "prompt_id": "0", "messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]}
    readme = ["---", "configs:"]
    for config in ("all", "part"):
        (tmp_path / "data" / config).mkdir(parents=True)
        readme += [f"- config_name: {config}", "  data_files:"]
        for split in ("train_sft", "test_sft", "train_gen"):
            (tmp_path / "data" / config / f"{split}-00000-of-00001.jsonl").write_text(json.dumps(row) + "\n")
            readme += [f"  - split: {split}", f"    path: data/{config}/{split}-*"]
    (tmp_path / "README.md").write_text("\n".join([*readme, "---", ""]))
    report = Pool.read(tmp_path).report
    assert report.read == 1
    (note,) = report.notes
    assert "the configuration all, the split train_sft is read; others are test_sft, train_gen" in note


def talks(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.json").write_text(
            json.dumps({"instruction": f"Say {number}.", "output": f"It is {number}."}), encoding="utf-8"
        )
    return folder


def test_more_files_than_a_process_may_have_open_are_read_where_it_may_ask_for_more(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    script = "import sys, resource; from instructsel import Pool; print(len(Pool.read(sys.argv[1])))"
    folder = talks(tmp_path / "talks", 120)

    def run(soft: int, hard: int) -> subprocess.CompletedProcess[str]:
        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

        return subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=False, preexec_fn=limit)

    assert run(64, 1024).stdout == "120\n"
    refused = run(64, 64)
    assert "120 files are to be open together, and this process may have 64" in refused.stderr
    assert "ulimit -n" in refused.stderr


def test_many_files_that_are_read_in_one_way_share_a_line(tmp_path: Path) -> None:
    folder = talks(tmp_path / "talks", 30)
    (folder / "30.json").write_text('{"question": "Ebb?", "answer": "At six."}', encoding="utf-8")
    lines = Pool.read(folder).report.readings()
    assert lines == [
        "0.json and 29 more: read as alpaca: has 'instruction' and 'output'",
        "30.json: read as question_answer: has 'question' and 'answer'",
    ]
    assert len(Pool.read(*sorted(folder.iterdir())[:8]).report.readings()) == 8


def test_files_of_one_name_are_said_with_the_folders_that_tell_them_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder / "new").mkdir(parents=True)
        (tmp_path / folder / "new" / "x.jsonl").write_text(
            '{"instruction": "Name a river.", "output": "The Elbe."}\n[1]\n', encoding="utf-8"
        )
    (tmp_path / "b" / "y.jsonl").write_text('{"instruction": "Name a sea.", "output": "The Aral."}\n', encoding="utf-8")
    lines: list[str] = []
    Reading().read([str(tmp_path / "a"), str(tmp_path / "b" / "new" / "x.jsonl"), str(tmp_path / "b" / "y.jsonl")], message=lines.append)
    assert [line.partition(":")[0] for line in lines if "read as" in line] == ["a/new/x.jsonl", "b/new/x.jsonl", "y.jsonl"]
    quarantined = [line.split()[1] for line in lines if line.startswith("  quarantined")]
    assert quarantined == ["a/new/x.jsonl,", "b/new/x.jsonl,"]


def test_a_file_where_an_example_is_asked_for_leads_to_its_lines(tmp_path: Path) -> None:
    (tmp_path / "pool.jsonl").write_text('{"instruction": "Name a river.", "output": "The Elbe."}\n')
    with pytest.raises(UnknownExample, match=r"pool\.jsonl is a file of the pool, not an example"):
        Pool.read(tmp_path / "pool.jsonl").position("pool.jsonl")
