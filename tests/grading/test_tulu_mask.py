"""Tülu's format and its two label masks, next to small references written from their description."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructsel.errors import UsageError
from instructsel.grading import tulu
from instructsel.grading.chat import ChatTemplate, Encoded
from instructsel.pool.example import Example
from instructsel.pool.message import Message
from tests.tiny_tokenizers import END, TOKENIZERS

Turns = list[tuple[str, str]]

ONE: Final[Turns] = [("user", "How do I boil an egg?"), ("assistant", "Put it into water.")]
TWO: Final[Turns] = [*ONE, ("user", "And then?"), ("assistant", "Peel it.")]
SYSTEM: Final[Turns] = [("system", "Be brief."), *ONE]
PADDED: Final[Turns] = [("user", " \n 1 + 1?  "), ("assistant", "\n2\n\n"), ("user", "2 + 2?\n"), ("assistant", "  4 ")]
FIRST: Final[Turns] = [("assistant", "Hello."), ("user", "1 + 1?"), ("assistant", "2")]
ALONE: Final[Turns] = [("assistant", "Hello.")]
DOUBLE: Final[Turns] = [("user", "1 + 1?"), ("assistant", "2"), ("assistant", "Or 10."), ("user", "Why?"), ("assistant", "In base 2.")]
ASKED_LAST: Final[Turns] = [*ONE, ("user", "And then?")]
TWO_ASKED: Final[Turns] = [("system", "Be brief."), ("user", "1 + 1?"), ("user", "Well?"), ("assistant", "2")]
CONVERSATIONS: Final = {
    "one": ONE,
    "two": TWO,
    "system": SYSTEM,
    "padded": PADDED,
    "first": FIRST,
    "alone": ALONE,
    "double": DOUBLE,
    "asked last": ASKED_LAST,
    "two asked": TWO_ASKED,
}


def as_turns(turns: Turns) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


def as_example(turns: Turns) -> Example:
    return Example("0", "", tuple(Message(role, content) for role, content in turns))


# Two references from the description of the format, without any of the code that is tested.


def reference_text(turns: Turns) -> str:
    """Marker, line break, stripped content, end of sequence behind a response, line break."""
    lines = {"system": "<|system|>\n{}\n", "user": "<|user|>\n{}\n", "assistant": "<|assistant|>\n{}" + END + "\n"}
    return "".join(lines[role].format(content.strip()) for role, content in turns)


def reference_tulu_1(tokenizer: Any, turns: Turns, max_length: int | None = None) -> tuple[list[int], list[int]]:
    """Labels are the tokens, but −100 from the tokens before a turn that is no response up to those behind it and a header."""

    def tokens(text: str) -> list[int]:
        limits = {} if max_length is None else {"max_length": max_length, "truncation": True}
        return list(tokenizer(text, **limits)["input_ids"])

    ids = tokens(reference_text(turns).strip())
    labels = list(ids)
    for number, (role, _) in enumerate(turns):
        if role == "assistant":
            continue
        start = len(tokens(reference_text(turns[:number]))) if number else 0
        before = reference_text(turns[: number + 1])
        if number + 1 < len(turns) and turns[number + 1][0] == "assistant":
            before += "<|assistant|>\n"
        stop = len(tokens(before))
        labels[start:stop] = [-100] * len(labels[start:stop])
        if max_length is not None and stop >= max_length:
            break
    return ids, labels


def reference_modern(tokenizer: Any, turns: Turns) -> tuple[list[int], list[int]]:
    """The loss on what lies within a response's content and the end of sequence behind it, by characters; nothing behind the last response."""
    turns = turns[: max(number for number, (role, _) in enumerate(turns) if role == "assistant") + 1]
    begin = tokenizer.bos_token or ""
    text, spans = begin, []
    for number, (role, content) in enumerate(turns):
        text += f"<|{role}|>\n"
        if role == "assistant":
            spans.append((len(text), len(text) + len(content.strip()) + len(END)))
        text += content.strip() + (END if role == "assistant" else "") + ("" if number + 1 == len(turns) else "\n")
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    pairs = zip(encoding["input_ids"], encoding["offset_mapping"], strict=True)
    return list(encoding["input_ids"]), [
        token if any(first <= start and stop <= last for first, last in spans) else -100 for token, (start, stop) in pairs
    ]


