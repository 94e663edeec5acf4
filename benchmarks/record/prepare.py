"""What the study of record is made of: candidates, held-out answers by source, a target set, and tasks. Every draw is by the protocol's seed."""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from checkable import Checkable, checkable

from instructsel import Example, Message
from instructsel.adapters.lm_eval.own_task import write_task
from instructsel.grading.generation import Generator
from instructsel.pool.sources import zstd
from instructsel.selection.tokens import chat_tokens

PROTOCOL: Final = Path(__file__).with_name("protocol.toml")
POOLS: Final = {"alpaca": ("pools/alpaca.jsonl.zst", "input", "output"), "dolly": ("pools/dolly.jsonl.zst", "context", "response")}
"""Pool → its file, and the names of the input's and of the response's field."""
STRONG: Final = "gpt4"
"""Whose answers to AlpacaEval's questions are held out."""
OTHERS: Final = ("koala", "oasst", "helpful_base")
"""Parts of AlpacaEval that are no other source here."""
VICUNA: Final = ("gpt-4", "gpt-3.5-turbo")
"""Whose answers to Vicuna's questions are held out."""
Turns = list[dict[str, str]]


def protocol() -> dict[str, Any]:
    """What was decided beforehand."""
    return tomllib.loads(PROTOCOL.read_text(encoding="utf-8"))


def lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a compressed file."""
    return [json.loads(line) for line in zstd.decompress(path.read_bytes()).decode("utf-8").split("\n") if line]


def write(path: Path, rows: Sequence[Any]) -> Path:
    """As JSON lines, under a folder that is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def turns(prompt: str, response: str) -> Turns:
    """One question and its answer."""
    return [{"role": "user", "content": prompt.strip()}, {"role": "assistant", "content": response.strip()}]


