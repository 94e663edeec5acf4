"""The values of a JSON file one after another: elements of arrays, and objects with or without line breaks between them.

Every value is read to its end by the standard parser, over bytes taken for Latin-1 characters, so that a position is an offset. What is
no JSON costs one row: reading goes on where the next element of the file's own layout begins, and the bytes passed over are counted.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import orjson

from instructsel.pool.formats._turns import are_turns
from instructsel.pool.lines import BOM, CHUNK, Limits, Row, RowFault

WINDOW: Final = 1 << 18
"""Bytes that are looked at together, at first."""
TAIL: Final = 16
"""An error nearer to the end of the window than this may come from the end of the window."""
PROBE: Final = 2048
"""Bytes that are looked at first after a fault."""
PROBED: Final = 64
"""Values behind a fault for which that is done."""
FAULT: Final = 512
"""Bytes that a fault counts for, beside those that are searched."""
OVERLAP: Final = 4096
"""More than the beginning of an element takes, with the blanks around it."""
FIRST_KEYS: Final = 16
"""Different first keys of elements that are remembered."""
SEARCHED: Final = 4 << 20
"""How much is read again in search of the next element, beyond twice the size of the file."""
SEARCHED_AT_MOST: Final = 256 << 20

_OUTSIDE: Final = re.compile(rb'["\[\]{}]')
_INSIDE: Final = re.compile(rb'["\\]')
_BLANKS: Final = re.compile(r"[ \t\r\n]*")
_COMMAS: Final = re.compile(r"[, \t\r\n]*")
_FIRST_KEY: Final = re.compile(r'\{[ \t\r\n]{0,256}("[^"\\\r\n]{0,200}")[ \t\r\n]{0,16}:')
_TURNS: Final = re.compile(r'\[[ \t\r\n]{0,256}\{[ \t\r\n]{0,256}"(?:role|from|content|value|name)"[ \t\r\n]{0,16}:')
"""How a list of turns may begin that is one row."""
BLANKS: Final = r"[ \t\r\n]{0,256}"
_BYTE_MARK: Final = BOM.decode("latin-1")


def _decoder(*, strict: bool) -> Any:
    # Numbers stay text: an integer of 5,000 digits is refused by int(), and nothing is made of them here.
    return json.JSONDecoder(strict=strict, parse_int=str, parse_float=str, parse_constant=str).raw_decode


_decode: Final = _decoder(strict=True)
_decode_loosely: Final = _decoder(strict=False)


def _end_of(pattern: re.Pattern[str], text: str, position: int) -> int:
    """Where a match ends that may be empty."""
    match = pattern.match(text, position)
    return position if match is None else match.end()


def read_values(file: BinaryIO, limits: Limits, notes: Counter[str] | None = None) -> Iterator[Row]:
    """The elements of every array of a file and the objects that stand beside arrays, in order.

    Args:
        file: seekable.
        limits: how long and deep a value may be.
        notes: gets what was read in spite of a small fault, by its name, with how often.

    Raises:
        RowFault: brackets that do not close, again and again.
    """
    yield from _Values(file, limits, Counter() if notes is None else notes).rows()


def values_of(row: Row, limits: Limits) -> list[Row]:
    """The values on one line, with their places in the file."""
    import io

    values = list(_Values(io.BytesIO(row.raw), limits, Counter()).rows())
    for value in values:
        value.line, value.offset = row.line + value.line - 1, row.offset + value.offset
    return values


class _Values:
    """Reads a file through a window that moves."""

    def __init__(self, file: BinaryIO, limits: Limits, notes: Counter[str]) -> None:
        self.file = file
        self.limits = limits
        self.notes = notes
        self.text = ""
        """The window."""
        self.base = 0
        """Where in the file the window begins."""
        self.position = 0
        """Where in the window reading stands."""
        self.ended = False
        """Whether the window reaches to the end of the file."""
        self.line = 1
        self.counted = 0
        """Up to where in the window line ends are counted."""
        self.size = file.seek(0, 2)
        self.searched = 0
        self.budget = min(SEARCHED_AT_MOST, SEARCHED + 2 * self.size)
        self.indent: str | None = None
        """What stands before an element on its line, where that is blank."""
        self.spread = False
        """Whether an element had several lines."""
        self.probing = 0
        """How many more values are looked at in a small part first."""
        self.guessed = False
        """Whether a row was passed over before any element was known."""
        self.patterns: dict[tuple[str | None, bool, str], re.Pattern[str]] = {}
        self.keys: dict[str, None] = {}
        """First keys of elements."""
        file.seek(0)
        head = file.read(CHUNK)
        self.line_end = "\r" if b"\r" in head and b"\n" not in head else "\n"
        self._more()

    @property
    def offset(self) -> int:
        return self.base + self.position

    def rows(self) -> Iterator[Row]:
        inside, separated, last_comma, cut = False, True, False, False
        while mark := self._mark():
            if mark == "," and not (inside and separated):
                separated = True
                self.position += 1
                if not inside:
                    self.notes["commas between the rows of no array"] += 1
            elif mark == "[" and not inside and (row := self._conversation()) is not None:
                yield row
            elif mark == "[" and not inside:
                inside, separated, cut = True, True, False
                self.position += 1
            elif mark == "]" and inside:
                inside = False
                self.position += 1
                if last_comma:
                    self.notes["a comma before the last ]"] += 1
            elif mark == ",":
                line, offset = self._line(), self.offset
                self.position = _end_of(_COMMAS, self.text, self.position)
                yield Row(line, offset, b"", 0, RowFault("invalid_json", "nothing between two commas"), passed=self.offset - offset)
            elif not inside and self.text.startswith(_BYTE_MARK, self.position):
                self.position += len(_BYTE_MARK)
            else:
                row = self._value(inside=inside)
                if inside and not separated and row.fault is None:
                    self.notes["no comma between two elements"] += 1
                cut = row.fault is not None and row.fault.code == "truncated"
                separated = False
                yield row
            last_comma = mark == ","
        if inside and not cut:
            fault = RowFault("truncated", "the array is not closed: the file ends inside it")
            yield Row(self._line(), self.offset, b"", 0, fault)

    def _conversation(self) -> Row | None:
        """The array that begins here, where it is a list of turns and so a row by itself; None, and nothing is read, where it is not."""
        if _TURNS.match(self.text, self.position) is None:
            return None
        while len(self.text) - self.position <= self.limits.max_line_bytes or self.ended:
            try:
                end = int(_decode(self.text, self.position)[1])
                value = orjson.loads(self.text[self.position : end].encode("latin-1"))
            except json.JSONDecodeError as error:
                if self.ended or not (error.msg.startswith("Unterminated string") or error.pos > len(error.doc) - TAIL):
                    return None
                self._more()
            except RecursionError:
                return None
            else:
                return self._whole(end) if are_turns(value) else None
        return None

    def _mark(self) -> str:
        """The next byte that is not blank; "" at the end of the file."""
        while True:
            self.position = _end_of(_BLANKS, self.text, self.position)
            if self.position < len(self.text) - TAIL or self.ended:
                return self.text[self.position : self.position + 1]
            self._more()

    def _more(self) -> None:
        """Move the window to where reading stands, and double it."""
        self._line()
        kept = self.text[self.position :]
        self.base += self.position
        self.counted = self.position = 0
        self.file.seek(self.base + len(kept))
        read = self.file.read(max(WINDOW, len(kept)))
        self.text = kept + read.decode("latin-1")
        self.ended = self.base + len(self.text) >= self.size or not read

    def _move(self, offset: int) -> None:
        """Go on at a place of the file that lies ahead."""
        if offset <= self.base + len(self.text):
            self.position = offset - self.base
            return
        ahead = self.base + len(self.text)
        self.position = len(self.text)
        self._line()
        while ahead < offset:
            self.file.seek(ahead)
            chunk = self.file.read(min(CHUNK, offset - ahead))
            if not chunk:
                break
            self.line += chunk.count(self.line_end.encode())
            ahead += len(chunk)
        self.text, self.base, self.position, self.counted = "", ahead, 0, 0
        self._more()

    def _line(self) -> int:
        """The line where reading stands."""
        if self.position > self.counted:
            self.line += self.text.count(self.line_end, self.counted, self.position)
            self.counted = self.position
        return self.line

    def _value(self, *, inside: bool) -> Row:
        """The value that begins here; a row with a fault, up to the next element, where it is none."""
        decode, limit = _decode, self.limits.max_line_bytes
        while True:
            try:
                end = self._end(decode)
            except json.JSONDecodeError as error:
                place = error.pos
                unfinished = error.msg.startswith("Unterminated string") or place > len(error.doc) - TAIL
                if unfinished and len(error.doc) == PROBE:
                    self.probing = 0
                    continue
                if unfinished and not self.ended:
                    if len(self.text) - self.position > limit:
                        return self._long(inside=inside)
                    self._more()
                    continue
                place -= 0 if self.probing else self.position
                self._search(place)
                if error.msg.startswith("Invalid control character") and decode is _decode:
                    decode = _decode_loosely
                    continue
                if not inside and self.text[self.position] not in "{[":
                    return self._faulty(RowFault("extra_data", "text that belongs to no row"))
                if unfinished and (error.msg.startswith("Unterminated string") or not error.doc[error.pos :].strip()):
                    return self._faulty(RowFault("truncated", "the file ends inside a value"))
                return self._faulty(RowFault("invalid_json", f"{error.msg.lower()} at byte {place} of the row"))
            except RecursionError:
                return self._long(inside=inside, deep=True)
            if end >= len(self.text) - 1 and not self.ended:
                if len(self.text) - self.position > limit:
                    return self._long(inside=inside)
                self._more()
                continue
            if self.text[self.position] not in "{[" and inside and not self._ends_well(end):
                return self._faulty(RowFault("invalid_json", "a row that does not begin with {"))
            self.probing = max(0, self.probing - 1)
            return self._whole(end)

    def _end(self, decode: Any) -> int:
        """Where in the window the value ends that begins here.

        An error counts the lines of what it was found in: after a fault, a small part is looked at first.
        """
        if self.probing and len(self.text) - self.position > PROBE:
            end: int = self.position + decode(self.text[self.position : self.position + PROBE], 0)[1]
            if end < self.position + PROBE - 1:
                return end
        self.probing = 0
        return int(decode(self.text, self.position)[1])

    def _whole(self, end: int) -> Row:
        """The value from here to a place of the window."""
        line, offset, start = self._line(), self.offset, self.position
        raw = self.text[start:end].encode("latin-1")
        self.position = end
        if len(raw) > self.limits.max_line_bytes:
            return Row(line, offset, b"", len(raw), _too_long(len(raw), self.limits))
        if raw[:1] == b"{":
            self._learn(start, raw)
        return Row(line, offset, raw, len(raw))

    def _learn(self, start: int, raw: bytes) -> None:
        """Remember what an element of this file begins with; not behind a fault at its beginning, where elements are guessed."""
        if self.guessed:
            return
        if len(self.keys) < FIRST_KEYS and (match := _FIRST_KEY.match(self.text, start)):
            self.keys[match[1]] = None
        if self.indent is None:
            self.indent = self._indent(start)
        self.spread = self.spread or b"\n" in raw

    def _indent(self, start: int) -> str | None:
        before = self.text.rfind(self.line_end, max(0, start - 256), start)
        blank = self.text[before + 1 : start]
        return blank if before >= 0 and not blank.strip(" \t") else None

    def _ends_well(self, end: int) -> bool:
        """Whether an element's end is followed by what may follow it."""
        behind = _end_of(_BLANKS, self.text, end)
        return behind >= len(self.text) or self.text[behind] in ",]"

    def _long(self, *, inside: bool, deep: bool = False) -> Row:
        """A value that is too long or too deep to be read: passed over by its brackets, or else to the next element."""
        end, deepest = self._balanced()
        if end is None or not self._followed(end, inside=inside):
            self._search((end or self.size) - self.offset)
            return self._faulty(
                RowFault("too_deep", f"nested deeper than {self.limits.max_depth}") if deep else _too_long(None, self.limits)
            )
        line, offset = self._line(), self.offset
        fault = (
            RowFault("too_deep", f"nested {deepest} deep, the limit is {self.limits.max_depth}")
            if deep
            else _too_long(end - offset, self.limits)
        )
        self._move(end)
        return Row(line, offset, b"", end - offset, fault, passed=0 if deep else end - offset)

    def _balanced(self) -> tuple[int | None, int]:
        """Where in the file the value that begins here ends by its brackets, and how deep it goes; None where it does not end."""
        depth, deepest, in_text, skip = 0, 0, False, 0
        base = self.offset
        if self.text[self.position] not in '"{[':
            return None, 0
        while True:
            self.file.seek(base)
            if not (chunk := self.file.read(CHUNK)):
                return None, deepest
            index, skip = skip, 0
            while match := (_INSIDE if in_text else _OUTSIDE).search(chunk, index):
                index, mark = match.end(), match.group()
                if in_text:
                    in_text = mark == b"\\"
                    index += in_text
                elif mark == b'"':
                    in_text = True
                elif mark in b"[{":
                    depth += 1
                    deepest = max(deepest, depth)
                else:
                    depth -= 1
                if depth <= 0 and not in_text:
                    return base + index, deepest
            skip = max(0, index - len(chunk))
            base += len(chunk)

    def _followed(self, end: int, *, inside: bool) -> bool:
        self.file.seek(end)
        mark = self.file.read(OVERLAP).lstrip(b" \t\r\n")[:1]
        return mark in (b"", b",", b"]") if inside else mark in (b"", b",", b"[", b"{")

    def _faulty(self, fault: RowFault) -> Row:
        """Pass over to the next element."""
        line, offset = self._line(), self.offset
        self._move(self._next())
        self.probing = PROBED
        size = self.offset - offset
        return Row(line, offset, b"", size, fault, passed=size)

    def _next(self) -> int:
        """Where in the file the next element begins, by the layout of the elements before; the end of the file where there is none."""
        self._search(FAULT)
        pattern = self._beginning()
        if match := pattern.search(self.text, self.position):
            self._search(match.start() - self.position)
            return self.base + match.start(1)
        text = self.text[max(self.position, len(self.text) - OVERLAP) :]
        place = self.base + len(self.text) - len(text)
        while True:
            self._search(len(text))
            self.file.seek(place + len(text))
            chunk = self.file.read(CHUNK)
            if not chunk:
                return self.size
            text += chunk.decode("latin-1")
            if match := pattern.search(text):
                return place + match.start(1)
            place, text = place + max(len(text) - OVERLAP, 0), text[-OVERLAP:]

    def _beginning(self) -> re.Pattern[str]:
        """What an element of this file begins with. No text of JSON holds a bare line end, nor a brace before a quote that opens a key."""
        known, indent = list(self.keys), self.indent
        if not known:
            self.guessed = True
            indent = self._indent(self.position)
            if indent and self.text[self.position] != "{":
                return re.compile(rf"{self.line_end}[ \t]{{0,{len(indent) - 1}}}()\{{")
            match = _FIRST_KEY.match(self.text, self.position)
            known = [match[1]] if match else []
        sure = indent is not None and (bool(indent) or not self.spread)
        key = "" if sure else "|".join(map(re.escape, known)) or r'"[^"\\\r\n]{1,200}"'
        state = (indent, sure, key)
        if state not in self.patterns:
            brace = (
                rf"{self.line_end}{re.escape(indent or '')}()\{{"
                if sure
                else rf"[^:\[ \t\r\n]{BLANKS}()\{{{BLANKS}(?:{key})[ \t\r\n]{{0,16}}:"
            )
            self.patterns[state] = re.compile(brace)
        return self.patterns[state]

    def _search(self, size: int) -> None:
        """Count what is read more than once.

        Raises:
            RowFault: it is too much.
        """
        self.searched += size
        if self.searched > self.budget:
            raise RowFault("invalid_json", f"line {self._line()}: brackets or quotes that do not close, again and again")


def _too_long(size: int | None, limits: Limits) -> RowFault:
    return RowFault(
        "line_too_long", f"{'more than the limit of' if size is None else f'{size:,} bytes, the limit is'} {limits.max_line_bytes:,}"
    )


__all__ = ["read_values", "values_of"]
