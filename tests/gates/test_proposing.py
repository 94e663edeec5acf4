"""Configurations proposed from a pool: real pools pass their own, and one random half passes the other's."""

from __future__ import annotations

import random
from pathlib import Path

from instructsel.gates.baseline.baseline import Baseline
from instructsel.gates.change import Change
from instructsel.gates.config import GateConfig
from instructsel.gates.gate import gate
from instructsel.gates.proposing import Proposal, _up, propose
from instructsel.gates.reading import reading_of
from instructsel.pool.pool import Pool
from instructsel.pool.spec import Reading
from instructsel.toml import dumps

POOLS = ("alpaca_gpt4_en_demo", "glaive_toolcall_en_demo")


def configured(proposal: Proposal, place: Path) -> GateConfig:
    path = place / "gate.toml"
    path.write_text(proposal.text(), encoding="utf-8")
    return GateConfig.read(path)


def test_real_pools_pass_the_configurations_that_are_proposed_of_them(shared_data: Path, tmp_path: Path) -> None:
    for path in (shared_data / "pools" / f"{name}.jsonl.zst" for name in POOLS):
        pool = Pool.read(path)
        config = configured(propose(pool), tmp_path)
        verdict = gate(Change(pool), config)
        assert [result.label for result in verdict.results if result.state != "passed"] == [], path.name
        assert verdict.exit_code() == 0


def test_a_random_half_of_a_real_pool_passes_the_drift_and_the_quotas_of_the_other(shared_data: Path, tmp_path: Path) -> None:
    pool = Pool.read(shared_data / "pools" / "code_alpaca_2k.jsonl.zst")
    failed = 0
    for seed in range(8):
        drawn = set(random.Random(seed).sample(range(len(pool)), len(pool) // 2))
        baseline = Baseline.create(pool.at(sorted(drawn)))
        half = Change(pool.at([position for position in range(len(pool)) if position not in drawn]), baseline=baseline)
        proposal = propose(pool.at(sorted(drawn)[:1]), baseline=baseline, path="pool.baseline")
        compared = tuple(check for check in proposal.checks if check.settings["kind"] in ("drift", "quota"))
        assert len(compared) >= 4
        config = configured(Proposal(compared, (), {}, None), tmp_path)
        failed += any(result.state == "failed" for result in gate(half, config).results)
    assert failed == 0


def test_every_limit_has_a_reason_with_the_figure_that_it_comes_from() -> None:
    pool = Pool.of([{"instruction": f"Question {n}?", "output": "" if n < 3 else f"word{n} " * (1 + n % 7)} for n in range(300)])
    proposal = propose(pool)
    entry = next(check for check in proposal.checks if check.settings["kind"] == "empty-response")
    assert entry.settings["max_rate"] == 0.029
    assert entry.reason.startswith("3 of the pool's 300 rows have it (1.000%; 95 % interval 0.341% to 2.898%)")
    none = next(check for check in proposal.checks if check.settings["kind"] == "unreadable-row")
    assert none.settings["max_rows"] == 0
    assert "# None of the pool's 300 rows has it" in proposal.text()


def test_the_configuration_reads_rows_as_the_pool_was_read(tmp_path: Path) -> None:
    path = tmp_path / "pool.jsonl"
    path.write_text(
        "".join(f'{{"q": "Name lake {number}.", "a": "Lake number {number} is the one.", "src": "x"}}\n' for number in range(3))
    )
    reading = Reading(mapping="instruction=q,response=a", source_field="src", roles=("robot=assistant",))
    proposal = propose(reading.read([str(path)]))
    assert reading_of(GateConfig.of({"data": dict(proposal.data)}, tmp_path, where="gate.toml")) == reading


def test_limits_are_rounded_up_to_two_digits() -> None:
    assert [_up(value) for value in (0.0, 0.01231, 0.012, 0.999, 1.0, 0.0995)] == [0.0, 0.013, 0.012, 1.0, 1.0, 0.1]
    assert dumps({"max_rate": _up(0.000123456)}).strip() == "max_rate = 0.00013"
