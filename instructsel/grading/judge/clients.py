"""Clients of judges: a model behind a server, or one on this machine; a reply counts only as one of two labels."""

from __future__ import annotations

import hashlib
import math
import os
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from queue import SimpleQueue
from typing import Any, Final, Protocol, Self

import orjson

from instructsel.artifact import dump_json, fingerprint
from instructsel.errors import ModelRefused, ModelUnavailable, TemplateRefused, UsageError
from instructsel.extras import require
from instructsel.grading.chat import ChatTemplate
from instructsel.grading.judge.address import EXAMPLE, Address
from instructsel.grading.judge.connection import NEEDED_BY, Connection, Response
from instructsel.grading.judge.prompt import LABELS
from instructsel.grading.outputs import digest_of
from instructsel.models.answers import escape_special_tokens
from instructsel.models.likelihood import LikelihoodModel

GROUP: Final = 128
"""Questions a local model takes at a time."""
LONGEST_WAIT: Final = 60.0
"""Seconds before a question is asked again, whatever the server says."""


LONGEST_TIME: Final = 1_000_000
"""Seconds that a setting of time may be at most; what waits takes no more."""


@dataclass(frozen=True)
class Reply:
    """A judge's reply to one question, or why there is none."""

    share: float | None
    """Of the first label, in [0, 1]; None with a reason."""
    reason: str | None = None
    final: bool = True
    """Whether the judge replied. A question whose reply failed to arrive is asked again."""
    digest: str = ""
    """Of the raw text."""
    served: str | None = None
    """The model that replied, as the endpoint calls it."""


OnReply = Callable[[int, Reply], None]
"""Takes the number of a question and the reply to it."""


