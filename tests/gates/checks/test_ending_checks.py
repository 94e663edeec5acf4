"""Cut-off, looping, echoing and short responses; what ends, repeats or is short as it should be is not reported."""

from __future__ import annotations

import pytest

from instructsel.gates.wording.endings import unfinished
from instructsel.gates.wording.loops import loop_of
from tests.gates.checks.asking import dialogue, flagged, flags, hits, row

PARAGRAPH = "The harbor has two basins. The larger one was built in 1865, and it holds forty ships. A lock keeps the water in."
CUT = [
    PARAGRAPH + " The smaller one is used by fishing boats that come in at",
    PARAGRAPH + " The smaller one is used by fish",
    PARAGRAPH + " It is open to boats of all kinds, such as",
    PARAGRAPH + " The smaller one,",
    PARAGRAPH + " It is used by sailing boats (and by the",
    PARAGRAPH + "\n\nHere are the steps to enter:",
    PARAGRAPH + "\n\n1. Call the lock.\n2. Wait for the light.\n3.",
    "1. Call the lock.\n2. Wait for the light.\n3. Tie up at the wall on your",
    "- Call the lock.\n- Wait for the light.\n-",
    "1. Call the lock\n2. Wait for the light\n3",
    "Use this code:\n```python\nfor ship in ships:\n    print(ship",
    "def ships():\n    for ship in harbor:\n        print(ship.name(",
    '{"name": "Brest", "basins": [{"name": "east", "size":',
    "The name of the port comes from a word that means hill, because the",
    "Der Hafen hat zwei Becken. Das größere wurde 1865 gebaut. Es fasst vierzig Schiffe und",
    "Le port a deux bassins. Le plus grand date de 1865. Il est ouvert aux bateaux qui viennent dans",
    "港口有两个码头。较大的一个建于1865年。它可以停泊四十艘船。较小的一个供渔船使用并且在",
    "У порта два бассейна. Больший построен в 1865 году. Он открыт для кораблей, которые",
    PARAGRAPH + " **Note that the",
]
WHOLE = [
    PARAGRAPH,
    PARAGRAPH + ' It is called "the old one".',
    PARAGRAPH + " (It is open all day.)",
    PARAGRAPH + "\n\nSee https://harbor.example/hours",
    PARAGRAPH + "\n\n#harbor #ships",
    "Brest",
    "42",
    "The Old Harbor of Brest and Its Ships",
    "What the Sea Is Made Of",
    "The ships come in at night,\nthe lamps are lit, the ropes are tight,\nand nobody knows\nwhere the cold wind goes",
    "1. Call the lock\n2. Wait for the light\n3. Tie up at the wall",
    "- Brest\n- Lorient\n- Saint-Malo",
    "1. Call the lock\n2. Wait for the light\n\nShips that wait:\n3",
    "Ships by port:\n12. Brest\n14",
    "Brest, Lorient, Saint-Malo",
    "| port | ships |\n|---|---|\n| Brest | 40 |",
    "```python\nprint(1)\n```",
    "def ships(harbor):\n    # count (all of them\n    return len(harbor) // 2",
    "SELECT name FROM ports WHERE ships > 40;",
    '{"name": "Brest", "basins": 2}',
    "[1] is the first entry of the list of ships, which is kept by the pilot",
    "港口有两个码头。较大的一个建于1865年。",
    "港口有两个码头",
    "ท่าเรือมีสองแห่ง แห่งใหญ่สร้างขึ้นในปี พ.ศ. 2408 และจอดเรือได้สี่สิบลำ",
    "बंदरगाह में दो बेसिन हैं। बड़ा वाला 1865 में बना था।",
    "هل الميناء مفتوح؟ نعم، هو مفتوح طوال اليوم۔",
    "Dear captain,\n\nThe harbor is open. Please call the lock first.\n\nKind regards,\nThe harbor master",
    "x = 3 + 4 = 7",
    "「港は開いています」",
    "Tides (in metres): 5.1 at noon, 0.9 at six",
    "Netflix, Disney+, Apple TV+",
]


