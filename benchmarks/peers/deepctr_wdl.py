"""DeepCTR's WDL with its defaults, prepared and trained as its "quick start" does.

Categories are numbered by scikit-learn's LabelEncoder, numbers scaled to [0, 1], and batches hold 256 rows.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from deepctr.feature_column import DenseFeat, SparseFeat, get_feature_names
from deepctr.models import WDL
from sklearn.preprocessing import LabelEncoder, MinMaxScaler

from benchmarks.peers.task import Task

BATCH_SIZE = 256
EMBEDDING = 4


def main() -> None:
    task = Task.from_arguments()
    rows = prepared(task)
    sparse = [SparseFeat(name, rows[name].max() + 1, embedding_dim=EMBEDDING) for name in task.categorical]
    columns = [*sparse, *(DenseFeat(name, 1) for name in task.numeric)]
    model = WDL(columns, columns, task="binary")
    model.compile("adam", "binary_crossentropy")
    names = get_feature_names(columns)
    learnt, held_out = (
        {name: part[name].to_numpy() for name in names}
        for part in (rows[: len(task.train)], rows[len(task.train) :])
    )
    labels = task.train[task.label].to_numpy()
    model.fit(learnt, labels, batch_size=BATCH_SIZE, epochs=task.epochs, verbose=0)
    task.answer(model.predict(held_out, batch_size=4096, verbose=0).ravel().astype(np.float64))


def prepared(task: Task) -> pd.DataFrame:
    rows = pd.concat([task.train, task.held_out])
    for name in task.categorical:
        rows[name] = LabelEncoder().fit_transform(rows[name].fillna("-1"))
    rows[task.numeric] = MinMaxScaler().fit_transform(rows[task.numeric].fillna(0))
    return rows


if __name__ == "__main__":
    main()
