"""Replies of a judge on disk, so that no question is paid for twice."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from instructsel.artifact import dump_json, fingerprint
from instructsel.errors import EnvironmentFault
from instructsel.grading.judge.clients import Reply
from instructsel.grading.judge.prompt import PROMPT_DIGEST

RECORD: Final = "said"
CHECK: Final = "check"


class RecordLog:
    """Records in a file, appended one checksummed line at a time: whatever stops the run, a written record stays."""

    def __init__(self, path: Path | None) -> None:
        """Read the records of a file, if it exists.

        Args:
            path: of the file, whose folder is made; None stores nothing.

        Raises:
            EnvironmentFault: the folder cannot be used.
        """
        self.path = path
        self.records: list[dict[str, Any]] = []
        self.damaged: int = 0
        """Lines that do not match their checksum."""
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            data = path.read_bytes() if path.exists() else b""
            if data and not data.endswith(b"\n"):
                # Whoever wrote the last line was killed at it; the next one must not become a part of it.
                self._append(b"\n")
        except OSError as error:
            raise EnvironmentFault(f"{path.parent} cannot be used: {error.strerror or error}.", fix="Name another folder.") from error
        for line in filter(None, data.split(b"\n")):
            record = _checked(line)
            if record is None:
                self.damaged += 1
            else:
                self.records.append(record)

    def append(self, record: Mapping[str, Any]) -> None:
        """Write a record and flush it to disk.

        Raises:
            EnvironmentFault: the file cannot be written.
        """
        self._append(dump_json({RECORD: dict(record), CHECK: fingerprint(dict(record), size=8)}) + b"\n")

    def _append(self, line: bytes) -> None:
        if self.path is None:
            return
        try:
            with open(self.path, "ab", buffering=0) as file:
                file.write(line)
                os.fsync(file.fileno())
        except OSError as error:
            raise EnvironmentFault(f"{self.path} cannot be written: {error.strerror or error}.", fix="Free some space.") from error


def _checked(line: bytes) -> dict[str, Any] | None:
    """The record of a line; None where the line is damaged."""
    try:
        entry = orjson.loads(line)
        record = entry[RECORD]
        return dict(record) if entry[CHECK] == fingerprint(record, size=8) else None
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None


class ReplyStore:
    """Replies of one judge by question, in memory and, if it has a folder, on disk."""

    def __init__(self, folder: Path | None, client: Mapping[str, Any]) -> None:
        """Read what the folder has of this judge.

        Args:
            folder: where replies are stored; None stores them in memory alone.
            client: its fingerprint.

        Raises:
            EnvironmentFault: the folder cannot be used.
        """
        # One file for each judge: judgments of two never meet.
        name = fingerprint({"voice": dict(client), "prompt": PROMPT_DIGEST})
        self._log = RecordLog(None if folder is None else folder / f"{name}.jsonl")
        self._lock = threading.Lock()
        self.replies: dict[str, Reply] = {}
        self.damaged: int = self._log.damaged
        for record in self._log.records:
            try:
                reply = Reply(record["share"], record["reason"], True, record["digest"], record["served"])
                self.replies.setdefault(record["question"], reply)
            except KeyError:
                self.damaged += 1

    def add(self, question: str, reply: Reply) -> None:
        """Store a reply, on disk too if it is final."""
        with self._lock:
            self.replies[question] = reply
            if reply.final:
                self._log.append(
                    {"question": question, "share": reply.share, "reason": reply.reason, "digest": reply.digest, "served": reply.served}
                )


__all__ = ["RecordLog", "ReplyStore"]