class JudgeClient(Protocol):
    """Replies to questions with one of two labels."""

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Model, revision or digest, temperature; no path, no address, no key."""
        ...

    def ask(self, questions: Sequence[str], on_reply: OnReply) -> None:
        """Call `on_reply` with the number of a question and the reply, as replies come; from any thread, each question once."""
        ...


@dataclass(frozen=True)
class HttpJudgeClient:
    """A model behind an OpenAI-compatible server, by its `/chat/completions`.

    The reply counts if, stripped of white space, it is one of the two labels; with `logprobs`, its share is p(A) / (p(A) + p(B)) over
    the alternatives of its first token. Anything else is unparsable and stays so. A server that is busy (408, 409, 425, 429), fails
    (5xx), cannot be reached or is too slow is asked again; where it goes on so, the question has no reply (failed, timed_out), and
    after `give_up` of these in a row no further one is asked (not_asked). What it refuses (4xx) is refused.

    The key is read from an environment variable when it is needed, goes into one header and nowhere else. Redirects are not followed.
    """

    url: str
    """The base, e.g. https://api.example.com/v1."""
    model: str
    """As the server calls it; a dated name where there is one."""
    revision: str | None = field(default=None, kw_only=True)
    """Of the weights, where the name does not say it."""
    key_variable: str | None = field(default=None, kw_only=True)
    """The environment variable that holds the key; None sends none."""
    logprobs: bool = field(default=False, kw_only=True)
    """Whether the server gives the likeliest tokens, so that a preference may lie between 1 and 2."""
    temperature: float = field(default=0.0, kw_only=True)
    max_tokens: int = field(default=4, kw_only=True)
    """Of a reply: enough to see that it is more than a label."""
    extra: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    """More keys of the request, e.g. {"guided_choice": ["A", "B"]} for vLLM."""
    timeout: float = field(default=60.0, kw_only=True)
    """Seconds for one request, all of it."""
    retries: int = field(default=4, kw_only=True)
    """How often a question is asked again."""
    backoff: float = field(default=1.0, kw_only=True)
    """Seconds before the first time, doubled each time; the server's Retry-After where it says more, up to LONGEST_WAIT."""
    deadline: float = field(default=300.0, kw_only=True)
    """Seconds for one question: its requests and the waits between them, all together."""
    workers: int = field(default=4, kw_only=True)
    """Questions asked at a time."""
    give_up: int = field(default=10, kw_only=True)

    def __post_init__(self) -> None:
        # A missing package is found where the judge is named, before anything is trained.
        httpx = require("httpx", needed_by=NEEDED_BY)
        address = Address.of(self.url)
        try:
            _ = httpx.URL(address.url).host
        except (ValueError, httpx.InvalidURL) as error:
            raise UsageError("The judge's address is no address of a server: its host is no name.", fix=EXAMPLE) from error
        if self.key_variable and address.scheme == "http" and not address.is_loopback:
            raise UsageError(f"The key would go to {address.host} unencrypted.", fix="Use https.")
        numbers = (self.temperature, self.timeout, self.deadline, self.backoff)
        whole = self.workers >= 1 and self.retries >= 0 and self.max_tokens >= 1
        if not whole or not (self.timeout > 0 and self.deadline > 0) or not all(0 <= number <= LONGEST_TIME for number in numbers):
            raise UsageError(
                "A judge needs at least one worker, one token, no fewer than 0 retries, some time, and numbers that are finite, not negative "
                f"and up to {LONGEST_TIME:,}."
            )

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Model, revision and how it is asked; neither address nor key."""
        return {
            "kind": "endpoint",
            "name": self.model,
            "revision": self.revision,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "logprobs": self.logprobs,
            "extra": fingerprint(dict(self.extra)) if self.extra else None,
        }

    def ask(self, questions: Sequence[str], on_reply: OnReply) -> None:
        """Ask all, `workers` at a time.

        Raises:
            ModelUnavailable: the key's variable is not set, or the server refuses the key or knows no such model.
        """
        idle = self._connections(self._key(), min(self.workers, len(questions)))
        lock, failed, ended = threading.Lock(), [0], threading.Event()

        def one(number: int) -> None:
            if ended.is_set():
                return
            with lock:
                over = failed[0] >= self.give_up
            try:
                reply = Reply(None, "not_asked", final=False) if over else self._reply(idle, questions[number], ended)
                with lock:
                    failed[0] = 0 if reply.final else failed[0] + 1
                on_reply(number, reply)
            except BaseException:
                # A key refused once is refused again: what is pending is not asked.
                ended.set()
                raise

        threads = ThreadPoolExecutor(self.workers)
        try:
            for waiting in [threads.submit(one, number) for number in range(len(questions))]:
                waiting.result()
        finally:
            # Whatever stopped us, the questions on their way are paid: their replies are awaited and passed on.
            threads.shutdown(wait=True, cancel_futures=True)
            while not idle.empty():
                idle.get().close()

    def _connections(self, key: str | None, count: int) -> SimpleQueue[Connection]:
        """The connections that no worker is using; all of them."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        # The certificates of this machine, a company's own among them; httpx's default is a list of its own.
        certificates = ssl.create_default_context()
        idle: SimpleQueue[Connection] = SimpleQueue()
        for _ in range(count):
            idle.put(Connection(Address.of(self.url).host, headers, self.timeout, certificates))
        return idle

    def _key(self) -> str | None:
        if self.key_variable is None:
            return None
        key = os.environ.get(self.key_variable, "").strip()
        if not key:
            raise ModelUnavailable(
                f"The judge {self.model} needs a key, and {self.key_variable} is not set.", fix=f"Set it: export {self.key_variable}=…"
            )
        if not key.isascii() or not key.isprintable():
            # The library would name the header, and the key with it, in its error.
            raise ModelUnavailable(
                f"{self.key_variable} holds no key: there are characters in it that no header takes.", fix="Set it anew."
            )
        return key

    def _reply(self, idle: SimpleQueue[Connection], text: str, ended: threading.Event) -> Reply:
        """The reply to one question, after retries; there are none once the run has ended."""
        httpx = require("httpx", needed_by=NEEDED_BY)
        until = time.monotonic() + self.deadline
        wait = self.backoff
        reply = Reply(None, "failed", final=False)
        for attempt in range(self.retries + 1):
            pause = 0.0
            try:
                status, retry_after, body = self._sent(idle, text, until - time.monotonic())
                if 200 <= status < 300:
                    return self._read(body)
                self._check_status(status)
                if status < 500 and status not in (408, 409, 425, 429):
                    return Reply(None, "refused", final=False)
                reply, pause = Reply(None, "failed", final=False), _seconds(retry_after)
            except (TimeoutError, httpx.TimeoutException):
                reply = Reply(None, "timed_out", final=False)
            except (OSError, httpx.HTTPError):
                reply = Reply(None, "failed", final=False)
            pause = min(LONGEST_WAIT, max(wait, pause))
            # A wait after which there is no time to ask is not waited.
            if attempt == self.retries or pause >= until - time.monotonic() or ended.wait(pause):
                break
            wait *= 2
        return reply

    def _check_status(self, status: int) -> None:
        """End the run where no question will be answered.

        Raises:
            ModelUnavailable: the server refuses the key or knows no such model.
        """
        if status in (401, 403, 404):
            what = "knows no such model or address" if status == 404 else "refuses the key"
            raise ModelUnavailable(
                f"The server of the judge {self.model} {what} ({status}).", fix="Check the address, the model's name and the key."
            )

    def _sent(self, idle: SimpleQueue[Connection], text: str, seconds: float) -> Response:
        """Status, Retry-After and body of the server's response.

        Args:
            idle: connections that no worker is using.
            text: the question.
            seconds: that are left for it.

        Raises:
            What `Connection.post` raises.
        """
        request: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": text}],
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            **({"logprobs": True, "top_logprobs": 5} if self.logprobs else {}),
            **self.extra,
        }
        connection = idle.get()
        try:
            return connection.post(f"{Address.of(self.url).url}/chat/completions", dump_json(request), seconds=seconds)
        finally:
            idle.put(connection)

    def _read(self, body: bytes) -> Reply:
        """A reply out of what the server sent."""
        digest = hashlib.blake2b(body, digest_size=16).hexdigest()
        try:
            sent = orjson.loads(body)
            choice = sent["choices"][0]
            content = choice["message"]["content"]
        except (orjson.JSONDecodeError, KeyError, IndexError, TypeError):
            # No word of the judge: a gateway's page, a broken line.
            return Reply(None, "failed", final=False)
        served = sent.get("model") if isinstance(sent.get("model"), str) else None
        if not isinstance(content, str):
            return Reply(None, "unparsable", digest=digest, served=served)
        digest = digest_of(content)
        label = content.strip()
        if label not in LABELS:
            return Reply(None, "unparsable", digest=digest, served=served)
        if not self.logprobs:
            return Reply(float(label == LABELS[0]), digest=digest, served=served)
        share = _share(choice)
        return Reply(share, None if share is not None else "no_logprobs", digest=digest, served=served)


