"""Responses as HTML: Markdown and code, without anything that a page would run or load."""

from __future__ import annotations

import html
from functools import lru_cache
from typing import Any, Final

from instructsel.extras import require

LONGEST: Final = 50_000
"""Characters of a text that is read as Markdown; a longer one is shown as it is."""
NEEDED_BY: Final = "judge-app"
FIRST_HEADING: Final = 3
"""A response's first heading stands below those of the page."""


def rendered(text: str) -> str:
    """A response as HTML: Markdown of CommonMark with tables; HTML in it is shown, pictures are their addresses, links open elsewhere.

    >>> rendered("**a** <script>b</script> ![c](d)")
    '<p><strong>a</strong> &lt;script&gt;b&lt;/script&gt; !<a href="d" target="_blank" rel="noopener noreferrer nofollow">c</a></p>\\n'
    """
    if len(text) > LONGEST or not text.strip():
        return plain(text)
    try:
        return str(_reader().render(text.replace("\0", "\ufffd")))
    # Whatever a text does to the reader, the annotator sees the text.
    except Exception:
        return plain(text)


def plain(text: str) -> str:
    """A text as it is, with its line breaks and blanks."""
    if not text.strip():
        return '<p class="hint">(no text)</p>'
    return f'<pre class="plain" tabindex="0">{html.escape(text.replace(chr(0), chr(0xFFFD)))}</pre>'


@lru_cache(maxsize=1)
def _reader() -> Any:
    markdown = require("markdown_it", needed_by=NEEDED_BY)
    reader = markdown.MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": 20}).enable(["table", "strikethrough"])
    reader.disable("image")
    reader.core.ruler.push("headings", _lower_headings)
    rules = reader.renderer.rules
    rules["link_open"] = _outside
    rules["fence"] = rules["code_block"] = _code
    return reader


def _lower_headings(state: Any) -> None:
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1:]) + FIRST_HEADING - 1)}"


def _outside(tokens: Any, place: int, options: Any, environment: Any) -> str:
    token = tokens[place]
    return f'<a href="{html.escape(str(token.attrs.get("href", "")))}" target="_blank" rel="noopener noreferrer nofollow">'


def _code(tokens: Any, place: int, options: Any, environment: Any) -> str:
    # Wide code is scrolled with the keyboard, too.
    return f'<pre tabindex="0"><code>{html.escape(tokens[place].content)}</code></pre>\n'


__all__ = ["plain", "rendered"]
