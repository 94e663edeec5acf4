"""Every file of the shared data loads with an exact report, or is refused with file, line and reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from instructsel.errors import PoolError
from instructsel.pool.formats.mapped import Mapped
from instructsel.pool.pool import Pool

# file → rows read, rows kept, examples, format, dropped, quarantined
POOLS = {
    "pools/alpaca.jsonl.zst": (52002, 52002, 52002, "alpaca", {}, {}),
    "pools/alpaca_gpt4_en_demo.jsonl.zst": (999, 999, 999, "alpaca", {}, {}),
    "pools/alpaca_libre_v1.jsonl.zst": (2375, 2375, 2375, "alpaca", {}, {}),
    "pools/alpaca_libre_v3.jsonl.zst": (1205, 1205, 1205, "alpaca", {}, {}),
    "pools/alpaca_zh_demo.jsonl.zst": (1000, 1000, 1000, "alpaca", {}, {}),
    "pools/code_alpaca_2k.jsonl.zst": (2017, 2017, 2017, "alpaca", {}, {}),
    "pools/code_alpaca_new.jsonl.zst": (4535, 4535, 4535, "alpaca", {}, {}),
    "pools/cot_sample.jsonl.zst": (8584, 8584, 8584, "alpaca", {}, {}),
    "pools/dolly.jsonl.zst": (15011, 15011, 15011, "dolly", {}, {}),
    "pools/evol_instruct_1k_sharegpt.jsonl.zst": (1000, 1000, 1000, "sharegpt", {}, {}),
    "pools/glaive_toolcall_en_demo.jsonl.zst": (300, 300, 300, "sharegpt", {}, {}),
    "pools/gpteacher_codegen.jsonl.zst": (4535, 4535, 4535, "dolly", {}, {}),
    "pools/gsm8k_train.jsonl.zst": (7473, 7473, 7473, "question_answer", {}, {}),
    "pools/lima_history.jsonl.zst": (1029, 1029, 1029, "history", {}, {}),
    "pools/natural_instructions_sample.jsonl.zst": (214, 213, 8520, "super_natural_instructions", {}, {"not_finite": 1}),
    "pools/oasst1_en_validation_messages.jsonl.zst": (
        2022,
        550,
        188,
        "oasst_table",
        {"after_last_answer": 62, "deleted": 40, "not_on_best_path": 1367, "orphan": 3},
        {},
    ),
    "pools/oasst_en_100_tree.jsonl.zst": (100, 100, 100, "oasst_tree", {}, {}),
    "pools/self_instruct_5k.jsonl.zst": (5000, 5000, 5000, "alpaca", {}, {}),
    "pools/self_instruct_seed_tasks.jsonl.zst": (175, 175, 175, "self_instruct", {}, {}),
    "pools/t0_p3_sample.jsonl.zst": (8358, 8358, 8358, "prompt_completion", {}, {}),
    "raw/alpaca_shard_51009-52002.json.zst": (993, 993, 993, "alpaca", {}, {}),
    "raw/backdoor_alpaca_crlf.json.zst": (1807, 1807, 1807, "alpaca", {}, {}),
    "raw/gpteacher_toolformer_0.6.json.zst": (2396, 2396, 2396, "dolly", {}, {}),
    "raw/ni_task926_coached_conv_pref.json.zst": (1, 1, 496, "super_natural_instructions", {}, {}),
}

# file → line, part of the reason, rows read (None: not read as rows), quarantined
REFUSED = {
    "pools/instruction_wild_user1.jsonl.zst": (1, "no answers", 429, {}),
    "raw/HumanEval.jsonl.gz": (1, "no answers", 164, {}),
    "raw/TruthfulQA.csv.zst": (2, "no known format", 813, {}),
    "raw/belle_eval_set.json.zst": (1, "no answers", 1000, {}),
    "raw/flan_cot_gsm8k_u2028.tsv.zst": (2, "no known format", 299, {}),
    "raw/flan_cot_strategyqa_train.tsv.zst": (2, "no known format", 2060, {}),
    "raw/git_lfs_pointer.jsonl.gz": (1, "Git LFS pointer", None, {}),
    "raw/gpteacher_roleplay.yaml.zst": (1, "not a pool format", None, {}),
    "raw/instruction_wild_user3.jsonl.zst": (1, "no answers", 201, {"invalid_json": 3}),
    "raw/mmlu_college_physics_test.csv.zst": (2, "no known format", 101, {}),
}

# What --map and --columns make of files that no format knows: rows, examples.
MAPPED = {
    "raw/TruthfulQA.csv.zst": ("instruction=Question,response=Best Answer", None, 813),
    "raw/belle_eval_set.json.zst": ("instruction=question,response=std_answer", None, 1000),
    "raw/HumanEval.jsonl.gz": ("instruction=prompt,response=canonical_solution", None, 164),
    "raw/flan_cot_gsm8k_u2028.tsv.zst": ("instruction=q,response=why", ["q", "a", "why"], 300),
    "raw/flan_cot_strategyqa_train.tsv.zst": ("instruction=q,response=why", ["q", "a", "why"], 2061),
    "raw/mmlu_college_physics_test.csv.zst": ("instruction=q,response=answer", ["q", "A", "B", "C", "D", "answer"], 102),
}


def test_every_file_of_pools_and_raw_is_listed(shared_data: Path) -> None:
    there = {f"{folder}/{path.name}" for folder in ("pools", "raw") for path in (shared_data / folder).iterdir()}
    assert there == set(POOLS) | set(REFUSED)


@pytest.mark.parametrize("name", POOLS)
def test_a_real_pool_loads_with_an_exact_account(shared_data: Path, name: str) -> None:
    read, kept, examples, form, dropped, quarantined = POOLS[name]
    pool = Pool.read(shared_data / name)
    report = pool.report
    assert (report.read, report.kept, report.examples, report.dropped, report.quarantined) == (
        read,
        kept,
        examples,
        dropped,
        quarantined,
    )
    assert next(iter(report.formats.values())).startswith(f"{form}: ")
    assert len(pool) == len(set(pool.ids)) == examples
    assert all(isinstance(turn.content, str) for example in pool.examples(range(0, len(pool), 97)) for turn in example.messages)


@pytest.mark.parametrize("name", REFUSED)
def test_a_real_file_that_is_no_pool_is_refused_with_file_line_and_reason(shared_data: Path, name: str) -> None:
    line, reason, read, quarantined = REFUSED[name]
    with pytest.raises(PoolError) as found:
        Pool.read(shared_data / name)
    assert Path(name).name in found.value.message
    assert f"line {line}:" in found.value.message
    assert reason in found.value.message
    assert found.value.fix
    if read is None:
        assert found.value.report is None
    else:
        assert found.value.report is not None
        assert (found.value.report.read, found.value.report.kept, found.value.report.quarantined) == (read, 0, quarantined)


@pytest.mark.parametrize("name", MAPPED)
def test_a_mapping_reads_what_no_format_knows(shared_data: Path, name: str) -> None:
    mapping, columns, rows = MAPPED[name]
    report = Pool.read(shared_data / name, format=Mapped.parse(mapping), columns=columns).report
    assert (report.read, report.kept) == (rows, rows)


@pytest.mark.parametrize("folder", ["eval", "preferences", "scores"])
def test_every_other_file_is_read_or_refused_with_its_account(shared_data: Path, folder: str) -> None:
    for path in sorted((shared_data / folder).iterdir()):
        try:
            report = Pool.read(path).report
        except PoolError as error:
            assert path.name in error.message
            assert "line 1" in error.message
            assert error.report is not None
            report = error.report
            assert report.kept == 0
        assert report.read == report.kept + report.n_dropped + report.n_quarantined > 0


@pytest.mark.parametrize("name", [name for name in POOLS if name.startswith("pools/")])
def test_a_whole_real_pool_is_written_back_byte_for_byte(shared_data: Path, tmp_path: Path, name: str) -> None:
    from instructsel.pool.sources import zstd

    pool = Pool.read(shared_data / name)
    out = tmp_path / "out.jsonl"
    pool.write(out, sorted(range(len(pool)), key=lambda position: pool.locate(position)[1]))
    original = zstd.decompress((shared_data / name).read_bytes())
    if "oasst1" in name or POOLS[name][5]:
        lines = set(original.split(b"\n"))
        assert all(line in lines for line in out.read_bytes().split(b"\n"))
    else:
        assert out.read_bytes() == original if original.endswith(b"\n") else out.read_bytes() == original + b"\n"


def test_all_paths_of_the_trees_are_more_than_the_best(shared_data: Path) -> None:
    table = Pool.read(shared_data / "pools/oasst1_en_validation_messages.jsonl.zst", oasst="all-paths").report
    assert (table.kept, table.examples, table.dropped) == (1688, 941, {"after_last_answer": 291, "deleted": 40, "orphan": 3})
