"""Reports: results as one page, as Markdown, or as JSON, all three with the same content."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from instructsel.artifact import atomic_write, dump_json, release
from instructsel.errors import UsageError
from instructsel.kinds import REPORT, head
from instructsel.reports import charts
from instructsel.reports.figures import alike, shown
from instructsel.reports.heat_map import CELLS_STYLE, heat_map_of
from instructsel.reports.inputs import ReportInputs, Texts, gather
from instructsel.reports.parts import Chart, Column, Section, Table
from instructsel.reports.sections import ROWS, Page, sections
from instructsel.reports.sections.outcome import title as title_of
from instructsel.text import neutral

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool

SUFFIXES: Final = (".html", ".md", ".json")
LIMIT: Final = 1_500_000
"""Bytes of a page, whatever the size of the pool."""
FEWEST: Final = 5
"""Rows of either end that are shown even if the page were larger than that."""
TALL: Final = 14
"""Rows from which on a table scrolls in a box of its own."""
NUMBERS: Final = ("count", "share", "number", "signed", "p")
BLOCKS: Final = "▁▂▃▄▅▆▇█"
"""A histogram in a line of text."""
SCRIPT: Final = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
MARKDOWN: Final = re.compile(r"([\\`*~\[\]|]|(?<!\w)_|_(?!\w))|([&<>@#$]|(?<=:)//|(?<=\bwww)\.)")
"""What is markup; what GitHub makes links, mentions and formulas of."""
BEGINS: Final = re.compile(r"\A(?:[+\-=]|\d+(?=[.)]))")
"""What begins a list, a rule or a heading where it begins a line."""
OUTCOMES: Final = {"better": "good", "worse": "bad", "no detectable difference": "open", "not enough data": "open"}


@dataclass(frozen=True)
class Report:
    """Results as something to read."""

    title: str
    """At its head."""
    sections: tuple[Section, ...] = field(repr=False)
    """In order."""

    def as_dict(self) -> dict[str, Any]:
        """Everything on the page, as plain data."""
        return {
            **head(REPORT),
            "instructsel": release(),
            "title": self.title,
            "sections": [section.as_dict() for section in self.sections],
        }

    def json(self) -> str:
        """The report as JSON, the same for the same results."""
        return dump_json(self.as_dict(), indent=True).decode() + "\n"

    def html(self) -> str:
        """The report as one page that loads nothing, runs nothing, and works wherever HTML is shown.

        Every cell that holds a number carries it in full; the whole report as JSON stands in the page, too.
        """
        return self._page

    @cached_property
    def _page(self) -> str:
        import jinja2
        from markupsafe import Markup

        folder = files("instructsel.reports") / "templates"
        style = (folder / "report.css").read_text(encoding="utf-8") + charts.STYLE + charts.PAGE_STYLE + CELLS_STYLE
        # On paper the light page is printed, whatever the screen shows.
        style = "\n" + style.replace("@media (prefers-color-scheme", "@media screen and (prefers-color-scheme")
        environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        environment.globals |= {
            "exact": _exact,
            "draw": lambda chart: Markup(draw(chart)),
            "is_table": lambda part: isinstance(part, Table),
            "is_number": _is_number,
            "outcomes": OUTCOMES,
            "tall": TALL,
        }
        template = environment.from_string((folder / "report.html").read_text(encoding="utf-8"))
        return template.render(
            report=self,
            release=release(),
            style=Markup(style),
            style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
            data=Markup(_in_script(dump_json(self.as_dict()).decode())),
        )

    def markdown(self) -> str:
        """The report as GitHub's Markdown; a histogram is a line of blocks, and other charts are left to the tables beside them."""
        lines = [f"# {_md_line(self.title)}", ""]
        for section in self.sections:
            lines += [f"## {_md(section.title)}", ""]
            # GitHub opens and closes it, as a browser does on the page.
            lines += ["<details><summary>Show</summary>", ""] if section.folded else []
            for sentence in section.text:
                lines += [f"- {_md_line(sentence)}"]
            lines += [""] if section.text else []
            for part in section.parts:
                lines += _md_table(part) if isinstance(part, Table) else _md_chart(part)
            lines += ["</details>", ""] if section.folded else []
        lines.append(f"Made with instructsel {_md(release())}.")
        return "\n".join(lines) + "\n"

    def write(self, path: str | Path) -> None:
        """Write .html, .md or .json.

        Raises:
            UsageError: another suffix, or a page of so many results that it is larger than the limit.
            EnvironmentFault: the folder is missing or not writable, or the disk is full.
        """
        target = checked_suffix(path)
        content = {".html": self.html, ".md": self.markdown, ".json": self.json}[target.suffix]().encode()
        if target.suffix == ".html" and len(content) > LIMIT:
            raise UsageError(
                f"The page would have {len(content):,} bytes, more than {LIMIT:,}.",
                fix="Put fewer results on a page, or write .md or .json.",
            )
        with atomic_write(target) as file:
            file.write(content)


