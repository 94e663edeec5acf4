"""Rows whose vector is nearly that of another row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from instructsel.experiments.limits import between
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit
from instructsel.gates.duplicates.pairs import COSINE, Pair, embedding_pairs
from instructsel.gates.duplicates.repeats import Repeats, distinct, hits_of, place_in_pool
from instructsel.gates.vectors import encode_with, fingerprint_of, nearest


@dataclass(frozen=True)
class EmbeddingDuplicate(Repeats):
    """Nearly the same vector as another row: the same said in other words."""

    number: ClassVar[str] = "IS032"
    kind: ClassVar[str] = "embedding-duplicate"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = "Abbas et al. 2023, SemDeDup, arXiv:2303.09540: cosine similarity of sentence vectors"
    fix: ClassVar[str] = "Keep one of the two: instructsel dedup FILE --embedding embedded -o CLEAN.jsonl --pairs PAIRS.parquet"
    needs: ClassVar[tuple[str, ...]] = ("the extras knn and minilm",)
    by_default: ClassVar[bool] = False
    parts: ClassVar[tuple[str, ...]] = ("vectors",)

    encoder: str = "embedded"
    """What embeds a row: embedded (all-MiniLM-L6-v2), a folder, or a hub id. It sees the first 256 tokens or so."""
    threshold: float = field(default=COSINE, metadata=between(0, 1))
    """Cosine similarity from which two rows are duplicates."""

    def hits(self, change: Change) -> Iterator[Hit]:
        """Rows near one of the baseline, then those near one of the change that is near none."""
        rows = np.flatnonzero(distinct(change))
        vectors, has_vector = encode_with(self.encoder)([change.rows[row].example.text for row in rows.tolist()])
        if self.in_pool(change):
            assert change.baseline is not None
            part = change.baseline.part("vectors")
            from instructsel.gates.baseline.parts.vectors import check_encoder

            check_encoder(part.about["fingerprint"], fingerprint_of(self.encoder))
            others, similarity = nearest(vectors, part.arrays["vectors"], but=change.gone)
            for number in np.flatnonzero(has_vector & (similarity >= self.threshold)).tolist():
                has_vector[number] = False
                place, value = place_in_pool(change, int(others[number])), float(similarity[number])
                yield Hit(
                    int(rows[number]), f"The row says nearly what {place} of the baseline says (cosine {value:.2f}).", value, related=place
                )
        pairs = embedding_pairs(vectors, has_vector, self.threshold)
        of_rows = [Pair(int(rows[pair.removed]), int(rows[pair.kept]), pair.kind, pair.similarity) for pair in pairs]
        yield from hits_of(change, of_rows, "The row says nearly what {other} says (cosine {similarity}).")
