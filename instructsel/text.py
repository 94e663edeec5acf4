"""Text of others on a page: nothing in it turns the reading direction, moves a cursor, names a folder, or gives a key away."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

from instructsel.secret_patterns import hidden_keys

UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb"
    "\ufffe\uffff\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\U000f0000-\U0010ffff]|(?<=\ufe0f)\ufe0f"
)
"""Whatever could move a cursor, color a screen, turn the reading direction, or stand in a text unseen: control and format characters, line and
paragraph separators, halves of pairs, tags, variation selectors (but the one of a picture), private characters and those that are none."""
UNSAFE_ASCII: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Of them, those that a text of ASCII may hold beside white space."""

UNSEEN: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {
    chr(number) for number in (*range(0x180B, 0x1810), 0x2065, *range(0xFE00, 0xFE10), *range(0xFFF0, 0xFFF9), *range(0xE0000, 0xE1000))
}
"""Letters, signs and marks that are drawn as nothing: fillers, the empty Braille pattern, variation selectors."""

SURROGATES: Final = re.compile("[\ud800-\udfff]")

SPACE: Final = re.compile(r"[ \t\r\n]+")
FOLDERS: Final = re.compile(r"(?<![\w/:.~<])(?:~|\.{1,2})?/(?:[\w.@+ -]*[\w.@+-]/)+(?=[\w.@+-])|\b[A-Za-z]:\\(?:[^\\\s]+\\)+(?=[^\\\s])")
"""What stands in front of a file's name."""

CELL: Final = 120
"""Characters of a name in a table."""
LINE: Final = 600
"""Characters of a sentence."""
EXCERPT: Final = 200
"""Characters of a row's text."""
WINDOW: Final = 2000
"""Characters of a row's text that are looked at for an excerpt."""

FEW: Final = 800
"""Those that are enough for most."""
FIGURE: Final = re.compile(r"\d")
MAY_BE_KEY: Final = re.compile(r":/|[\w-]{11}|PRIVATE KEY|ya29")
"""What every key has: most texts have none of it, and are through sooner."""
NAMED: Final = re.compile(
    r"(?i)((?:pass(?:word|wd|phrase)|\bpwd|secret|token|api[ _-]?key|access[ _-]?key|private[ _-]?key|credentials?)[\w-]{0,40}[\"']?\s{0,9}"
    r"(?::|=|\bis\b)\s{0,9}[\"']?)[^\s\"',;]{4,}"
)
"""What is called a secret where it stands."""
BEARER: Final = re.compile(r"(?i)\b(bearer|basic|digest)(\s+)[\w.~+/=-]{12,}")
EMAIL: Final = re.compile(r"[\w.+%-]{1,64}@[\w-]+(?:\.[\w-]+)+")
DIGITS: Final = re.compile(r"\b\d(?:[ -]?\d){12,18}\b")
"""As many as a card or an account has."""
IBAN: Final = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b")
"""The number of a bank account."""
NUMBER: Final = re.compile(r"(?<![\w.,+-])(?:\+ ?)?\(?\d{1,5}\)?(?:[ .\-/\u2010-\u2013]{0,2}\(?\d{1,5}\)?){2,8}[A-Z]?(?!\w)(?!\.\d)")
"""Figures in groups, as in the number of a telephone or an identity card."""
CODE: Final = re.compile(r"\b[A-Z0-9]{9,18}\b")
"""Capitals and figures, as in the number of an identity card."""
FEW_FIGURES: Final = 5
"""Figures that such a code has, at least."""
FIGURES: Final = 9
"""Figures that such a number has, at least: a date has eight."""
RUN: Final = re.compile(r"[\w+/=-]{24,}")
"""Long enough to be random."""

HIDDEN: Final = "[masked]"
HIDDEN_EMAIL: Final = "[email]"


def is_blank(text: str) -> bool:
    """Whether there is nothing to see: white space, control and format characters, and what is drawn as nothing.

    >>> is_blank("\\u200b \\ufeff\\u3164"), is_blank("a\\u200b")
    (True, False)
    """
    if "!" <= text[:1] <= "~":
        # Most texts begin with something to see.
        return False
    return all(sign.isspace() or sign in UNSEEN or unicodedata.category(sign) in ("Cc", "Cf") for sign in text)


