"""An adapter folder as the base of an audit: what is audited is the model that it would be merged into."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import peft
import pytest
import transformers

from instructsel import Pool, audit
from instructsel.errors import InstructselError
from instructsel.models.load import locate
from tests.audits.real_pools import write_rows
from tests.templates import FAMILIES

ROWS = [{"instruction": f"how do i boil {number} eggs", "output": "put them into boiling water " * number} for number in range(1, 12)]


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return Pool.read(write_rows(tmp_path / "pool.jsonl", ROWS))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return FAMILIES["chatml"].base(tmp_path / "base")


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    network = transformers.AutoModelForCausalLM.from_pretrained(str(base))
    settings = peft.LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    peft.get_peft_model(network, settings).save_pretrained(str(tmp_path / "adapter"))
    return tmp_path / "adapter"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INSTRUCTSEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_an_adapter_is_audited_as_the_merged_model_is_and_is_not_merged_for_it(adapter: Path, base: Path, pool: Pool, cache: Path) -> None:
    result = audit(pool, base=str(adapter), max_length=64, packing="bfd")
    assert not cache.exists() or not any(cache.rglob("*.safetensors"))
    for other in (base, locate(str(adapter), needed_by="the test").folder):
        expected = audit(pool, base=str(other), max_length=64, packing="bfd")
        assert result.frame.equals(expected.frame)
        assert (result.findings, result.totals) == (expected.findings, expected.totals)
    assert result.base == "adapter" and result.totals.parameters


def test_an_adapter_s_own_template_is_the_one_that_is_rendered(adapter: Path, base: Path, pool: Pool) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(base / name, adapter / name)
    settings = json.loads((adapter / "tokenizer_config.json").read_text())
    settings["chat_template"] = settings["chat_template"].replace("{{ message.content }}", "{{ message.content | upper }}")
    (adapter / "tokenizer_config.json").write_text(json.dumps(settings))
    for models in ({"base": str(adapter)}, {"tokenizer": str(adapter)}):
        assert "response-changed" in {finding.kind for finding in audit(pool, max_length=4096, **models).findings}
    assert "response-changed" not in {finding.kind for finding in audit(pool, base=str(base), max_length=4096).findings}


def test_an_adapter_without_its_base_is_refused_with_what_to_write(adapter: Path, pool: Pool) -> None:
    settings = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**settings, "base_model_name_or_path": str(adapter.parent / "gone")}))
    with pytest.raises(InstructselError, match="which is not here") as raised:
        audit(pool, base=str(adapter))
    assert "base_model_name_or_path" in str(raised.value.fix)
