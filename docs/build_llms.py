"""Write docs/llms.txt: what the pages and commands are, a line each, for programs that read documentation."""

from __future__ import annotations

import re
from pathlib import Path

from instructsel.commands import SECTIONS

DOCS = Path(__file__).parent
PAGE = DOCS / "llms.txt"
FOLDERS = {".": "Start", "how-to": "How to", "reference": "Reference", "why": "Why"}


def summary(path: Path) -> tuple[str, str]:
    """A page's title, and its first sentence."""
    text = path.read_text(encoding="utf-8")
    title = next((line[2:].strip() for line in text.splitlines() if line.startswith("# ")), path.stem)
    body = re.sub(r"```.*?```|^#.*$|^\|.*$|^---$", "", text.partition(f"# {title}")[2], flags=re.MULTILINE | re.DOTALL)
    paragraph = " ".join(next((part for part in body.split("\n\n") if part.strip()), "").split())
    sentence = re.match(r".+?[.:](?= |$)", re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", paragraph))
    return title, sentence[0].rstrip(":.") + "." if sentence else paragraph


def page() -> str:
    """The page's text."""
    lines = [
        "# instructsel",
        "",
        "> Choose the training data that makes a fine-tune better: score instruction–response pairs, select a subset under a budget, gate new rows in CI, and",
        "> verify with baselines, seeds and intervals.",
        "",
        "Exit codes: 0 done, 1 negative, 2 usage, 3 input, 4 environment, 5 nothing to do. JSON: `instructsel schema`. For assistants: `instructsel skill show`.",
        "",
        "## Commands",
        "",
    ]
    lines += [f"- `instructsel {name}`: {text}" for commands in SECTIONS.values() for name, text in commands.items()]
    for folder, heading in FOLDERS.items():
        lines += ["", f"## {heading}", ""]
        for path in sorted((DOCS / folder).glob("*.md")):
            title, sentence = summary(path)
            lines.append(f"- [{title}]({path.relative_to(DOCS).as_posix()}): {sentence}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