def neutral(text: str, limit: int = CELL) -> str:
    """One line of a text, safe to show anywhere: control characters written as escapes, folders and keys left out, long text cut.

    >>> neutral("a\\u202eb\\nc")
    'a\\\\u202eb c'
    """
    # Cut first: a name of a gigabyte is read to its limit and no further. A character becomes six at most.
    shown = SPACE.sub(" ", text[: limit + WINDOW]).strip()
    shown = FOLDERS.sub("", without_keys(UNSAFE.sub(_escape, shown)))
    cut = len(text) > limit + WINDOW or len(shown) > limit
    return shown[: limit - 1] + "…" if cut else shown


def without_keys(text: str) -> str:
    """A text without what shows by its form that it is a key.

    >>> without_keys("the key AKIA" + "ABCDEFGHIJKL2345")
    'the key [masked]'
    """
    return hidden_keys(text, HIDDEN) if MAY_BE_KEY.search(text) else text


def masked(text: str) -> str:
    """A text without what looks like a key, a password, an email address, or the number of a card, an account, a telephone or an identity card."""
    shown = without_keys(text)
    if ":" in shown or "=" in shown or "is" in shown or "IS" in shown:
        shown = NAMED.sub(lambda match: match[1] + HIDDEN, shown)
    shown = BEARER.sub(lambda match: match[1] + match[2] + HIDDEN, shown)
    if "@" in shown:
        shown = EMAIL.sub(HIDDEN_EMAIL, shown)
    if FIGURE.search(shown):
        shown = DIGITS.sub(HIDDEN, IBAN.sub(HIDDEN, shown))
        shown = CODE.sub(lambda match: HIDDEN if sum(sign.isdigit() for sign in match[0]) >= FEW_FIGURES else match[0], shown)
        shown = NUMBER.sub(lambda match: HIDDEN if sum(sign.isdigit() for sign in match[0]) >= FIGURES else match[0], shown)
    return RUN.sub(lambda match: HIDDEN if _random(match[0]) else match[0], shown)


def masked_excerpt(text: str) -> str:
    """The beginning of a row's text, masked, in one safe line."""
    shown = masked(text[:FEW])
    if len(text) > FEW and len(shown) > 2 * EXCERPT:
        # Nothing that is cut in two at its end is shown.
        return neutral(shown, EXCERPT)
    shown = masked(text[:WINDOW])
    if len(text) > WINDOW and len(shown) <= EXCERPT:
        # What was cut in two is not recognised, and masking the rest can bring it into view.
        shown = shown.rpartition(" ")[0] + " …"
    return neutral(shown, EXCERPT)


def encodable(text: str) -> bool:
    """Whether a text is Unicode: without halves of surrogate pairs, which no UTF-8 has."""
    return text.isascii() or not SURROGATES.search(text)


