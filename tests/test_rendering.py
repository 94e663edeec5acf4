"""Rendering: transformers' text, on a date that stands still, and within limits whatever a template does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from instructsel import rendering
from instructsel.errors import InstructselError, ModelRefused, UsageError
from instructsel.grading.chat import ChatTemplate
from instructsel.rendering import Job, Refused, Renderer
from tests.templates import FAMILIES

TURNS = [{"role": "user", "content": " a é \ud800"}, {"role": "assistant", "content": "<think>\nx\n</think>\n\nb"}]


def rendered(template: str) -> str | Refused:
    return Renderer("hostile", template, {}).render([Job(TURNS)])[0]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_conversation_is_rendered_as_transformers_renders_it(tmp_path: Path, name: str) -> None:
    template = ChatTemplate.load(FAMILIES[name].tokenizer(tmp_path))
    template = ChatTemplate.of(template.tokenizer, date="2024-07-26")
    tokenizer: Any = template.tokenizer
    fixed = {"date_string": "26 Jul 2024"}
    for turns, generation in ((TURNS, False), (TURNS[:1], True), ([*TURNS, *TURNS], False)):
        expected = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=generation, **fixed)
        assert template.renderer.render([Job(turns, generation)]) == [expected]


@pytest.mark.parametrize("name", FAMILIES)
def test_whether_a_template_writes_the_date_is_seen_by_rendering_on_two(tmp_path: Path, name: str) -> None:
    template = ChatTemplate.load(FAMILIES[name].tokenizer(tmp_path))
    assert template.renderer.uses_date == FAMILIES[name].dated
    assert template.dated == ({"template_date": "2024-07-26"} if FAMILIES[name].dated else {})


def test_the_date_is_the_one_that_was_asked_for_and_a_date() -> None:
    template = "{{ strftime_now('%Y-%m-%d %H:%M') }}"
    assert Renderer("m", template, {}, "2031-05-06").render([Job(TURNS)]) == ["2031-05-06 00:00"]
    for wrong in ("today", "20240726", "2024-13-01"):
        with pytest.raises(UsageError, match="YYYY-MM-DD"):
            Renderer("m", template, {}, wrong)


@pytest.mark.parametrize(
    "template",
    [
        "{{ 'a' * 10**10 }}",
        "{{ messages[0].content * 10**10 }}",
        "{{ 'a' | center(10**10) }}",
        "{{ '%10000000000d' | format(1) }}",
        "{% set ns = namespace(x='a') %}{% for i in range(100) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
        "{{ 'a' * 2**21 }}",
    ],
)
def test_a_template_that_fills_the_memory_or_writes_without_end_is_refused(template: str) -> None:
    with pytest.raises(ModelRefused, match="The chat template of hostile"):
        rendered(template)
    # The next one is rendered.
    assert rendered("x") == "x"


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(10**5) %}{% for j in range(10**5) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(x=3) %}{% for i in range(60) %}{% set ns.x = ns.x * ns.x %}{% endfor %}{{ ns.x }}",
    ],
)
def test_a_template_that_does_not_end_is_refused(monkeypatch: pytest.MonkeyPatch, template: str) -> None:
    monkeypatch.setattr(rendering, "SECONDS", 1)
    with pytest.raises(ModelRefused, match="does not end"):
        rendered(template)


@pytest.mark.parametrize(
    ("template", "cause"),
    [
        ("{% for i in range(10**9) %}a{% endfor %}", "OverflowError"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ a.b.c }}", "UndefinedError"),
        ("{{ raise_exception('no such role') }}", "no such role"),
        ("{{ raise_exception(1) }}", "1"),
        ("{% for %}", "TemplateSyntaxError"),
        ("{% include 'x' %}", "TypeError"),
        ("{{ ''.__class__.__mro__ }}", "SecurityError"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "RecursionError"),
    ],
)
def test_a_template_that_raises_is_one_that_refuses_and_says_why(template: str, cause: str) -> None:
    found = rendered(template)
    assert isinstance(found, Refused) and found.cause.startswith(cause)


def test_what_a_template_draws_at_random_is_the_same_each_time() -> None:
    template = "{% for i in range(20) %}{{ [1, 2, 3] | random }}{% endfor %}"
    assert rendered(template) == rendered(template)


def test_an_endless_template_of_a_model_is_an_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "SECONDS", 1)
    family = FAMILIES["chatml"]
    folder = family.tokenizer(tmp_path)
    (folder / "chat_template.jinja").write_text("{% for i in range(10**5) %}{% for j in range(10**5) %}{% endfor %}{% endfor %}")
    with pytest.raises(InstructselError) as caught:
        _ = ChatTemplate.load(folder).end_of_turn
    assert caught.value.exit_code == 4
