"""Plant known defects into clean instruction data and write down where they are.

The script reads a file of clean rows in the messages format, copies them, spoils or duplicates some of the copies
and writes a shuffled pool together with a key. A selection or cleaning tool can be run on the pool and its findings
compared with the key. Nothing in a row of the pool tells whether it was touched.

The same clean file and the same seed give the same bytes.

Usage (the paths default to the files beside this script):

    python examples/plant.py --seed 20260101
    python examples/plant.py --seed 7 --pool /tmp/pool.jsonl --key /tmp/pool.key.json
"""

from __future__ import annotations

import argparse
import copy
import json
import random
from pathlib import Path
from typing import Any

Row = dict[str, Any]

HERE = Path(__file__).resolve().parent

#: How many rows of each kind are planted. The two duplicate kinds add rows, the others spoil rows in place.
COUNTS: dict[str, int] = {
    "exact_duplicate": 7,
    "near_duplicate": 7,
    "mismatched": 7,
    "gibberish": 5,
    "truncated": 5,
    "refusal": 5,
    "empty": 4,
}
DUPLICATES = ("exact_duplicate", "near_duplicate")

#: Only these fields of a clean row reach the pool.
FIELDS = ("messages", "topic", "lang")

#: A near-duplicate starts from a row with at least this many words and keeps at least this Jaccard similarity.
MIN_WORDS_NEAR = 60
MIN_JACCARD = 0.8
#: Only responses with at least this many words are truncated.
MIN_WORDS_TRUNCATED = 40
#: Only responses with at least this many words are replaced by gibberish or swapped.
MIN_WORDS_SPOILED = 8

GREETINGS = ("Hello! ", "Hi there, ", "Good morning. ", "Hey, quick question: ")

#: Word pairs that may stand for each other without much change of meaning.
SYNONYMS: dict[str, str] = {
    "usually": "normally",
    "often": "frequently",
    "big": "large",
    "quickly": "rapidly",
    "write": "compose",
    "nearly": "almost",
    "several": "various",
    "roughly": "approximately",
    "helps": "assists",
    "needs": "requires",
    "enough": "sufficient",
    "important": "essential",
    "simple": "plain",
    "whole": "entire",
    "mostly": "mainly",
    "slightly": "somewhat",
}

REFUSALS = (
    "I'm sorry, but I can't help with that request.",
    "As an AI language model, I am not able to assist with this.",
    "I cannot fulfil this request. Please ask me about something else.",
    "Unfortunately, I'm unable to answer that, as it goes against my guidelines.",
    "I'm afraid this is not something I can do. Is there anything else you would like to talk about?",
    "Sorry, I must decline to provide this information because it could be misused.",
    "I don't feel comfortable answering this question, so I won't be able to continue with it.",
    "As an AI assistant, I have no opinions or abilities of this kind and therefore can't respond to your request.",
    "My apologies, but I am not permitted to produce content of this type.",
    "I won't be able to help with this one. I recommend that you consult a qualified professional instead.",
)

EMPTY = ("", " ", "\n", "   \n", "\t")

KEYBOARD_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def words(text: str) -> list[str]:
    """Return the lower-cased words of a text, split at whitespace."""
    return text.lower().split()


def row_text(row: Row) -> str:
    """Return all messages of a row as one text."""
    return " ".join(message["content"] for message in row["messages"])


def response(row: Row) -> str:
    """Return the last message of a row, which is the assistant's."""
    text: str = row["messages"][-1]["content"]
    return text


def jaccard(first: str, second: str, *, n: int = 5) -> float:
    """Return the Jaccard similarity of the two texts' sets of word n-grams."""
    left, right = words(first), words(second)
    grams_left = {tuple(left[i : i + n]) for i in range(len(left) - n + 1)}
    grams_right = {tuple(right[i : i + n]) for i in range(len(right) - n + 1)}
    union = grams_left | grams_right
    return len(grams_left & grams_right) / len(union) if union else 0.0


def strip_row(row: Row) -> Row:
    """Return a deep copy of a row that holds only the fields of the pool."""
    return {field: copy.deepcopy(row[field]) for field in FIELDS if field in row}


