from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import path_not_unique, validate_param_and_metric_name
from sklearn.metrics import roc_auc_score

from ml.artifact import Window
from ml.config import Pipeline
from ml.release.findings import Findings
from ml.release.note import note_of
from ml.release.plots import calibration_bins, draw_plots, roc_curve
from ml.release.run_labels import MAX_PARAM, MAX_TAG, params_of, shorten, tags_of
from ml.release.run_metrics import Point, curves_of, metric_name, metrics_of

PNG = b"\x89PNG"
REPOSITORY = Path(__file__).parents[3]


def test_metrics_have_the_names_that_analysts_were_promised(findings: Findings):
    metrics = metrics_of(findings)

    assert metrics["candidate.auc"] == 0.73
    assert metrics["production.auc"] == 0.72
    assert metrics["gain.auc"] == pytest.approx(0.73 / 0.72 - 1)
    assert metrics["difference.auc"] == pytest.approx(0.01)
    assert metrics["slice.device.mobile.gain.auc.low"] == pytest.approx(0.73 / 0.70 - 1 - 0.002)
    assert metrics["slice.new_user.candidate.auc"] == 0.71
    assert metrics["slice.new_user.rows"] == 500
    assert metrics["drift.device"] == 0.31
    assert metrics["jsd.device"] == 0.155
    assert metrics["drifted.features"] == 1
    assert metrics["examples.accepted"] == 100
    assert metrics["rejects.not_JSON"] == 10
    assert metrics["examples.rejected"] == 10
    assert metrics["anomalies.warn"] == 1
    assert metrics["seconds.land_examples"] == 2.5
    assert metrics["seconds.evaluate_candidate.fit"] == 0.5
    assert metrics["rate.land_examples.records"] == 1e5
    assert metrics["measured.measure_drift.restarts"] == 0


def test_every_family_of_names_is_documented(pipeline: Pipeline, window: Window, findings: Findings):
    names = {*metrics_of(findings), *tags_of(pipeline, window, findings)} - {"pipeline"}
    families = {name.split(".")[0] for name in names} - {"mlflow"}

    documented = re.findall(r"`([a-z_]+)", (REPOSITORY / "docs" / "mlflow.md").read_text())
    assert families <= set(documented)


def test_late_events_are_counted_by_how_long_ago_their_day_was(
    pipeline: Pipeline, window: Window, findings: Findings
):
    metrics = metrics_of(findings)

    assert (metrics["landing.late_1d_ago"], metrics["landing.late_2d_ago"]) == (1200, 0)
    assert "since those were landed: 1,200 of 2026-03-09." in note_of(pipeline, window, findings)


def test_what_was_not_measured_has_no_metric(findings: Findings):
    metrics = metrics_of(findings)

    assert not {"drift.user_id", "slice.new_user.gain.auc", "gain.auc.p_value"} & set(metrics)
    assert all(math.isfinite(value) for value in metrics.values())


def test_a_night_that_stopped_early_has_the_metrics_that_it_came_to(stopped: Findings):
    names = {name.split(".")[0] for name in metrics_of(stopped)}

    assert names == {"examples", "landing", "rejects", "anomalies", "seconds", "rate", "measured"}


@given(st.text(min_size=1))
def test_any_slice_gives_a_name_that_mlflow_takes(name: str):
    made = metric_name(f"slice.{name}.auc")

    assert validate_param_and_metric_name(made)
    assert not path_not_unique(made)


def test_learning_curves_go_by_epoch_and_by_step(findings: Findings):
    history = {
        "epochs": [{"epoch": 1, "step": 40, "examples": 400, "loss": 0.5, "auc": None}],
        "curve": [{"step": 20, "loss": 0.6, "auc": 0.6}, {"step": 40, "loss": 0.4, "auc": 0.7}],
    }

    curves = curves_of(replace(findings, contents={**findings.contents, "history": history}))

    assert curves == [
        Point("training.loss", 1, 0.5),
        Point("curve.loss", 20, 0.6),
        Point("curve.auc", 20, 0.6),
        Point("curve.loss", 40, 0.4),
        Point("curve.auc", 40, 0.7),
    ]


def test_parameters_are_the_settings_by_their_path(pipeline: Pipeline, window: Window, findings: Findings):
    params = params_of(pipeline, window, findings)

    assert params["training.batch_size"] == str(pipeline.training.batch_size)
    assert params["drift.thresholds.device"] == "0.05"
    assert params["features.categorical.device"].startswith("{")
    assert params["window.start"] == "2026-03-10T00:00:00+00:00"
    assert all(validate_param_and_metric_name(name) for name in params)


