"""Replies of a judge on disk, so that no question is asked twice."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from instructsel.artifact import dump_json, fingerprint
from instructsel.errors import EnvironmentFault
from instructsel.grading.judge.clients import Reply
from instructsel.grading.judge.prompt import PROMPT_DIGEST


class _Kept:
    """Replies on disk as they come, a line each: what is paid is never asked again, whatever stops the run."""

    def __init__(self, folder: Path | None, client: Mapping[str, Any]) -> None:
        self.replies: dict[str, Reply] = {}
        self.damaged = 0
        self._lock = threading.Lock()
        self._path: Path | None = None
        if folder is None:
            return
        # One file for each judge: judgments of two never meet.
        self._path = folder / f"{fingerprint({'voice': dict(client), 'prompt': PROMPT_DIGEST})}.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            data = self._path.read_bytes() if self._path.exists() else b""
            if data and not data.endswith(b"\n"):
                # Whoever wrote the last line was killed at it; the next one must not become a part of it.
                self._append(b"\n")
        except OSError as error:
            raise EnvironmentFault(f"{folder} cannot be used: {error.strerror or error}.", fix="Name another folder.") from error
        for line in data.split(b"\n"):
            self._read(line)

    def _read(self, line: bytes) -> None:
        if not line:
            return
        try:
            found = orjson.loads(line)
            said = found["said"]
            if found["check"] != fingerprint(said, size=8):
                raise ValueError
            reply = Reply(said["share"], said["reason"], True, said["digest"], said["served"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            self.damaged += 1
            return
        self.replies.setdefault(said["question"], reply)

    def keep(self, question: str, reply: Reply) -> None:
        """Note a reply, and write it down if it is the judge's word."""
        with self._lock:
            self.replies[question] = reply
            if reply.final:
                said = {
                    "question": question,
                    "share": reply.share,
                    "reason": reply.reason,
                    "digest": reply.digest,
                    "served": reply.served,
                }
                self._append(dump_json({"said": said, "check": fingerprint(said, size=8)}) + b"\n")

    def _append(self, line: bytes) -> None:
        if self._path is None:
            return
        try:
            with open(self._path, "ab", buffering=0) as file:
                file.write(line)
                os.fsync(file.fileno())
        except OSError as error:
            raise EnvironmentFault(f"{self._path} cannot be written: {error.strerror or error}.", fix="Free some space.") from error
