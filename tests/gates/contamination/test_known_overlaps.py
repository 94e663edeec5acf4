"""What real files are known to share is found: prompts of an evaluation set inside a pool, and a pool that is another one."""

from __future__ import annotations

from pathlib import Path

from instructsel import Pool
from instructsel.gates.config import GateConfig
from instructsel.gates.gate import gate
from instructsel.gates.verdict import Verdict


def verdict(kind: str, *files: Path, **settings: object) -> Verdict:
    """Of one check."""
    return gate(Pool.read(*files), GateConfig.of({"check": [{"kind": kind, **settings}]}, ".", where="a test"))


def test_the_188_prompts_of_alpaca_eval_in_oasst_are_found(shared_data: Path) -> None:
    evaluation = str(shared_data / "eval/alpaca_eval_805.jsonl.zst")
    rows = verdict("contamination", shared_data / "pools/oasst1_en_validation_messages.jsonl.zst", sets=[evaluation])
    assert len({finding.row for finding in rows.findings}) == 188


def test_a_pool_that_is_another_one_is_found_row_by_row(shared_data: Path) -> None:
    files = [shared_data / f"pools/{name}.jsonl.zst" for name in ("code_alpaca_new", "gpteacher_codegen")]
    findings = verdict("exact-duplicate", *files).findings
    places = {place for finding in findings for place in (finding.place, finding.related) if place and "gpteacher" in place.file}
    assert len(places) == 4535
