from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.artifact import Window
from ml.config import Pipeline
from ml.errors import DataRejected, Misconfigured
from ml.evaluation import Models, candidate, evaluate_candidate
from ml.evaluation.candidate import write_evaluation
from ml.evaluation.holdout import Holdout, score_holdout
from ml.evaluation.report import Scored
from ml.evaluation.simulation import Truth, draw
from ml.manifest import Identity
from ml.store import Draft, Store

ROWS = 5000
FEATURES = frozenset({"price"})


@pytest.fixture
def holdout(window: Window) -> Window:
    """The last fifth of the day."""
    return Window(window.end - (window.end - window.start) / 5, window.end)


@pytest.fixture
def day(generator: np.random.Generator, pipeline: Pipeline, window: Window) -> pa.Table:
    """A day of examples, unordered in time, in which the price tells who clicks."""
    price = generator.gamma(2.0, 10.0, ROWS)
    numbers = {name: generator.integers(1, 9, ROWS) for name in pipeline.features.names}
    texts = {
        name: pa.array(numbers[name].astype(str))
        for name, kind in pipeline.read_schema().columns.items()
        if kind == "string" and name in numbers
    }
    columns = {
        **numbers,
        **texts,
        "price": price,
        "device": pa.array(generator.choice(["mobile", "desktop", None], ROWS), pa.string()),
        "user_type": pa.array(generator.choice(["new", "returning"], ROWS)),
        "event_time": generator.integers(window.start_ms, window.end_ms, ROWS),
        "clicked": (generator.random(ROWS) < 1 / (1 + np.exp(2 - price / 20))).astype(np.int64),
    }
    return pa.table(columns)


@pytest.fixture
def examples(tmp_path: Path, day: pa.Table) -> Path:
    """The day in two parts of several row groups each."""
    folder = tmp_path / "examples"
    folder.mkdir()
    for number, part in enumerate([day.slice(0, 3000), day.slice(3000)]):
        pq.write_table(part, folder / f"part-{number:05}.parquet", row_group_size=700)
    return folder


@pytest.fixture
def held_out(day: pa.Table, holdout: Window) -> pa.Table:
    times = day["event_time"].to_numpy()
    return day.filter(pa.array((times >= holdout.start_ms) & (times < holdout.end_ms)))


@pytest.fixture
def draft(tmp_path: Path) -> Draft:
    (tmp_path / "draft").mkdir()
    return Draft(tmp_path / "draft", "evaluation")


def by_price(batch: pa.RecordBatch) -> np.ndarray:
    price = batch.column(batch.schema.get_field_index("price")).to_numpy()
    return (price / 1000).astype(np.float32)


def constant(batch: pa.RecordBatch) -> np.ndarray:
    return np.full(len(batch), 0.25, np.float32)


def test_exactly_the_held_out_rows_are_scored_in_their_order(
    pipeline: Pipeline, examples: Path, holdout: Window, held_out: pa.Table
) -> None:
    scored = score_holdout(Holdout(pipeline, examples, holdout, FEATURES), {"candidate": by_price})

    assert 0 < len(held_out) < ROWS
    assert scored.labels.tolist() == held_out["clicked"].to_numpy().astype(bool).tolist()
    assert scored.candidate == pytest.approx(held_out["price"].to_numpy() / 1000)
    assert scored.production is None


def test_both_models_see_the_same_rows(pipeline: Pipeline, examples: Path, holdout: Window) -> None:
    seen: dict[str, list[pa.RecordBatch]] = {"candidate": [], "production": []}

    def scorer(model: str) -> Callable[[pa.RecordBatch], np.ndarray]:
        return lambda batch: (seen[model].append(batch), constant(batch))[1]

    score_holdout(Holdout(pipeline, examples, holdout, FEATURES), {model: scorer(model) for model in seen})

    assert seen["candidate"] == seen["production"]


def test_slices_belong_to_the_rows_that_were_scored(
    pipeline: Pipeline, examples: Path, holdout: Window, held_out: pa.Table
) -> None:
    device, new_user = score_holdout(
        Holdout(pipeline, examples, holdout, FEATURES), {"candidate": constant}
    ).partitions
    names = [device.slices[code - 1].removeprefix("device.") for code in device.codes]

    assert names == [value or "_missing_" for value in held_out["device"].to_pylist()]
    assert new_user.codes.tolist() == [value == "new" for value in held_out["user_type"].to_pylist()]


def test_a_day_without_held_out_rows_has_no_scores(
    pipeline: Pipeline, examples: Path, window: Window
) -> None:
    next_day = Window(window.end, window.end + (window.end - window.start))
    scored = score_holdout(
        Holdout(pipeline, examples, next_day, FEATURES), {"candidate": constant, "production": constant}
    )

    assert (len(scored.labels), len(scored.candidate)) == (0, 0)


@pytest.mark.parametrize("strange", [2, None])
def test_a_label_that_is_neither_0_nor_1_is_named(
    pipeline: Pipeline, examples: Path, holdout: Window, day: pa.Table, strange: int | None
) -> None:
    labels = pa.array([strange] * ROWS, pa.int64())
    place = day.schema.get_field_index("clicked")
    pq.write_table(day.set_column(place, "clicked", labels), examples / "part-00002.parquet")

    with pytest.raises(DataRejected, match="'clicked' was expected to be 0 or 1"):
        score_holdout(Holdout(pipeline, examples, holdout, FEATURES), {"candidate": constant})