def first_user(row: Row) -> dict[str, str]:
    """Return the first user message of a row."""
    return next(message for message in row["messages"] if message["role"] == "user")


def swap_words(row: Row, rng: random.Random) -> bool:
    """Replace one or two words of a row by synonyms; say whether there was a word to replace."""
    places = [
        (m, w) for m, message in enumerate(row["messages"]) for w, word in enumerate(message["content"].split(" ")) if word in SYNONYMS
    ]
    if not places:
        return False
    for m, w in rng.sample(places, k=min(len(places), rng.choice((1, 2)))):
        parts = row["messages"][m]["content"].split(" ")
        parts[w] = SYNONYMS[parts[w]]
        row["messages"][m]["content"] = " ".join(parts)
    return True


def greet(row: Row, rng: random.Random) -> bool:
    """Put a greeting in front of the instruction."""
    message = first_user(row)
    message["content"] = rng.choice(GREETINGS) + message["content"]
    return True


def restyle(row: Row, rng: random.Random) -> bool:
    """Change casing and closing punctuation: lower-case the instruction or drop its final mark."""
    message = first_user(row)
    before = message["content"]
    edits = [before.lower(), before.rstrip(".?!"), before.rstrip(".?!").lower()]
    edits = [edit for edit in edits if edit and edit != before]
    if not edits:
        return False
    message["content"] = rng.choice(edits)
    return True


def near_copy(row: Row, edit: int, rng: random.Random) -> Row | None:
    """Return an edited copy of a row, or None if this row does not lend itself to the edit."""
    twin = strip_row(row)
    changed = (swap_words, greet, restyle)[edit % 3](twin, rng)
    if not changed or twin["messages"] == row["messages"]:
        return None
    return twin if jaccard(row_text(row), row_text(twin)) >= MIN_JACCARD else None


def gibberish(text: str, style: int, rng: random.Random) -> str:
    """Return keyboard mash, shuffled letters or mojibake about as long as the text."""
    if style % 3 == 0:
        keys = [rng.choice(KEYBOARD_ROWS) for _ in range(rng.randint(6, 14))]
        return " ".join("".join(rng.choice(row) for _ in range(rng.randint(4, 12))) for row in keys)
    if style % 3 == 1:
        letters = [c for c in text if not c.isspace()]
        rng.shuffle(letters)
        mixed = iter(letters)
        return "".join(c if c.isspace() else next(mixed) for c in text)
    accented = "".join(c if c.isspace() else chr(ord(c) % 64 + 0xC0) for c in text[:160].rstrip())
    return accented.encode("utf-8").decode("cp1252", errors="replace")


def cut_places(text: str) -> list[int]:
    """Return the word positions, well inside a text, before which a cut falls in the middle of a sentence."""
    pieces = text.split(" ")
    low, high = int(len(pieces) * 0.4), int(len(pieces) * 0.8)
    return [i for i in range(low, high) if all(p.isalpha() and p.islower() for p in pieces[i - 2 : i + 1])]


def truncate(text: str, rng: random.Random) -> str:
    """Cut a text in the middle of a sentence."""
    return " ".join(text.split(" ")[: rng.choice(cut_places(text))])


def eligible(row: Row, kind: str) -> bool:
    """Say whether a clean row may be used for a kind of defect."""
    count = len(words(response(row)))
    if kind == "near_duplicate":
        return len(words(row_text(row))) >= MIN_WORDS_NEAR and row["lang"] == "en"
    if kind == "truncated":
        return count >= MIN_WORDS_TRUNCATED and "```" not in response(row) and bool(cut_places(response(row)))
    if kind in ("mismatched", "gibberish"):
        return count >= MIN_WORDS_SPOILED
    return True


def draw(rows: list[Row], kind: str, free: list[int], rng: random.Random) -> int:
    """Take a random eligible index out of the free ones."""
    index = rng.choice([i for i in free if eligible(rows[i], kind)])
    free.remove(index)
    return index


