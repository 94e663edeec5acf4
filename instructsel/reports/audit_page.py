"""An audit as one page that loads nothing and runs nothing: findings, figures, and rows with the trained tokens marked."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from instructsel.artifact import atomic_write, release
from instructsel.text import UNSAFE, neutral

if TYPE_CHECKING:
    from instructsel.audits.result import Audit
    from instructsel.audits.shown import Piece

MOST: Final = 20_000
"""Characters of a piece of a row that are shown."""
STATES: Final = {
    "prompt": "seen, without loss",
    "trained": "trained: the loss falls on it",
    "end": "end of turn, trained",
    "cut": "cut off, never seen",
    "boundary": "another packed sequence begins",
}
"""State → what it means."""


def page(audit: Audit) -> str:
    """The audit as HTML.

    Every text of rows is escaped, control characters are written as escapes, and the page may load nothing.
    """
    import jinja2
    from markupsafe import Markup

    folder = files("instructsel.reports") / "templates"
    style = "\n" + (folder / "report.css").read_text(encoding="utf-8") + (folder / "audit.css").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals |= {"text_of": text_of, "neutral": neutral, "states": STATES}
    template = environment.from_string((folder / "audit.html").read_text(encoding="utf-8"))
    return template.render(
        audit=audit,
        release=release(),
        style=Markup(style),
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    )


def text_of(piece: Piece) -> str:
    """The text of a piece: line breaks stay, other control characters are written as escapes; a line break of an end is named."""
    text = piece.text if len(piece.text) <= MOST else f"{piece.text[:MOST]}… ({len(piece.text) - MOST:,} more characters)"
    if piece.state == "end":
        text = text.replace("\n", "\\n")
    return "".join(_shown(line) for line in text.splitlines(keepends=True))


def _shown(line: str) -> str:
    body = line.rstrip("\n")
    return UNSAFE.sub(
        lambda match: "\t" if match[0] == "\t" else f"\\u{ord(match[0]):04x}" if ord(match[0]) <= 0xFFFF else f"\\U{ord(match[0]):08x}",
        body,
    ) + "\n" * (len(line) - len(body))


def write(audit: Audit, path: Path) -> None:
    """Write the page.

    Raises:
        EnvironmentFault: the folder is missing or not writable, or the disk is full.
    """
    content = page(audit).encode("utf-8", "backslashreplace")
    with atomic_write(path) as file:
        file.write(content)


__all__ = ["page", "text_of", "write"]
