"""Renderers: the page, the Markdown and the JSON say the same; nothing on a page runs, loads or breaks out of its place."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest

from instructsel.errors import EnvironmentFault, UsageError
from instructsel.reports import charts
from instructsel.reports.parts import Chart, Column, Table
from instructsel.reports.render import LIMIT, Report, draw, report, shown
from instructsel.rules.catalog import load as load_rule
from instructsel.rules.catalog import names as preset_names
from instructsel.scores.table import ScoreTable
from instructsel.text import neutral
from tests.reports.pages import BIAS, RULE, SKILLS, Page, everything, scores, selection, size_curve, verdict, verification
from tests.reports.test_charts import contrast

SVG = "{http://www.w3.org/2000/svg}"

PAYLOADS = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "</SCRIPT ><img src=x onerror=alert(3)>",
    "</style><script>alert(4)</script>",
    "</title><svg onload=alert(5)>",
    "<!--<script>alert(6)//",
    "--><img src=https://evil.example/a.png>",
    "]]><script>alert(7)</script>",
    "<svg><animate onbegin=alert(8) attributeName=x dur=1s>",
    "<svg><script href='data:,alert(9)'/></svg>",
    "<svg><foreignObject><iframe srcdoc='<script>alert(10)</script>'>",
    "<img src=x onerror=alert(11)>",
    "\" onmouseover=\"alert(12)",
    "' autofocus onfocus='alert(13)",
    "<a href=javascript:alert(14)>x</a>",
    "javascript:alert(15)",
    "<iframe src=//evil.example>",
    "<object data=//evil.example></object>",
    "<embed src=//evil.example>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<base href=//evil.example/>",
    "<form action=//evil.example><button>x",
    "<style>@import '//evil.example/x.css';</style>",
    "<style>body{background:url(//evil.example/b.png)}</style>",
    "<div style='position:fixed;inset:0;background:url(//evil.example)'>",
    "<video src=//evil.example autoplay>",
    "<audio src=//evil.example onloadstart=alert(16)>",
    "<details open ontoggle=alert(17)>",
    "<template><script>alert(18)</script></template>",
    "<math><mi xlink:href='data:x,<script>alert(19)</script>'>",
    "<table></table></div></main></body></html><h1>out",
    "</td></tr></table><h1>out",
    "</bdi></td><td>x",
    "</figcaption></figure>",
    "</text></svg><script>alert(20)</script>",
    "{{ 7*7 }}",
    "{% for x in ().__class__.__base__.__subclasses__() %}{{x}}{% endfor %}",
    "${7*7}",
    "<%= 7*7 %>",
    "#{7*7}",
    "{{config.__class__.__init__.__globals__}}",
    "&lt;script&gt;alert(21)&lt;/script&gt;",
    "&#60;script&#62;",
    "&amp;amp;",
    "&nbsp;&copy;&notanentity;",
    "%3Cscript%3E",
    "\\u003cscript\\u003e",
    "\\\"}];alert(22);//",
    "\u2028alert(23)\u2029",
    "a\u202egnp.exe",
    "\u202d\u202e\u2066\u2067\u2068\u2069",
    "\u200f\u061cשלום",
    "مرحبا بالعالم",
    "a\u200bb\u200dc\ufeffd",
    "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x1b[2J\x1b[1;1H\x1b[31mred",
    "\x9b31mred",
    "\x1bP$q\x1b\\",
    "\x00\x01\x02\x03",
    "a\x00b",
    "\x7f\x80\x9f",
    "\rcarriage",
    "line\nfeed",
    "tab\tstop",
    "\ud800",
    "a\udfffb\ud83d",
    "\ufffe\uffff",
    "\U000e0041\U000e0042",
    "=HYPERLINK(\"https://evil.example\",\"x\")",
    "+1+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "::error file=a,line=1::x",
    "::set-output name=a::b",
    "| a | b |\n| --- | --- |",
    "||spoiler||",
    "`code` ``more`` ```fence",
    "~~~\nfence",
    "# heading",
    "1. item",
    "- item",
    "> quote",
    "---",
    "***bold*** __bold__ _x_",
    "![image](https://evil.example/a.png)",
    "[link](javascript:alert(24))",
    "[ref]: https://evil.example",
    "<https://evil.example>",
    "https://evil.example www.evil.example",
    "@someone #123 $a$ :tada:",
    "<details><summary>x</summary>",
    "a" * 100_000,
    "<" * 10_000,
    "&" * 10_000,
    "\u202e" * 1_000,
    "' OR 1=1 --",
    "../../../../etc/passwd",
    "C:\\windows\\system32\\x",
    "",
    " ",
    "None",
    "-0",
    "1e999",
)  # fmt: skip
TAGS = {
    "details",
    "summary",
    *(
        "html",
        "head",
        "meta",
        "link",
        "title",
        "style",
        "body",
        "header",
        "h1",
        "bdi",
        "p",
        "nav",
        "ul",
        "li",
        "a",
        "main",
        "section",
        "h2",
        "h3",
    ),
    *("div", "table", "thead", "tbody", "tr", "th", "td", "data", "strong", "figure", "figcaption", "script"),
    *("svg", "desc", "rect", "text", "line", "path", "g", "circle", "clippath"),
}
ATTRIBUTES = {
    *(
        "lang",
        "charset",
        "http-equiv",
        "content",
        "name",
        "rel",
        "href",
        "aria-label",
        "aria-labelledby",
        "id",
        "class",
        "role",
        "tabindex",
        "scope",
    ),
    *(
        "value",
        "type",
        "xmlns",
        "viewbox",
        "width",
        "height",
        "x",
        "y",
        "x1",
        "x2",
        "y1",
        "y2",
        "d",
        "dy",
        "cx",
        "cy",
        "r",
        "text-anchor",
        "transform",
    ),
    "clip-path",
}


def hostile(payloads: Sequence[str] = PAYLOADS) -> list[Any]:
    """Results with a hostile text in every place that can hold one."""
    n = len(payloads)
    # Columns of text hold no half pairs; the plain data around them does.
    whole = [each.encode("utf-8", "replace").decode() for each in payloads]
    ids = [f"{at:03}{each}" for at, each in enumerate(whole)]
    pick = [*payloads[:9], *payloads[36:60]]
    rule = {
        **RULE,
        **dict(zip(("name", "title", "equation", "citation", "note"), pick, strict=False)),
        "terms": [{"indicator": "len", "weight": -0.5, "unit": pick[5]}, {"indicator": "rew", "weight": 2.0, "unit": pick[6]}],
        "fit": {"method": pick[7], "warnings": [{"text": each} for each in payloads], "estimates": [{"indicator": pick[8], "weight": 1.0}]},
    }
    reasons = {at: f"unscored:rew:{each}" for at, each in enumerate(whole) if at > 20}
    told = {"mismatches": [{"indicator": each, "scored_with": each, "assumes": [each]} for each in payloads]}
    chosen = selection(range(n), [0.0] * n, range(5), ids=ids, source=whole, reasons=reasons, rule=rule, summary=told)
    chosen.manifest["settings"] = {each: each for each in payloads[:40]}
    others = [selection(range(n), [0.0] * n, range(5), ids=ids, source=whole, name=each) for each in payloads]
    account = {"read": 2 * n, "examples": n, "dropped": {}, "quarantined": {each or "empty": 1 for each in dict.fromkeys(payloads)}}
    described = {
        "len": {
            "name": pick[9],
            "unit": pick[10],
            "version": pick[11],
            "model": {"name": pick[12], "digest": pick[13], "precision": pick[14]},
        }
    }
    values = {"len": range(n), **{f"{at}{whole[at]}"[:50].replace("_", "-"): range(n) for at in range(12)}}
    table = scores(chosen, values, pool={"account": {**account, "read": n + len(account["quarantined"])}, "fingerprint": payloads[2]})
    table = ScoreTable(table.frame, {**table.manifest, "indicators": described})
    verdicts = [{**verdict(each, each, grader=payloads[0]), "sentence": each, "reason": each} for each in payloads]
    graded = verification(*verdicts, outcome=payloads[0])
    graded["arms"] = {each: {each: [0]} for each in dict.fromkeys(payloads)}
    means = [{"arm": each, "replicate": 0, "seed": 0, "items": 1, "mean": 1.0} for each in payloads]
    graded["graders"] = {payloads[1]: {"means": means, "reasons": dict.fromkeys(payloads, 1)}}
    skills = {
        "kind": "skills",
        "base": payloads[0],
        "skills": list(payloads),
        "rows": {each: {name: {"value": 1.0, "regressed": True} for name in payloads} for each in payloads[:5]},
    }
    sizes = {
        **size_curve(),
        "search": payloads[0],
        "report": payloads[4],
        "unit": payloads[6],
        "verdict": payloads[7],
        "cautions": list(payloads),
    }
    return [chosen, *others, table, graded, skills, {**BIAS, "reason": payloads[3]}, sizes]


@pytest.fixture(scope="module")
def attacked() -> Report:
    return report(*hostile(), title=PAYLOADS[1])


@pytest.fixture(scope="module")
def whole() -> Report:
    return report(*everything())


def tables_of(made: Report) -> dict[str, dict[str, Any]]:
    sections = json.loads(made.json())["sections"]
    return {part["name"]: part for section in sections for part in section["parts"] if part["part"] == "table"}


def number(text: str) -> float:
    scale = 0.01 if text.endswith("%") else 1.0
    return float(text.replace("%", "").replace(",", "").replace("−", "-").strip()) * scale


def same(text: str, exact: str | None, value: Any, form: str) -> bool:
    """Whether a cell shows a value: the number in full beside it, and rounded as its form says."""
    if value is None or value == "":
        return text == "–" and not exact
    if isinstance(value, bool):
        return text == ("yes" if value else "no")
    if isinstance(value, str):
        return text == value
    if exact is not None and json.loads(exact) != value:
        return False
    if form == "count":
        return number(text) == value
    if form == "p":
        return number(text.lstrip("<")) == pytest.approx(value, abs=1e-4)
    if form == "share":
        return number(text) == pytest.approx(value, rel=6e-4, abs=6e-4)
    # Half a unit of the last decimal.
    return number(text) == pytest.approx(value, rel=6e-4 if "e" in text else 1e-12, abs=0.51 * 10.0 ** -decimals(text))


def decimals(text: str) -> int:
    """Digits behind the point of a cell."""
    return len(text.partition(".")[2]) if "e" not in text else 300


@pytest.mark.parametrize("which", ["whole", "attacked"])
def test_every_cell_of_the_page_shows_the_value_of_the_json(which: str, request: pytest.FixtureRequest) -> None:
    made: Report = request.getfixturevalue(which)
    page, expected = Page(made.html()), tables_of(made)
    assert set(page.tables) == set(expected)
    figures = 0
    for name, table in expected.items():
        assert len(page.tables[name]) == len(table["rows"]), name
        for cells, row in zip(page.tables[name], table["rows"], strict=True):
            assert len(cells) == len(table["columns"])
            for (text, exact), column in zip(cells, table["columns"], strict=True):
                value = row[column["key"]]
                assert same(text, exact, value, column["form"]), (name, column["key"], text, exact, value)
                figures += isinstance(value, int | float)
    assert figures > 100
    for section in json.loads(made.json())["sections"]:
        for sentence in section["text"]:
            assert sentence in page.texts


@pytest.mark.parametrize("which", ["whole", "attacked"])
def test_the_numbers_of_a_column_have_one_number_of_decimals(which: str, request: pytest.FixtureRequest) -> None:
    made: Report = request.getfixturevalue(which)
    page, several = Page(made.html()), 0
    for name, table in tables_of(made).items():
        for index, column in enumerate(table["columns"]):
            cells = [
                row[index][0] for row in page.tables[name] if column["form"] in ("number", "signed") and re.search(r"\d", row[index][0])
            ]
            assert len({decimals(cell) for cell in cells if "e" not in cell}) <= 1, (name, column["key"], cells)
            several += len(cells) > 1
    assert several > 10


def test_an_interval_has_the_decimals_of_its_estimate() -> None:
    columns = (Column("difference", "difference", "signed"), Column("low", "interval from", "signed"), Column("high", "to", "signed"))
    assert Table("t", "", columns, ((-0.1, -0.25, 0.0375), (0.2, None, 0.5))).texts() == [
        ("−0.1000", "−0.2500", "+0.0375"),
        ("+0.2000", "–", "+0.5000"),
    ]


def test_no_sentence_has_the_marks_of_markdown(whole: Report) -> None:
    sentences = [sentence for section in json.loads(whole.json())["sections"] for sentence in section["text"]]
    assert sentences and not [sentence for sentence in sentences if "`" in sentence or "**" in sentence]


def test_no_published_rule_speaks_in_the_marks_of_markdown() -> None:
    for name in preset_names():
        rule = load_rule(name)
        assert not [text for text in (rule.title, rule.citation, rule.note) if text and "`" in text], name


def test_a_cell_that_differs_from_the_json_is_found() -> None:
    assert not same("1.5", "1.25", 1.25, "number")
    assert not same("1.25", "1.5", 1.25, "number")
    assert not same("12.5 %", "0.25", 0.25, "share")
    assert not same("b", None, "a", "text")


def test_the_page_carries_the_whole_report_as_data(whole: Report, attacked: Report) -> None:
    for made in (whole, attacked):
        assert json.loads(Page(made.html()).data) == json.loads(made.json())


def test_markdown_has_the_tables_and_sentences_of_the_json(whole: Report) -> None:
    lines = whole.markdown().split("\n")
    for table in tables_of(whole).values():
        at = lines.index(f"**{table['caption']}**")
        for line, row in zip(lines[at + 4 :], table["rows"], strict=False):
            cells = [cell.strip().replace("&#60;", "<").replace("\\_", "_") for cell in line.strip("|").split(" | ")]
            assert len(cells) == len(table["columns"])
            for cell, column in zip(cells, table["columns"], strict=True):
                assert same(cell.replace("\\", ""), None, row[column["key"]], column["form"]), (table["name"], cell)
    for section in whole.sections:
        assert f"## {section.title}" in lines


def test_there_are_a_hundred_hostile_texts_and_none_becomes_a_tag_or_an_attribute(whole: Report, attacked: Report) -> None:
    assert len(PAYLOADS) >= 100
    page, plain = Page(attacked.html()), Page(whole.html())
    assert page.tags <= TAGS and plain.tags <= TAGS
    assert {name for _, name in page.attributes} <= ATTRIBUTES
    # Only three elements lead anywhere, and none of them has a text of others in it.
    assert {tag for tag, name in page.attributes if name in ("href", "src", "action", "xlink:href")} == {"link", "a"}
    assert re.findall(r"<script[^>]*>", attacked.html()) == ['<script type="application/json" id="data">']
    assert re.findall(r"<style[^>]*>", attacked.html()) == ["<style>"]
    assert all(re.fullmatch(r"#[a-z]+", found) for found in re.findall(r'<a href="([^"]*)"', attacked.html()))
    assert page.policy == plain.policy


def test_every_hostile_text_is_shown_as_text(attacked: Report) -> None:
    shown_texts = set(Page(attacked.html()).texts)
    assert not [text for each in PAYLOADS if (text := neutral(each, 200)) and text not in shown_texts]


def test_no_control_character_and_no_turn_of_direction_is_in_any_rendering(attacked: Report) -> None:
    for rendered in (attacked.html(), attacked.markdown(), attacked.json()):
        found = re.search(
            "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\ufffe\uffff]", rendered
        )
        assert found is None, repr(found)
        assert rendered.encode().decode() == rendered


def test_no_hostile_text_is_markup_in_markdown(attacked: Report) -> None:
    lines = attacked.markdown().split("\n")
    counts: list[int] = []
    for line in lines:
        if line in ("<details><summary>Show</summary>", "</details>"):
            # Our own, on a line of its own; no text of others begins a line with <.
            continue
        bare = re.sub(r"\\.", "x", line)
        # What is left where escaped signs are letters: no HTML, no image or link, no code, no address, no mention, no formula.
        assert not re.search(r"[<>@$~]|!\[|\]\(|://|www\.", bare), line[:200]
        assert "`" not in bare or re.fullmatch(r"- `[ ▁▂▃▄▅▆▇█]+` [^`]*", bare), line[:200]
        if line.startswith("|"):
            counts.append(bare.count("|"))
        else:
            assert line == "" or re.match(r"# |## |- (?![+\-=#>]|\d+[.)])|\*\*[^*]*\*\*|Made with", bare), line[:200]
    # Every row of a table has as many cells as its heading.
    at = 0
    for line, following in itertools.pairwise(lines):
        if line.startswith("|"):
            if following.startswith("|"):
                assert counts[at] == counts[at + 1], following[:200]
            at += 1


def test_the_policy_allows_the_one_style_and_nothing_else(whole: Report) -> None:
    page = Page(whole.html())
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    assert page.policy == f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    assert "style" not in {name for _, name in page.attributes}
    assert not re.search(r"url\((?!#)|@import|@font-face|expression", page.style)
    assert re.findall(r"https?://[^\"\s]+", whole.html().replace(page.data, "")) == ["http://www.w3.org/2000/svg"] * whole.html().count(
        "<svg"
    )


def test_headings_descend_one_by_one_and_every_id_is_there_once(whole: Report, attacked: Report) -> None:
    for made in (whole, attacked):
        page = Page(made.html())
        levels = [level for level, _ in page.headings]
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
        assert len(page.ids) == len(set(page.ids))


def test_every_chart_has_a_title_a_description_and_marks(whole: Report) -> None:
    found = [part for section in whole.sections for part in section.parts if isinstance(part, Chart)]
    assert {each.kind for each in found} == {"histogram", "bars", "forest", "scatter"}
    for chart in found:
        root = ElementTree.fromstring(draw(chart))
        assert root.get("role") == "img"
        title, summary = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
        assert title is not None and summary is not None and title.text == chart.title and summary.text
        assert root.get("aria-labelledby") == f"{title.get('id')} {summary.get('id')}"
        marks = [
            each
            for each in root.iter()
            if (each.get("class") or "") in {"ground", "chosen", "other", "bar-a", "bar-b", "b", "whisker", "fit"}
        ]
        assert marks, chart.name
        box = [float(each) for each in (root.get("viewBox") or "").split()]
        for each in root.iter(f"{SVG}text"):
            assert 0 <= float(each.get("x", "")) <= box[2] and 0 <= float(each.get("y", "")) <= box[3]


def test_a_histogram_draws_the_shares_of_the_json() -> None:
    kinds = [
        {"name": "pool", "n": 4, "below": 0, "above": 0, "counts": [1, 3]},
        {"name": "selected", "n": 2, "below": 1, "above": 0, "counts": [1, 0]},
    ]
    chart = Chart("c", "histogram", "len", {"x_label": "len", "edges": [0.0, 1.0, 2.0], "kinds": kinds})
    root = ElementTree.fromstring(draw(chart))
    ground, chosen = (next(each for each in root.iter(f"{SVG}path") if each.get("class") == name) for name in ("ground", "chosen"))
    # 75 % and a twentieth more fill the height from 252 to 30.
    heights = [252 - 222 * share / (75 * 1.05) for share in (25, 75)]
    assert [float(each) for each in re.findall(r"V([\d.]+)", ground.get("d", ""))][:2] == pytest.approx(heights, abs=0.01)
    assert [float(each) for each in re.findall(r"V([\d.]+)", chosen.get("d", ""))] == pytest.approx(
        [252 - 222 * 50 / 78.75, 252, 252], abs=0.01
    )
    assert [float(each) for each in re.findall(r"H([\d.]+)", ground.get("d", ""))] == pytest.approx([62 + 364 / 2, 426])


def test_bars_begin_at_zero_and_a_missing_value_is_said_and_not_drawn() -> None:
    data = {
        "kinds": ["a", "b"],
        "form": "share",
        "rows": [{"name": "one", "values": [0.5, -0.25]}, {"name": "two", "values": [None, 0.25]}],
    }
    root = ElementTree.fromstring(draw(Chart("c", "bars", "t", data)))
    width = (440 - 78 - 8) / 0.75
    bars = [
        (each.get("class"), float(each.get("x", "")), float(each.get("width", "")))
        for each in root.iter(f"{SVG}rect")
        if each.get("height") == "13"
    ]
    zero = 8 + 0.25 * width
    assert [each[0] for each in bars] == ["bar-a", "bar-b", "bar-b"]
    assert [each[1:] for each in bars] == [
        pytest.approx(each, abs=0.01) for each in ((zero, 0.5 * width), (8, 0.25 * width), (zero, 0.25 * width))
    ]
    assert {"50.0 %", "−25.0 %", "–"} <= {each.text for each in root.iter(f"{SVG}text")}


@pytest.mark.parametrize("name", ["", "c"])
def test_the_title_of_a_chart_on_its_own_stands_above_everything_else(name: str) -> None:
    drawn = [
        charts.forest([charts.Effect("against random", "better", -2.0, -3.0, -1.0, 1.0)], title="a title", x_label="x", name=name),
        charts.bars([charts.Bar("row", (0.5, 0.25), ("a", "b"))], ("pool", "selected"), title="a title", name=name),
        charts.bars([charts.Bar("row", (0.5,), ("a",))], ("pool",), title="a title", name=name),
    ]
    for each in drawn:
        texts = list(ElementTree.fromstring(each).iter(f"{SVG}text"))
        titles = [float(text.get("y", "")) for text in texts if text.get("class") == "title"]
        assert len(titles) == (0 if name else 1)
        # Letters are up to 12 units high.
        assert all(float(text.get("y", "")) - 12 > max(titles, default=0) for text in texts if text.get("class") != "title")


def test_a_forest_plot_draws_interval_estimate_and_what_would_be_missed() -> None:
    rows = [
        charts.Effect("against random", "better", -2.0, -3.0, -1.0, 1.0),
        charts.Effect("against longest", "not enough data", None, None, None, None),
    ]
    root = ElementTree.fromstring(charts.forest(rows, title="t", x_label="x", name="c"))
    # From −3 to 1 with a twentieth of these 4 left free at either end.
    place = lambda value: 14 + (value + 3.2) / 4.4 * 412  # noqa: E731
    (band,) = [each for each in root.iter(f"{SVG}rect") if each.get("class") == "band" and each.get("height") == "18"]
    assert float(band.get("x", "")) == pytest.approx(place(-1), abs=0.01) and float(band.get("width", "")) == pytest.approx(
        place(1) - place(-1), abs=0.02
    )
    whisker = next(each.get("d", "") for each in root.iter(f"{SVG}path") if each.get("class") == "whisker")
    assert [float(each) for each in re.findall(r"[MH]([\d.]+)", whisker)] == pytest.approx([place(-3), place(-1)], abs=0.01)
    assert {"better", "not enough data"} <= {each.text for each in root.iter(f"{SVG}text") if each.get("class") == "outcome"}
    with pytest.raises(UsageError, match="a difference that is known"):
        charts.forest(rows[1:], title="t", x_label="x")
    with pytest.raises(UsageError, match="finite"):
        charts.forest([charts.Effect("a", "b", float("nan"), None, None, None)], title="t", x_label="x")


def test_charts_refuse_what_they_cannot_show() -> None:
    edges = np.array([0.0, 1.0])
    with pytest.raises(UsageError, match="one to 3 distributions"):
        charts.histogram([charts.Distribution("a", np.ones(1))] * 4, edges, title="t", x_label="x")
    with pytest.raises(UsageError, match="one to 3 distributions"):
        charts.histogram([charts.Distribution("a", np.ones(2))], edges, title="t", x_label="x")
    with pytest.raises(UsageError, match="one or two values"):
        charts.bars([], ["a"], title="t")
    with pytest.raises(UsageError, match="one or two values"):
        charts.bars([charts.Bar("a", (1.0,), ("1",))], ["a", "b"], title="t")


def test_a_chart_on_its_own_has_its_style_and_one_in_a_page_none() -> None:
    alone = charts.bars([charts.Bar("a", (1.0,), ("1",))], ["a"], title="t")
    assert "<style>" in alone and 'class="title"' in alone
    inside = charts.bars([charts.Bar("a", (1.0,), ("1",))], ["a"], title="t", name="c")
    assert "<style>" not in inside and 'id="c-title"' in inside


def test_light_and_dark_are_both_readable(whole: Report) -> None:
    style = Page(whole.html()).style
    own, rest = style.split("@media screen and (prefers-color-scheme: dark)", 1)
    modes = (own, rest.split("@media print")[0])
    for mode in modes:
        colors = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", mode))
        for name in ("ink", "soft", "link", "good", "bad", "open"):
            assert contrast(colors[name], colors["paper"]) >= 4.5, name
    for mode in charts.PAGE_STYLE.split("@media (prefers-color-scheme: dark)"):
        paper = "#ffffff" if ".bar-a { fill: #6b7786" in mode else "#14191f"
        for name, color in re.findall(r"\.(chosen|other|bar-a|bar-b|whisker)[^{]*\{[^}]*?(#[0-9a-f]{6})", mode):
            assert contrast(color, paper) >= 3, name
        (word,) = re.findall(r"\.outcome \{[^}]*?fill: (#[0-9a-f]{6})", mode)
        assert contrast(word, paper) >= 4.5


def big(n: int, *, sources: int = 500, name: str = "") -> list[Any]:
    """A selection of n rows with its scores."""
    random = np.random.default_rng(0)
    length, reward = random.lognormal(4, 1, n).round(), random.normal(0, 2, n)
    source = [f"source{at}{name}" for at in random.integers(0, sources, n).tolist()]
    ids = [f"{at:032x}" for at in range(n)]
    kept = set(range(0, n, 10))
    value = 1 - 0.5 * length + 2 * reward
    rank = np.empty(n, dtype=np.int64)
    rank[np.argsort(value, kind="stable")] = np.arange(1, n + 1)
    one = selection([1, 2], [0, 0], [0])
    why = pl.Series(
        [None if at in kept else f"unscored:x:{at % 300}" if at % 7 == 0 else "below_budget" for at in range(n)], dtype=pl.String
    )
    frame = pl.DataFrame(
        {"id": ids, "source": source, "rank": rank, "score": value, "len_contribution": -0.5 * length, "rew_contribution": 2 * reward}
    ).with_columns(kept=pl.Series([at in kept for at in range(n)]), reason=why, duplicate_of=pl.lit(None, dtype=pl.String))
    chosen = replace(one, frame=frame, summary={**one.summary, "read": n, "kept": len(kept)})
    manifest = {**chosen.manifest, "baseline": "random"}
    random_one = replace(
        chosen, name="random-seed0", manifest=manifest, frame=frame.with_columns(kept=pl.Series([at % 10 == 1 for at in range(n)]))
    )
    columns = {f"i{at}": length + at for at in range(30)}
    return [chosen, random_one, scores(chosen, {"len": length, "rew": reward, **columns})] if n > 1000 else [chosen, random_one]


def test_the_page_of_two_hundred_thousand_rows_has_the_size_of_a_small_one(tmp_path: Path) -> None:
    made = report(*big(200_000))
    page = made.html()
    assert len(page.encode()) <= LIMIT and len(made.markdown().encode()) <= LIMIT and len(made.json().encode()) <= LIMIT
    assert len(tables_of(made)["top"]["rows"]) == 100
    assert page.count("<svg") < 40
    made.write(tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size == len(page.encode())


def test_where_names_are_long_fewer_rows_are_listed_and_the_page_stays_small() -> None:
    chosen, other = big(600, sources=600, name="<&" * 200)
    terms = [f"t{at}_contribution" for at in range(40)]
    wide = replace(chosen, frame=chosen.frame.with_columns(pl.lit(-1.0 / 3).alias(name) for name in terms))
    made = report(wide, other)
    assert len(made.html().encode()) <= LIMIT
    assert 5 <= len(tables_of(made)["top"]["rows"]) < 100


@pytest.mark.parametrize(
    ("value", "form", "expected"),
    [
        (None, "number", "–"),
        ("", "text", "–"),
        (True, "any", "yes"),
        (12345, "count", "12,345"),
        (-5, "any", "−5"),
        (0.123456, "share", "12.3 %"),
        (1234.5678, "number", "1,235"),
        (0.0001234567, "number", "0.0001235"),
        (0.00001234567, "number", "1.23e-05"),
        (1e-7, "number", "1.000e-07"),
        (0.0, "signed", "0"),
        (0.5, "signed", "+0.5"),
        (-0.5, "signed", "−0.5"),
        (0.00001, "p", "<0.0001"),
        (0.04, "p", "0.0400"),
    ],
)
def test_figures_are_written_as_their_column_says(value: Any, form: str, expected: str) -> None:
    assert shown(value, form) == expected


def test_the_suffix_decides_what_is_written_and_another_is_refused(whole: Report, tmp_path: Path) -> None:
    for suffix, content in ((".html", whole.html()), (".md", whole.markdown()), (".json", whole.json())):
        whole.write(tmp_path / f"report{suffix}")
        assert (tmp_path / f"report{suffix}").read_text(encoding="utf-8") == content
    with pytest.raises(UsageError, match="ends in none of"):
        whole.write(tmp_path / "report.pdf")
    with pytest.raises(EnvironmentFault):
        whole.write(tmp_path / "absent" / "report.html")


def test_numbers_that_are_not_finite_are_shown_as_none() -> None:
    told = {**size_curve(), "noise": float("nan"), "margin": float("inf")}
    made = report(told)
    assert "NaN" not in made.json() and "Infinity" not in made.json()
    (row,) = [row for row in tables_of(made)["size-1-facts"]["rows"] if row["fact"] == "noise of one fine-tune"]
    assert row["value"] is None


def test_sentences_beyond_the_limit_are_counted() -> None:
    (section,) = [
        each for each in report({**size_curve(), "cautions": [f"caution {at}" for at in range(200)]}).sections if each.name == "size"
    ]
    # The verdict before them, and what is said of the lowest after them: 202 in all.
    assert len(section.text) == 80 and section.text[-1] == "And 123 sentences more."


def test_skills_beyond_the_limit_are_counted() -> None:
    many = {
        **SKILLS,
        "skills": [f"s{at}" for at in range(150)],
        "rows": {"base": {}, "mine": {f"s{at}": {"value": 0.5, "regressed": True} for at in range(150)}},
    }
    rows = tables_of(report(many))["skills-1"]["rows"]
    assert len(rows) == 100 and rows[-1]["skill"] == "51 other skills" and sum(row["n_regressed"] for row in rows) == 150
