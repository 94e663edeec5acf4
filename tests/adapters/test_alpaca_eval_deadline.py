"""Decoders of annotators that a server holds for ever: the run ends, what was answered stays, and the process can end."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from instructsel.adapters.alpaca_eval.bounded_client import bounded_client
from instructsel.adapters.alpaca_eval.completions import CompletionStore
from instructsel.adapters.alpaca_eval.judge import AlpacaEval
from instructsel.errors import UsageError
from instructsel.grading.judge import Pair
from tests.grading.test_judge_deadline import BOUND, LONG, OK, SLOW, Manner, Raw, dripping

pytest.importorskip("alpaca_eval", reason="alpaca-eval is not installed")
openai = pytest.importorskip("openai", reason="openai is not installed")

PAIRS = [Pair(f"Count to {number}.", "1", "1, 2") for number in range(4)]
JOB = """
import sys
from pathlib import Path
from instructsel.adapters.alpaca_eval.judge import AlpacaEval
from instructsel.grading.judge import Pair
judge = AlpacaEval(Path(sys.argv[1]), Path(sys.argv[2]), timeout=float(sys.argv[3]), workers=2)
judged = judge.judge([Pair("Say hi.", "Hi.", "Hello."), Pair("Say bye.", "Bye.", "Good bye.")])
print(judged.nulls, judged.record["errors"])
"""


def annotator(folder: Path, decoder: str = "openai_completions") -> Path:
    folder.mkdir()
    (folder / "prompt.txt").write_text("<|im_start|>user\n{instruction} {output_1} {output_2}<|im_end|>")
    (folder / "configs.yaml").write_text(
        f"{folder.name}:\n  prompt_template: {folder.name}/prompt.txt\n  fn_completions: {decoder}\n"
        "  completions_kwargs:\n    model_name: gpt-4\n    max_tokens: 1\n"
        "  completion_parser_kwargs:\n    outputs_to_match:\n      1: '^A$'\n      2: '^B$'\n  batch_size: 1\n"
    )
    return folder


def job(server: Raw, tmp_path: Path, seconds: float) -> str:
    """What a run in a process of its own says; the test fails where the process does not end."""
    environment = {**os.environ, "OPENAI_BASE_URL": f"http://{server.address}/v1", "OPENAI_API_KEY": "sk-none", "NO_PROXY": "127.0.0.1"}
    try:
        ended = subprocess.run(
            [sys.executable, "-c", JOB, str(annotator(tmp_path / "mine")), str(tmp_path / "judged"), str(seconds)],
            env=environment,
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=4 * BOUND,
            check=False,
        )
    finally:
        server.close()
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()[-1]


def test_a_server_of_the_package_s_own_decoder_holds_neither_the_run_nor_the_process(tmp_path: Path) -> None:
    server = Raw(SLOW["drips chunks"])
    assert job(server, tmp_path, 3.0) == "{'failed': 2} {'OutOfTime': 2}"
    assert server.connections >= 2


@pytest.mark.parametrize("manner", [LONG["pours chunks"], dripping(OK + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\n" + b"x" * 9)])
def test_the_package_s_own_decoder_reads_no_response_without_end_and_unpacks_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manner: Manner
) -> None:
    decoders = importlib.import_module("alpaca_eval.decoders.openai")
    server = Raw(manner)
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://{server.address}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    once = {"max_retries": 0, "timeout": BOUND}
    try:
        with bounded_client() as client, pytest.raises(openai.APIConnectionError):
            openai.OpenAI(http_client=client, **once).chat.completions.create(model="x", messages=[])
        store = CompletionStore(tmp_path, {}, at_a_time=1, workers=1, timeout=BOUND)
        options = {"model_name": "gpt-4", "max_tokens": 1, "client_kwargs": once}
        with pytest.raises(openai.APIConnectionError):
            store._in_time(decoders.openai_completions, ["<|im_start|>user\na<|im_end|>"], options)
    finally:
        server.close()


def test_what_a_decoder_answered_stays_and_what_held_it_is_asked_again(tmp_path: Path) -> None:
    never = threading.Event()
    prompts_seen: list[str] = []

    def decoder(prompts: Sequence[str], **_: Any) -> dict[str, list[str]]:
        if any("Count to 2." in prompt for prompt in prompts) and not never.is_set():
            never.wait()
        prompts_seen.extend(prompts)
        return {"completions": ["A"] * len(prompts)}

    def parser(completion: str) -> list[float]:
        return [1.0]

    folder = annotator(tmp_path / "mine", "test_completions")
    judge = AlpacaEval(folder, tmp_path / "judged", completions=decoder, parser=parser, revision="1", timeout=5.0)
    first = judge.judge(PAIRS)
    never.set()
    assert first.missing == {"Count to 2.": "failed"} and first.record["errors"] == {"OutOfTime": 1}
    prompts_seen.clear()
    second = judge.judge(PAIRS)
    assert second.n_total == 4 and (second.record["known"], second.record["asked"]) == (3, 1)
    assert sum("Count to 2." in prompt for prompt in prompts_seen) >= 1 and not any("Count to 1." in prompt for prompt in prompts_seen)


def test_a_judge_without_time_is_refused(tmp_path: Path) -> None:
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(UsageError, match="needs some time"):
            AlpacaEval("alpaca_eval_gpt4", tmp_path, timeout=wrong)
