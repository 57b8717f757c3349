from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.evaluation.ranking import Ranking

ROWS = st.lists(
    st.tuples(st.booleans(), st.floats(0, 1, width=32), st.integers(0, 4)), min_size=1, max_size=50
)


@settings(deadline=None)
@given(ROWS)
def test_a_part_is_ranked_as_if_it_had_been_alone(rows: list[tuple[bool, float, int]]) -> None:
    labels, scores, codes = (np.array(column) for column in zip(*rows, strict=True))
    parts = Ranking.of(labels, scores).split(codes.astype(np.uint8), 5)

    for code, part in enumerate(parts):
        inside = codes == code
        assert part.labels.tolist() == labels[inside].tolist()
        assert part.scores.tolist() == scores[inside].tolist()
        assert part.scores[part.order].tolist() == sorted(scores[inside])
        assert sorted(part.order) == list(range(inside.sum()))


def test_tied_rows_share_their_first_and_last_place() -> None:
    first, last = Ranking.of(np.ones(5, bool), np.array([0.5, 0.1, 0.5, 0.9, 0.5])).ties()

    assert first.tolist() == [0, 1, 1, 1, 4]
    assert last.tolist() == [0, 3, 3, 3, 4]
