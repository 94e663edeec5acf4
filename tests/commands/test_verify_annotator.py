"""verify --annotator: AlpacaEval's own decoder, client and parser against a judge on this machine, from rows to a verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from instructsel.commands import app
from tests import tiny
from tests.commands.test_verify_command import rows
from tests.grading.test_judge import Server

pytest.importorskip("alpaca_eval", reason="alpaca-eval is not installed")
pytest.importorskip("openai", reason="openai is not installed")
pytestmark = pytest.mark.usefixtures("trainer_loaded")

PROMPT = "<|im_start|>user\n{instruction}\n<<A>>{output_1}<<B>>{output_2}<<END>>\n<|im_end|>"


def longer(request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """A judge that prefers the longer output."""
    shown = request["messages"][-1]["content"].partition("<<A>>")[2].partition("<<END>>")[0]
    first, _, second = shown.partition("<<B>>")
    message = {"role": "assistant", "content": "A" if len(first) > len(second) else "B"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return 200, {"id": "1", "object": "chat.completion", "created": 0, "model": "stub", "choices": [choice], "usage": usage}


def annotator(folder: Path, server: Server) -> Path:
    folder.mkdir()
    (folder / "prompt.txt").write_text(PROMPT)
    (folder / "configs.yaml").write_text(
        f"{folder.name}:\n  prompt_template: {folder.name}/prompt.txt\n  fn_completions: openai_completions\n"
        f"  completions_kwargs:\n    model_name: gpt-4\n    max_tokens: 1\n    temperature: 0\n    num_procs: 1\n"
        f"    openai_api_base: {server.url}\n    openai_api_keys: [sk-none]\n"
        "  completion_parser_kwargs:\n    outputs_to_match:\n      1: '^A$'\n      2: '^B$'\n  batch_size: 1\n"
    )
    return folder


def test_responses_are_judged_by_alpaca_eval_s_own_client_and_nothing_is_asked_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    tiny.causal(tmp_path / "base", "llama")
    for name, start in (("chosen", 0), ("other", 100)):
        rows(tmp_path / f"{name}.jsonl", start)
    asked = rows(tmp_path / "asked.jsonl", 900, 6, asked="Name")
    server = Server(longer)
    try:
        command = [
            *(
                "verify",
                "chosen.jsonl",
                "--arm",
                "random=other.jsonl",
                "--base",
                "base",
                "--preset",
                "tiny",
                "--steps",
                "2",
                "--device",
                "cpu",
            ),
            *("--seeds", "1", "--generalize-to", "items", "--instructions", str(asked), "--max-new-tokens", "6"),
            *("--annotator", str(annotator(tmp_path / "mine", server)), "--judge-revision", "1", "--allow-task-code", "-o", "v", "--json"),
        ]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        verdict = json.loads(done.stdout)
        requests = len(server.requests)
        again = CliRunner().invoke(app, command)
        assert again.exit_code == 0 and json.loads(again.stdout)["verdicts"] == verdict["verdicts"], again.output
        assert len(server.requests) == requests
    finally:
        server.close()
    # Both orders of the pairs that differ, through the client's own path and with the prompt of the folder.
    assert requests >= 2 and all(request["path"] == "/v1/chat/completions" and request["model"] == "gpt-4" for request in server.requests)
    preferences = {}
    for arm in ("selection", "base"):
        outputs, others = (
            json.loads((tmp_path / "v" / "outputs" / f"{name}.json").read_text()) for name in (_file(arm), "random-draw0-seed0")
        )
        preferences[arm] = [
            0.5 if len(one["output"]) == len(two["output"]) else float(len(one["output"]) > len(two["output"]))
            for one, two in zip(outputs, others, strict=True)
        ]
    for arm, expected in preferences.items():
        assert verdict["win_rates"]["win rate"][arm]["win_rate"] == pytest.approx(100 * sum(expected) / len(expected)), verdict["win_rates"]


def _file(arm: str) -> str:
    return f"{arm}-draw0-seed0"
