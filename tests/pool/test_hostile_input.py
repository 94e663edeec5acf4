"""Hostile files, in processes of their own: bounded memory, no crash, a clear end. Sizes are scaled to CI."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

resource = pytest.importorskip("resource", reason="POSIX limits")

READ = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (3 << 29, 3 << 29))
from instructsel.errors import InstructselError
from instructsel.pool.pool import Pool
try:
    pool = Pool.read(sys.argv[1])
    print("kept", pool.report.kept, "quarantined", dict(pool.report.quarantined))
except InstructselError as error:
    print("refused", error)
    code = error.exit_code
else:
    code = 0
# Not getrusage: its maximum begins with that of the process that started this one.
peak = next((line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")), 0)
print("peak", int(peak) >> 10)
sys.exit(code)
"""

GOOD = b'{"instruction": "a", "output": "b"}\n'


def read_in_process(path: str, stdin: subprocess.Popen[bytes] | None = None) -> tuple[int, str, int]:
    """Exit code, output, and peak memory in MiB of a process that reads a pool."""
    done = subprocess.run(
        [sys.executable, "-c", READ, path],
        stdin=stdin.stdout if stdin else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 3), done.stderr
    return done.returncode, done.stdout, int(done.stdout.rsplit("peak ", 1)[1])


def test_a_huge_line_from_a_pipe_is_quarantined_in_bounded_memory() -> None:
    size = 1 << 28
    script = (
        f"import sys; w = sys.stdout.buffer.write; w({GOOD!r}); [w(b'x' * (1 << 20)) for _ in range({size >> 20})]; w(b'\\n'); w({GOOD!r})"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as writer:
        code, said, peak = read_in_process("-", writer)
    assert code == 0
    assert "kept 2 quarantined {'line_too_long': 1}" in said
    assert peak <= 400


@pytest.mark.parametrize("name", ["pool.jsonl", "pool.json"])
@pytest.mark.parametrize("depth", [10, 1_000, 100_000, 1_000_000])
def test_deep_nesting_ends_in_an_account_and_never_in_a_signal(tmp_path: Path, name: str, depth: int) -> None:
    deep = b'{"instruction": ' + b"[" * depth + b"]" * depth + b', "output": "b"}'
    rows = [GOOD.strip(), deep, GOOD.strip()]
    path = tmp_path / name
    path.write_bytes(b"[" + b",".join(rows) + b"]" if name.endswith(".json") else b"\n".join(rows))
    code, said, _ = read_in_process(str(path))
    assert code == 0
    assert "kept 2" in said
    assert ("too_deep" in said) == (depth > 63)


@pytest.mark.parametrize("module", ["gzip", "zstd"])
def test_a_bomb_is_refused_in_bounded_memory(tmp_path: Path, module: str) -> None:
    path = tmp_path / "bomb.jsonl"
    make = (
        "import gzip; f = gzip.open(p, 'wb')"
        if module == "gzip"
        else "from instructsel.pool.sources import zstd; f = zstd.ZstdFile(p, 'w')"
    )
    script = f"p = {str(path)!r}\n{make}\nfor _ in range(256): f.write(b'x' * (1 << 20))\nf.close()"
    subprocess.run([sys.executable, "-c", script], check=True)
    code, said, peak = read_in_process(str(path))
    assert code == 3
    assert "times its size" in said
    assert peak <= 300