def report(
    *results: Any,
    title: str | None = None,
    arm: str | None = None,
    with_text: bool | None = None,
    pool: Pool | None = None,
) -> Report:
    """A report of results.

    It opens with the outcome and its picture: the verdict with its interval, what was selected and how it differs from the pool, or
    how well a rule fits. Then: the comparisons; how many rows were left out, where and why; the indicators in the pool, in the
    selection and in random subsets; what each term of the rule does; how far the score follows length and sources; the best and the
    worst rows by file and line; the size curve; the study; and, folded, digests, versions, settings and seeds. Equal results give an
    equal report; times, machines and folders are not in it.

    Args:
        results: Selections (the first is the one reported, the others are its baselines), a SelectionSet, ScoreTable, Study,
            Observations, Verification, Verdicts, SizeCurve, Audit or a gate's Verdict, or the files and folders of these.
        title: at the head.
        arm: the arm of a Verification that is the selection, where that cannot be told from the names.
        with_text: show 200 characters of the best and worst rows' texts, masked; by default where the pool is at hand.
        pool: where the texts are; not needed for a selection that was made here.

    Raises:
        UsageError: no results, something that is none, results of different pools, or texts without a pool.
        ScoresError: a file that is missing, damaged, or no result.
        StudyError: the same of a study or a verification.
        MissingExtra: scipy is not installed, and a Verification has no verdicts yet.

    >>> report(chosen, *baselines(chosen), table).write("report.html")  # doctest: +SKIP
    """
    inputs = gather(results, arm=arm)
    texts = None if with_text is False else _texts(inputs, pool)
    if with_text and texts is None:
        raise UsageError("Texts of rows are in the pool, and none is given.", fix="Name its files with --pool, or give pool= in Python.")
    name = neutral(title if title is not None else title_of(inputs))
    count = ROWS
    while True:
        page_report = Report(name, sections(Page(inputs, count, texts)))
        # Names can be long, and rules can have many terms: then fewer rows are listed.
        if count <= FEWEST or len(page_report.html().encode()) <= LIMIT:
            return page_report
        count //= 2


def checked_suffix(path: str | Path) -> Path:
    """The path, if it ends in .html, .md or .json.

    Raises:
        UsageError: it does not.
    """
    target = Path(path)
    if target.suffix not in SUFFIXES:
        raise UsageError(f"{target} ends in none of {', '.join(SUFFIXES)}.", fix="Give the report one of these endings.")
    return target


def draw(chart: Chart) -> str:
    """The SVG of a chart, to be put into a page."""
    data = chart.data
    if chart.kind == "histogram":
        kinds = [charts.Distribution(kind["name"], np.array(kind["counts"], dtype=float) / max(1, kind["n"])) for kind in data["kinds"]]
        return charts.histogram(kinds, np.array(data["edges"]), title=chart.title, x_label=data["x_label"], name=chart.name)
    if chart.kind == "bars":
        width = len(data["kinds"])
        figures = alike([value for row in data["rows"] for value in row["values"]], data["form"])
        bars = [
            charts.Bar(row["name"], tuple(row["values"]), tuple(figures[number * width : (number + 1) * width]))
            for number, row in enumerate(data["rows"])
        ]
        return charts.bars(bars, data["kinds"], title=chart.title, name=chart.name)
    if chart.kind == "forest":
        effects = [charts.Effect(**row) for row in data["rows"]]
        return charts.forest(effects, title=chart.title, x_label=data["x_label"], name=chart.name, band=data.get("band", ""))
    if chart.kind == "heat_map":
        return heat_map_of(data, title=chart.title, name=chart.name)
    series = [charts.Series(kind["name"], np.array(kind["x"], float), np.array(kind["y"], float), kind["labels"]) for kind in data["kinds"]]
    line = data["curve"]
    curve = None if line is None else charts.Curve(line["name"], *(np.array(line[key], float) for key in ("x", "y", "low", "high")))
    return charts.scatter(series, curve, title=chart.title, x_label=data["x_label"], y_label=data["y_label"], name=chart.name)


