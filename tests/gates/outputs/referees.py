"""Small reference parsers that judge what a CI runner, a terminal and a page would make of a text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

WORKFLOW = {
    *("error", "warning", "notice", "debug", "group", "endgroup", "add-mask", "add-matcher", "remove-matcher", "add-path", "echo"),
    *("save-state", "set-env", "set-output", "stop-commands", "command", "section"),
}
DOTNET_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"


@dataclass(frozen=True)
class WorkflowCommand:
    """What GitHub's runner would obey."""

    name: str
    properties: tuple[tuple[str, str], ...]
    data: str


def _unescaped(text: str, property_of: bool = False) -> str:
    for code, sign in (("%0D", "\r"), ("%0A", "\n"), *((("%3A", ":"), ("%2C", ",")) if property_of else ()), ("%25", "%")):
        text = text.replace(code, sign)
    return text


def workflow_commands(log: str) -> Iterator[WorkflowCommand]:
    """Every command of a log: `::name a=b::data` at the beginning of a line, `##[name a=b;]data` anywhere in it; Azure's and TeamCity's too."""
    for line in re.split(r"\r\n|\n|\r", log):
        trimmed = line.lstrip(DOTNET_SPACE)
        if trimmed.startswith("::") and (end := trimmed.find("::", 2)) > 0:
            name, _, rest = trimmed[2:end].partition(" ")
            pairs = (pair.partition("=")[::2] for pair in rest.split(",") if pair)
            yield WorkflowCommand(
                name, tuple((key.strip(), _unescaped(value, True)) for key, value in pairs), _unescaped(trimmed[end + 2 :])
            )
        elif match := re.search(r"##(?:vso|teamcity)?\[([^\]\s]*)([^\]]*)\](.*)", line):
            yield WorkflowCommand(match[1], (("##", match[2]),), match[3])


def terminal_faults(text: str) -> list[str]:
    """Signs that move a cursor, color, ring, turn the reading direction or stand unseen."""
    return [
        f"U+{ord(sign):04X}"
        for sign in text
        if (unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") and sign not in "\n")
        or sign in "\u115f\u1160\u3164\uffa0\u034f"
    ]


PLAIN_TOKENS = {"text", "softbreak", "text_special"}


def markdown_faults(page: str) -> list[str]:
    """What a page would show besides headings, paragraphs, rules of its tables and text."""
    from markdown_it import MarkdownIt

    faults = []
    for token in MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(page):
        if token.type.startswith(("html", "fence", "code", "hr", "blockquote", "bullet", "ordered", "list")):
            faults.append(f"{token.type}: {token.content[:60]}")
        for inner in token.children or ():
            if inner.type not in PLAIN_TOKENS:
                faults.append(f"{inner.type}: {inner.content[:60]}")
            elif inner.type == "text" and (
                match := re.search(r"(?<!\w)@[\w-]+|[\w.+-]@[\w-]+\.|(?<![\w&])#\d+|(?i:\bwww\.)|://", inner.content)
            ):
                faults.append(f"mention: {match[0]}")
    # Addresses are found by hosts before anything is parsed, unless a sign of them is escaped.
    return [*faults, *re.findall(r"(?i)(?:https?|ftp)://\S{0,20}", page)]