@cache
def template(name: str) -> ChatTemplate:
    return ChatTemplate.of(TOKENIZERS[name]())


def labels(encoded: Encoded) -> list[int]:
    return [token if is_on else -100 for token, is_on in zip(encoded.ids, encoded.loss_mask, strict=True)]


# The format


def test_a_conversation_is_written_as_the_code_of_tulu_writes_it() -> None:
    assert tulu.rendered(as_turns(ONE), END) == "<|user|>\nHow do I boil an egg?\n<|assistant|>\nPut it into water.</s>"
    assert tulu.rendered(as_turns(TWO), END) == (
        "<|user|>\nHow do I boil an egg?\n<|assistant|>\nPut it into water.</s>\n<|user|>\nAnd then?\n<|assistant|>\nPeel it.</s>"
    )
    assert tulu.rendered(as_turns(SYSTEM), END).startswith("<|system|>\nBe brief.\n<|user|>\nHow do I")
    assert tulu.rendered(as_turns(PADDED), END) == "<|user|>\n1 + 1?\n<|assistant|>\n2</s>\n<|user|>\n2 + 2?\n<|assistant|>\n4</s>"
    assert tulu.rendered(as_turns(FIRST), END) == "<|assistant|>\nHello.</s>\n<|user|>\n1 + 1?\n<|assistant|>\n2</s>"
    assert tulu.rendered(as_turns(DOUBLE[:3]), END) == "<|user|>\n1 + 1?\n<|assistant|>\n2</s>\n<|assistant|>\nOr 10.</s>"
    # A conversation that ends in a question, and a prompt.
    assert tulu.rendered(as_turns(ASKED_LAST), END).endswith("</s>\n<|user|>\nAnd then?")
    assert tulu.rendered(as_turns(ASKED_LAST), END, generation=True).endswith("</s>\n<|user|>\nAnd then?\n<|assistant|>\n")
    assert tulu.rendered(as_turns([("system", "Be brief."), ("user", "Hi")]), END, generation=True) == (
        "<|system|>\nBe brief.\n<|user|>\nHi\n<|assistant|>\n"
    )


@pytest.mark.parametrize("role", ["tool", "developer", "function", "User", ""])
def test_another_role_and_a_conversation_without_turns_are_errors(role: str) -> None:
    with pytest.raises(UsageError, match=f"one of the roles system, user, assistant, not '{role}'"):
        tulu.rendered([{"role": role, "content": "x"}], END)
    with pytest.raises(UsageError, match="at least one turn"):
        tulu.rendered([], END)


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("kind", [kind for kind in CONVERSATIONS if kind != "asked last"])
def test_the_chat_template_writes_the_format_too(name: str, kind: str) -> None:
    chat, turns = template(name), CONVERSATIONS[kind]
    assert chat.is_tulu and chat.text(as_example(turns)) == (chat.tokenizer.bos_token or "") + tulu.rendered(as_turns(turns), END)
    prompt = (chat.tokenizer.bos_token or "") + tulu.rendered(as_turns(turns[:1]), END, generation=True)
    assert chat.prompt(as_turns(turns[:1])) == prompt


# The masks


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("kind", CONVERSATIONS)
def test_the_mask_of_tulu_1_is_that_of_its_description(name: str, kind: str) -> None:
    chat, turns = template(name), CONVERSATIONS[kind]
    for max_length in (None, 4, 9, 17, 30, 45):
        encoded = chat.encode(as_example(turns), loss="tulu-1", max_length=max_length)
        ids, expected = reference_tulu_1(chat.tokenizer, turns, max_length)
        assert (encoded.ids, labels(encoded)) == (ids, expected)
        assert (encoded.reason is None) == any(label != -100 for label in expected[1:])


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("kind", CONVERSATIONS)
def test_today_s_mask_is_on_each_response_and_its_end_and_on_nothing_else(name: str, kind: str) -> None:
    chat, turns = template(name), CONVERSATIONS[kind]
    encoded = chat.encode(as_example(turns), loss="assistant")
    assert (encoded.ids, labels(encoded)) == reference_modern(chat.tokenizer, turns)


