"""Templates of tasks of a folder: the harness's text, within limits of time, memory and size."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

import pytest

from instructsel import rendering
from instructsel.adapters.lm_eval.grader import LmEval
from instructsel.errors import UsageError
from instructsel.grading.checkpoint import checkpoint_of
from instructsel.rendering import TaskPattern, TaskTemplate
from tests import tiny
from tests.adapters.test_task_code import grade, write

ROW: dict[str, Any] = {
    "question": " why é \ud800\n",
    "choices": ["a", "b'c"],
    "gold": 1,
    "share": 0.1,
    "true": True,
    "none": None,
    "pair": (1, "x"),
    "nested": {"self": {"items": [1, 2]}, "key": float("inf")},
    "self": "me",
    "big": 2**80,
    "when": datetime.date(2024, 7, 26),
}
ENDLESS = {
    "a loop": "{% for i in range(10**5) %}{% for j in range(10**5) %}{% endfor %}{% endfor %}",
    "a number": "{% set ns = namespace(x=3) %}{% for i in range(60) %}{% set ns.x = ns.x * ns.x %}{% endfor %}{{ ns.x }}",
    "a pattern": "{{ ('a' * 40) | regex_replace('(a+)+b', '') }}",
}
HUGE = {
    "a product": "{{ 'a' * 10**10 }}",
    "text": "{{ 'a' * 2**22 }}",
    "doubling": "{% set ns = namespace(x='a') %}{% for i in range(100) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
    "a format": "{{ '%10000000000d' | format(1) }}",
}


@pytest.mark.parametrize(
    "template",
    [
        "plain\n",
        "{{question}}{{choices}}\n\n",
        "{{question.strip()}} {{ choices | join(', ') }} {{choices[gold]}} {{pair}} {{pair[1]}}",
        "{{share}} {{true}} {{none}} {{nested}} {{nested['self']['items']}} {{big}} {{self}}",
        "{% for choice in choices %}\n  {{ loop.index }}. {{ choice }}\n{% endfor %}",
        "{{ question | regex_replace('w(h)', '\\\\1') }} {{ question | trim | upper }}",
        "{% if true and not none %}x{% else %}y{% endif %} {{ choices | tojson }}",
        "{% set found = [] %}{% for c in choices %}{% set _ = found.append(c * 2) %}{% endfor %}{{ found }}",
        "{{ question if question is defined else 'no' }}{{ absent is defined }}",
    ],
)
def test_a_row_is_rendered_as_the_harness_renders_it(template: str) -> None:
    utilities = pytest.importorskip("lm_eval.utils")
    expected = utilities.env.from_string(template).render(ROW)
    assert TaskTemplate(template).render(**ROW) == expected


@pytest.mark.parametrize(
    ("template", "cause"),
    [
        ("{{ absent }}", "'absent' is undefined"),
        ("{{ when }}", "it reads a value of the type date"),
        ("{{ when.year }}", "it reads a value of the type date"),
        ("{% for %}", "TemplateSyntaxError"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{% include 'x' %}", "refuses a row"),
        ("{{ question.__class__.__mro__ }}", "SecurityError"),
        ("{{ question | no_such_filter }}", "TemplateAssertionError"),
        ("{{ question | regex_replace('(', '') }}", "refuses a row"),
    ],
)
def test_a_template_that_raises_refuses_the_row_and_says_why(template: str, cause: str) -> None:
    with pytest.raises(UsageError) as refused:
        TaskTemplate(template).render(**ROW)
    assert cause in refused.value.message


def test_a_row_that_is_nested_without_end_is_refused() -> None:
    row: list[Any] = []
    for _ in range(100_000):
        row = [row]
    with pytest.raises(UsageError, match="nested too deeply"):
        TaskTemplate("x").render(row=row)


@pytest.mark.parametrize("template", ENDLESS.values(), ids=ENDLESS)
def test_a_template_that_does_not_end_is_refused(monkeypatch: pytest.MonkeyPatch, template: str) -> None:
    monkeypatch.setattr(rendering, "SECONDS", 1)
    with pytest.raises(UsageError, match="of a task does not end"):
        TaskTemplate(template).render(**ROW)
    assert TaskTemplate("{{gold}}").render(**ROW) == "1"


@pytest.mark.parametrize("template", HUGE.values(), ids=HUGE)
def test_a_template_that_fills_the_memory_or_writes_without_end_is_refused(template: str) -> None:
    with pytest.raises(UsageError, match=r"of a task (writes|takes) more than"):
        TaskTemplate(template).render(**ROW)
    assert TaskTemplate("{{gold}}").render(**ROW) == "1"


@pytest.mark.parametrize("key", ["doc_to_text", "gen_prefix"])
def test_no_template_of_a_folder_s_task_holds_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setattr(rendering, "SECONDS", 1)
    with pytest.raises(UsageError, match="does not end"):
        grade(write(tmp_path / "tasks", **{key: ENDLESS["a loop"]}), tmp_path)


def test_a_task_is_graded_alike_within_limits_and_without(tmp_path: Path) -> None:
    folder = write(tmp_path / "tasks", doc_to_text="{{query | trim | regex_replace('sky', 'sea')}}\n", doc_to_choice="{{choices}}")
    limited, free = (grade(folder, tmp_path / str(code), allow_task_code=code) for code in (False, True))
    assert limited.values.tolist() == free.values.tolist() and limited.items == free.items


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"#### (\-?[0-9\.\,]+)", "so #### 1,234.5 and #### -2"),
        (r"\('([^']*)', '([^']*)'\)", "('a', 'b') ('c<&>', '\ud800')"),
        ("(?i)A|b", "aBc"),
        ("", "ab"),
        ("x", "y"),
    ],
)
def test_a_pattern_gives_what_re_gives(pattern: str, text: str) -> None:
    assert TaskPattern(pattern).findall(text) == re.findall(pattern, text)
    assert TaskPattern(pattern).sub("-", text) == re.sub(pattern, "-", text)
    assert TaskPattern("A", re.IGNORECASE).findall("aA") == ["a", "A"]


def test_a_pattern_that_does_not_end_is_refused_where_a_task_filters_and_where_it_compares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "SECONDS", 1)
    endless = "(a+)+$"
    filters: dict[str, Any] = {
        "filter_list": [{"name": "f", "filter": [{"function": "regex", "regex_pattern": endless}, {"function": "take_first"}]}]
    }
    task: dict[str, Any] = {"output_type": "generate_until", "doc_to_target": "blue", "doc_to_choice": None}
    folder = write(tmp_path / "tasks", metric_list=[{"metric": "exact_match"}], **task, **filters)
    monkeypatch.setattr("lm_eval.models.huggingface.HFLM.generate_until", lambda self, requests, **_: ["a" * 40 + "b"] * len(requests))
    grader = LmEval("evil", "exact_match", include_path=folder, device="cpu", precision="fp32")
    with pytest.raises(UsageError, match=r"pattern .* of a task does not end"):
        grader.grade(checkpoint_of(str(tiny.causal(tmp_path / "model"))))
    compares = [{"metric": "exact_match", "regexes_to_ignore": [endless]}]
    write(folder, metric_list=compares, **task)
    grader = LmEval("evil", "exact_match", include_path=folder, device="cpu", precision="fp32")
    with pytest.raises(UsageError, match=r"pattern .* of a task does not end"):
        grader.grade(checkpoint_of(str(tmp_path / "model")))