MARKED = [
    PARAGRAPH + " [truncated]",
    PARAGRAPH + " <output truncated>",
    PARAGRAPH + ".. (continued)",
    PARAGRAPH + " [response was cut off]",
    "港口有两个码头，较大的一个建于很多年以前，可以停泊四十艘船，但是",
    "港には二つのドックがあり、大きい方は四十隻の船を泊めることができ、天気によって",
    "항구에는 두 개의 부두가 있으며 큰 부두는 배 마흔 척을 받을 수 있고 날씨 때문에",
    "1. Call the lock at the gate.\n2. Wait for the light.\n3. The",
    "The port has:\n\n- **Basin**: forty ships.\n- **Lock**:",
    "The hours are these.\n\n| Day | Hour |\n|---|",
    "潮汐由月球的引力引起。新月和满月时，太阳和月球的引力叠加在一起，所以",
]
UNMARKED = [
    "An empty table of hours:\n\n| Day | Hour |\n|---|---|",
    PARAGRAPH + " (The story is continued in the second book.)",
    PARAGRAPH + " [truncated cones mark the channel, and others the wall]",
    "我不知道这是因为什么",
    "1. Call the lock at the gate.\n2. Which letter is it?\n3. A",
    "The port has:\n\n- **Basin**:\n  forty ships.\n- **Lock**:",
]


def test_marks_of_cuts_items_without_a_text_and_open_sentences_of_east_asia_are_cut_off() -> None:
    assert flagged("cut-off", MARKED) == MARKED
    assert flagged("cut-off", UNMARKED) == []


def test_cut_off_responses_are_reported() -> None:
    assert flagged("cut-off", CUT) == CUT


def test_finished_responses_are_not_reported() -> None:
    assert flagged("cut-off", WHOLE) == []


def test_a_text_below_the_limit_is_not_looked_at() -> None:
    assert unfinished("It is open and the") is None
    assert not flags("cut-off", row(CUT[0]), min_characters=1000)


def test_an_answer_that_ends_where_the_text_of_its_prompt_ends_is_whole() -> None:
    assert not flags("cut-off", row(CUT[0], "Quote this: " + CUT[0]))


def test_an_earlier_answer_that_is_cut_off_is_named() -> None:
    assert [hit.key for hit in hits("cut-off", dialogue("Hi.", CUT[2], "Go on.", "Noon."))] == ["answer 1"]


@pytest.mark.parametrize("position", [0.45, 0.6, 0.75, 0.9])
def test_a_paragraph_cut_at_any_place_is_reported_wherever_a_sentence_is_open(position: float) -> None:
    text = (PARAGRAPH + " The smaller one is used by fishing boats. They come in at dawn and leave at dusk. ") * 2
    cut = text[: int(len(text) * position)].rstrip()
    assert (unfinished(cut) is not None) == (cut[-1] not in ".,") or cut[-1] == ","


LOOPS = [
    "The harbor is open. " * 12,
    "I like ships and " + "the sea and " * 20,
    "very " * 60,
    "Open the gate.\n" * 8,
    "\n".join(f"{number}. Open the gate of the harbor." for number in range(1, 12)),
    PARAGRAPH + " " + "It is open at noon and at night. " * 8,
    "a" * 200,
    "港口是开放的。" * 12,
    PARAGRAPH + " " + "港口是开放的。" * 12,
    PARAGRAPH + " " + "!?" * 20,
    PARAGRAPH + " " + "4, 5, 6, " * 40,
    "हाँ ठीक है " * 15,
    "ha" * 80,
]
NO_LOOPS = [
    PARAGRAPH,
    "The sea, the sea,\nthe open sea.\nThe sea, the sea,\nit comes to me.",
    "Row, row, row your boat, gently down the stream. Merrily, merrily, merrily, merrily, life is but a dream.",
    "-" * 120 + "\nHarbor\n" + "-" * 120,
    "| a | b |\n|---|---|\n|  |  |\n|  |  |\n|  |  |\n|  |  |\n|  |  |",
    "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30",
    "[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]",
    "\n".join(f"Ship {name} lies in basin {number}." for number, name in enumerate("ABCDEFGHIJKL")),
    "if a:\n    x()\n}\n}\n}\n}\n}\n}",
    "no no no no",
    "Open!!! Really?! Yes!?!?",
    "4, 5, 6, " * 6,
]


def test_loops_are_reported_with_their_share() -> None:
    assert flagged("repetition", LOOPS) == LOOPS
    loop = loop_of("The harbor is open. " * 12)
    assert loop is not None and (loop.times, loop.share) == (12, 1.0)