words = st.text(st.sampled_from(" \n\tabeghi1?.<|>é"), max_size=12)
conversations = st.lists(st.tuples(st.sampled_from(("system", "user", "assistant", "user", "assistant")), words), max_size=6).flatmap(
    lambda turns: st.tuples(st.just(turns), words.map(lambda text: "x" + text))
)


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=20, deadline=None)
@given(drawn=conversations, max_length=st.one_of(st.none(), st.integers(4, 90)))
def test_both_masks_are_those_of_their_descriptions_for_any_conversation(
    name: str, drawn: tuple[Turns, str], max_length: int | None
) -> None:
    turns = [*drawn[0], ("assistant", drawn[1])]
    chat = template(name)
    encoded = chat.encode(as_example(turns), loss="tulu-1", max_length=max_length)
    assert (encoded.ids, labels(encoded)) == reference_tulu_1(chat.tokenizer, turns, max_length)
    today = chat.encode(as_example(turns), loss="assistant")
    assert (today.ids, labels(today)) == reference_modern(chat.tokenizer, turns)


def marked(chat: ChatTemplate, turns: Turns, loss: str) -> str:
    """The text with what is trained on in brackets."""
    encoded = chat.encode(as_example(turns), loss=loss)
    text, was_on = "", False
    for token, is_on in zip(encoded.ids, encoded.loss_mask, strict=True):
        text += ("[" if is_on and not was_on else "]" if was_on and not is_on else "") + chat.decoded([token])
        was_on = is_on
    return text + ("]" if was_on else "")


def test_the_line_break_behind_an_earlier_response_and_a_header_without_a_question_are_trained_in_tulu_1_alone() -> None:
    chat = template("letters")
    assert marked(chat, TWO, "tulu-1") == (
        "<|user|>\nHow do I boil an egg?\n<|assistant|>\n[Put it into water.</s>\n]<|user|>\nAnd then?\n<|assistant|>\n[Peel it.</s>]"
    )
    assert marked(chat, TWO, "assistant") == (
        "<|user|>\nHow do I boil an egg?\n<|assistant|>\n[Put it into water.</s>]\n<|user|>\nAnd then?\n<|assistant|>\n[Peel it.</s>]"
    )
    assert marked(chat, FIRST, "tulu-1") == "[<|assistant|>\nHello.</s>\n]<|user|>\n1 + 1?\n<|assistant|>\n[2</s>]"
    assert marked(chat, FIRST, "assistant") == "<|assistant|>\n[Hello.</s>]\n<|user|>\n1 + 1?\n<|assistant|>\n[2</s>]"
    assert marked(chat, DOUBLE[:3], "tulu-1") == "<|user|>\n1 + 1?\n<|assistant|>\n[2</s>\n<|assistant|>\nOr 10.</s>]"
    assert marked(chat, DOUBLE[:3], "assistant") == "<|user|>\n1 + 1?\n<|assistant|>\n[2</s>]\n<|assistant|>\n[Or 10.</s>]"
    assert marked(chat, ASKED_LAST, "tulu-1").endswith("[Put it into water.</s>\n]<|user|>\nAnd then?")