def _share(choice: Any) -> float | None:
    """p(A) / (p(A) + p(B)) over the alternatives of the first token; None where they are not there."""
    try:
        tokens = [
            (str(alternative["token"]).strip(), float(alternative["logprob"]))
            for alternative in choice["logprobs"]["content"][0]["top_logprobs"]
        ]
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    first, second = (math.fsum(math.exp(min(0.0, value)) for token, value in tokens if token == label) for label in LABELS)
    total = first + second
    return first / total if math.isfinite(total) and total > 0 else None


def _seconds(text: str | None) -> float:
    """What Retry-After asks for; 0 where it is a date, negative, or nothing that is a number."""
    try:
        return max(0.0, float(text or 0))
    except ValueError:
        return 0.0


@dataclass(frozen=True, eq=False)
class LocalJudgeClient:
    """A causal language model on this machine. Load one with LocalJudgeClient.load.

    It writes nothing: the likelihoods of the two labels after the question decide, p(A) / (p(A) + p(B)). The same alone and among
    others. A question that does not fit into the model's context has no reply (too_long).
    """

    model: LikelihoodModel
    chat_template: ChatTemplate

    @classmethod
    def load(cls, name: str, *, revision: str | None = None, precision: str = "auto", device: str = "auto", probe: bool = True) -> Self:
        """A judge from a local folder or a hub id.

        Raises:
            ModelUnavailable: it is neither on this machine nor on the hub.
            UntrustedModel: pickled weights, or code of its own.
            ModelRefused: no causal language model, or one whose tokenizer does not tell the labels apart.
        """
        model = LikelihoodModel.load(name, revision=revision, precision=precision, device=device, probe=probe)
        client = cls(model, ChatTemplate.load(model.source.folder))
        first, second = client._labels
        short = min(len(first), len(second))
        if not short or first[:short] == second[:short]:
            raise ModelRefused(
                f"The tokenizer of {model.source.name} does not tell {LABELS[0]} from {LABELS[1]}.", fix="Name another model as the judge."
            )
        return client

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Weights, how they are used, and the template."""
        return {
            "kind": "local",
            **self.model.fingerprint,
            "settings": self.model.source.settings,
            "template": "tulu" if self.chat_template.fallback else "own",
            **self.chat_template.dated,
            "temperature": 0.0,
        }

    @cached_property
    def _labels(self) -> tuple[list[int], list[int]]:
        first, second = (self.chat_template.tokens(label)[0] for label in LABELS)
        return first, second

    def ask(self, questions: Sequence[str], on_reply: OnReply) -> None:
        """Ask all, some hundred at a time.

        Raises:
            ModelRefused: its chat template refuses a user's turn.
        """
        for start in range(0, len(questions), GROUP):
            rows: list[list[int]] = []
            begins: list[int] = []
            numbers: list[int] = []
            for number in range(start, min(start + GROUP, len(questions))):
                prompt = self._prompt(questions[number])
                if len(prompt) + max(map(len, self._labels)) > self.model.max_length:
                    on_reply(number, Reply(None, "too_long"))
                    continue
                numbers.append(number)
                rows += [prompt + label for label in self._labels]
                begins += [len(prompt)] * 2
            losses = self.model.losses(rows, begins)
            for position, number in enumerate(numbers):
                reason = losses.reasons[2 * position] or losses.reasons[2 * position + 1]
                if reason is not None:
                    on_reply(number, Reply(None, reason, final=reason != "out_of_memory"))
                    continue
                first, second = (-float(losses.values[2 * position + side]) * len(self._labels[side]) for side in (0, 1))
                share = 1 / (1 + math.exp(min(700.0, second - first)))
                on_reply(number, Reply(share, digest=digest_of(f"{first!r} {second!r}")))

    def _prompt(self, question: str) -> list[int]:
        """The tokens of a question in the chat template."""
        content = escape_special_tokens(question, sorted({*self.chat_template.tokenizer.all_special_tokens}))
        try:
            text = self.chat_template.prompt([{"role": "user", "content": content}])
        except TemplateRefused as error:
            raise ModelRefused(
                f"The chat template of {self.model.source.name} refuses a user's turn.", fix="Name another model as the judge."
            ) from error
        return self.chat_template.tokens(text)[0]
