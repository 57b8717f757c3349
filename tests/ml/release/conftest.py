from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.artifact import Artifact, Window
from ml.config import Pipeline
from ml.manifest import Identity
from ml.pipelines import load_pipeline
from ml.release.findings import Findings
from ml.store import Draft, Store


@pytest.fixture(scope="session")
def pipeline() -> Pipeline:
    return load_pipeline("clicks")


def interval(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.01, "high": value + 0.01}


def section(rows: int, candidate: float, production: float | None) -> dict[str, Any]:
    relative = None if production is None else candidate / production - 1
    gain = relative is not None and {
        "relative": relative,
        "absolute": candidate - (production or 0),
        "low": relative - 0.002,
        "high": relative + 0.002,
        "standard_error": 0.001,
        "p_value": None,
        "detectable": 0.004,
    }
    return {
        "rows": rows,
        "positives": rows // 10,
        "reason": None,
        "candidate": {"auc": interval(candidate), "calibration": interval(1.02)},
        "production": None if production is None else {"auc": interval(production)},
        "gain": {"auc": gain} if gain else None,
    }


CONTENTS: dict[str, Any] = {
    "examples": None,
    "production": {"version": 20260309001, "model": None, "statistics": [], "watermark": None},
    "anomalies": {
        "stop": False,
        "findings": [{"feature": "brand", "type": "NEW", "severity": "warn", "description": "2 new values."}],
    },
    "drift_report": {
        "drifted": ["device"],
        "undecided": ["user_id"],
        "features": [
            {
                "feature": name,
                "divergence_bits": bits,
                "jsd_bits": bits / 2 if bits else None,
                "threshold_bits": 0.05,
                "drifted": None if bits is None else name == "device",
            }
            for name, bits in [("device", 0.31), ("os", 0.004), ("user_id", None)]
        ],
    },
    "evaluation": {
        "holdout": {},
        "confidence": 0.95,
        "rows": 2000,
        "positives": 200,
        "overall": section(2000, 0.73, 0.72),
        "slices": {"device.mobile": section(1500, 0.73, 0.70), "new_user": section(500, 0.71, None)},
    },
    "blessing": {
        "verdict": "PAUSED",
        "publish": False,
        "reasons": ["device drifted: 0.3100 bits, at most 0.0500"],
        "findings": ["brand has 2 new values"],
        "rules": [],
        "watermark": "2026-03-11T00:00:00+00:00",
        "judged_against": 20260309001,
    },
}


def write_scores(draft: Draft) -> None:
    random = np.random.default_rng(1)
    probabilities = random.beta(1, 9, 2000)
    labels = (random.random(2000) < probabilities).astype(np.int8)
    noisy = np.clip(probabilities + random.normal(0, 0.02, 2000), 0.001, 0.999)
    columns = {"label": labels, "candidate": probabilities.astype(np.float32), "production": noisy}
    pq.write_table(pa.table(columns), draft.path / "scores.parquet")


def produce(store: Store, window: Window, kind: str) -> Artifact:
    def write(draft: Draft) -> None:
        draft.measurements.update(seconds=2.5, records_per_second=1e5, fit_seconds=0.5, restarts=0)
        if kind == "examples":
            draft.measurements["late_by_day"] = {"2026-03-08": 0, "2026-03-09": 1200}
            draft.facts.update(scanned=110, accepted=100, rejected={"not JSON": 10}, outside=0, late=1)
        if kind == "evaluation":
            write_scores(draft)
        if CONTENTS[kind] is not None:
            draft.write_json(CONTENTS[kind])

    return store.produce(Identity(kind, "clicks", window, {}, {}), write)


@pytest.fixture
def artifacts(store: Store, window: Window) -> dict[str, Artifact | None]:
    """A night that drifted: everything but a model."""
    return {kind: produce(store, window, kind) for kind in CONTENTS} | {"pushed_model": None}


@pytest.fixture
def findings(store: Store, artifacts: dict[str, Artifact | None]) -> Findings:
    return Findings.read(store, artifacts)


@pytest.fixture
def stopped(store: Store, artifacts: dict[str, Artifact | None]) -> Findings:
    """A night that came no further than its anomalies."""
    return Findings.read(store, {kind: artifacts[kind] for kind in ("examples", "anomalies")})


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "plots"
    path.mkdir()
    return path
