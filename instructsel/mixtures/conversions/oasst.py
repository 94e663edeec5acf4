"""OpenAssistant trees to conversations: a path at every response, or at every leaf, of all replies or of the best by quality."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from instructsel.errors import UsageError
from instructsel.mixtures.conversions._base import Conversion, Converted, InputRow, Outcome, digest
from instructsel.pool.formats._base import kind, text
from instructsel.pool.lines import RowDropped, RowFault
from instructsel.pool.message import Message

PATHS: Final = ("leaves", "every-response")
ROLES: Final = {"prompter": "user", "assistant": "assistant"}


@dataclass(frozen=True)
class OasstPaths(Conversion):
    """Trees of OpenAssistant. Deleted messages are pruned with what is below them. A leaf is a response that nobody replied to: a question without
    an answer, or deleted replies alone, below a response make it none, as in the original."""

    paths: str = "leaves"
    """leaves: the whole path to each response without a reply. every-response: a path that ends at each response, so that they overlap."""
    top_k: int | None = None
    """Most replies that are followed at each message, those of the highest quality first; all where None. 1 is the later mixture's."""

    name: ClassVar[str] = "oasst1"

    def __post_init__(self) -> None:
        if self.paths not in PATHS:
            raise UsageError.named(self.paths, PATHS, noun="choice of paths")
        if self.top_k is not None and self.top_k < 1:
            raise UsageError("At least one reply is followed at each message.", fix="For example: --top-k 1")

    def content(self, row: InputRow) -> bytes:
        """The id of the tree: nothing is drawn."""
        return digest([str(row.fields.get("message_tree_id"))])

    def convert(self, row: InputRow, occurrence: int) -> Outcome:
        """A conversation for each path."""
        root = row.fields.get("prompt")
        if not isinstance(root, Mapping):
            raise RowFault("not_an_object", f"'prompt' holds {kind(root)} where a message belongs")
        parts: Counter[str] = Counter()
        conversations: dict[str, Converted] = {}
        for path in self._walk(root, parts):
            turns = tuple(Message(ROLES[message["role"]], text(message, "text")) for message in path)
            own_id = path[-1].get("message_id")
            name = own_id if isinstance(own_id, str) and own_id else digest([turn.canonical for turn in turns]).hex()
            while name in conversations:
                name += "'"
            conversations[name] = Converted(name, turns)
        if not conversations:
            raise RowDropped("deleted" if root.get("deleted") is True else "no_answer")
        return Outcome(tuple(conversations.values()), parts)

    def _walk(self, root: Mapping[str, Any], parts: Counter[str]) -> Iterator[tuple[Mapping[str, Any], ...]]:
        """The paths, depth first; messages that are deleted or not followed are counted."""
        open_paths: list[tuple[Mapping[str, Any], ...]] = [] if root.get("deleted") is True else [(root,)]
        while open_paths:
            path = open_paths.pop()
            message = path[-1]
            if message.get("role") not in ROLES:
                raise RowFault("unknown_role", f"a message has the role {str(message.get('role'))[:40]!r}")
            replies = message.get("replies")
            if not isinstance(replies, list | None) or not all(isinstance(reply, Mapping) for reply in replies or []):
                raise RowFault("not_a_list", "'replies' does not hold a list of messages")
            if message["role"] == "assistant" and (self.paths == "every-response" or not replies):
                yield path
            alive = [reply for reply in replies or [] if reply.get("deleted") is not True]
            parts["deleted"] += len(replies or []) - len(alive)
            if self.top_k is not None:
                # Of replies of one quality the original takes those that stand first; ids break the tie here, whatever the order of the file.
                alive.sort(key=lambda reply: (-_quality(reply), str(reply.get("message_id", ""))))
                parts["not_followed"] += len(alive[self.top_k :])
                alive = alive[: self.top_k]
            open_paths += [(*path, reply) for reply in reversed(alive)]


def _quality(message: Mapping[str, Any]) -> float:
    """The mean of the labels of quality that people gave; 0 where there are none."""
    labels = message.get("labels")
    quality = labels.get("quality") if isinstance(labels, Mapping) else None
    value = quality.get("value") if isinstance(quality, Mapping) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