def test_a_column_that_was_not_landed_is_named(
    tmp_path: Path, pipeline: Pipeline, holdout: Window, day: pa.Table
) -> None:
    pq.write_table(day.drop(["price"]), tmp_path / "part-00000.parquet")

    with pytest.raises(Misconfigured, match="the examples have no column price"):
        score_holdout(Holdout(pipeline, tmp_path, holdout, FEATURES), {"candidate": constant})


def test_scores_are_kept_with_the_slices_that_their_rows_are_in(
    pipeline: Pipeline, examples: Path, holdout: Window, held_out: pa.Table, draft: Draft
) -> None:
    scorers = {"candidate": by_price, "production": constant}
    write_evaluation(
        score_holdout(Holdout(pipeline, examples, holdout, FEATURES), scorers), holdout, 0.95, draft
    )
    scores = pq.read_table(draft.path / "scores.parquet")

    assert scores.column_names == ["label", "candidate", "production", "slice.device", "slice.new_user"]
    assert scores["production"].to_pylist() == [0.25] * len(held_out)
    assert scores["slice.new_user"].to_pylist() == [
        "new_user" if value == "new" else None for value in held_out["user_type"].to_pylist()
    ]
    assert draft.facts == {
        "rows": len(held_out),
        "positives": sum(held_out["clicked"].to_pylist()),
        "slices": 4,
        "scores": len(held_out),
    }


def test_only_evenly_spaced_scores_are_kept_of_very_many(
    monkeypatch: pytest.MonkeyPatch, generator: np.random.Generator, window: Window, draft: Draft
) -> None:
    monkeypatch.setattr(candidate, "MAX_SCORES", 101)
    scored = draw(Truth(rows=1001), generator)
    write_evaluation(scored, window, 0.95, draft)
    scores = pq.read_table(draft.path / "scores.parquet")

    assert scores["candidate"].to_pylist() == scored.candidate[::10].astype(np.float32).tolist()
    assert draft.facts["rows"] == 1001


def test_without_production_its_column_is_empty(
    generator: np.random.Generator, window: Window, draft: Draft
) -> None:
    scored = draw(Truth(rows=100), generator)
    write_evaluation(Scored(scored.labels, scored.candidate, None), window, 0.95, draft)

    assert pq.read_table(draft.path / "scores.parquet")["production"].null_count == 100


def test_a_score_that_is_no_probability_is_left_empty(
    generator: np.random.Generator, window: Window, draft: Draft
) -> None:
    scored = draw(Truth(rows=100), generator)
    scored.candidate[:3] = [np.nan, np.inf, 1.5]
    write_evaluation(scored, window, 0.95, draft)

    candidates = pq.read_table(draft.path / "scores.parquet")["candidate"].to_pylist()
    assert [place for place, score in enumerate(candidates) if score is None] == [0, 1, 2]


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[float], Path]:
    """Makes the directory of a model artifact that scores by the price, sharpened by a factor."""
    import tensorflow as tf

    def save(factor: float) -> Path:
        module = tf.Module()
        price = tf.TensorSpec([None], tf.float32, name="price")
        module.serve = tf.function(
            lambda price: {"score": tf.sigmoid(factor * (price / 20.0 - 2.0))}, input_signature=[price]
        )
        path = tmp_path_factory.mktemp("model")
        tf.saved_model.save(module, str(path / "saved_model"), {"serving_default": module.serve})
        return path

    return save


def test_two_saved_models_are_evaluated_to_the_same_digest_every_time(
    tmp_path: Path,
    pipeline: Pipeline,
    examples: Path,
    holdout: Window,
    saved_model: Callable[[float], Path],
) -> None:
    models = Models(saved_model(1.0), saved_model(-1.0))
    identity = Identity("evaluation", "clicks", holdout, inputs={}, config={})

    def write(draft: Draft) -> None:
        evaluate_candidate(pipeline, models, examples, holdout, draft)

    stores = [Store(tmp_path / name) for name in "ab"]
    first, second = (store.produce(identity, write) for store in stores)
    overall = json.loads((stores[0].open(first) / "evaluation.json").read_text())["overall"]
    assert first == second
    assert overall["candidate"]["auc"]["value"] == pytest.approx(1 - overall["production"]["auc"]["value"])
    assert overall["gain"]["auc"]["relative"] > 0


def test_a_feature_that_only_production_reads_is_scored_all_the_same(
    pipeline: Pipeline, examples: Path, holdout: Window, saved_model: Callable[[float], Path], draft: Draft
) -> None:
    numeric = {name: spec for name, spec in pipeline.features.numeric.items() if name != "price"}
    features = pipeline.features.model_copy(update={"numeric": numeric})
    without_price = pipeline.model_copy(update={"features": features})
    models = Models(saved_model(-1.0), saved_model(1.0))

    evaluate_candidate(without_price, models, examples, holdout, draft)
    overall = json.loads((draft.path / "evaluation.json").read_text())["overall"]
    assert overall["production"]["auc"]["value"] > 0.5 > overall["candidate"]["auc"]["value"]
