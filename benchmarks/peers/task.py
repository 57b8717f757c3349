"""What a peer is asked to do, as `benchmarks.quality` writes it down."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq


@dataclass(frozen=True)
class Task:
    """Rows of two parts, learnt and held out, as a data frame each."""

    train: pd.DataFrame
    held_out: pd.DataFrame
    label: str
    categorical: list[str]
    numeric: list[str]
    epochs: int
    scores: Path

    @classmethod
    def from_arguments(cls) -> Task:
        """The task that the command line names. Skewed amounts are on the log scale already."""
        task, scores = sys.argv[1:]
        told = json.loads(Path(task).read_bytes())
        columns = [*told["categorical"], *told["numeric"], told["label"], told["event_time"]]
        rows = pq.read_table(told["examples"], columns=columns).to_pandas()
        rows[told["log_scale"]] = np.log1p(rows[told["log_scale"]].clip(lower=0))
        early = rows[told["event_time"]] < told["before_ms"]
        rest = {name: told[name] for name in ("label", "categorical", "numeric", "epochs")}
        return cls(train=rows[early], held_out=rows[~early], scores=Path(scores), **rest)

    def answer(self, scores: np.ndarray) -> None:
        """Hand the scores of the held-out rows in."""
        np.save(self.scores, scores)
