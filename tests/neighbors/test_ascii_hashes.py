"""Many texts hashed at once have the hashes of their words, one by one."""

import random

import numpy as np

from instructsel.neighbors.word_hashes import LONGEST, AsciiHashes, WordHashes, hashes_of


def test_words_hashed_together_are_the_words_hashed_one_by_one():
    rng = random.Random(0)
    signs = " \t\n\x1c\x00abAB.1é"
    digests, together = WordHashes(), AsciiHashes(bytes(range(256)).lower())
    for _ in range(60):
        listed = ["".join(rng.choice(signs) for _ in range(rng.randrange(0, 40))) for _ in range(rng.randrange(0, 8))]
        hashes, lengths = hashes_of(
            listed, together, lambda text: np.array([digests[word] for word in text.lower().split()], dtype=np.uint64)
        )
        assert lengths.tolist() == [len(text.split()) for text in listed]
        assert hashes.tolist() == [digests[word] for text in listed for word in text.lower().split()]


def test_a_very_long_text_takes_no_memory_of_its_square():
    text = "ab " * (LONGEST // 3 + 5)
    seen = []
    hashes, lengths = hashes_of(["ab", text], AsciiHashes(bytes(range(256))), lambda long: seen.append(len(long)) or np.zeros(2, np.uint64))
    assert seen == [len(text)]
    assert lengths.tolist() == [1, 2]
    assert len(hashes) == 3
