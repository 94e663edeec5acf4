"""Tokenizers that fail at a text: a panic of their library is no Exception, and ends in an error of ours wherever one is called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

from instructsel import audit
from instructsel.adapters.lm_eval.grader import LmEval
from instructsel.audits.settings import AuditSettings
from instructsel.audits.subject import Subject
from instructsel.commands._console import reported
from instructsel.errors import InstructselError, ModelRefused, ModelUnavailable
from instructsel.grading.chat import ChatTemplate
from instructsel.grading.checkpoint import checkpoint_of
from instructsel.grading.generation import Generator
from instructsel.grading.graders.held_out_loss import HeldOutLoss
from instructsel.grading.judge import LocalJudgeClient
from instructsel.grading.tokenization import tokenization_of
from instructsel.pool.tokens import ChatTokens, count_tokens
from instructsel.rendering import Job, Marked, Refused, Renderer
from tests.adapters.test_task_code import write
from tests.adapters.training_job import write_pool
from tests.grading.test_generation import model
from tests.templates import FAMILIES


class Panic(BaseException):
    """As the bindings of a Rust library raise it."""


def panics(*_: Any, **__: Any) -> Any:
    raise Panic("called `Option::unwrap()` on a `None` value")


class Panicking:
    """A tokenizer of the library itself."""

    encode_batch_fast = encode = to_str = staticmethod(panics)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model(tmp_path_factory.mktemp("hostile") / "model", max_position_embeddings=2048)


@pytest.fixture
def panicking(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on transformers' tokenizers panic at any text."""
    for name in ("_encode_plus", "_decode", "decode"):
        if hasattr(PreTrainedTokenizerFast, name):
            monkeypatch.setattr(PreTrainedTokenizerFast, name, panics)
    monkeypatch.setattr(PreTrainedTokenizerFast, "__call__", panics)


CALLS: dict[str, Callable[[ChatTemplate, Path], object]] = {
    "encode": lambda template, folder: list(template.encode_all(write_pool(folder).examples())),
    "tokens": lambda template, folder: template.tokens("a"),
    "decoded": lambda template, folder: template.decoded([1]),
    "end of turn": lambda template, folder: template.end_of_turn,
    "adds bos": lambda template, folder: Subject("x", template, AuditSettings(), {}, {}, None, None).adds_bos,
    "named": lambda template, folder: Subject("x", template, AuditSettings(), {}, {}, None, None).named([1]),
    "audit": lambda template, folder: audit(write_pool(folder), tokenizer=template.tokenizer, max_length=64, show=2),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_asks_a_tokenizer_of_a_model_ends_in_an_error_of_ours(
    llama: Path, tmp_path: Path, panicking: None, call: Callable[[ChatTemplate, Path], object]
) -> None:
    template = ChatTemplate.load(llama)
    with pytest.raises(ModelRefused, match=r"The tokenizer of .* cannot be used: called"):
        call(template, tmp_path)


@pytest.mark.parametrize(
    "grade",
    [
        lambda folder, place: Generator(max_new_tokens=2, device="cpu").outputs(checkpoint_of(str(folder)), ["a"]),
        lambda folder, place: HeldOutLoss(write_pool(place), device="cpu").grade(checkpoint_of(str(folder))),
        lambda folder, place: LocalJudgeClient.load(str(folder), device="cpu", probe=False),
        lambda folder, place: LmEval("evil", "acc", include_path=write(place / "tasks"), device="cpu").grade(checkpoint_of(str(folder))),
    ],
    ids=["generation", "held-out loss", "judge", "lm-eval"],
)
def test_a_grader_whose_tokenizer_panics_ends_in_an_error_of_ours(
    llama: Path, tmp_path: Path, panicking: None, grade: Callable[[Path, Path], object]
) -> None:
    with pytest.raises(InstructselError, match=r"Option::unwrap|cannot be used"):
        grade(llama, tmp_path)


def test_a_special_token_that_cannot_be_spelled_is_an_error_of_ours(tmp_path: Path) -> None:
    class Backend(Panicking):
        encode_special_tokens = False

    class Tokenizer:
        backend_tokenizer = Backend()
        chat_template = bos_token = eos_token = ""

    with pytest.raises(ModelRefused, match="cannot be used"):
        ChatTemplate(Tokenizer(), False)._letters("</s>")
    assert Backend.encode_special_tokens is False
    with pytest.raises(ModelRefused, match="cannot be written down"):
        tokenization_of(Tokenizer(), end_of_turn=True)


def test_a_token_count_whose_tokenizer_panics_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="The tokenizer cannot be used: called"):
        count_tokens(Panicking(), ["a"])  # type: ignore[arg-type]
    with pytest.raises(ModelRefused, match="The tokenizer cannot be used: called"):
        ChatTokens("x", Panicking(), None).count(list(write_pool(tmp_path).examples()))  # type: ignore[arg-type]