def is_report(path: str | Path) -> bool:
    """Whether a file is a report that instructsel wrote, in the form of its ending."""
    target = Path(path)
    if not target.is_file():
        return False
    content = target.read_bytes()
    # Every form of a report names its maker: the page in its header, Markdown in its last line, JSON in its kind.
    marks = {".html": b'<p class="soft">Report of instructsel ', ".md": b"\nMade with instructsel ", ".json": b'"kind": "report"'}
    return marks[target.suffix] in content


def _texts(inputs: ReportInputs, pool: Pool | None) -> Texts | None:
    """Reads the texts of a few rows; None where there is no pool."""
    candidates = inputs.selection.candidates if inputs.selection is not None else None
    full_pool = pool if pool is not None else candidates.pool if candidates is not None else None
    if full_pool is None:
        return None

    def read(ids: Sequence[str]) -> Mapping[str, tuple[str, str]]:
        examples = full_pool.examples([full_pool.position(name) for name in ids])
        return {name: (example.instruction, example.response) for name, example in zip(ids, examples, strict=True)}

    return read


def _is_number(value: Any, column: Column) -> bool:
    return column.form in NUMBERS or (column.form == "any" and isinstance(value, int | float) and not isinstance(value, bool))


def _exact(value: Any) -> str:
    """A number in full, as JSON writes it; empty where there is none."""
    return "" if value is None else dump_json(value).decode()


def _in_script(text: str) -> str:
    """JSON that can neither end the element it stands in, nor begin another."""
    return "".join(SCRIPT.get(sign, sign) for sign in text)


def _md(text: str) -> str:
    """Text of others in Markdown: nothing in it is markup, a link, a mention or HTML."""

    def escaped(found: re.Match[str]) -> str:
        # Entities: a backslash in front of these does not keep GitHub from finding addresses, mentions and formulas.
        return "".join(f"&#{ord(sign)};" for sign in found.group()) if found[2] else f"\\{found.group()}"

    return MARKDOWN.sub(escaped, text)


def _md_line(text: str) -> str:
    """The same at the beginning of a line."""
    first = BEGINS.match(text)
    if first is None:
        return _md(text)
    end = first.end()
    return f"{text[:end]}\\{text[end]}{_md(text[end + 1 :])}" if text[0].isdigit() else f"\\{text[0]}{_md(text[1:])}"


def _md_table(table: Table) -> list[str]:
    heads = [_md(column.label) or " " for column in table.columns]
    rules = ["---:" if column.form in NUMBERS else "---" for column in table.columns]
    lines = [f"**{_md(table.caption)}**", "", _md_row(heads), _md_row(rules)]
    lines += [_md_row(map(_md, row)) for row in table.texts()]
    return [*lines, ""]


def _md_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _md_chart(chart: Chart) -> list[str]:
    if chart.kind != "histogram":
        return []
    edges = chart.data["edges"]
    lines = [f"**{_md(chart.title)}**, {' to '.join(alike([edges[0], edges[-1]]))}:", ""]
    for kind in chart.data["kinds"]:
        greatest = max(kind["counts"]) or 1
        blocks = "".join(BLOCKS[round((len(BLOCKS) - 1) * count / greatest)] if count else " " for count in kind["counts"])
        outside = f"{kind['below']:,} below, {kind['above']:,} above"
        lines.append(f"- `{blocks}` {_md(kind['name'])}, {kind['n']:,} values, {outside}")
    return [*lines, ""]


__all__ = ["Report", "report", "shown"]
