"""What a trainer makes of a row: the checks that need a tokenizer, over one audit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from instructsel.audits import run as audit_run
from instructsel.errors import UsageError
from instructsel.gates.audited import AuditCheck
from instructsel.gates.change import Change
from instructsel.gates.checks.audit import OTHERS, AuditFindings, kinds
from instructsel.gates.checks.no_loss_token import NoLossToken
from instructsel.gates.checks.template_prefix import TemplatePrefix
from instructsel.gates.checks.truncated import Truncated
from instructsel.gates.config import GateConfig
from instructsel.gates.gate import gate
from instructsel.pool.pool import Pool
from tests.gates.checks.hits_of import chat, hits_of, turns
from tests.templates import CHATML, FAMILIES

CHECKS: tuple[type[AuditCheck], ...] = (TemplatePrefix, Truncated, NoLossToken, AuditFindings)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(FAMILIES["chatml"].tokenizer(tmp_path_factory.mktemp("tokenizers") / "chatml"))


def tokens_of(row: dict[str, Any], tokenizer: str) -> int:
    change = Change(Pool.of([row]))
    return int(Truncated(tokenizer=tokenizer).audited(change).audit.totals.longest)


def asking(folder: Path, **settings: Any) -> dict[str, Any]:
    """A configuration that asks for the audit alone."""
    return {"check": [{"kind": "audit", "tokenizer": str(folder), **settings}]}


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_without_a_tokenizer_says_which_setting_lets_it_run(check: type[AuditCheck]) -> None:
    (result,) = gate(Pool.of([chat("a")]), GateConfig.of({"check": [{"kind": check.kind}]}, Path(), where="x")).results
    assert result.state == "skipped" and 'tokenizer = "' in result.statement


def test_a_tokenizer_and_a_base_are_one_too_many() -> None:
    with pytest.raises(UsageError, match="both"):
        Truncated(tokenizer="a", base="b")


def test_a_row_is_truncated_from_the_first_token_too_many(tokenizer: str) -> None:
    row = chat("It is a long answer with some words in it.")
    tokens = tokens_of(row, tokenizer)
    assert not hits_of(Truncated(tokenizer=tokenizer, max_length=tokens), [row])
    ((_, hit),) = hits_of(Truncated(tokenizer=tokenizer, max_length=tokens - 1), [row])
    assert hit.value == tokens and f"{tokens - 1:,} are seen" in hit.message


def test_a_share_of_truncated_rows_may_be() -> None:
    assert Truncated().max_rate == 0.05


def test_a_row_whose_prompt_fills_the_length_has_no_loss_token(tokenizer: str) -> None:
    short, long = chat("a", "why"), chat("a", "why " * 200)
    check = NoLossToken(tokenizer=tokenizer, max_length=64)
    ((line, hit),) = hits_of(check, [short, long])
    assert line == 1 and "the prompt fills the 64 tokens" in hit.message
    assert not hits_of(NoLossToken(tokenizer=tokenizer, max_length=4096), [short, long])


def test_a_template_that_writes_a_prompt_in_two_ways_is_named(tmp_path: Path, tokenizer: str) -> None:
    family = replace(FAMILIES["chatml"], template="{{ 'open' if add_generation_prompt else 'closed' }}" + CHATML)
    two_ways = str(family.tokenizer(tmp_path / "two"))
    assert [line for line, _ in hits_of(TemplatePrefix(tokenizer=two_ways), [chat("a")])] == [0]
    assert not hits_of(TemplatePrefix(tokenizer=tokenizer), [chat("a")])


def test_other_errors_and_warnings_of_the_audit_are_findings_with_their_own_fix(tokenizer: str) -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}
    rows = [chat("a"), turns(("user", "u"), call, ("tool", "t"), ("assistant", "a"))]
    by_key = {hit.key: (line, hit) for line, hit in hits_of(AuditFindings(tokenizer=tokenizer), rows)}
    line, hit = by_key["calls-dropped"]
    assert line == 1 and not hit.is_mild and hit.fix.startswith("Use a model whose chat template writes calls")
    assert not OTHERS & by_key.keys()


def test_a_finding_of_the_tokenizer_is_of_no_row_and_a_warning_fails_nothing(tmp_path: Path) -> None:
    folder = FAMILIES["chatml"].tokenizer(tmp_path / "padded")
    settings = folder / "tokenizer_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "pad_token": "<|im_end|>", "eos_token": "<|im_end|>"}))
    (result,) = gate(Pool.of([chat("a")]), GateConfig.of(asking(folder), Path(), where="x")).results
    (finding,) = result.findings
    assert finding.message.startswith("pad-is-end-of-turn, 1 tokenizer: ") and (finding.row, finding.place) == (None, None)
    assert finding.severity == "warning" and result.state == "passed"
    assert gate(Pool.of([chat("a")]), GateConfig.of(asking(folder, counts="warnings"), Path(), where="x")).results[0].state == "failed"


def test_kinds_that_have_a_check_of_their_own_are_kinds_of_the_audit() -> None:
    from instructsel.audits.checks.registry import kinds as all_kinds

    assert set(all_kinds()) >= OTHERS and not OTHERS & set(kinds())


def test_four_checks_make_one_audit(tokenizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    audits: list[int] = []
    original = audit_run.audit_with
    monkeypatch.setattr(audit_run, "audit_with", lambda *args: (audits.append(1), original(*args))[1])
    config = GateConfig.of({"defaults": {"tokenizer": tokenizer}, "check": [{"kind": check.kind} for check in CHECKS]}, Path(), where="x")
    verdict = gate(Pool.of([chat("a")]), config)
    assert {result.state for result in verdict.results} <= {"passed", "failed"} and len(audits) == 1