def test_a_tokenizer_that_panics_when_it_is_loaded_is_an_error_of_ours(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", panics)
    with pytest.raises(ModelUnavailable, match="no tokenizer that transformers can load"):
        ChatTemplate.load(llama)
    with pytest.raises(ModelUnavailable, match="no tokenizer that transformers can load"):
        Subject.load(AuditSettings(), tokenizer=str(llama))


def test_a_panic_that_nobody_expected_ends_a_command_in_a_line() -> None:
    app = typer.Typer()
    app.command()(reported(panics_of_a_command))
    done = CliRunner().invoke(app, [])
    assert done.exit_code == 4 and "Panic: called" in done.output and "Traceback" not in done.output


def panics_of_a_command() -> None:
    """A command that panics."""
    panics()


# Marks of what a model writes


@pytest.mark.parametrize("name", FAMILIES)
def test_what_a_template_marks_is_what_transformers_sees(tmp_path: Path, name: str) -> None:
    template = ChatTemplate.load(FAMILIES[name].tokenizer(tmp_path))
    turns = [{"role": role, "content": text} for role, text in (("user", "a b"), ("assistant", "é c"), ("user", "d"), ("assistant", "e"))]
    marks = Subject(name, template, AuditSettings(), {}, {}, None, None)._marked(turns)
    tokenizer = template.tokenizer
    fixed = {"date_string": "26 Jul 2024"}
    marked = tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True, return_assistant_tokens_mask=True, **fixed)
    expected = list(zip(marked["input_ids"], map(bool, marked["assistant_masks"]), strict=True))
    assert marks == (expected if any(mark for _, mark in expected) else None)


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ("{% for i in range(10**5) %}{% for j in range(10**5) %}{% endfor %}{% endfor %}", "does not end"),
        ("{% generation %}{{ 'a' * 10**10 }}{% endgeneration %}", "more than"),
        ("{% for i in range(10**5) %}{% generation %}{{ 'a' * 10**3 }}{% endgeneration %}{% endfor %}", "more than"),
    ],
)
def test_marks_of_a_template_that_does_not_end_are_refused(monkeypatch: pytest.MonkeyPatch, body: str, refused: str) -> None:
    monkeypatch.setattr("instructsel.rendering.SECONDS", 1)
    renderer = Renderer("hostile", body, {})
    with pytest.raises(ModelRefused, match=refused):
        renderer.render_marked([Job([{"role": "user", "content": "a"}])])


def test_marks_are_places_in_the_text_whatever_is_written_around_them() -> None:
    renderer = Renderer("m", "ab{% for m in messages %}<{% generation %}{{ m.content }}{% endgeneration %}>{% endfor %}", {})
    job = Job([{"role": "user", "content": "xyz"}, {"role": "user", "content": ""}])
    assert renderer.render_marked([job]) == [Marked("ab<xyz><>", ((3, 6), (8, 8)))]
    assert isinstance(Renderer("m", "{{ 1 / 0 }}", {}).render_marked([Job([])])[0], Refused)


def test_a_template_that_raises_at_the_probe_of_its_marks_has_none(tmp_path: Path) -> None:
    folder = FAMILIES["chatml"].tokenizer(tmp_path)
    (folder / "chat_template.jinja").write_text(
        "{% if messages | length > 2 %}{{ raise_exception('no') }}{% endif %}{{ messages[0].content }}"
    )
    subject = Subject.load(AuditSettings(), tokenizer=str(folder))
    assert subject.marks is None and subject.marks_differ == ((), ())
