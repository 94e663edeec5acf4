"""Near-duplicates: nothing that is not one, next to nothing missed, no quadratic pool."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructsel.errors import EnvironmentFault, UsageError
from instructsel.neighbors import bucketing, duplicates
from instructsel.neighbors import shingles as shingles_module
from instructsel.neighbors import spool as spool_module
from instructsel.neighbors.duplicates import BUCKET, near_duplicates
from instructsel.neighbors.minhash import BANDS
from instructsel.neighbors.shingles import Shingles
from instructsel.neighbors.spool import Spool
from instructsel.pool.pool import Pool


def words_of(text: str) -> set[tuple[str, ...]]:
    """The shingles by their definition, for text written with spaces."""
    words = text.lower().split()
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)} if len(words) >= 5 else {("short", *words)}


def jaccard(a: set[tuple[str, ...]], b: set[tuple[str, ...]]) -> float:
    return len(a & b) / len(a | b)


def greedy(sets: list[set[tuple[str, ...]]], threshold: float) -> tuple[set[int], list[tuple[int, int]]]:
    """All pairs at or above the threshold, and what a search that misses none keeps in the order given."""
    pairs = [(a, b) for b in range(len(sets)) for a in range(b) if jaccard(sets[a], sets[b]) >= threshold]
    partners: dict[int, list[int]] = {}
    for a, b in pairs:
        partners.setdefault(b, []).append(a)
    kept: set[int] = set()
    for row in range(len(sets)):
        if not any(a in kept for a in partners.get(row, [])):
            kept.add(row)
    return kept, pairs


def numbered(count: int, change: int, word: str) -> str:
    """`count` different words, the one at `change` replaced."""
    return " ".join(word if i == change else f"w{i}" for i in range(count))


def test_the_jaccard_similarity_is_that_of_word_5_grams() -> None:
    # 50 words, 46 shingles; the word at 25 stands in five of them: 41 / 51.
    shingles = Shingles.of([numbered(50, 25, "a"), numbered(50, 25, "b")])
    assert shingles.jaccard(0, 1) == 41 / 51


def test_a_pair_above_the_threshold_is_a_duplicate_and_one_below_is_not() -> None:
    above, below = (numbered(50, 25, "a"), numbered(50, 25, "b")), (numbered(48, 25, "a"), numbered(48, 25, "b"))  # 41/51, 39/49
    assert near_duplicates(Shingles.of(above), [0, 1]).tolist() == [-1, 0]
    assert 39 / 49 < 0.8
    assert near_duplicates(Shingles.of(below), [0, 1]).tolist() == [-1, -1]


def test_the_better_ranked_of_two_stays() -> None:
    shingles = Shingles.of([numbered(80, 40, "a"), numbered(80, 40, "b"), "something else entirely, and nothing like it"])
    assert near_duplicates(shingles, [1, 2, 0]).tolist() == [-1, -1, 1]


def test_case_and_spacing_make_no_difference() -> None:
    assert near_duplicates(Shingles.of(["The cat sat on the mat today", "the CAT  sat\ton\nthe mat today"]), [0, 1]).tolist() == [-1, 0]


def test_a_text_shorter_than_a_shingle_is_compared_as_a_whole() -> None:
    shingles = Shingles.of(["two words", "Two  words", "two other words", "words two", "", " "])
    assert near_duplicates(shingles, range(6)).tolist() == [-1, 0, -1, -1, -1, 4]


@pytest.mark.parametrize(
    "text", ["今天天气很好我们一起去公园散步吧然后回家吃饭看书睡觉明天再来一次好不好", "วันนี้อากาศดีมากเราไปเดินเล่นที่สวนสาธารณะกันเถอะแล้วกลับบ้าน"]
)
def test_scripts_without_spaces_are_compared_by_characters(text: str) -> None:
    spaced, changed = f"{text[:10]} {text[10:]}", text[:-1] + "x"
    shingles = Shingles.of([text, spaced, changed, text[::-1]])
    assert len(shingles.row(0)) > 10
    assert near_duplicates(shingles, range(4)).tolist() == [-1, 0, 0, -1]


def test_a_lone_surrogate_is_text_like_any_other() -> None:
    assert near_duplicates(Shingles.of(["a \ud800 b", "a \ud800 b"]), [0, 1]).tolist() == [-1, 0]


def test_an_empty_pool_and_an_empty_order_have_no_duplicates() -> None:
    assert near_duplicates(Shingles.of([]), []).tolist() == []
    assert near_duplicates(Shingles.of(["a", "a"]), []).tolist() == []


@pytest.mark.parametrize("threshold", [0.0, 0.59, 1.01, float("nan")])
def test_a_threshold_the_search_cannot_serve_is_refused(threshold: float) -> None:
    with pytest.raises(UsageError, match="threshold"):
        near_duplicates(Shingles.of(["a"]), [0], threshold)


VOCABULARY = [f"word{i}" for i in range(400)]


@st.composite
def pools(draw: st.DrawFn) -> list[str]:
    """Texts of random words, some of them copies of another with a few words changed, cut or added."""
    source = draw(st.randoms(use_true_random=False))
    texts: list[str] = []
    for _ in range(draw(st.integers(2, 60))):
        if texts and source.random() < 0.5:
            words = source.choice(texts).split()
            for _ in range(source.randint(0, 4)):
                at = source.randrange(len(words))
                words[at : at + source.randint(0, 1)] = [source.choice(VOCABULARY)] * source.randint(0, 1) or words[at : at + 1]
        else:
            words = [source.choice(VOCABULARY) for _ in range(source.randint(1, 80))]
        texts.append(" ".join(words))
    return texts


@settings(max_examples=60, deadline=None, derandomize=True)
@given(pools(), st.sampled_from([0.7, 0.8, 0.9, 1.0]))
def test_random_pools_lose_exactly_the_duplicates_that_brute_force_finds(texts: list[str], threshold: float) -> None:
    sets = [words_of(text) for text in texts]
    kept, _ = greedy(sets, threshold)
    found = near_duplicates(Shingles.of(texts), range(len(texts)), threshold)
    assert {row for row in range(len(texts)) if found[row] < 0} == kept
    assert all(found[row] in kept and jaccard(sets[row], sets[found[row]]) >= threshold for row in range(len(texts)) if found[row] >= 0)


@settings(max_examples=30, deadline=None)
@given(pools(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_makes_no_difference(texts: list[str], source: random.Random) -> None:
    texts = list(dict.fromkeys(texts))
    shuffled = source.sample(range(len(texts)), len(texts))
    place = {row: position for position, row in enumerate(shuffled)}
    straight = near_duplicates(Shingles.of(texts), range(len(texts)))
    arrived = near_duplicates(Shingles.of([texts[row] for row in shuffled]), [place[row] for row in range(len(texts))])
    assert [-1 if found < 0 else shuffled[found] for found in arrived.tolist()] == straight.tolist()


def test_the_hashes_are_the_same_in_every_process() -> None:
    code = "from instructsel.neighbors.shingles import Shingles; s = Shingles.of(['one two three four five six', 'x']); print(s.hashes.tolist(), s.buckets(0, 2))"
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1


def test_the_batches_in_which_texts_are_hashed_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [numbered(30, i % 30, f"x{i}") for i in range(200)] + ["", "short"]
    whole = Shingles.of(texts)
    monkeypatch.setattr("instructsel.neighbors.shingles.BATCH", 50)
    monkeypatch.setattr("instructsel.neighbors.word_hashes.VOCABULARY", 7)
    pieces = Shingles.of(iter(texts))
    assert (pieces.hashes == whole.hashes).all()
    assert (pieces.offsets == whole.offsets).all()
    assert pieces.buckets(0, len(texts)) == whole.buckets(0, len(texts))


def test_shingles_kept_in_a_file_are_those_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [numbered(30 + i % 7, i % 30, f"x{i // 3}") for i in range(300)] + ["", "short", "short"]
    whole = Shingles.of(texts)
    monkeypatch.setattr("instructsel.neighbors.spool.IN_MEMORY", 1000)
    monkeypatch.setattr("instructsel.neighbors.bucketing.BLOCK", 64)
    spooled = Shingles.of(iter(texts))
    assert spooled.spool.file._rolled  # type: ignore[attr-defined]
    assert not whole.spool.file._rolled  # type: ignore[attr-defined]
    assert (spooled.hashes == whole.hashes).all()
    assert spooled.buckets(0, len(texts)) == whole.buckets(0, len(texts))
    assert near_duplicates(spooled, range(len(texts))).tolist() == near_duplicates(whole, range(len(texts))).tolist()


def test_texts_share_a_bucket_exactly_where_they_share_a_key() -> None:
    texts = [
        "one two three four five six",
        "one two three four five six",
        "one two three four five seven",
        "a text of its own, like no other",
    ]
    buckets = Shingles.of(texts).buckets(0, len(texts))
    assert buckets[0] == buckets[1]
    assert len(buckets[0]) >= BANDS
    assert set(buckets[0]) & set(buckets[2])
    assert not set(buckets[3]) & {bucket for others in buckets[:3] for bucket in others}


def test_a_temporary_folder_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("instructsel.neighbors.spool.IN_MEMORY", 100)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(EnvironmentFault, match="gone"):
        Shingles.of([numbered(30, i % 30, f"x{i}") for i in range(10)])


@pytest.mark.parametrize(("words", "dropped"), [(60, 1999), (30, 0)])
def test_a_pool_of_one_text_with_one_word_changed_is_judged_right(words: int, dropped: int) -> None:
    # 60 words: 51 of 61 shingles in common; 30 words: 21 of 31.
    texts = [numbered(words, words // 2, f"x{i}") for i in range(2000)]
    assert int((near_duplicates(Shingles.of(texts), range(2000)) >= 0).sum()) == dropped


def test_real_duplicates_are_found_among_thousands_of_one_template() -> None:
    source = random.Random(0)
    template = " ".join(f"w{i}" for i in range(20))
    texts = [f"{template} {' '.join(f'v{source.randrange(5000)}' for _ in range(20))}" for _ in range(20 * BUCKET)]
    copies = [" ".join([*texts[i].split()[:-1], "changed"]) for i in range(0, len(texts), 7)]
    found = near_duplicates(Shingles.of(texts + copies), range(len(texts) + len(copies)))
    assert (found[: len(texts)] < 0).all()
    assert found[len(texts) :].tolist() == list(range(0, len(texts), 7))


@pytest.mark.parametrize("words", [30, 60])
def test_twenty_thousand_rows_of_one_template_do_not_go_quadratic(words: int, monkeypatch: pytest.MonkeyPatch) -> None:
    searched = 0
    real = duplicates._Buckets.candidates

    def counted(buckets: Any, keys: Any, counts: Any) -> Any:
        nonlocal searched
        candidates = real(buckets, keys, counts)
        searched += int(candidates[2].sum())
        return candidates

    monkeypatch.setattr(duplicates._Buckets, "candidates", counted)

    def candidates(rows: int) -> int:
        nonlocal searched
        searched = 0
        near_duplicates(Shingles.of(numbered(words, words // 2, f"x{i}") for i in range(rows)), range(rows))
        return searched

    # Four times the rows: sixteen times the candidates if every row met every other one.
    assert 0 < candidates(20_000) < 5 * candidates(5_000)


def test_two_thousand_real_rows_lose_what_brute_force_finds(shared_data: Path) -> None:
    pool = Pool.read(shared_data / "pools" / "dolly.jsonl.zst")
    rows = np.linspace(0, len(pool) - 1, 2000).astype(int)
    # Every twentieth row once more with a word added, so that there is something to find.
    texts = [example.text for example in pool.examples(rows.tolist())]
    texts += [f"{text} indeed" for text in texts[::20]]
    sets = [words_of(text) if text.isascii() else set() for text in texts]
    ascii_rows = [row for row, shingles in enumerate(sets) if shingles]
    order = [texts[row] for row in ascii_rows]
    kept, pairs = greedy_by_index([sets[row] for row in ascii_rows], 0.8)
    found = near_duplicates(Shingles.of(order), range(len(order)))
    assert len(pairs) > 50
    assert {row for row in range(len(order)) if found[row] < 0} == kept


def greedy_by_index(sets: list[set[tuple[str, ...]]], threshold: float) -> tuple[set[int], list[tuple[int, int]]]:
    """`greedy`, through an index of shingles: the same pairs, counted instead of compared."""
    rows_with: dict[tuple[str, ...], list[int]] = {}
    kept: set[int] = set()
    pairs: list[tuple[int, int]] = []
    for row, shingles in enumerate(sets):
        common: dict[int, int] = {}
        for shingle in shingles:
            for other in rows_with.get(shingle, ()):
                common[other] = common.get(other, 0) + 1
            rows_with.setdefault(shingle, []).append(row)
        near = [other for other, count in common.items() if count / (len(shingles) + len(sets[other]) - count) >= threshold]
        pairs += [(other, row) for other in near]
        if not any(other in kept for other in near):
            kept.add(row)
    return kept, pairs


def test_progress_counts_every_text_read_and_every_rank_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instructsel.neighbors.shingles.BATCH", 300)
    monkeypatch.setattr("instructsel.neighbors.duplicates.SEARCHED", 10)
    texts = [numbered(30, 15, f"x{i // 2}") for i in range(100)]
    read: list[tuple[int, int]] = []
    numbered_in: list[tuple[int, int]] = []
    searched: list[tuple[int, int]] = []
    shingles = Shingles.of(
        iter(texts),
        total=100,
        progress=lambda done, total: read.append((done, total)),
        bucketing=lambda done, total: numbered_in.append((done, total)),
    )
    watched = near_duplicates(shingles, range(100), progress=lambda done, total: searched.append((done, total)))
    assert watched.tolist() == near_duplicates(Shingles.of(texts), range(100)).tolist()
    for calls in (read, searched):
        assert len(calls) > 5
        assert [done for done, _ in calls] == sorted({done for done, _ in calls})
        assert calls[-1] == (100, 100)
        assert {total for _, total in calls} == {100}
    # Its display ends with the work.
    assert numbered_in[-1] == (100, 100) and numbered_in == sorted(numbered_in)


def test_neither_polars_nor_faiss_is_loaded() -> None:
    code = "import sys, instructsel.neighbors.duplicates; print(sorted({'polars', 'faiss', 'torch'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, check=True, text=True)
    assert ran.stdout.strip() == "[]"


def from_templates(source: random.Random, rows: int) -> list[str]:
    """Texts of a few templates, of which a few words differ: some near-duplicates, most not, more of a template than a bucket holds."""
    templates = [[f"t{template}w{i}" for i in range(40)] for template in range(3)]
    texts = []
    for _ in range(rows):
        words = list(source.choice(templates))
        for _ in range(source.choice([1, 1, 2, 12, 20])):
            words[source.randrange(40)] = f"v{source.randrange(60)}"
        texts.append(" ".join(words))
    return texts


def test_the_ranks_that_are_searched_together_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    source = random.Random(1)
    texts = from_templates(source, 40 * BUCKET)
    order = source.sample(range(len(texts)), len(texts) - 7)
    shingles = Shingles.of(texts)
    together = near_duplicates(shingles, order)
    monkeypatch.setattr(duplicates, "SEARCHED", 1)
    one_by_one = near_duplicates(shingles, order)
    assert together.tolist() == one_by_one.tolist()
    assert 100 < (together >= 0).sum() < len(order) - 100


def test_every_near_duplicate_of_texts_from_templates_is_one_by_brute_force() -> None:
    texts = from_templates(random.Random(2), 600)
    sets = [words_of(text) for text in texts]
    found = near_duplicates(Shingles.of(texts), range(len(texts)))
    pairs = [(row, other) for row, other in enumerate(found.tolist()) if other >= 0]
    assert len(pairs) > 50
    assert all(other < row and found[other] < 0 and jaccard(sets[row], sets[other]) >= 0.8 for row, other in pairs)
    # The most similar one of those that were compared, which the limits of the buckets keep from being all.
    best = [max(jaccard(sets[row], sets[kept]) for kept in range(row) if found[kept] < 0) for row, _ in pairs]
    assert sum(jaccard(sets[row], sets[other]) == most for (row, other), most in zip(pairs, best, strict=True)) > 0.9 * len(pairs)


def test_sketches_differ_in_no_more_bits_than_the_sets_in_shingles() -> None:
    shingles = Shingles.of(from_templates(random.Random(3), 80))
    sketches = shingles.sketches_of(0, 80)
    differing = np.bitwise_count(sketches[:, None] ^ sketches[None]).sum(axis=2)
    sets = [set(shingles.row(row).tolist()) for row in range(80)]
    apart = np.array([[len(a ^ b) for b in sets] for a in sets])
    assert (differing <= apart).all()
    assert differing.max() > 40


def test_further_processes_hash_as_this_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [numbered(30, i % 30, f"x{i}") for i in range(300)] + ["", "short", "今天天气很好"]
    monkeypatch.setattr(shingles_module, "BATCH", 400)
    monkeypatch.setenv("INSTRUCTSEL_PROCESSES", "1")
    alone = Shingles.of(texts)
    monkeypatch.setenv("INSTRUCTSEL_PROCESSES", "3")
    together = Shingles.of(texts)
    assert (alone.hashes == together.hashes).all()
    assert alone.buckets(0, len(texts)) == together.buckets(0, len(texts))
    assert (alone.sketches_of(0, len(texts)) == together.sketches_of(0, len(texts))).all()


@pytest.mark.parametrize(("words", "changes"), [(40, [1, 1, 2, 12, 20]), (60, [2, 3, 4])])
def test_texts_of_one_template_that_are_searched_together_lose_what_they_lose_one_by_one(
    words: int, changes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Few words stand in the gaps, so that a text shares buckets with more of those just kept than are compared.
    source = random.Random(5)
    texts = []
    for _ in range(600):
        changed = [f"w{i}" for i in range(words)]
        for _ in range(source.choice(changes)):
            changed[source.randrange(words)] = f"v{source.randrange(9)}"
        texts.append(" ".join(changed))
    shingles = Shingles.of(texts)
    found = {}
    for together in (1, 7, 256, 1 << 20):
        monkeypatch.setattr(duplicates, "SEARCHED", together)
        found[together] = near_duplicates(shingles, range(len(texts))).tolist()
    assert found[7] == found[256] == found[1 << 20] == found[1]
    assert sum(other >= 0 for other in found[1]) > 20


def held_bytes(*objects: Any) -> int:
    """Of the arrays that some objects have, and of numbers that are held in no file."""
    values = [value for item in objects for value in vars(item).values()]
    spools = [value for value in values if isinstance(value, Spool) and not vars(value.file)["_rolled"]]
    return sum(value.nbytes for value in values if isinstance(value, np.ndarray)) + sum(
        spool.dtype.itemsize * spool.length for spool in spools
    )


def test_a_text_that_repeats_none_takes_5_bytes_and_the_search_nothing_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "IN_MEMORY", 1000)
    monkeypatch.setattr(bucketing, "BLOCK", 4096)
    alone = [" ".join(f"w{i}x{place}" for place in range(30)) for i in range(2000)]
    texts = [*alone, *(numbered(30, 5, f"x{i}") for i in range(20))]
    shingles = Shingles.of(texts)
    assert held_bytes(shingles) <= 5 * len(texts) + 8
    order = np.arange(len(texts))
    linked = order[shingles.counts > 0]
    assert 20 <= len(linked) < 100
    ranking = duplicates._Ranking.of(shingles, linked)
    assert held_bytes(ranking) <= 60 * len(linked)


def test_what_is_said_of_equal_numbers_does_not_depend_on_how_they_are_dealt(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.random.default_rng(0).integers(0, 1 << 63, 300).astype(np.uint64) * np.uint64(2)
    drawn = numbers[np.random.default_rng(1).integers(0, 300, 1000)]
    often = {number: int(count) for number, count in zip(*np.unique(drawn, return_counts=True), strict=True)}
    spool = Spool()
    spool.append(drawn)
    for block in (7, 64, 1 << 20):
        monkeypatch.setattr(bucketing, "BLOCK", block)
        assert bucketing._of_equal(spool, bucketing._frequencies).get(0, 1000).tolist() == [often[number] for number in drawn]


def test_a_short_text_that_repeats_none_shares_no_bucket() -> None:
    shingles = Shingles.of([*(f"a{i} b{i} c{i} d{i} e{i} f{i}" for i in range(50)), "same short text", "same short text"])
    assert shingles.counts[:50].tolist() == [0] * 50
    assert shingles.counts[50] == shingles.counts[51] > 0