def test_refrains_rules_and_tables_are_no_loops() -> None:
    assert flagged("repetition", NO_LOOPS) == []


def test_what_the_prompt_wants_repeated_is_no_loop() -> None:
    assert not flags("repetition", row(LOOPS[0], "Write 'The harbor is open.' twelve times over and over."))


def test_fewer_repetitions_count_where_a_configuration_says_so() -> None:
    text = PARAGRAPH + " " + PARAGRAPH.replace("h", "w") + " " + "It is open at noon and at night every single day. " * 3
    assert not flags("repetition", row(text))
    assert flags("repetition", row(text), min_times=3)


QUESTION = "Describe the two basins of the harbor of Brest, and say which of them holds more ships."


@pytest.mark.parametrize(
    "response",
    [
        QUESTION,
        QUESTION.upper(),
        QUESTION + " The larger one.",
        QUESTION.replace("Brest,", "Brest"),
        f"Question: {QUESTION}",
        f"Q. {QUESTION}",
    ],
)
def test_a_response_that_is_its_prompt_is_an_echo(response: str) -> None:
    assert flags("echo", row(response, QUESTION))


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        (QUESTION, PARAGRAPH),
        ("Fix the grammar: the ships comes in at night and leaves at the dawn of day.", "The ships come in at night and leave at the dawn of day."),
        ("Which is open? a) the old harbor of Brest b) the new harbor of Brest", "b) the new harbor of Brest"),
        ("Repeat this sentence after me, please: the harbor is open.", "Repeat this sentence after me, please: the harbor is open."[38:]),
        ("Complete the sentence. The harbor of Brest was built in the year", "The harbor of Brest was built in the year 1631."),
        ("Hello.", "Hello."),
    ],
)  # fmt: skip
def test_an_answer_of_its_own_is_no_echo(prompt: str, response: str) -> None:
    assert not flags("echo", row(response, prompt))


def test_a_short_question_that_is_the_whole_answer_is_an_echo_and_a_greeting_is_none() -> None:
    assert flags("echo", row("Question: Is the tide high?", "Is the tide high?"))
    assert not flags("echo", row("Good morning!", "Good morning!"))
    assert not flags("echo", row("Is it high?", "Is the tide high?"))


@pytest.mark.parametrize("response", ["ok", "K", "Hm", ".", "xyz", "lol"])
def test_a_response_of_a_few_characters_is_reported(response: str) -> None:
    assert flags("short-response", row(response))


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ("Is it open?", "Yes"),
        ("Is it open?", "No."),
        ("How many basins are there?", "2"),
        ("Add 20 and 22.", "42."),
        ("Which is right? A) Brest B) Lorient", "B"),
        ("How full is the harbor?", "7%"),
        ("Translate 'ship' into Chinese.", "船只"),
        ("Extract the name of the cat from: Tom sleeps.", "Tom"),
    ],
)
def test_a_short_answer_that_was_asked_for_is_not_reported(prompt: str, response: str) -> None:
    assert not flags("short-response", row(response, prompt))


def test_the_least_length_is_a_setting() -> None:
    assert flags("short-response", row("Open."), min_characters=6)
    assert flags("short-response", row("42", "Add 20 and 22."), strict=True)


HOSTILE = ["a b ", "a", "ab", "(", "```\n", "1. ", "\n\n- x", "a, ", "**", "x" * 50 + " ", "港", "{", "the ", '"', "a\n"]


