"""Charts: geometry, text, colors, and nothing from elsewhere."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from instructsel.errors import UsageError
from instructsel.reports.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Curve, Series, scatter
from instructsel.reports.heat_map import HeatCell, Legend, color, heat_map

SVG = "{http://www.w3.org/2000/svg}"
X, Y = np.array([0.0, 1.0, 2.0, 4.0]), np.array([1.0, 0.5, 0.25, 0.0])


def chart(x: np.ndarray = X, y: np.ndarray = Y, *, name: str = "", curve: bool = True) -> str:
    at = np.linspace(x.min() - 1, x.max() + 1, 9)
    line = Curve("line", at, 1 - at / 4, 0.9 - at / 4, 1.1 - at / 4) if curve else None
    return scatter(
        [Series(name, x, y, [f"m{n}" for n in range(len(x))])], line, title="len <&> ln L", x_label="len (tokens)", y_label="ln L"
    )


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def circles(root: ElementTree.Element) -> list[tuple[float, float]]:
    return [(float(each.get("cx", "")), float(each.get("cy", ""))) for each in root.iter(f"{SVG}circle")]


def test_points_stand_where_their_values_say() -> None:
    places = circles(parsed(chart(curve=False)))
    # The range of 0 to 4 with a twentieth of it free at either end.
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    expected = [(LEFT + (x + 0.2) / 4.4 * width, HEIGHT - BOTTOM - (y + 0.05) / 1.1 * height) for x, y in zip(X, Y, strict=True)]
    np.testing.assert_allclose(places, expected, atol=0.1)


def test_points_the_line_and_every_text_lie_inside_the_chart() -> None:
    for scale in (1e-7, 1.0, 1e6):
        root = parsed(chart(X * scale, Y))
        assert all(LEFT <= x <= WIDTH - RIGHT and TOP <= y <= HEIGHT - BOTTOM for x, y in circles(root))
        path = next(each for each in root.iter(f"{SVG}path") if each.get("class") == "fit")
        xs = [float(pair.split(",")[0]) for pair in re.findall(r"[\d.]+,[-\d.]+", path.get("d", ""))]
        assert min(xs) >= LEFT and max(xs) <= WIDTH - RIGHT
        for each in root.iter(f"{SVG}text"):
            assert 0 <= float(each.get("x", "")) <= WIDTH and 0 <= float(each.get("y", "")) <= HEIGHT


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (-0.1, 0.2, ["−0.10", "−0.05", "0", "0.05", "0.10", "0.15", "0.20"]),
        (0.0, 5000.0, ["0", "1,000", "2,000", "3,000", "4,000", "5,000"]),
        (0.90, 0.91, ["0.900", "0.902", "0.904", "0.906", "0.908", "0.910"]),
    ],
)
def test_ticks_are_round_and_written_with_the_decimals_they_need(low: float, high: float, expected: list[str]) -> None:
    root = parsed(chart(np.array([low, high]), np.array([0.0, 1.0]), curve=False))
    shown = [each.text for each in root.iter(f"{SVG}text") if each.get("text-anchor") == "middle" and each.get("class") is None]
    assert shown == expected


def test_axes_are_labelled_with_units_and_text_is_escaped() -> None:
    text = chart()
    root = parsed(text)
    assert [each.text for each in root.iter(f"{SVG}text") if each.get("class") == "label"] == ["len (tokens)", "ln L"]
    assert "len &lt;&amp;&gt; ln L" in text
    assert [each.text for each in root.iter(f"{SVG}title")] == ["len <&> ln L", "m0", "m1", "m2", "m3"]
    assert parsed(chart(name="a\x00\ud800b"))


def test_two_kinds_differ_in_color_and_shape_and_stand_in_the_legend() -> None:
    text = scatter([Series("mixtures (4)", X, Y), Series("bins (4)", X, Y[::-1])], None, title="t", x_label="x", y_label="y")
    root = parsed(text)
    groups = {each.get("class"): each for each in root.iter(f"{SVG}g")}
    assert len(circles(root)) == 5 and set(groups) == {"a", "b"}
    assert {"mixtures (4)", "bins (4)"} <= {each.text for each in root.iter(f"{SVG}text")}
    assert len([each for each in root.iter(f"{SVG}path") if each.get("d", "").endswith("Z")]) == 5
    with pytest.raises(UsageError, match="one or two kinds"):
        scatter([Series("a", X, Y)] * 3, None, title="t", x_label="x", y_label="y")
    with pytest.raises(UsageError, match="one or two kinds"):
        scatter([Series("a", X[:0], Y[:0])], None, title="t", x_label="x", y_label="y")


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2."""

    def light(color: str) -> float:
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_light_and_dark_are_both_readable() -> None:
    style = chart().split("<style>")[1].split("</style>")[0]
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    for part in (light, dark):
        fills = dict(re.findall(r"(text|\.title|\.paper|\.a|\.b)\b[^{]*\{[^}]*?fill: (#[0-9a-f]{6})", part))
        assert set(fills) == {"text", ".title", ".paper", ".a", ".b"}
        paper = fills.pop(".paper")
        assert contrast(fills["text"], paper) >= 4.5 and contrast(fills[".title"], paper) >= 7
        assert contrast(fills[".a"], paper) >= 3 and contrast(fills[".b"], paper) >= 3


