"""Real English text to learn a small base model from: no pool, no evaluation set, nothing that is shipped.

Three kinds, each as a list of documents:

* `prose`: what of the data folder is neither a pool of our studies nor used for evaluation: dialogues, reasoning, task descriptions.
* `documentation`: Markdown, reStructuredText and text files and package descriptions of what is installed, manual pages of the system.
* `docstrings`: of the Python packages installed.

Documents are kept that read as English (share of very common words), each once, in the order of their digests; one that holds an
instruction of an evaluation set is left out. What there is depends on the machine, so a model is recorded with the corpus's digest.
"""

from __future__ import annotations

import ast
import gzip
import hashlib
import json
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final

from instructsel.pool.sources import zstd

COMMON: Final = frozenset(
    ("the", "of", "and", "to", "a", "in", "is", "that", "it", "for", "as", "with", "be", "on", "are", "this", "you", "by")
)
LEAST_COMMON: Final = {"prose": 0.12, "documentation": 0.2, "docstrings": 0.16}
"""Share of very common words from which on a text counts as English prose; that of newspapers is about 0.3. Options lists and
changelogs have less than a fifth."""
LEAST: Final = {"prose": 60, "documentation": 300, "docstrings": 160}
"""Characters of a document at least."""
MOST: Final = 40_000
"""Characters of a document at most; the rest of a longer one is another document."""
EVALUATION: Final = (
    "eval/deval_selfinstruct_252x5.jsonl.zst",
    "eval/self_instruct_252.jsonl.zst",
    "eval/mt_bench_80.jsonl.zst",
    "eval/vicuna_80.jsonl.zst",
    "eval/alpaca_eval_805.jsonl.zst",
    "eval/koala_180.jsonl.zst",
    "eval/wizardlm_218.jsonl.zst",
    "eval/gsm8k_test.jsonl.zst",
    "eval/truthfulqa_817.jsonl.zst",
)
PROSE: Final = (
    "pools/cot_sample.jsonl.zst",
    "pools/gsm8k_train.jsonl.zst",
    "pools/natural_instructions_sample.jsonl.zst",
    "pools/alpaca_libre_v1.jsonl.zst",
    "pools/alpaca_libre_v3.jsonl.zst",
    "preferences/hh_harmless_base_test.jsonl.zst",
    "preferences/dsp_helpful_test.jsonl.zst",
    "preferences/dsp_webgpt_test.jsonl.zst",
    "preferences/dpo_en_demo_sharegpt.jsonl.zst",
)
"""Neither pools of a study nor evaluation sets. Where a file holds two dialogues that differ in their last answer, the first."""
WORD: Final = re.compile(r"[a-zA-Z']+")
SPACES: Final = re.compile(r"[ \t]+")
TURN: Final = re.compile(r"\n*(Human|Assistant|<\|user\|>|<\|assistant\|>): ?")


def english(text: str, least: float = 0.12) -> bool:
    """Whether a text reads as English."""
    words = WORD.findall(text[:5000].lower())
    return len(words) >= 8 and sum(word in COMMON for word in words) / len(words) >= least