def test_tags_say_verdict_reasons_digests_and_versions(
    pipeline: Pipeline, window: Window, findings: Findings
):
    tags = tags_of(pipeline, window, findings)

    assert tags["verdict"] == "PAUSED"
    assert "0.3100 bits" in tags["reasons"]
    assert tags["drifted"] == "device"
    assert tags["production.version"] == "20260309001"
    assert tags["watermark"] == "2026-03-11T00:00:00+00:00"
    assert tags["digest.examples"] == findings.artifacts["examples"]["digest"]
    assert re.fullmatch("[0-9a-f]{40}", tags.get("git.commit", "0" * 40))


def test_what_a_person_accepted_is_a_tag_and_in_the_note(
    pipeline: Pipeline, window: Window, findings: Findings
):
    caveat = "2026-03-03: about 31% of the window was lost to retention, accepted: broker outage"
    manifests = {kind: replace(manifest, caveats=[caveat]) for kind, manifest in findings.manifests.items()}
    accepted = replace(findings, manifests=manifests)

    assert tags_of(pipeline, window, accepted)["retraining.caveats"] == caveat
    assert note_of(pipeline, window, accepted).count(caveat) == 1
    assert "retraining.caveats" not in tags_of(pipeline, window, findings)
    assert "Accepted by a person" not in note_of(pipeline, window, findings)


def test_the_code_is_the_one_that_reached_the_verdict_whoever_logs_it(
    pipeline: Pipeline, window: Window, findings: Findings
):
    blessing = replace(findings.manifests["blessing"], code={"commit": "c" * 40, "dirty": False})
    earlier = replace(findings, manifests={**findings.manifests, "blessing": blessing})

    tags = tags_of(pipeline, window, earlier)

    assert (tags["git.commit"], tags["git.dirty"]) == ("c" * 40, "false")


def test_a_night_without_a_verdict_has_no_tag_for_it(pipeline: Pipeline, window: Window, stopped: Findings):
    assert not {"verdict", "reasons", "production.version"} & set(tags_of(pipeline, window, stopped))


@given(st.text(max_size=50), st.integers(10, 60))
def test_what_is_too_long_is_cut_and_says_so(text: str, limit: int):
    short = shorten(text, limit)

    assert len(short) <= limit
    assert short == text or short.endswith("(cut)")


def test_limits_are_those_of_mlflow():
    from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH, MAX_TAG_VAL_LENGTH

    assert (MAX_PARAM, MAX_TAG) == (MAX_PARAM_VAL_LENGTH, MAX_TAG_VAL_LENGTH)


def test_the_note_says_the_verdict_first_and_then_the_numbers(
    pipeline: Pipeline, window: Window, findings: Findings
):
    note = note_of(pipeline, window, findings)

    assert note.startswith("## 2026-03-10: PAUSED, serving stays as it was")
    assert "- device drifted: 0.3100 bits" in note
    assert (
        "| auc | 0.7300 (0.7200 to 0.7400) | 0.7200 (0.7100 to 0.7300) | +1.39% (+1.19% to +1.59%) |" in note
    )
    assert "| device | 0.3100 | 0.0500 | **yes** |" in note
    assert "- warn: `brand` 2 new values." in note
    assert "100 records accepted, 10 rejected" in note


def test_the_note_of_a_stopped_night_says_that_serving_stays(
    pipeline: Pipeline, window: Window, stopped: Findings
):
    assert "no verdict\nThe night did not come to the gate" in note_of(pipeline, window, stopped)


def test_every_plot_is_drawn(pipeline: Pipeline, findings: Findings, directory: Path):
    plots = draw_plots(pipeline, findings, directory)

    assert [plot.name for plot in plots] == ["roc.png", "calibration.png", "gain_by_slice.png", "drift.png"]
    assert all(plot.read_bytes().startswith(PNG) for plot in plots)


def test_a_night_that_stopped_early_has_nothing_to_draw(
    pipeline: Pipeline, stopped: Findings, directory: Path
):
    assert draw_plots(pipeline, stopped, directory) == []


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5)), min_size=2).filter(
        lambda rows: {0, 1} == {label for label, _ in rows}
    )
)
def test_the_area_under_the_drawn_curve_is_the_auc(rows: list[tuple[int, int]]):
    labels, scores = (np.array(column, float) for column in zip(*rows, strict=True))

    false, true = roc_curve(labels, scores)

    assert np.trapz(true, false) == pytest.approx(roc_auc_score(labels, scores))


def test_a_calibrated_model_lies_on_the_diagonal():
    random = np.random.default_rng(7)
    scores = random.beta(2, 8, 50_000)

    predicted, actual, half_width = calibration_bins((random.random(50_000) < scores).astype(float), scores)

    assert np.abs(predicted - actual).max() < 2 * half_width.max()