def test_nothing_is_loaded_or_run_and_equal_data_give_equal_text() -> None:
    text = chart()
    assert text == chart()
    assert not re.search(r"<script|<image|<use|href|@import|@font-face|url\((?!#)|javascript", text)
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]
    assert len({each.get("id") for each in parsed(text).iter() if each.get("id")}) == 3


def test_points_that_do_not_vary_are_drawn_too() -> None:
    assert len(circles(parsed(chart(np.full(3, 5.0), np.zeros(3), curve=False)))) == 3


def band(root: ElementTree.Element) -> np.ndarray:
    """The corners of the band, (n, 2)."""
    path = next(each for each in root.iter(f"{SVG}path") if each.get("class") == "band")
    return np.array([[float(part) for part in corner.split(",")] for corner in re.findall(r"[\d.-]+,[\d.-]+", path.get("d", ""))])


def test_the_band_of_an_interval_lies_whole_within_the_frame() -> None:
    at = np.linspace(0.0, 4.0, 9)
    wide = Curve("line", at, 1 - at / 4, 1 - at / 4 - 0.7, 1 - at / 4 + 0.7)
    root = parsed(scatter([Series("", X, Y)], wide, title="t", x_label="x", y_label="y"))
    heights = band(root)[:, 1]
    assert heights.min() >= TOP and heights.max() <= HEIGHT - BOTTOM


def test_a_band_far_wider_than_the_points_does_not_flatten_them_and_is_clipped_at_the_frame() -> None:
    at = np.linspace(0.0, 4.0, 9)
    root = parsed(scatter([Series("", X, Y)], Curve("line", at, 1 - at / 4, at - 1e3, at + 1e3), title="t", x_label="x", y_label="y"))
    heights = [y for _, y in circles(root)]
    assert max(heights) - min(heights) > 0.25 * (HEIGHT - TOP - BOTTOM)
    clipped = next(each for each in root.iter(f"{SVG}g") if each.get("clip-path"))
    assert any(each.get("class") == "band" for each in clipped.iter(f"{SVG}path"))


LEGEND = Legend("points against base", "best of its column", "arms", "skills")


def test_a_heat_map_colors_what_is_known_hatches_what_is_not_and_frames_what_it_is_told_to() -> None:
    cells = {
        ("a <b>", "loss"): HeatCell(1.0, "+0.4", "± 0.3", False, True, "+0.4, interval +0.1 to +0.7"),
        ("a <b>", "exact match"): HeatCell(-1.0, "-8", "± 3", False),
        ("b", "loss"): HeatCell(0.5, "+0.2", "± 0.5", True),
    }
    root = parsed(heat_map(["a <b>", "b"], ["loss", "exact match"], cells, title="Skills", legend=LEGEND))
    size = {"width": float(root.get("width", "")), "height": float(root.get("height", ""))}
    rectangles = [(each.get("fill"), each.get("class")) for each in root.iter(f"{SVG}rect") if each.get("width") in ("100", "96")]
    hatched = ("url(#hatch)", None)
    framed = (None, "cell-edge")
    # What is uncertain is paler and hatched; what was not measured has no color of its own, and says so.
    assert rectangles == [(color(1.0), None), framed, (color(-1.0), None), (color(0.5 * 0.35), None), hatched, (color(0.0), None), hatched]
    texts = ["".join(each.itertext()) for each in root.iter(f"{SVG}text")]
    assert {"+0.4", "± 0.3", "−8", "none", "a <b>", "better: points against base", "best of its column"} <= set(texts)
    assert "+0.4, interval +0.1 to +0.7" in ["".join(each.itertext()) for each in root.iter(f"{SVG}title")]
    (summary,) = ("".join(each.itertext()) for each in root.iter(f"{SVG}desc"))
    assert summary == "2 arms, 2 skills; 1 of 3 effects have an interval that holds 0, or none."
    for each in root.iter():
        if each.get("x") is not None:
            assert 0 <= float(each.get("x", "")) <= size["width"] and 0 <= float(each.get("y", "")) <= size["height"]


def test_a_heat_map_of_many_columns_is_narrower_and_its_names_are_read_in_three_lines() -> None:
    names = [f"reasoning: task {number} exact" for number in range(12)]
    cells = {("a", name): HeatCell(0.1, "+0.1") for name in names}
    few, many = (parsed(heat_map(["a"], columns, cells, title="t", legend=LEGEND)) for columns in (names[:8], names))
    assert float(many.get("width", "")) / 12 < float(few.get("width", "")) / 8 - 20
    assert {"reasoning:", "task 3", "exact"} <= {"".join(each.itertext()) for each in many.iter(f"{SVG}text")}
    assert {"reasoning: task", "3 exact"} <= {"".join(each.itertext()) for each in few.iter(f"{SVG}text")}


def test_a_heat_map_without_cells_or_of_what_is_no_number_is_refused() -> None:
    for rows, columns, share in (([], ["x"], 0.0), (["a"], [], 0.0), (["a"], ["x"], float("nan"))):
        with pytest.raises(UsageError):
            heat_map(rows, columns, {("a", "x"): HeatCell(share, "?")}, title="t", legend=LEGEND)
