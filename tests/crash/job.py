"""Score and select in a child of this process, killed where it is told; loaded once, so that a child costs no start-up.

Run as `python -m tests.crash.job FOLDER`: reads lines of JSON from standard input, answers each with a line.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

CALLS = ("replace", "fsync", "rename", "unlink")


def commands(folder: Path) -> list[list[str]]:
    """The two commands, with paths into the folder."""
    table = str(folder / "out" / "pool.scores.parquet")
    return [
        [
            "score",
            str(folder / "pool.jsonl.gz"),
            *("--indicators", "len,mtld,ppl,ifd,knn_6", "--model", f"ppl={folder / 'model'}", "--model", f"ifd={folder / 'model'}"),
            *("--model", f"knn_6={folder / 'encoder'}"),
            *("--skip-probe", "-q", "--cache", str(folder / "cache"), "-o", table),
        ],
        [
            *("select", table, "--rule", str(folder / "rule.toml"), "--n", "30", "-o", str(folder / "out" / "chosen.jsonl")),
            *("--baseline", "random", "--cache", str(folder / "cache"), "-q"),
        ],
    ]


def work(folder: Path, kill_at_call: int | None, limit: int | None) -> int:
    """Run both commands; the exit code of the first that fails, else 0. With kill_at_call 0 say how many calls there were."""
    import resource

    from instructsel import cache
    from instructsel.commands import app

    cache.EVERY = 0.0
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    count = _killing(kill_at_call) if kill_at_call is not None else [0]
    for arguments in commands(folder):
        try:
            code = app(arguments, standalone_mode=False)
        except SystemExit as ended:
            code = ended.code
        if code:
            return int(code)
    if kill_at_call == 0:
        os.write(1, f"calls {count[0]}\n".encode())
    return 0


def _killing(at: int) -> list[int]:
    """Kill this process before or after its n-th replacement, flush or removal of a file; the count so far, in a list."""
    count = [0]

    def wrapped(real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            count[0] += 1
            if count[0] == at:
                os.kill(os.getpid(), signal.SIGKILL)
            found = real(*args, **kwargs)
            count[0] += 1
            if count[0] == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        return call

    for name in CALLS:
        setattr(os, name, wrapped(getattr(os, name)))
    return count


def child(folder: Path, *, kill_at_call: int | None = None, kill_after: float | None = None, limit: int | None = None) -> dict[str, Any]:
    """Fork, work, and kill; how it ended and how long it took."""
    started = time.monotonic()
    # A pipe, not a file: the limit on files would cut off what is said of it.
    source, sink = os.pipe()
    process = os.fork()
    if not process:
        try:
            os.dup2(sink, 1)
            os.dup2(sink, 2)
            os._exit(work(folder, kill_at_call, limit))
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(99)
    os.close(sink)
    if kill_after is not None:
        # A child that is done stays a zombie until it is waited for, so that the number is nobody else's.
        time.sleep(kill_after)
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    with os.fdopen(source) as file:
        said = file.read()
    return {"code": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - started, "said": said}


def main() -> None:
    """Load everything, then serve."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import faiss
    import torch
    from transformers.models.gpt2 import modeling_gpt2

    # Imported before any work, so that a child finds them; no parallel work is done here, which a fork would not survive.
    assert faiss and modeling_gpt2
    torch.set_num_threads(1)

    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(child(Path(asked.pop("folder")), **asked)), flush=True)


if __name__ == "__main__":
    main()