def in_toml(text: str) -> str:
    """TOML of basic strings, escaped so that it may be shown; what it says stays the same.

    >>> in_toml('a = "b\\u202ec"')
    'a = "b\\\\u202ec"'
    """
    return UNSAFE.sub(lambda match: match[0] if match[0] in "\n\t\r" else _escape(match), text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _escape_in_lines(match: re.Match[str]) -> str:
    return {"\n": "\n", "\t": " "}.get(match.group()) or _escape(match)


def _escape_in_json(match: re.Match[str]) -> str:
    """As JSON writes a character: beyond the first 65,536 as a pair. Line breaks stand between values there, never in a string."""
    sign = match.group()
    if sign in "\n\t\r":
        return sign
    pair = sign.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{pair[start : start + 2].hex()}" for start in range(0, len(pair), 2))


def _random(run: str) -> bool:
    """Whether a run of characters is no word: hexadecimal digits, or capitals, small letters and figures together."""
    if re.fullmatch(r"[0-9a-fA-F-]{24,}", run) and any(sign.isdigit() for sign in run):
        return True
    return all(any(test(sign) for sign in run) for test in (str.isdigit, str.isupper, str.islower))


RUNNER_COMMAND: Final = re.compile(r"^([^\S\n]*)(:)(?=:)|()(#)(?=#(?:vso|teamcity)?\[)", re.MULTILINE)
"""What a CI runner takes for a command: `::` at the beginning of a line, behind white space of any kind, and `##[` anywhere in it."""
COMMAND_IN_JSON: Final = re.compile(r"#(?=#(?:vso|teamcity)?\[)")
"""Signs stand only in strings there, and no line begins with a string's text."""
PIECES: Final = re.compile(r"[^,/=-]*[,/=-]+|[^,/=-]+")
"""The parts of a long word between which a line may end."""


def clean(text: str) -> str:
    """A text that is safe to show: what is unsafe is written as escapes, and so is what a CI runner would take for a command.

    Line breaks stay, a tab becomes a space.

    >>> clean("a\\u202eb\\x1b[31m\\nc")
    'a\\\\u202eb\\\\u001b[31m\\nc'
    """
    shown = UNSAFE.sub(_escape_in_lines, text)
    return RUNNER_COMMAND.sub(_escape_command, shown)


def safe_path(path: str) -> str:
    """The path of a file as it is, but for what is unsafe to show and what looks like a key.

    >>> safe_path("data/two  blanks\\n.jsonl")
    'data/two  blanks\\\\u000a.jsonl'
    """
    shown = without_keys(UNSAFE.sub(_escape, path))
    return RUNNER_COMMAND.sub(_escape_command, shown)


def _escape_command(match: re.Match[str]) -> str:
    return f"{match[1] or ''}\\u{ord(match[2] or match[4]):04x}"


def in_json(text: str) -> str:
    """JSON whose strings are escaped so that it may be shown; what it says stays the same.

    >>> in_json('{"a": "b\\u202ec"}')
    '{"a": "b\\\\u202ec"}'
    """
    shown = (UNSAFE_ASCII if text.isascii() else UNSAFE).sub(_escape_in_json, text)
    return COMMAND_IN_JSON.sub("\\\\u0023", shown)


def excerpt(text: str, width: int = 72) -> str:
    """One safe line of a text."""
    line = clean(" ".join(text.split()))
    return line if len(line) <= width else line[: width - 1] + "…"


def counted(number: int, noun: str) -> str:
    """A number with its noun, in the plural where the number is not 1.

    >>> counted(1, "row"), counted(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def begun(words: str) -> str:
    """Words at the beginning of a sentence; the symbol of an indicator stays as it is.

    >>> begun("the embedding"), begun("knn_6")
    ('The embedding', 'knn_6')
    """
    return f"T{words[1:]}" if words.startswith("the ") else words


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key that orders names as people do: task2 before task10.

    >>> sorted(["task10", "task2", "task1"], key=natural)
    ['task1', 'task2', 'task10']
    """
    # Numbers of more digits than any name has stay text: they take long to read.
    parts = [part for part in re.split(r"([0-9]{1,18})", name) if part]
    return tuple((0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in parts)


def columns_of(text: str) -> int:
    """How many columns of a terminal a text takes: two a sign for Chinese, Japanese, Korean and most pictures.

    >>> columns_of("ab"), columns_of("\u4e2d")
    (2, 2)
    """
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def wrapped(text: str, width: int) -> list[str]:
    """A text as lines of at most `width` columns, broken between words; a word that is wider, after its commas, slashes and hyphens.

    >>> wrapped("one of len,mtld,knn_6", 12)
    ['one of', 'len,mtld,', 'knn_6']
    """
    lines: list[str] = []
    for word in text.split():
        if lines and columns_of(lines[-1]) + 1 + columns_of(word) <= width:
            lines[-1] += f" {word}"
            continue
        lines.append("")
        for piece in PIECES.findall(word) if columns_of(word) > width else [word]:
            if columns_of(lines[-1]) + columns_of(piece) <= width:
                lines[-1] += piece
                continue
            if lines[-1]:
                lines.append("")
            # Nothing to break at: a digest, a path of one part, or a language without spaces.
            for sign in piece:
                if columns_of(lines[-1]) + columns_of(sign) > width:
                    lines.append("")
                lines[-1] += sign
    return [line for line in lines if line]


def aligned(rows: Iterable[Sequence[Any]], *, header: Sequence[str] = (), right: Sequence[int] = (), width: int = 80) -> list[str]:
    """Rows as lines of aligned columns, at most `width` wide where words allow.

    The widest columns are wrapped between words: those of text first, those of numbers where that is not enough.

    Args:
        rows: the cells.
        header: the headings, with a rule below them.
        right: the columns that are numbers.
        width: columns of the terminal.

    >>> aligned([["len", 12, "tokens of the response"]], header=["", "null", "what it is"], right=(1,), width=24)
    ['     null  what it is', '------------------------', 'len    12  tokens of the', '           response']
    """
    cells = [[clean(str(cell)).replace("\n", "\\n") for cell in row] for row in ([header] if header else []) + [list(row) for row in rows]]
    if not cells:
        return []
    rooms = _column_widths(cells, right, width)
    blocks = [[wrapped(cell, room) if columns_of(cell) > room else [cell] for cell, room in zip(row, rooms, strict=True)] for row in cells]
    # Wrapped text may need less than its room.
    widths = [max(columns_of(line) for block in blocks for line in block[column]) for column in range(len(rooms))]
    lines: list[list[str]] = []
    for block in blocks:
        height = max(map(len, block))
        filled = ([*cell, *[""] * (height - len(cell))] for cell in block)
        lines.append(
            [
                "  ".join(
                    _padded(text, room, number in right) for number, (text, room) in enumerate(zip(texts, widths, strict=True))
                ).rstrip()
                for texts in zip(*filled, strict=True)
            ]
        )
    flat = [line for row_lines in lines for line in row_lines]
    return [*lines[0], "-" * max(map(columns_of, flat)), *flat[len(lines[0]) :]] if header else flat


def _padded(text: str, room: int, right: bool) -> str:
    space = " " * (room - columns_of(text))
    return space + text if right else text + space


def _column_widths(cells: Sequence[Sequence[str]], right: Sequence[int], width: int) -> list[int]:
    """The width of each column: as wide as its cells, less where all are too wide together."""
    columns = list(zip(*cells, strict=True))
    widths = [max(map(columns_of, column)) for column in columns]
    words = [max(_longest_piece(cell, number in right) for cell in column) for number, column in enumerate(columns)]
    # Between words of text first, then of numbers ("[0.1, 0.2]"), inside words only where that is not enough.
    for floors in (
        [widths[number] if number in right else floor for number, floor in enumerate(words)],
        words,
        [floor if number in right else min(floor, 8) for number, floor in enumerate(words)],
    ):
        while (excess := sum(widths) + 2 * (len(widths) - 1) - width) > 0:
            open_columns = [number for number, floor in enumerate(floors) if widths[number] > floor]
            if not open_columns:
                break
            widest = max(open_columns, key=lambda number: widths[number])
            second = max((widths[number] for number in open_columns if widths[number] < widths[widest]), default=0)
            # Down to the next widest one, and then both of them by turns.
            widths[widest] = max(floors[widest], min(widths[widest] - 1, max(second, widths[widest] - excess)))
    return widths


def _longest_piece(cell: str, is_number: bool) -> int:
    pieces = cell.split() if is_number else [piece for word in cell.split() for piece in PIECES.findall(word)]
    return max(map(columns_of, pieces), default=0)


def html_table(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A small table for notebooks; every cell is cleaned, cut and escaped.

    >>> html_table("c", ["a"], [["<b>"]])
    '<table><caption>c</caption><tr><th>a</th></tr><tr><td>&lt;b&gt;</td></tr></table>'
    """

    def cell(name: str, text: str) -> str:
        return f"<{name}>{escape(neutral(text))}</{name}>"

    body = "".join("<tr>" + "".join(cell("td", text) for text in row) + "</tr>" for row in rows)
    heading = "<tr>" + "".join(cell("th", text) for text in header) + "</tr>"
    return f"<table><caption>{escape(neutral(caption, LINE))}</caption>{heading}{body}</table>"


def signed(*values: float) -> list[str]:
    """Numbers that are read together, with their signs and one number of decimals: about four figures of the greatest.

    One that is not 0 and would read as 0 has the figures that it needs.

    >>> signed(0.6, 0.37384, 0.8262), signed(1234.5, -0.00001)
    (['+0.6000', '+0.3738', '+0.8262'], ['+1234', '-1e-05'])
    """
    largest = max(map(abs, values))
    if not 1e-5 <= largest < 1e15:
        return [f"{value:+.4g}" for value in values]
    places = min(max(3 - math.floor(math.log10(largest)), 0), 8)
    texts = [f"{value:+.{places}f}" for value in values]
    return [text if not value or float(text) else f"{value:+.4g}" for value, text in zip(values, texts, strict=True)]


__all__ = [
    "CELL",
    "EXCERPT",
    "LINE",
    "UNSAFE",
    "aligned",
    "clean",
    "columns_of",
    "counted",
    "encodable",
    "excerpt",
    "html_table",
    "in_json",
    "in_toml",
    "masked",
    "masked_excerpt",
    "neutral",
    "safe_path",
    "signed",
    "without_keys",
    "wrapped",
]
