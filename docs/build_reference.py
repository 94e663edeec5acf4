"""Write docs/reference/command-line.md from the commands' own --help."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

VERBS = (
    ["score"],
    ["select"],
    ["export"],
    ["rules", "list"],
    ["rules", "show"],
    ["rules", "fit"],
    ["gate"],
    ["gate", "checks"],
    ["gate", "waive"],
    ["gate", "baseline", "create"],
    ["gate", "baseline", "update"],
    ["gate", "baseline", "show"],
    ["gate", "init"],
    ["datasets", "list"],
    ["datasets", "show"],
    ["datasets", "convert"],
    ["mix"],
    ["mix", "check"],
    ["audit"],
    ["explain"],
    ["diff"],
    ["status"],
    ["doctor"],
    ["cache", "show"],
    ["cache", "prune"],
    ["schema"],
    ["skill", "show"],
    ["skill", "install"],
    ["demo"],
    ["train"],
    ["study", "plan"],
    ["study", "run"],
    ["study", "status"],
    ["study", "size"],
    ["verify"],
    ["judge-app"],
    ["report"],
)
PAGE = Path(__file__).with_name("reference") / "command-line.md"


def page() -> str:
    """The page's text."""
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERMINAL_WIDTH": "100"}
    parts = ["# Command line\n\nWritten by `python docs/build_reference.py` from the commands' own help.\n"]
    for verb in VERBS:
        shown = subprocess.run(
            [sys.executable, "-m", "instructsel", *verb, "--help"], capture_output=True, text=True, check=True, env=environment
        ).stdout
        lines = "\n".join(line.rstrip() for line in shown.strip().split("\n")).replace("python -m instructsel", "instructsel")
        parts.append(f"## instructsel {' '.join(verb)}\n\n```\n{lines}\n```\n")
    parts.append(
        "## Exit codes\n\n0 done · 1 negative: a fit that leaves no indicator, a finding of audit --fail-on, a gate that fails · 2 usage or configuration · 3 input unreadable or over a limit · "
        "4 environment: extra, model, disk, memory · 5 nothing to do · 130 interrupted.\n"
    )
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