def plant(rows: list[Row], *, seed: int) -> tuple[list[Row], list[dict[str, Any]]]:
    """Return a shuffled pool with planted defects, and the key that lists them.

    Every clean row is used for at most one defect, so a duplicate's original is always a clean row that stays in the
    pool. Key entries hold the 1-based line of the defective row, its kind and, for duplicates, the line of the
    original.
    """
    rng = random.Random(seed)
    pool = [strip_row(row) for row in rows]
    free = list(range(len(rows)))
    kinds: dict[int, str] = {}
    origins: dict[int, int] = {}

    # The kinds with the narrowest choice of rows go first.
    while sum(kind == "near_duplicate" for kind in kinds.values()) < COUNTS["near_duplicate"]:
        index = draw(rows, "near_duplicate", free, rng)
        twin = near_copy(pool[index], len(kinds), rng)
        if twin is None:
            continue
        assert jaccard(row_text(pool[index]), row_text(twin)) >= MIN_JACCARD
        kinds[len(pool)], origins[len(pool)] = "near_duplicate", index
        pool.append(twin)

    for _ in range(COUNTS["truncated"]):
        index = draw(rows, "truncated", free, rng)
        pool[index]["messages"][-1]["content"] = truncate(response(rows[index]), rng)
        kinds[index] = "truncated"

    # Responses travel round a ring, so that none comes home; its members are of different topics.
    ring: list[int] = []
    while len(ring) < COUNTS["mismatched"]:
        index = draw(rows, "mismatched", free, rng)
        if all(rows[index]["topic"] != rows[other]["topic"] for other in ring):
            ring.append(index)
    for position, index in enumerate(ring):
        pool[index]["messages"][-1]["content"] = response(rows[ring[position - 1]])
        kinds[index] = "mismatched"

    for number in range(COUNTS["gibberish"]):
        index = draw(rows, "gibberish", free, rng)
        pool[index]["messages"][-1]["content"] = gibberish(response(rows[index]), number, rng)
        kinds[index] = "gibberish"

    for text in rng.sample(REFUSALS, k=COUNTS["refusal"]):
        index = draw(rows, "refusal", free, rng)
        pool[index]["messages"][-1]["content"] = text
        kinds[index] = "refusal"

    for number in range(COUNTS["empty"]):
        index = draw(rows, "empty", free, rng)
        pool[index]["messages"][-1]["content"] = EMPTY[number % len(EMPTY)]
        kinds[index] = "empty"

    for _ in range(COUNTS["exact_duplicate"]):
        index = draw(rows, "exact_duplicate", free, rng)
        kinds[len(pool)], origins[len(pool)] = "exact_duplicate", index
        pool.append(copy.deepcopy(pool[index]))

    order = list(range(len(pool)))
    rng.shuffle(order)
    line = {index: number for number, index in enumerate(order, start=1)}
    key = [{"line": line[index], "kind": kind, "of": line[origins[index]] if index in origins else None} for index, kind in kinds.items()]
    return [pool[index] for index in order], sorted(key, key=lambda entry: entry["line"])


def main() -> None:
    """Read the clean rows, plant the defects and write the pool and its key."""
    parser = argparse.ArgumentParser(description="Plant known defects into clean instruction data.")
    parser.add_argument("--clean", type=Path, default=HERE / "clean.jsonl", help="clean rows to read")
    parser.add_argument("--seed", type=int, default=20260101, help="seed for every random choice")
    parser.add_argument("--pool", type=Path, default=HERE / "pool.jsonl", help="pool to write")
    parser.add_argument("--key", type=Path, default=HERE / "pool.key.json", help="key to write")
    args = parser.parse_args()

    with args.clean.open(encoding="utf-8") as handle:
        rows = [json.loads(line) for line in handle if line.strip()]
    pool, key = plant(rows, seed=args.seed)

    with args.pool.open("w", encoding="utf-8", newline="\n") as handle:
        handle.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in pool)
    kinds = {kind: sum(entry["kind"] == kind for entry in key) for kind in COUNTS}
    with args.key.open("w", encoding="utf-8", newline="\n") as handle:
        json.dump({"seed": args.seed, "kinds": kinds, "rows": key}, handle, ensure_ascii=False, indent=1)
        handle.write("\n")
    print(f"{len(pool)} rows, {len(key)} of them planted: {kinds}")


if __name__ == "__main__":
    main()
