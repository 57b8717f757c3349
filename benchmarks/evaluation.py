"""Metrics against scikit-learn on the same scores, then how often the gate is right.

    python -m benchmarks.evaluation [--rows 1000000] [--nights 400] [--pipeline clicks]

The first table compares one call that gives every metric with interval, gain and paired test, overall and
by slice, with scikit-learn's bare metrics of the same rows. The second counts the verdicts of the pipeline's
gate on simulated nights whose true gain is known: the lines with a gain of 0 show the false passes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from ml.config import Pipeline
from ml.evaluation.layout import Evaluation
from ml.evaluation.report import Scored, measure
from ml.evaluation.simulation import HOLDOUT, Truth, draw, simulate
from ml.evaluation.slices import Partition
from ml.pipelines import load_pipeline

FEATURES, VALUES = 5, 15
HOLDOUTS = (5_000, 20_000, 80_000)
PEER = {"auc": roc_auc_score, "pr_auc": average_precision_score, "log_loss": log_loss}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--nights", type=int, default=400)
    parser.add_argument("--pipeline", default="clicks")
    options = parser.parse_args()
    compare_with_scikit_learn(options.rows)
    count_verdicts(load_pipeline(options.pipeline), options.nights)


def compare_with_scikit_learn(rows: int) -> None:
    scored = sliced(rows)
    started = time.perf_counter()
    evaluation = measure(scored, HOLDOUT, 0.95)
    ours = time.perf_counter() - started
    started = time.perf_counter()
    differences = list(differences_from_scikit_learn(scored, evaluation))
    theirs = time.perf_counter() - started
    print(f"{rows} rows, two models, {FEATURES * VALUES} slices")
    print("| | seconds | of scikit-learn |\n|---|---|---|")
    print(f"| scikit-learn: AUC, PR-AUC, log loss | {theirs:.2f} | 1.00 |")
    print(
        f"| ml.evaluation: these, calibration, intervals, paired tests | {ours:.2f} | {ours / theirs:.2f} |"
    )
    print(f"largest difference of {len(differences)} metrics: {max(differences):.1e}\n")


def sliced(rows: int) -> Scored:
    generator = np.random.default_rng(1)
    scored = draw(Truth(rows, slices=0), generator)
    codes = generator.integers(1, VALUES + 1, (FEATURES, rows), dtype=np.uint8)
    parts = [
        Partition(f"f{number}", tuple(f"f{number}.{value}" for value in range(VALUES)), part)
        for number, part in enumerate(codes)
    ]
    return Scored(scored.labels, scored.candidate, scored.production, parts)


def differences_from_scikit_learn(scored: Scored, evaluation: Evaluation) -> Iterator[float]:
    sections = [(np.full(len(scored.labels), True), evaluation["overall"])]
    sections += [
        (part.codes == code, evaluation["slices"][name])
        for part in scored.partitions
        for code, name in enumerate(part.slices, start=1)
    ]
    for inside, section in sections:
        for scores, intervals in [
            (scored.candidate, section["candidate"]),
            (scored.production, section["production"]),
        ]:
            assert scores is not None
            assert intervals is not None
            for name, metric in PEER.items():
                yield abs(metric(scored.labels[inside], scores[inside]) - intervals[name]["value"])


def count_verdicts(pipeline: Pipeline, nights: int) -> None:
    gate = pipeline.gate
    print(
        f"the gate of {pipeline.name}: min_gain {gate.min_gain:.2%}, confidence {gate.confidence:.0%}, "
        f"slice_margin {gate.slice_margin:.2%}; {nights} nights a line"
    )
    print(
        "| held-out rows | true gain | PASS | its interval | INCONCLUSIVE | FAIL |\n|---|---|---|---|---|---|"
    )
    for rows in HOLDOUTS:
        for gain in (-0.01, 0.0, gate.min_gain, 4 * gate.min_gain, 8 * gate.min_gain):
            verdicts = simulate(pipeline, Truth(rows, gain), nights, seed=rows)
            interval = binomtest(verdicts["PASS"], nights).proportion_ci()
            shares = {name: verdicts[name] / nights for name in ("PASS", "INCONCLUSIVE", "FAIL")}
            print(
                f"| {rows} | {gain:+.2%} | {shares['PASS']:.1%} | {interval.low:.1%} to {interval.high:.1%} "
                f"| {shares['INCONCLUSIVE']:.1%} | {shares['FAIL']:.1%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