def plain(text: str) -> str:
    """A text without runs of spaces and empty lines."""
    lines = [SPACES.sub(" ", line).strip() for line in text.replace("\r", "").split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def pieces(text: str) -> Iterator[str]:
    """A text in documents of at most MOST characters, cut at line ends."""
    while len(text) > MOST:
        cut = text.rfind("\n", MOST // 2, MOST)
        cut = cut if cut > 0 else MOST
        yield text[:cut]
        text = text[cut:].lstrip("\n")
    yield text


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a compressed file of JSON lines."""
    for line in zstd.decompress(path.read_bytes()).decode("utf-8").split("\n"):
        if line:
            yield json.loads(line)


def prose(folder: Path) -> Iterator[str]:
    """Documents of the data folder."""
    for name in PROSE:
        for row in lines(folder / name):
            yield from _prose(row)


def _prose(row: dict[str, Any]) -> Iterator[str]:
    if "Definition" in row:
        examples = [
            f"{example['input']}\n{example['output']}" for example in row["Positive Examples"] if isinstance(example.get("output"), str)
        ]
        yield "\n\n".join([*row["Definition"], *examples])
        for instance in row["Instances"][:40]:
            answer = instance["output"][0] if isinstance(instance["output"], list) and instance["output"] else ""
            yield f"{instance['input']}\n{answer}"
    elif "chosen" in row and isinstance(row["chosen"], str):
        yield TURN.sub("\n\n", row["chosen"])
    elif "text" in row and isinstance(row["text"], list):
        yield TURN.sub("\n\n", str(row["text"][0]))
    elif "conversations" in row:
        yield "\n\n".join([*(turn["value"] for turn in row["conversations"]), row["chosen"]["value"]])
    elif "question" in row:
        yield f"{row['question']}\n{row['answer']}"
    else:
        yield "\n".join(part for part in (row.get("instruction"), row.get("input"), row.get("output")) if isinstance(part, str) and part)


def docstrings(path: Path) -> list[str]:
    """The docstrings of a Python file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError, OSError, RecursionError, MemoryError):
        return []
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [docstring for node in ast.walk(tree) if isinstance(node, kinds) and (docstring := ast.get_docstring(node))]


def documentation(path: Path) -> list[str]:
    """The text of a documentation file."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError, EOFError, gzip.BadGzipFile):
        return []
    return [_roff(text) if "/man/" in str(path) else text]


def _roff(text: str) -> str:
    """A manual page's sentences: requests and escapes removed."""
    lines = [line for line in text.split("\n") if not line.startswith((".\\", "'\\"))]
    prose = [re.sub(r"^[.'](?:[A-Z]{1,2}|Nm|Fl|Ar|It|Pa|Xr)\b ?", "", line) for line in lines]
    prose = [line for line in prose if not line.startswith((".", "'"))]
    return re.sub(r"\\f[BIRP]|\\[&|^%/,]|\\-", lambda found: "-" if found.group() == "\\-" else "", "\n".join(prose))


def installed() -> tuple[list[Path], list[Path]]:
    """Python files, and documentation files, of what is installed; paths in order."""
    site = Path(next(place for place in sys.path if place.endswith("site-packages")))
    python = sorted(site.rglob("*.py"))
    paths = [path for ending in ("md", "rst", "txt") for path in site.rglob(f"*.{ending}")]
    paths += list(site.rglob("METADATA"))
    for root, endings in (("/usr/share/man", (".gz", ".1", ".5", ".7", ".8")), ("/usr/share/doc", (".gz", ".md", ".txt", ""))):
        folder = Path(root)
        files = [path for path in folder.rglob("*") if path.is_file() and path.suffix in endings] if folder.is_dir() else []
        # Translated pages stand in folders named for their language.
        paths += [path for path in files if root != "/usr/share/man" or path.parent.parent == folder]
    names = ("license", "copyright", "changelog", "changes", "news")
    return python, sorted(path for path in paths if not path.name.lower().startswith(names))


def evaluation_instructions(folder: Path) -> set[str]:
    """Instructions of the evaluation sets, lower-cased words only, those of eight words or more."""
    seen_hashes: set[str] = set()
    for name in EVALUATION:
        for row in lines(folder / name):
            for key in ("instruction", "prompt", "question", "Question", "Instruction", "text"):
                if isinstance(row.get(key), str):
                    seen_hashes.add(" ".join(WORD.findall(row[key].lower())))
            seen_hashes.update(" ".join(WORD.findall(turn.lower())) for turn in row.get("turns", []) if isinstance(turn, str))
    return {text for text in seen_hashes if text.count(" ") >= 7}


class Known:
    """Which texts hold an instruction of an evaluation set: by its first eight words, then whole."""

    def __init__(self, instructions: Iterable[str]) -> None:
        self.by_start: dict[str, list[str]] = {}
        for text in sorted(instructions):
            self.by_start.setdefault(" ".join(text.split(" ")[:8]), []).append(text)

    def __call__(self, text: str) -> bool:
        """Whether it holds one."""
        words = WORD.findall(text.lower())
        joined: str | None = None
        for start in range(len(words) - 7):
            candidates = self.by_start.get(" ".join(words[start : start + 8]))
            if candidates:
                joined = joined if joined is not None else " ".join(words)
                if any(candidate in joined for candidate in candidates):
                    return True
        return False


def collect(folder: Path, *, workers: int = 2, small: bool = False) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """The documents by kind, and an account of what was found and left out.

    `small` reads the package descriptions alone: enough to try the code.
    """
    known = Known(evaluation_instructions(folder)) if folder.is_dir() else Known(())
    python, documents = installed()
    if small:
        python, documents = python[:400], [path for path in documents if path.name == "METADATA"]
    raw: dict[str, Iterable[str]] = {"prose": prose(folder) if folder.is_dir() else ()}
    with ProcessPoolExecutor(workers) as processes:
        raw["documentation"] = [text for texts in processes.map(documentation, documents, chunksize=64) for text in texts]
        raw["docstrings"] = [text for texts in processes.map(docstrings, python, chunksize=64) for text in texts]
    seen: set[bytes] = set()
    documents: dict[str, list[str]] = {}
    account: dict[str, Any] = {"files": {"documentation": len(documents), "python": len(python), "data": list(PROSE)}, "left_out": {}}
    for kind, texts in raw.items():
        why: Counter[str] = Counter()
        chosen: list[tuple[bytes, str]] = []
        for text in texts:
            for piece in pieces(plain(text)):
                digest = hashlib.blake2b(piece.lower().encode("utf-8", "replace"), digest_size=16).digest()
                if len(piece) < LEAST[kind]:
                    why["short"] += 1
                elif digest in seen:
                    why["repeated"] += 1
                elif not english(piece, LEAST_COMMON[kind]):
                    why["not_english"] += 1
                elif known(piece):
                    why["in_evaluation"] += 1
                else:
                    seen.add(digest)
                    chosen.append((digest, piece))
        chosen.sort()
        documents[kind] = [text for _, text in chosen]
        account["left_out"][kind] = dict(sorted(why.items()))
    account["documents"] = {kind: len(texts) for kind, texts in documents.items()}
    account["characters"] = {kind: sum(map(len, texts)) for kind, texts in documents.items()}
    total_digest = hashlib.sha256()
    for kind in sorted(documents):
        for text in documents[kind]:
            total_digest.update(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest())
    account["sha256"] = total_digest.hexdigest()
    return documents, account