@pytest.mark.parametrize("kind", ["cut-off", "repetition", "echo", "short-response"])
def test_long_hostile_texts_are_read_once(kind: str) -> None:
    hits(kind, *(row(unit * (200_000 // len(unit)), unit * (150_000 // len(unit))) for unit in HOSTILE))


WITHOUT_SIGN = PARAGRAPH + " The smaller one is used by fishing boats and by the sailors of the town"


def test_endings_without_a_sign_count_where_others_are_cut_inside_a_sentence_as_often_as_cuts_are() -> None:
    assert not flags("cut-off", row(WITHOUT_SIGN))
    assert flagged("cut-off", [*CUT, WITHOUT_SIGN])[-1] == WITHOUT_SIGN
    style = [WITHOUT_SIGN.replace("town", place) for place in ("town", "port", "coast", "island", "village")]
    assert flagged("cut-off", [*style, CUT[2]]) == [CUT[2]]
    assert flagged("cut-off", [*style, CUT[2]], max_guesses=5) == [*style, CUT[2]]


def test_the_first_half_of_a_year_is_a_cut() -> None:
    assert flags("cut-off", row(PARAGRAPH + " It was certified on December 14th, 20"))
    assert flags("cut-off", row(PARAGRAPH + " The number of ships rose in 2014-20"))
    assert not flags("cut-off", row(PARAGRAPH + " The ships that it can hold are 20"))


@pytest.mark.parametrize(
    "text",
    [
        "Here are the ships:\n\n| Ship | Length | Built |\n|---|---|---|\n| Anna | 30 | 1990 |\n| Berta | 2",
        'Here is the file:\n{\n  "name": "Anna",\n  "length": 30,\n  "ports": ["Brest"',
        "<html>\n<body>\n<ul>\n<li>Anna</li>\n<li>Ber",
        "SELECT name, length FROM ships WHERE length > 10 AND",
        "SELECT name, length FROM ships WHERE length >",
        "So it goes:\n1. Open the gate.\n2. Wait for the tide.\n3. Start the",
        "Il porto ha due bacini. Il più grande fu costruito nel 1865 e si trova nel nord, con le navi dalle",
        "## The ships\n\nThere are two of them.\n\n## The quays",
        "We have $a^2 + b^2 = c^2$. Therefore it is $c = \\sqrt{a^2 +",
        "Der Hafen hat zwei Becken. Das größere wurde 1865 gebaut und liegt im Norden der Stadt. Im Winter fährt die",
        PARAGRAPH + " In winter it is reached by a ferry, which allows the crews to stay, ensuring",
    ],
)
def test_tables_structures_pages_and_sentences_of_other_languages_are_cut_off_inside(text: str) -> None:
    assert flags("cut-off", row(text))


@pytest.mark.parametrize(
    "text",
    [
        "| Ship | Length |\n|---|---|\n| Anna | 30 |",
        "Ship | Length\n--- | ---\nAnna | 30",
        'Here is the file:\n{\n  "name": "Anna"\n}',
        "<html>\n<body>\n<p>Anna</p>\n</body>\n</html>",
        "SELECT name, length FROM ships WHERE length > 10",
        "SELECT <columns> FROM <table> WHERE <column> = <value>",
        "print(1)\n# Output: 1",
        "Er sagt, der Hafen ist alt. Die Stadt liegt am Meer. Das Tor geht dann auf",
    ],
)
def test_tables_structures_pages_and_code_that_are_whole_are_not_reported(text: str) -> None:
    assert not flags("cut-off", row(text))


def test_the_beginning_of_a_word_is_a_cut_and_a_rare_word_is_none() -> None:
    other = "The construction of the lighthouse took nine years, and its keepers lived in it with their families."
    for part in ("constr", "lighth", "fam", "th"):
        assert len(flagged("cut-off", [other, f"{PARAGRAPH} In this year they began with the {part}"])) == 1, part
    for word in ("lighthouses", "schooner", "brigantines", "40 nm", "Const", "anemometer"):
        assert flagged("cut-off", [other, f"In this year they came to the harbor with the new {word}"]) == [], word


def test_a_sentence_alone_without_a_sign_counts_where_many_are_cut_for_sure() -> None:
    alone = "The larger basin of the harbor was built by the masons of the old town"
    assert flagged("cut-off", [CUT[2], alone]) == [CUT[2]]
    assert alone in flagged("cut-off", [*CUT, alone])


def test_responses_that_stop_at_one_length_without_a_sign_are_cut_off() -> None:
    sentence = "The harbor has two basins, and the larger one holds forty ships of all sizes, which come and go as they please. "
    whole = [(sentence * (1 + number % 3)).strip() + f" It is day {number} now." for number in range(240)]
    walled = [(f"Number {number}. " + sentence * 6)[:600] for number in range(20)]
    assert flagged("cut-off", [*whole, *walled]) == [text for text in walled if text[-1].isalnum()]
    assert flagged("cut-off", [*whole, *(text + "." for text in walled)]) == []


def test_a_comma_behind_the_end_of_a_sentence_is_no_cut() -> None:
    assert not flags("cut-off", row(PARAGRAPH + ","))
