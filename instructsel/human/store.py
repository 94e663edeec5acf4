"""The file in which an evaluation by people is kept: pairs, annotators, judgments. SQLite, so that nothing finished is lost.

One judgment is one transaction, on disk before the annotator sees the next pair. Nothing is removed: a judgment that is taken back is
marked so. The file holds the secret that links and cookies are made with, and is readable by its owner alone.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

from instructsel.artifact import now
from instructsel.errors import EnvironmentFault, ObservationsError, UsageError
from instructsel.human.comparison import Comparison
from instructsel.human.record import PREFERENCES, QUALITIES, Record
from instructsel.text import UNSAFE

APPLICATION: Final = 0x69736A61
"""What SQLite's header calls a file of ours: "isja"."""
SCHEMA: Final = 1
WAIT: Final = 10.0
"""Seconds that a writer waits for another process."""
MOST_ANNOTATORS: Final = 1_000
LONGEST_NAME: Final = 100
LONGEST_COMMENT: Final = 10_000
TABLES: Final = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE pairs (
    position INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, file_index INTEGER NOT NULL, instance_id TEXT NOT NULL, prompt TEXT NOT NULL,
    model_a TEXT NOT NULL, model_b TEXT NOT NULL, completion_a TEXT NOT NULL, completion_b TEXT NOT NULL
);
CREATE TABLE annotators (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE sessions (digest TEXT PRIMARY KEY, annotator INTEGER NOT NULL REFERENCES annotators, time TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE judgments (
    id INTEGER PRIMARY KEY AUTOINCREMENT, annotator INTEGER NOT NULL REFERENCES annotators, position INTEGER NOT NULL REFERENCES pairs,
    turned INTEGER NOT NULL, acceptable_left INTEGER NOT NULL, acceptable_right INTEGER NOT NULL, preference INTEGER NOT NULL,
    time TEXT NOT NULL, undone INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX judgments_in_time ON judgments (annotator, undone, id);
CREATE INDEX judgments_of_pair ON judgments (annotator, position, undone, id);
CREATE TABLE answers (
    annotator INTEGER NOT NULL, position INTEGER NOT NULL, judgment INTEGER NOT NULL REFERENCES judgments, PRIMARY KEY (annotator, position)
) WITHOUT ROWID;
CREATE TABLE feedback (
    annotator INTEGER NOT NULL, position INTEGER NOT NULL, quality TEXT, comment TEXT NOT NULL, time TEXT NOT NULL,
    PRIMARY KEY (annotator, position)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Answer:
    """What an annotator answered, of the responses as they were shown."""

    acceptable_left: bool
    acceptable_right: bool
    preference: int
    """Place in PREFERENCES."""


@dataclass(frozen=True)
class Feedback:
    """What an annotator said of a pair."""

    quality: str | None
    """One of QUALITIES."""
    comment: str


@dataclass(frozen=True)
class Shown:
    """A pair as one annotator sees it: nothing in it says which model wrote what."""

    position: int
    """From 1."""
    prompt: str
    left: str
    right: str
    answer: Answer | None
    """The annotator's own, where there is one."""
    feedback: Feedback | None


class JudgmentStore:
    """An evaluation by people, in one file."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        """An open file; use `open`."""
        self.path = path
        self._connection = connection
        # One connection for all threads: SQLite would have writers wait for one another anyway.
        self._lock = threading.RLock()
        settings = dict(connection.execute("SELECT name, value FROM settings").fetchall())
        self._secret = bytes.fromhex(settings["secret"])
        self.seed: str = settings["seed"]
        """Of the orders in which pairs are shown."""
        self._epoch: str = settings["epoch"]
        self.n_pairs: int = connection.execute("SELECT count(*) FROM pairs").fetchone()[0]

    @classmethod
    def open(cls, path: str | Path, *, seed: int | None = None, create: bool = True) -> Self:
        """The evaluation in a file.

        Args:
            path: of the file.
            seed: of the orders in which pairs are shown; by default one that nobody knows. Of a file that exists, its own.
            create: whether a file that is not there is made.

        Raises:
            UsageError: another seed than that of the file.
            ObservationsError: no such file, none of ours, damaged, or of a newer release.
            EnvironmentFault: it cannot be made or written.
        """
        target = Path(path)
        try:
            exists = target.exists() and target.stat().st_size > 0
            if not exists and not create:
                raise ObservationsError(f"There is no file {path}.", fix="Name the file of an evaluation with --db.")
            if not exists:
                # Before SQLite makes it, which asks nobody: it holds a secret.
                os.close(os.open(target, os.O_CREAT | os.O_RDWR, 0o600))
            connection = sqlite3.connect(target, timeout=WAIT, isolation_level=None, check_same_thread=False)
        except ObservationsError:
            raise
        except (OSError, ValueError, sqlite3.Error) as error:
            raise EnvironmentFault(f"{path} cannot be opened: {_reason(error)}.", fix="Choose another place with --db.") from error
        try:
            cls._prepare(connection, target, seed, create=not exists)
            store = cls(connection, target)
        except (sqlite3.Error, KeyError, ValueError, OverflowError) as error:
            connection.close()
            if isinstance(error, UsageError | ObservationsError):
                raise
            if not exists and isinstance(error, sqlite3.OperationalError):
                raise EnvironmentFault(f"{path} cannot be written: {error}.", fix="Choose another place with --db.") from error
            raise ObservationsError(f"{path} is no readable evaluation: {error}.", fix="Name another file with --db.") from error
        if seed is not None and store.seed != str(seed):
            store.close()
            raise UsageError(f"{path} has another seed than {seed}.", fix="Leave --seed out, or begin another file with --db.")
        return store

    @staticmethod
    def _prepare(connection: sqlite3.Connection, path: Path, seed: int | None, *, create: bool) -> None:
        connection.execute("PRAGMA trusted_schema = OFF")
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if create or application == 0 == connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            # Another process may have been faster.
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in filter(str.strip, TABLES.split(";")):
                    connection.execute(statement)
                values = {"secret": secrets.token_hex(32), "epoch": "0", "seed": secrets.token_hex(16) if seed is None else str(seed)}
                connection.executemany("INSERT INTO settings VALUES (?, ?)", values.items())
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
                connection.execute(f"PRAGMA user_version = {SCHEMA}")
            connection.execute("COMMIT")
        elif application != APPLICATION:
            raise ObservationsError(f"{path} is a database of another program.", fix="Name another file with --db.")
        elif version > SCHEMA:
            raise ObservationsError(f"{path} was written by a newer instructsel.", fix="pip install -U instructsel")
        elif (state := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise ObservationsError(f"{path} is damaged: {state}.", fix="Name another file with --db.")
        # A judgment is on the disk before its answer is sent.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction.

        Raises:
            EnvironmentFault: the disk is full, or the file is not writable any more.
        """
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                except BaseException:
                    self._connection.execute("ROLLBACK")
                    raise
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise EnvironmentFault(f"{self.path} cannot be written: {error}.", fix="Free some space.") from error

    def _one(self, query: str, *values: Any) -> Any:
        rows = self._all(query, *values)
        return rows[0] if rows else None

    def _all(self, query: str, *values: Any) -> list[Any]:
        """What a query finds.

        Raises:
            ObservationsError: the file is damaged.
        """
        try:
            with self._lock:
                return self._connection.execute(query, values).fetchall()
        except (sqlite3.Error, OverflowError) as error:
            raise self._damaged(str(error)) from error

    def _damaged(self, reason: str) -> ObservationsError:
        return ObservationsError(f"{self.path} is damaged: {reason}.", fix="Name another file with --db.")

    def add(self, pairs: Iterable[Comparison]) -> int:
        """Add pairs that are not there yet, behind those that are, in an order that says nothing of the files'.

        Returns:
            How many were new.
        """
        shuffled = sorted(pairs, key=lambda pair: self._keyed("order", pair.digest))
        with self._writing() as connection:
            before = connection.execute("SELECT count(*) FROM pairs").fetchone()[0]
            connection.executemany(
                "INSERT OR IGNORE INTO pairs (digest, file_index, instance_id, prompt, model_a, model_b, completion_a, completion_b) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (
                        pair.digest,
                        pair.index,
                        pair.instance_id,
                        pair.prompt,
                        pair.model_a,
                        pair.model_b,
                        pair.completion_a,
                        pair.completion_b,
                    )
                    for pair in shuffled
                ),
            )
            self.n_pairs = connection.execute("SELECT count(*) FROM pairs").fetchone()[0]
        return self.n_pairs - int(before)

    def annotator(self, name: str) -> int:
        """The number of an annotator, who is added where there is none of the name.

        Raises:
            UsageError: a name that cannot be, or more annotators than there may be.
        """
        if not name.strip() or name != name.strip() or len(name) > LONGEST_NAME or UNSAFE.search(name):
            raise UsageError(f"An annotator's name has 1 to {LONGEST_NAME} characters that can be seen.", fix="Write --annotators ada,ben")
        with self._writing() as connection:
            row = connection.execute("SELECT id FROM annotators WHERE name = ?", (name,)).fetchone()
            if row is None:
                if connection.execute("SELECT count(*) FROM annotators").fetchone()[0] >= MOST_ANNOTATORS:
                    raise UsageError(f"{MOST_ANNOTATORS:,} annotators are the most.", fix="Begin another file with --db.")
                connection.execute("INSERT INTO annotators (name) VALUES (?)", (name,))
                row = connection.execute("SELECT id FROM annotators WHERE name = ?", (name,)).fetchone()
        return int(row[0])

    @property
    def annotators(self) -> dict[str, int]:
        """Name → number."""
        return {str(name): int(number) for number, name in self._all("SELECT id, name FROM annotators ORDER BY id")}

    def code(self, annotator: int) -> str:
        """What an annotator signs in with: the same until `renew`."""
        return self._keyed("sign-in", self._epoch, str(annotator))[:40]

    def renew(self) -> None:
        """End all sessions, and have other codes from now on."""
        with self._writing() as connection:
            self._epoch = secrets.token_hex(8)
            connection.execute("UPDATE settings SET value = ? WHERE name = 'epoch'", (self._epoch,))
            connection.execute("DELETE FROM sessions")

    def sign_in(self, code: str) -> str | None:
        """A new session of the annotator whose code it is; None where it is nobody's."""
        signed_in = None
        for number in self.annotators.values():
            # All of them, in constant time: how long it takes says nothing.
            if hmac.compare_digest(self.code(number).encode(), code.encode("utf-8", "replace")):
                signed_in = number
        if signed_in is None:
            return None
        session = secrets.token_urlsafe(32)
        with self._writing() as connection:
            connection.execute("INSERT INTO sessions VALUES (?, ?, ?)", (_digest(session), signed_in, now()))
        return session

    def sign_out(self, session: str) -> None:
        """End a session."""
        with self._writing() as connection:
            connection.execute("DELETE FROM sessions WHERE digest = ?", (_digest(session),))

    def annotator_of(self, session: str) -> tuple[int, str] | None:
        """The number and name of the annotator of a session; None where there is no such session."""
        row = self._one("SELECT a.id, a.name FROM sessions s JOIN annotators a ON a.id = s.annotator WHERE s.digest = ?", _digest(session))
        return None if row is None else (int(row[0]), str(row[1]))

    def form_token(self, session: str) -> str:
        """What every form of a session carries: a page of another site cannot know it."""
        return self._keyed("form", session)

    def shown(self, annotator: int, position: int) -> Shown | None:
        """A pair as an annotator sees it: in one order for each annotator and pair, whenever it is looked at.

        Args:
            annotator: the number.
            position: from 1; None is returned where there is no such pair.
        """
        row = self._one("SELECT digest, prompt, completion_a, completion_b FROM pairs WHERE position = ?", position)
        if row is None:
            return None
        digest, prompt, first, second = row
        if self._turned(annotator, digest):
            first, second = second, first
        return Shown(position, prompt, first, second, self._answer(annotator, position), self._feedback(annotator, position))

    def _answer(self, annotator: int, position: int) -> Answer | None:
        row = self._one(
            "SELECT j.acceptable_left, j.acceptable_right, j.preference FROM answers a JOIN judgments j ON j.id = a.judgment "
            "WHERE a.annotator = ? AND a.position = ?",
            annotator,
            position,
        )
        return None if row is None else Answer(bool(row[0]), bool(row[1]), int(row[2]))

    def _feedback(self, annotator: int, position: int) -> Feedback | None:
        row = self._one("SELECT quality, comment FROM feedback WHERE annotator = ? AND position = ?", annotator, position)
        return None if row is None else Feedback(row[0], row[1])

    def _turned(self, annotator: int, digest: str) -> bool:
        """Whether the pair's second response stands on the left."""
        return int(self._keyed("side", self.seed, str(annotator), digest)[:2], 16) % 2 == 1

    def _keyed(self, *parts: str) -> str:
        key = self.seed.encode() if parts[0] in ("side", "order") else self._secret
        return hmac.new(key, "\0".join(parts).encode(), hashlib.sha256).hexdigest()

    def judge(self, annotator: int, position: int, answer: Answer) -> bool:
        """Write a judgment down; it counts from now on in place of an earlier one of the same pair.

        Returns:
            Whether there is such a pair.
        """
        if not 0 <= answer.preference < len(PREFERENCES):
            raise ValueError(f"A preference is 0 to {len(PREFERENCES) - 1}.")
        row = self._one("SELECT digest FROM pairs WHERE position = ?", position)
        if row is None:
            return False
        with self._writing() as connection:
            judgment = connection.execute(
                "INSERT INTO judgments (annotator, position, turned, acceptable_left, acceptable_right, preference, time) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    annotator,
                    position,
                    self._turned(annotator, row[0]),
                    answer.acceptable_left,
                    answer.acceptable_right,
                    answer.preference,
                    now(),
                ),
            ).lastrowid
            connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (annotator, position, judgment))
        return True

    def undo(self, annotator: int) -> int | None:
        """Take an annotator's last judgment back: what was there before counts again.

        Returns:
            The position of its pair; None where there is no judgment.
        """
        with self._writing() as connection:
            row = connection.execute(
                "SELECT id, position FROM judgments WHERE annotator = ? AND undone = 0 ORDER BY id DESC LIMIT 1", (annotator,)
            ).fetchone()
            if row is None:
                return None
            judgment, position = row
            connection.execute("UPDATE judgments SET undone = 1 WHERE id = ?", (judgment,))
            before = connection.execute(
                "SELECT max(id) FROM judgments WHERE annotator = ? AND position = ? AND undone = 0", (annotator, position)
            ).fetchone()[0]
            if before is None:
                connection.execute("DELETE FROM answers WHERE annotator = ? AND position = ?", (annotator, position))
            else:
                connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (annotator, position, before))
        return int(position)

    def remark(self, annotator: int, position: int, feedback: Feedback) -> bool:
        """Write down what an annotator says of a pair, in place of what was said before; nothing at all removes it.

        Returns:
            Whether there is such a pair.
        """
        if feedback.quality is not None and feedback.quality not in QUALITIES:
            raise ValueError(f"A quality is one of {', '.join(QUALITIES)}.")
        if self._one("SELECT 1 FROM pairs WHERE position = ?", position) is None:
            return False
        comment = feedback.comment[:LONGEST_COMMENT]
        with self._writing() as connection:
            if feedback.quality is None and not comment:
                connection.execute("DELETE FROM feedback WHERE annotator = ? AND position = ?", (annotator, position))
            else:
                values = (annotator, position, feedback.quality, comment, now())
                connection.execute("INSERT OR REPLACE INTO feedback VALUES (?, ?, ?, ?, ?)", values)
        return True

    def n_judged(self, annotator: int) -> int:
        """How many pairs an annotator has judged."""
        return int(self._one("SELECT count(*) FROM answers WHERE annotator = ?", annotator)[0])

    def next_open(self, annotator: int, after: int = 0) -> int | None:
        """The next pair behind a position that an annotator has not judged, then the first one; None where all are."""
        query = (
            "SELECT p.position FROM pairs p WHERE p.position > ? AND NOT EXISTS "
            "(SELECT 1 FROM answers a WHERE a.annotator = ? AND a.position = p.position) ORDER BY p.position LIMIT 1"
        )
        row = self._one(query, after, annotator) or (self._one(query, 0, annotator) if after else None)
        return None if row is None else int(row[0])

    def records(self) -> Iterator[Record]:
        """All judgments that were not taken back, in the order of time, then feedback of pairs without a judgment."""
        columns = (
            "p.file_index, p.instance_id, p.prompt, p.model_a, p.model_b, p.completion_a, p.completion_b, n.name, f.quality, f.comment"
        )
        judged = self._all(
            f"SELECT {columns}, j.turned, j.acceptable_left, j.acceptable_right, j.preference, j.time, p.digest, j.annotator "
            "FROM judgments j JOIN pairs p ON p.position = j.position JOIN annotators n ON n.id = j.annotator "
            "LEFT JOIN feedback f ON f.annotator = j.annotator AND f.position = j.position WHERE j.undone = 0 ORDER BY j.id"
        )
        alone = self._all(
            f"SELECT {columns}, NULL, NULL, NULL, NULL, f.time, p.digest, f.annotator "
            "FROM feedback f JOIN pairs p ON p.position = f.position JOIN annotators n ON n.id = f.annotator "
            "LEFT JOIN answers a ON a.annotator = f.annotator AND a.position = f.position WHERE a.judgment IS NULL ORDER BY f.time"
        )
        for row in [*judged, *alone]:
            try:
                record = self._record(*row)
            except (TypeError, ValueError, IndexError, AttributeError) as error:
                raise self._damaged(str(error)) from error
            yield record

    def _record(self, index: int, instance: str, prompt: str, *rest: Any) -> Record:
        """A row of `records` as a record.

        Raises:
            TypeError, ValueError, IndexError, AttributeError: it holds what was never written there.
        """
        *sides, name, quality, comment, turned, left, right, preference, time, digest, annotator = rest
        model_a, model_b, completion_a, completion_b = sides
        if self._turned(annotator, digest) if turned is None else turned:
            model_a, model_b, completion_a, completion_b = model_b, model_a, completion_b, completion_a
        texts = (instance, prompt, model_a, model_b, completion_a, completion_b, name)
        if not all(isinstance(text, str) for text in texts) or quality not in (None, *QUALITIES) or not isinstance(comment, str | None):
            raise ValueError("a text is none")
        if preference is not None and preference not in range(len(PREFERENCES)):
            raise ValueError("a preference is none")
        return Record(
            evaluator=name,
            instance_id=instance,
            prompt=prompt,
            model_a=model_a,
            model_b=model_b,
            completion_a=completion_a,
            completion_b=completion_b,
            acceptable_a=None if left is None else bool(left),
            acceptable_b=None if right is None else bool(right),
            preference=preference,
            quality=quality,
            comment=comment or "",
            timestamp=datetime.fromisoformat(time),
            instance_index=int(index),
        )


def _digest(session: str) -> str:
    return hashlib.sha256(session.encode("utf-8", "replace")).hexdigest()


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


__all__ = ["Answer", "Feedback", "JudgmentStore", "Shown"]
