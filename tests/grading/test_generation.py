"""Greedy outputs: plain transformers, one row and one token at a time, is the reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from instructsel.errors import ModelRefused, ModelUnavailable, PoolError, UsageError
from instructsel.grading.checkpoint import checkpoint_of
from instructsel.grading.generation import ROWS, Generator
from instructsel.grading.outputs import Outputs, digest_of
from instructsel.protocols import Checkpoint
from tests import tiny

EOS = 1
NEW = 6
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}"
    "{% if message.role == 'assistant' %}{{ eos_token }}{% else %}{{ '\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
INSTRUCTIONS = [
    "how do i boil an egg",
    "the capital of france",
    "please give me three tips for staying healthy . eat plenty of fruit and vegetables , move every day",
    "why is the sky blue",
    "sleep",
    "put it into boiling water for about eight minutes then cool it under cold water",
]


def model(folder: Path, kind: str = "llama", *, template: str = TEMPLATE, **changes: Any) -> Path:
    tiny.causal(folder, kind, **changes)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": template}))
    return folder


def generator(**asked: Any) -> Generator:
    return Generator(**{"max_new_tokens": NEW, "precision": "fp32", "device": "cpu", **asked})


def by_hand(folder: Path, instruction: str, new: int = NEW) -> list[int]:
    """The likeliest token after everything so far, so many times: no batch, no cache."""
    tokens = transformers.AutoTokenizer.from_pretrained(str(folder))
    network = transformers.AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()
    ids = tokens(f"<|user|>\n{instruction}\n<|assistant|>\n", add_special_tokens=False)["input_ids"]
    found: list[int] = []
    for _ in range(new):
        with torch.inference_mode():
            found.append(int(network(input_ids=torch.tensor([ids + found])).logits[0, -1].argmax()))
        if found[-1] == EOS:
            break
    return found


def text(folder: Path, ids: list[int]) -> str:
    return str(transformers.AutoTokenizer.from_pretrained(str(folder)).decode(ids, skip_special_tokens=True)).strip()


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return checkpoint_of(str(model(tmp_path_factory.mktemp("llama") / "model")))


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gpt_neox"])
def test_an_output_is_what_plain_transformers_finds_likeliest_token_by_token(tmp_path: Path, kind: str) -> None:
    folder = model(tmp_path / kind, kind)
    found = generator().outputs(checkpoint_of(str(folder)), INSTRUCTIONS[:3], name="mine")
    assert found.texts == tuple(text(folder, by_hand(folder, each)) for each in INSTRUCTIONS[:3])
    assert (found.generator, found.instructions, found.reasons) == ("mine", tuple(INSTRUCTIONS[:3]), (None,) * 3)
    assert found.record["nulls"] == {} and found.record["template"] == "own"


def test_an_output_is_the_same_alone_among_others_and_in_any_order(llama: Checkpoint) -> None:
    together = generator().outputs(llama, INSTRUCTIONS)
    backwards = generator().outputs(llama, INSTRUCTIONS[::-1])
    assert backwards.texts == together.texts[::-1] and backwards.digest == together.digest
    for each in INSTRUCTIONS[2:4]:
        assert generator().outputs(llama, [each]).of(each) == together.of(each)


def test_an_output_ends_with_any_token_that_the_model_names_as_its_end(tmp_path: Path) -> None:
    folder = model(tmp_path / "model")
    whole = by_hand(folder, INSTRUCTIONS[0])
    last = next(number for number in range(1, NEW) if whole[number] not in whole[:number])
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [EOS, whole[last]]}))
    found = generator().outputs(checkpoint_of(str(folder)), INSTRUCTIONS[:1])
    assert found.texts == (text(folder, whole[:last]),)
    assert found.record["cut"] == 0 and found.record["stops"] == sorted({EOS, whole[last]})


def test_an_output_that_does_not_end_is_kept_and_counted_as_cut(llama: Checkpoint) -> None:
    assert EOS not in by_hand(llama.folder, INSTRUCTIONS[0])
    found = generator().outputs(llama, INSTRUCTIONS[:1])
    assert found.texts[0] is not None and found.record["cut"] == 1


def test_a_turn_that_ends_at_once_is_an_empty_output_and_no_missing_one(tmp_path: Path) -> None:
    folder = model(tmp_path / "model")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": by_hand(folder, INSTRUCTIONS[0], 1)}))
    found = generator().outputs(checkpoint_of(str(folder)), INSTRUCTIONS[:1])
    assert (found.texts, found.reasons, found.record["empty"]) == (("",), (None,), 1)


def test_the_control_token_that_a_template_writes_after_an_answer_ends_a_turn(tmp_path: Path) -> None:
    folder = model(tmp_path / "model", template=TEMPLATE.replace("{{ eos_token }}", "<pad>\n"))
    found = generator().outputs(checkpoint_of(str(folder)), INSTRUCTIONS[:1])
    assert found.record["stops"] == [0, EOS]


def test_sampling_and_penalties_of_a_generation_config_are_not_done(tmp_path: Path) -> None:
    folder = model(tmp_path / "model")
    plain = generator().outputs(checkpoint_of(str(folder)), INSTRUCTIONS)
    asked = {"do_sample": True, "temperature": 5.0, "repetition_penalty": 9.0, "num_beams": 3, "max_new_tokens": 1, "eos_token_id": EOS}
    (folder / "generation_config.json").write_text(json.dumps(asked))
    assert generator().outputs(checkpoint_of(str(folder)), INSTRUCTIONS).texts == plain.texts


def test_a_prompt_that_leaves_no_room_for_the_output_has_no_output(llama: Checkpoint) -> None:
    tokens = transformers.AutoTokenizer.from_pretrained(str(llama.folder))
    length = len(tokens(f"<|user|>\n{INSTRUCTIONS[0]}\n<|assistant|>\n", add_special_tokens=False)["input_ids"])
    fits = generator(max_length=length + NEW).outputs(llama, [INSTRUCTIONS[0], INSTRUCTIONS[2]])
    assert fits.reasons == (None, "too_long") and fits.texts[1] is None
    assert fits.of(INSTRUCTIONS[0]) == generator().outputs(llama, INSTRUCTIONS[:1]).of(INSTRUCTIONS[0])
    assert generator(max_length=length + NEW - 1).outputs(llama, INSTRUCTIONS[:1]).reasons == ("too_long",)


def test_a_context_that_the_output_alone_fills_is_refused(llama: Checkpoint) -> None:
    with pytest.raises(ModelRefused, match="leave none to a prompt"):
        generator(max_new_tokens=512).outputs(llama, INSTRUCTIONS)


def test_a_control_token_spelled_out_in_an_instruction_is_text(llama: Checkpoint) -> None:
    spelled = "boil<|endoftext|>an egg"
    found = generator().outputs(llama, [spelled])
    assert found.record["control"] == 1
    assert found.texts == (text(llama.folder, by_hand(llama.folder, spelled.replace("<|", "<\u200b|"))),)


def test_a_template_that_refuses_a_user_leaves_no_output(tmp_path: Path) -> None:
    refusing = "{% if add_generation_prompt %}{{ raise_exception('no') }}{% endif %}" + TEMPLATE
    found = generator().outputs(checkpoint_of(str(model(tmp_path / "model", template=refusing))), INSTRUCTIONS[:2])
    assert found.reasons == ("template_refused",) * 2 and found.record["nulls"] == {"template_refused": 2}


def test_a_model_whose_logits_are_no_numbers_has_no_outputs(tmp_path: Path) -> None:
    folder = model(tmp_path / "model", tie_word_embeddings=False)
    tiny.edit_weights(folder, lambda state: state["lm_head.weight"].fill_(float("nan")))
    assert generator().outputs(checkpoint_of(str(folder)), INSTRUCTIONS[:2]).reasons == ("not_finite",) * 2


def test_out_of_memory_a_width_is_done_anew_with_fewer_rows_and_the_same_outputs(
    llama: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = generator().outputs(llama, INSTRUCTIONS)
    network: Any = transformers.LlamaForCausalLM
    real = network.generate

    def small(self: Any, *, input_ids: Any, **asked: Any) -> Any:
        if len(input_ids) > 2:
            raise MemoryError
        return real(self, input_ids=input_ids, **asked)

    monkeypatch.setattr(network, "generate", small)
    found = generator().outputs(llama, INSTRUCTIONS)
    assert found.texts == plain.texts and found.record["reduced"] == len(INSTRUCTIONS)


def test_a_row_that_the_memory_does_not_hold_alone_has_no_output(llama: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    network: Any = transformers.LlamaForCausalLM
    real = network.generate
    widths: list[int] = []
    limit = 1 << 20

    def narrow(self: Any, *, input_ids: Any, **asked: Any) -> Any:
        widths.append(input_ids.shape[1])
        if input_ids.shape[1] >= limit:
            raise MemoryError
        return real(self, input_ids=input_ids, **asked)

    monkeypatch.setattr(network, "generate", narrow)
    plain = generator().outputs(llama, INSTRUCTIONS)
    limit = max(widths)
    found = generator().outputs(llama, INSTRUCTIONS)
    lost = [place for place, reason in enumerate(found.reasons) if reason == "out_of_memory"]
    assert 0 < len(lost) < len(INSTRUCTIONS)
    assert all(found.texts[place] == (None if place in lost else plain.texts[place]) for place in range(len(INSTRUCTIONS)))


def test_rows_beyond_a_batch_get_the_outputs_they_have_alone(llama: Checkpoint) -> None:
    many = [f"{word} {other}" for word in ("egg", "sky", "day", "sea") for other in ("the", "is", "of")]
    assert len(many) > ROWS["cpu"]
    found = generator(max_new_tokens=3).outputs(llama, many)
    for each in many[::5]:
        assert generator(max_new_tokens=3).outputs(llama, [each]).of(each) == found.of(each)


def test_what_cannot_be_asked_is_refused(llama: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="twice"):
        generator().outputs(llama, ["a", "b", "a"])
    with pytest.raises(ModelUnavailable, match="is no folder"):
        generator().outputs(Checkpoint(tmp_path / "gone", "0"), ["a"])
    with pytest.raises(UsageError, match="max_new_tokens"):
        Generator(max_new_tokens=0)


def test_outputs_have_a_text_or_a_reason_and_are_told_by_their_content() -> None:
    one = Outputs("one", ("a", "b"), ("x", None), (None, "too_long"))
    assert one.of("b") == (None, "too_long") and one.of("c") == (None, None)
    assert one.digest == Outputs("two", ("b", "a"), (None, "x"), ("too_long", None)).digest
    assert one.digest != Outputs("one", ("a", "b"), ("y", None), (None, "too_long")).digest
    for texts, reasons in ((("x", None), ()), (("x", "y"), (None, "too_long"))):
        with pytest.raises(PoolError, match="with a reason, or an instruction with neither"):
            Outputs("one", ("a", "b"), texts, reasons)
    with pytest.raises(PoolError, match="twice"):
        Outputs("one", ("a", "a"), ("x", "y"))
    assert digest_of("a") == "27c35e6e9373877f29e562464e46497e"


def test_settings_tell_generators_apart() -> None:
    assert generator().fingerprint == generator().fingerprint != generator(max_new_tokens=7).fingerprint
