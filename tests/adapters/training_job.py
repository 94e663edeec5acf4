"""Fine-tunes in children of this process that are killed where they are told, and the pools and bases that tests train.

Run as `python -m tests.adapters.training_job`: reads lines of JSON from standard input, answers each with a line. Loaded once, so
that a child costs no start-up.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from instructsel.adapters import checkpoint_folder
from instructsel.adapters.checkpoint_folder import COMPLETE, STATE
from instructsel.adapters.recipes import Recipe, recipe
from instructsel.adapters.sft import Progress
from instructsel.adapters.trl import TrlTrainer
from instructsel.pool.pool import Pool
from instructsel.protocols import Checkpoint
from tests import tiny

Turns = list[tuple[str, str]]

ROWS: list[Turns] = [
    [("user", "how do i boil an egg"), ("assistant", "put it into boiling water for about eight minutes")],
    [("user", "the capital of france"), ("assistant", "paris")],
    [("user", "why is the sky blue"), ("assistant", "it is blue"), ("user", "please explain"), ("assistant", "in one sentence")],
    [("user", "please give me three tips for staying healthy"), ("assistant", "eat plenty of fruit and vegetables , move every day")],
    [("system", "one sentence"), ("user", "the seine"), ("assistant", "lies in the north of the country")],
    [("user", "cold water"), ("assistant", "cool it")],
]
"""Rows of different lengths, with different numbers of answered tokens, two of them of more than a question and an answer."""
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
STEPS = 5


def write_pool(folder: Path, rows: list[Turns] = ROWS, name: str = "pool.jsonl") -> Pool:
    """The rows as a pool of chat messages."""
    folder.mkdir(parents=True, exist_ok=True)
    turns = [[{"role": role, "content": text} for role, text in row] for row in rows]
    (folder / name).write_text("".join(json.dumps({"messages": row}) + "\n" for row in turns))
    return Pool.read(folder / name)


def edit_tokenizer(folder: Path, **changes: Any) -> Path:
    """Change keys of tokenizer_config.json; None removes one."""
    path = folder / "tokenizer_config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))
    return folder


def chatml(folder: Path, template: str = CHATML) -> Path:
    """A folder with a tokenizer that knows ChatML's markers, and that template."""
    tiny.tokenizer(folder, ["<pad>", "<|im_end|>", "<|im_start|>"])
    return edit_tokenizer(folder, chat_template=template, additional_special_tokens=["<|im_start|>"])


def short(**changes: Any) -> Recipe:
    """One step over ROWS without warm-up, with settings changed."""
    lasting = {} if {"epochs", "tokens"} & set(changes) else {"steps": 1}
    return recipe("tiny", **{**lasting, "batch_size": 6, "warmup": 0.0, "group_by_length": False, **changes})


def killed_recipe(method: str) -> Recipe:
    """Steps that do not come out even with the rows, and a momentum to lose."""
    bits = {"lora": 8, "full": None}[method]
    adapters = {"bits": bits, "lora_r": 4, "lora_dropout": 0.1} if bits else {}
    return short(steps=STEPS, batch_size=4, micro_batch_size=2, method=method, **adapters)


def train(folder: Path, *, method: str, save_every: float, progress: Progress | None = None) -> Checkpoint:
    """Fine-tune FOLDER/base on FOLDER/pool.jsonl into FOLDER/out."""
    base = TrlTrainer(
        str(folder / "base"), killed_recipe(method), folder, device="cpu", precision="fp32", save_every=save_every, progress=progress
    )
    return base.train_into(folder / "out", Pool.read(folder / "pool.jsonl"), seed=0)


def _end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _torn(torch: Any, at: int) -> None:
    """Kill this process amid its n-th call of torch.save, which leaves half a file."""
    real, count = torch.save, [0]

    def save(value: Any, file: Any, *given: Any, **named: Any) -> None:
        real(value, file, *given, **named)
        count[0] += 1
        if count[0] == at:
            os.truncate(file, os.path.getsize(file) // 2)
            _end()

    torch.save = save


def _unmarked(at: int) -> None:
    """Kill this process when a state is whole but for its n-th mark."""
    real, count = checkpoint_folder.atomic_write, [0]

    def atomic_write(path: str | Path) -> Any:
        count[0] += Path(path).name == COMPLETE
        if Path(path).name == COMPLETE and count[0] == at:
            _end()
        return real(path)

    checkpoint_folder.atomic_write = atomic_write


def _half_saved(transformers: Any, at: int) -> None:
    """Kill this process when the weights are half saved and nothing says so."""
    del at
    real = transformers.PreTrainedModel.save_pretrained

    def save_pretrained(self: Any, folder: str, *given: Any, **named: Any) -> None:
        real(self, folder, *given, **named)
        if STATE not in Path(folder).parts:
            weights = Path(folder) / "model.safetensors"
            os.truncate(weights, weights.stat().st_size // 2)
            _end()

    transformers.PreTrainedModel.save_pretrained = save_pretrained


def _recorded(at: int) -> None:
    """Kill this process when all is recorded, before the states are removed."""
    del at
    real = shutil.rmtree

    def rmtree(path: Any, *given: Any, **named: Any) -> None:
        if Path(path).name == STATE:
            _end()
        real(path, *given, **named)

    shutil.rmtree = rmtree  # type: ignore[assignment]


def child(folder: Path, *, method: str = "full", kill: str | None = None, at: int = 0, save_every: float = 0.0) -> dict[str, Any]:
    """Fork, fine-tune, and kill; how the child ended and what was said."""
    import torch
    import transformers

    kills: dict[str, Callable[[], None]] = {
        "torn": lambda: _torn(torch, at),
        "unmarked": lambda: _unmarked(at),
        "half_saved": lambda: _half_saved(transformers, at),
        "recorded": lambda: _recorded(at),
    }
    source, sink = os.pipe()
    process = os.fork()
    if not process:
        try:
            os.dup2(sink, 1)
            os.dup2(sink, 2)
            if kill in kills:
                kills[kill]()
            train(
                folder,
                method=method,
                save_every=save_every,
                progress=(lambda done, total, loss: _end() if done == at else None) if kill == "step" else None,
            )
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(99)
    os.close(sink)
    with os.fdopen(source) as file:
        said = file.read()
    return {"code": os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), "said": said}


def main() -> None:
    """Load everything, then serve."""
    import bitsandbytes
    import datasets
    import peft
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    # Imported before any work, so that a child finds them; nothing is computed here, whose threads a fork would not survive.
    assert bitsandbytes and datasets and peft and SFTTrainer and SFTConfig
    # Each fine-tune collects garbage, among the objects of everything that was imported.
    gc.collect()
    gc.freeze()
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(child(Path(asked.pop("folder")), **asked)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
