"""OpenAssistant: flat message tables and trees. A conversation is a path from the root to an answer.

`best-path` follows the reply people ranked first at every turn; `all-paths` takes every path, which overlap by construction.
Deleted messages, and what hangs below them, take no part. Source: OASST1 data format.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from instructsel.errors import UsageError
from instructsel.pool.example import Conversation
from instructsel.pool.formats._base import Chain, Fields, Format, TableFormat, kind, text
from instructsel.pool.formats._turns import CALL, role
from instructsel.pool.lines import Limits, RowDropped, RowFault
from instructsel.pool.message import ANSWERS, Message

PATHS: Final = ("best-path", "all-paths")


def _checked(paths: str) -> None:
    if paths not in PATHS:
        raise UsageError.named(paths, PATHS, noun="choice of paths")


def _preference(message: Fields, key: str) -> tuple[bool, int, str]:
    """Ranked replies first, rank 0 the best; the id breaks ties."""
    rank = message.get("rank")
    known = isinstance(rank, int) and not isinstance(rank, bool)
    return (not known, rank if known and rank is not None else 0, key)


def _turn(message: Fields, roles: Mapping[str, str] | None) -> Message:
    who = role(message.get("role"), where="the message", roles=roles)
    if who == CALL:
        raise RowFault("unknown_role", f"the message has the role {message['role'][:40]!r}")
    return Message(who, text(message, "text"))


@dataclass(frozen=True)
class OasstTree(Format):
    """`message_tree_id` and a `prompt` with nested `replies`, one tree a row."""

    paths: str = "best-path"

    name: ClassVar[str] = "oasst_tree"
    precedence: ClassVar[int] = 15
    fields: ClassVar[tuple[str, ...]] = ("message_tree_id", "prompt")

    def __post_init__(self) -> None:
        _checked(self.paths)

    def fits(self, row: Fields) -> str | None:
        """`prompt` is an object with a text and replies."""
        prompt = row.get("prompt")
        return "has a 'prompt' with nested replies" if isinstance(prompt, dict) and "text" in prompt and "replies" in prompt else None

    def conversations(self, row: Fields) -> list[Conversation]:
        """The best path of the tree, or all of them."""
        root = row.get("prompt")
        if not isinstance(root, dict):
            raise RowFault("not_an_object", f"'prompt' holds {kind(root)} where a message belongs")
        conversations: dict[Conversation, None] = {}
        characters = distinct = 0
        known: set[int] = set()
        for count, path in enumerate(self._walk(root), 1):
            turns = tuple(_turn(message, self.roles) for message in path)
            characters += sum(len(turn.text) for turn in turns)
            distinct += sum(len(turn.text) for message, turn in zip(path, turns, strict=True) if id(message) not in known)
            known.update(map(id, path))
            if count > Limits.max_examples:
                raise RowFault("too_many_examples", f"more than {Limits.max_examples:,} paths")
            if characters > max(Limits.max_text, Limits.max_paths * distinct):
                raise RowFault("too_much_text", f"paths of more than {Limits.max_text:,} characters")
            end = max((i for i, turn in enumerate(turns, 1) if turn.role in ANSWERS), default=0)
            if end:
                conversations[Conversation(turns[:end])] = None
        if not conversations:
            raise RowDropped("no_answer")
        return list(conversations)

    def _walk(self, root: Fields) -> Iterator[tuple[Fields, ...]]:
        open_paths: list[tuple[Fields, ...]] = [] if root.get("deleted") is True else [(root,)]
        while open_paths:
            path = open_paths.pop()
            replies = path[-1].get("replies")
            if not isinstance(replies, list | None) or not all(isinstance(reply, dict) for reply in replies or []):
                raise RowFault("not_a_list", "'replies' does not hold a list of messages")
            alive = sorted(
                (reply for reply in replies or [] if reply.get("deleted") is not True),
                key=lambda reply: _preference(reply, str(reply.get("message_id", reply.get("text", "")))),
            )
            if not alive:
                yield path
            for reply in reversed(alive[:1] if self.paths == "best-path" else alive):
                open_paths.append((*path, reply))


@dataclass(frozen=True)
class OasstTable(TableFormat):
    """`message_id`, `parent_id`, `text`, `role`: one message a row, trees by `parent_id`."""

    paths: str = "best-path"

    name: ClassVar[str] = "oasst_table"
    precedence: ClassVar[int] = 12
    fields: ClassVar[tuple[str, ...]] = ("message_id", "parent_id", "text", "role", "deleted", "rank")

    def __post_init__(self) -> None:
        _checked(self.paths)

    def fits(self, row: Fields) -> str | None:
        """`message_id`, `text` and `role` are there (Parquet leaves a null `parent_id` out)."""
        return "has 'message_id', 'parent_id', 'role' and 'text'" if {"message_id", "role", "text"} <= row.keys() else None

    def joined(self, rows: Sequence[Fields]) -> Conversation:
        """The turns of a chain."""
        return Conversation(tuple(_turn(row, self.roles) for row in rows))

    def link(self, rows: Iterable[Fields]) -> tuple[list[Chain], dict[int, str], dict[int, RowFault]]:
        """Paths from root to last answer. Rows in none: deleted, orphan, no_answer, not_on_best_path, after_last_answer."""
        number_of: dict[str, int] = {}
        who: list[str] = []
        parent: list[str | None] = []
        preference: list[tuple[bool, int, str]] = []
        deleted: list[bool] = []
        faults: dict[int, RowFault] = {}
        for number, row in enumerate(rows):
            who.append("")
            parent.append(None)
            preference.append((True, 0, ""))
            deleted.append(row.get("deleted") is True)
            try:
                key = text(row, "message_id")
                if key in number_of:
                    raise RowFault("duplicate_message_id", "the same message_id stands in an earlier row")
                who[number] = _turn(row, self.roles).role
                preference[number] = _preference(row, key)
                parent[number] = text(row, "parent_id", optional=True) or None
                number_of[key] = number
            except RowFault as fault:
                faults[number] = fault
        children: dict[int, list[int]] = defaultdict(list)
        roots: list[int] = []
        for number, above in enumerate(parent):
            if number in faults or deleted[number]:
                continue
            if above is None:
                roots.append(number)
            elif above in number_of:
                children[number_of[above]].append(number)
        chains, dropped, refused = self._chains(roots, children, who, preference)
        faults |= refused
        reached = set(dropped) | {number for chain in chains for number in chain.rows}
        for number in range(len(parent)):
            if number not in faults and number not in reached:
                dropped[number] = "deleted" if deleted[number] else "orphan"
        return chains, dropped, faults

    def _chains(
        self, roots: list[int], children: dict[int, list[int]], who: list[str], preference: list[Any]
    ) -> tuple[list[Chain], dict[int, str], dict[int, RowFault]]:
        chains: dict[tuple[int, ...], None] = {}
        dropped: dict[int, str] = {}
        faults: dict[int, RowFault] = {}
        for root in roots:
            tree: list[int] = []
            stack = [root]
            while stack:
                number = stack.pop()
                tree.append(number)
                stack.extend(children[number])
            walked: set[int] = set()
            used: set[int] = set()
            new: list[tuple[int, ...]] = []
            try:
                for path in self._paths(root, len(tree), children, preference):
                    walked.update(path)
                    end = max((i for i, number in enumerate(path, 1) if who[number] in ANSWERS), default=0)
                    if end:
                        new.append(path[:end])
                        used.update(path[:end])
            except RowFault as fault:
                faults |= dict.fromkeys(tree, fault)
                continue
            chains |= dict.fromkeys(new)
            for number in tree:
                if number not in used:
                    dropped[number] = "not_on_best_path" if number not in walked else "after_last_answer" if used else "no_answer"
        return [Chain(path) for path in chains], dropped, faults

    def _paths(self, root: int, size: int, children: dict[int, list[int]], preference: list[Any]) -> Iterator[tuple[int, ...]]:
        """The paths of a tree from its root to where nobody answered.

        Raises:
            RowFault: one is too long, or all together.
        """
        open_paths: list[tuple[int, ...]] = [(root,)]
        turns, most = 0, 1024 + Limits.max_paths * size
        while open_paths:
            path = open_paths.pop()
            replies = sorted(children[path[-1]], key=preference.__getitem__)
            if not replies:
                turns += len(path)
                yield path
            if len(path) > Limits.max_turns:
                raise RowFault("too_many_turns", f"a path of more than {Limits.max_turns:,} messages")
            if turns > most:
                raise RowFault("too_many_paths", f"paths of more than {most:,} turns through a tree of {size:,} messages")
            open_paths.extend((*path, reply) for reply in reversed(replies[:1] if self.paths == "best-path" else replies))
