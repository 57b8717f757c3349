"""Python's search for garbage, held back while millions of records pass through."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Objects made and not yet freed before a search begins: some batches of records, and what is left of them.
RECORDS_UNSEARCHED = 100_000


@contextmanager
def rare_searches() -> Iterator[None]:
    """Let Python look for cyclic garbage rarely inside the block.

    Each record of the client library is an object that the collector follows, none is part of a cycle, and
    all are freed by their counts. At the usual threshold of 700 objects a batch sets off a dozen searches
    that find nothing, which costs a tenth of a landing's time. It holds for the whole process.
    """
    before = gc.get_threshold()
    gc.set_threshold(RECORDS_UNSEARCHED, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