@dataclass(frozen=True)
class Material:
    """Everything that is drawn, for one base."""

    data: Path
    base: str
    out: Path
    small: bool = False
    """A few rows of everything, to try the script."""
    stage: str = ""
    """Whose outcomes are asked for, where a stage has other numbers of them."""

    @cached_property
    def decided(self) -> dict[str, Any]:
        """The protocol, with small numbers where the script is only tried."""
        settings = protocol()
        if self.small:
            settings["pools"] |= {"candidates": 60, "tokens": 1500, "rows": 12}
            settings["outcomes"] |= {"items": 4, "task_items": 4, "generation_items": 2, "max_new_tokens": 8}
            settings["target"] |= {"items": 2}
            settings["stage_0"] |= {"candidates": 30, "rows": 6, "seeds": 2, "outcomes": {}}
            settings["stage_1"] |= {"random_subsets": 2}
            settings["stage_3"] |= {"bins": 2}
            settings["stage_4"] |= {"rows": 24, "halves": 4}
        return settings

    @property
    def outcomes(self) -> dict[str, Any]:
        """What every model is asked, and how much."""
        outcomes: dict[str, Any] = self.decided["outcomes"] | self.decided.get(self.stage, {}).get("outcomes", {})
        return outcomes

    @cached_property
    def _counter(self) -> Callable[[Sequence[Example]], Sequence[int]]:
        return chat_tokens(self.base).count

    def lengths(self, conversations: Sequence[Turns]) -> list[int]:
        """Tokens of each in the base's chat template."""
        return list(self._counter([Example("", "", tuple(Message(**turn) for turn in conversation)) for conversation in conversations]))

    def fitting(self, conversations: Sequence[Turns], n: int, name: str) -> list[Turns]:
        """The first n of a shuffled list that fit into a row of the base, each question once."""
        order = list(conversations)
        random.Random(f"{self.decided['pools']['draw']}:{name}").shuffle(order)
        chosen: dict[str, Turns] = {}
        for start in range(0, len(order), 256):
            batch = order[start : start + 256]
            for conversation, length in zip(batch, self.lengths(batch), strict=True):
                if length <= self.decided["model"]["max_length"] and conversation[1]["content"]:
                    chosen.setdefault(conversation[0]["content"], conversation)
            if len(chosen) >= n:
                break
        return list(chosen.values())[:n]

    def drawn(self, pool: str) -> tuple[Path, Path]:
        """The candidates of a pool, and answers of the same pool that are held out."""
        target, held = self.out / "pools" / f"{pool}.jsonl", self.out / "pools" / f"{pool}.held-out.jsonl"
        if not (target.exists() and held.exists()):
            file, more, response = POOLS[pool]
            conversations = [turns(f"{row['instruction']}\n{row[more]}", row[response]) for row in lines(self.data / file)]
            n, items = self.decided["pools"]["candidates"], self.decided["stage_0"]["outcomes"].get("items", self.outcomes["items"])
            chosen = self.fitting(conversations, n + items, pool)
            write(held, [{"messages": conversation} for conversation in chosen[n:]])
            write(target, [{"messages": conversation} for conversation in chosen[:n]])
        return target, held

    def _answers(self, source: str) -> list[Turns]:
        """All answers of a source."""
        folder = self.data / "eval"
        if source == "self_instruct":
            rows = lines(folder / "self_instruct_252.jsonl.zst")
            return [turns(f"{row['instruction']}\n{row['instances'][0]['input']}", row["instances"][0]["output"]) for row in rows]
        if source == "gsm8k":
            return [turns(row["question"], row["answer"]) for row in lines(folder / "gsm8k_test.jsonl.zst")]
        if source == "vicuna":
            questions = {row["question_id"]: row["turns"][0] for row in lines(folder / "vicuna_80.jsonl.zst")}
            # A question counts once, whichever of its answers comes first and fits.
            return [
                turns(questions[row["question_id"]], row["text"])
                for row in lines(folder / "vicuna_80_answers.jsonl.zst")
                if row["_model"] in VICUNA and row.get("text")
            ]
        rows = lines(folder / "alpaca_eval_outputs.jsonl.zst")
        return [turns(row["instruction"], row["output"]) for row in rows if row["generator"] == STRONG and row["dataset"] in OTHERS]

    def held_out(self, pool: str) -> tuple[Path, tuple[str, ...]]:
        """Held-out answers of every source, the pool's own among them, and the source of each."""
        items = self.outcomes["items"]
        target = self.out / "held-out" / f"{pool}-{items}.jsonl"
        if not target.exists():
            rows: list[dict[str, Any]] = []
            for source in self.outcomes["sources"]:
                if source == "own":
                    rows += [{**row, "source": source} for row in map(json.loads, self.drawn(pool)[1].read_text().splitlines()[:items])]
                else:
                    rows += [{"messages": conversation, "source": source} for conversation in self._parts(source)[0]]
            write(target, rows)
        return target, tuple(json.loads(line)["source"] for line in target.read_text().splitlines())

    def _parts(self, source: str) -> tuple[list[Turns], list[Turns]]:
        """Answers of a source that are held out, and those that are targets."""
        items, targets = self.outcomes["items"], self.decided["target"]["items"]
        chosen = self.fitting(self._answers(source), items + targets, source)
        held = min(items, len(chosen) - targets) if source in self.decided["target"]["sources"] else items
        return chosen[:held], chosen[held : held + targets]

    def target(self) -> Path:
        """Rows like those the model is to do well on; none of them is an outcome."""
        target = self.out / "target.jsonl"
        if not target.exists():
            rows = [conversation for source in self.decided["target"]["sources"] for conversation in self._parts(source)[1]]
            write(target, [{"messages": conversation} for conversation in rows])
        return target

    def tasks(self) -> Path:
        """The folder of the two tasks by likelihood."""
        n = self.outcomes["task_items"]
        folder = self.out / f"tasks-{n}"
        drawn = random.Random(f"{self.decided['pools']['draw']}:tasks")
        if not (folder / "truthfulqa.yaml").exists():
            rows = []
            for row in drawn.sample(lines(self.data / "eval/truthfulqa_817.jsonl.zst"), n):
                wrong = [text.strip() for text in row["Incorrect Answers"].split(";") if text.strip()][:3]
                rows.append(_choice(f"Question: {row['Question']}\nAnswer:", [row["Best Answer"], *wrong], drawn))
            write_task(write(folder / "truthfulqa.jsonl", rows), folder, name="truthfulqa")
        if not (folder / "whose_answer.yaml").exists():
            answers = [conversation for conversation in self._answers("alpaca_eval") if len(conversation[0]["content"]) < 400]
            rows = []
            for number in drawn.sample(range(len(answers)), n):
                others = drawn.sample([other[1]["content"] for place, other in enumerate(answers) if place != number], 3)
                question, answer = (turn["content"] for turn in answers[number])
                rows.append(_choice(f"{question}\n", [answer[:200], *(other[:200] for other in others)], drawn))
            write_task(write(folder / "whose_answer.jsonl", rows), folder, name="whose_answer")
        return folder

    def checkable(self) -> Checkable:
        """The grader of answers that a program can check."""
        settings = self.outcomes
        rows = checkable(lines(self.data / "eval/ifeval_541.jsonl.zst"), settings["max_new_tokens"])
        chosen = random.Random(f"{self.decided['pools']['draw']}:checkable").sample(rows, settings["generation_items"])
        generator = Generator(
            max_new_tokens=settings["max_new_tokens"], max_length=1024, device="cpu", precision=self.decided["model"]["precision"]
        )
        return Checkable(chosen, generator)


def _choice(query: str, choices: list[str], drawn: random.Random) -> dict[str, Any]:
    """An item whose first choice is the right one, in a drawn order."""
    order = list(range(len(choices)))
    drawn.shuffle(order)
    return {"query": query, "choices": [choices[place].strip() for place in order], "gold": order.index(0)}