def test_a_tokenizer_that_joins_across_the_edges_of_a_turn_shifts_the_mask_of_tulu_1() -> None:
    shifted = 0
    for name in ("byte-level", "metaspace"):
        chat = template(name)
        for turns in (TWO, SYSTEM, PADDED, DOUBLE):
            encoded = chat.encode(as_example(turns), loss="tulu-1")
            text, spans = tulu.rendered(as_turns(turns), END), []
            for number, (role, _) in enumerate(turns):
                if role != "assistant":
                    before = reference_text(turns[: number + 1])
                    spans.append(
                        (len(reference_text(turns[:number])), len(before) + len("<|assistant|>\n") * (turns[number + 1][0] == "assistant"))
                    )
            _, offsets = chat.tokens(text, special=True)
            by_characters = [not any(begin <= start and stop <= end for begin, end in spans) for start, stop in offsets]
            shifted += by_characters != encoded.loss_mask
    assert shifted


@pytest.mark.parametrize("name", ["byte-level with begin", "letters", "metaspace"])
def test_a_text_that_spells_out_a_special_token_is_read_as_its_letters_and_the_mask_is_as_without(name: str) -> None:
    chat = template(name)
    turns = [("user", f"What is {END}?"), ("assistant", f"An end: {END} it is."), ("user", f"{END}"), ("assistant", "Yes.")]
    for max_length in (None, 30, 60):
        encoded = chat.encode(as_example(turns), loss="tulu-1", max_length=max_length)
        assert encoded.control and (max_length is not None or encoded.ids.count(chat.tokenizer.eos_token_id) == 2)
        # Letters that are no special token, in its place: as many tokens, trained alike.
        hidden = [(role, content.replace(END, "<\\s>")) for role, content in turns]
        if name == "letters":
            assert encoded.loss_mask == chat.encode(as_example(hidden), loss="tulu-1", max_length=max_length).loss_mask
    # A unigram model has </s> among its pieces, and would find it in the letters too.
    assert chat.encode(as_example(turns), loss="assistant").ids.count(chat.tokenizer.eos_token_id) == 2
    if name != "metaspace":
        assert f"An end: {END} it is." in chat.decoded(chat.encode(as_example(turns), loss="tulu-1").ids)


def test_turns_that_are_not_to_be_trained_are_masked_as_those_of_the_user_are() -> None:
    chat = template("letters")
    turns = [Message("user", "1 + 1?"), Message("assistant", "2", weight=0), Message("user", "2 + 2?"), Message("assistant", "4")]
    encoded = chat.encode(Example("0", "", tuple(turns)), loss="tulu-1")
    trained = [token for token, is_on in zip(encoded.ids, encoded.loss_mask, strict=True) if is_on]
    assert chat.decoded(trained) == f"4{END}" and encoded.end == 1


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([("user", "a"), ("tool", "b"), ("assistant", "c")], "template_refused"),
        ([("developer", "a"), ("user", "b"), ("assistant", "c")], "template_refused"),
        ([("user", "a"), ("assistant", " ")], "no_response"),
    ],
)
def test_what_tulu_1_cannot_write_is_named(turns: Turns, reason: str) -> None:
    encoded = template("letters").encode(as_example(turns), loss="tulu-1")
    assert encoded.reason == reason and not encoded.ids
    assert reason != "template_refused" or "one of the roles system, user, assistant" in str(encoded.cause)


@pytest.mark.parametrize("name", ["byte-level with begin", "word-piece"])
def test_a_long_conversation_that_is_cut_off_has_the_mask_of_its_description_and_is_not_tokenized_to_its_end(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = template(name)
    turns = [("user" if number % 2 == 0 else "assistant", f"How do I boil egg {number}?") for number in range(120)]
    seen: list[int] = []
    tokenize = ChatTemplate.all_tokens

    def all_tokens(self: ChatTemplate, texts: Any, *, special: bool = False) -> Any:
        seen.extend(map(len, texts))
        return tokenize(self, texts, special=special)

    monkeypatch.setattr(ChatTemplate, "all_tokens", all_tokens)
    for max_length in (5, 100, 300, 100_000):
        seen.clear()
        encoded = chat.encode(as_example(turns), loss="tulu-1", max_length=max_length)
        assert (encoded.ids, labels(encoded)) == reference_tulu_1(chat.tokenizer, turns, max_length)
        # The conversation once, and beginnings of it until they fill the length.
        assert (len(seen) < 60) == (max_length < 1000)
