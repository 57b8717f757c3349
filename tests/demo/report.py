"""What the nights came to: the table, one prediction, and where to look on."""

from __future__ import annotations

import json
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from ml import release
from ml.artifact import Window
from ml.connections import MlflowConnection
from ml.pipelines import load_pipeline
from ml.release import LoggedRun
from tests.demo.airflow_server import Airflow
from tests.demo.clicks import render
from tests.demo.stack import Services
from tests.demo.story import PIPELINE, Night

EXPERIMENT_RUNS = 50
WIDTH = 118
COLUMNS = ("night", "the log", "rejected", "verdict", "candidate", "production", "best known", "served")


def read_runs(mlflow_uri: str) -> dict[str, Any]:
    """The MLflow runs of the pipeline by day."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=mlflow_uri)
    experiment = client.get_experiment_by_name(PIPELINE)
    if experiment is None:
        raise LookupError(f"MLflow at {mlflow_uri} has no experiment {PIPELINE!r}; no night was logged")
    runs = client.search_runs([experiment.experiment_id], max_results=EXPERIMENT_RUNS)
    return {run.data.tags["mlflow.runName"]: run for run in runs}


def print_table(nights: list[Night], runs: dict[str, Any]) -> None:
    """The story as it happened."""
    table = Table(title="AUC on each night's held-out rows", show_edge=False)
    for name in COLUMNS:
        table.add_column(name, no_wrap=True)
    for night in nights:
        table.add_row(*row_of(night, runs[night.day.date.isoformat()]))
    console = Console(width=WIDTH, highlight=False)
    console.print(table)
    for night in nights:
        day = night.day.date.isoformat()
        console.print(f"\n{day}: {runs[day].data.tags['reasons']}")


def row_of(night: Night, run: Any) -> list[str]:
    """One night as the table shows it."""
    tags, metrics = run.data.tags, run.data.metrics
    candidate = metrics.get("candidate.auc")
    return [
        night.day.date.isoformat(),
        night.log,
        f"{metrics.get('examples.rejected', 0):,.0f}",
        tags["verdict"],
        number(candidate),
        number(metrics.get("production.auc")),
        number(best_auc(night)) if candidate is not None else "",
        tags.get("serving.version", ""),
    ]


def number(value: float | None) -> str:
    """Four digits, or nothing."""
    return "" if value is None else f"{value:.4f}"


def best_auc(night: Night, holdout_fraction: float = 0.2) -> float:
    """What no model could exceed on the night's held-out rows: the AUC of the true probabilities."""
    window = Window.of_day(night.day.date, "UTC")
    start = window.end_ms - round((window.end_ms - window.start_ms) * holdout_fraction)
    return night.day.best_auc(start, window.end_ms)


def unexpected(nights: list[Night], runs: dict[str, Any]) -> list[str]:
    """Sentences on nights that did not come out as the data should have caused."""
    verdicts = {night.day.date.isoformat(): night.expected for night in nights}
    found = {day: runs[day].data.tags["verdict"] if day in runs else "no MLflow run" for day in verdicts}
    return [
        f"{day}: expected {' or '.join(expected)}, found {found[day]}"
        for day, expected in verdicts.items()
        if found[day] not in expected
    ]


def print_prediction(night: Night, services: Services) -> None:
    """Ask the serving address for one user and item of the last day, as a client would."""
    row = example_of(night)
    url = f"{services.serving.rest}/v1/models/{PIPELINE}/labels/stable:predict"
    answer = httpx.post(url, json={"instances": [row]}, timeout=30).raise_for_status().json()
    print(f"\nPOST {url}")
    print(f"  user {row['user_id']}, item {row['item_id']} on {row['device']}: {json.dumps(answer)}")


def example_of(night: Night) -> dict[str, Any]:
    """The features of the day's first event that has them all, as the serving signature takes them."""
    names = load_pipeline(PIPELINE).features.names
    events = map(json.loads, render(night.day, next(iter(night.day.blocks()))))
    return next({name: event[name] for name in names} for event in events if event.keys() >= set(names))


def comparison_url(mlflow_uri: str, runs: dict[str, Any]) -> str:
    """MLflow's page that puts the nights side by side."""
    infos = [runs[day].info for day in sorted(runs)]
    logged = [LoggedRun(info.experiment_id, info.run_id, url="", model_version="") for info in infos]
    return release.comparison_url(MlflowConnection(uri=mlflow_uri), logged)


def print_pages(services: Services, airflow: Airflow) -> None:
    """Where to look on, while the servers run."""
    runs = read_runs(services.mlflow)
    print(f"Airflow   {airflow.url}   user {airflow.user}, password {airflow.password}")
    print(f"MLflow    {run_table_url(services.mlflow, runs)}")
    print(f"          side by side: {comparison_url(services.mlflow, runs)}")
    print(f"Serving   {services.serving.rest}/v1/models/{PIPELINE}   (gRPC {services.serving.grpc})")


def run_table_url(mlflow_uri: str, runs: dict[str, Any]) -> str:
    """MLflow's table of all nights; its start page shows experiments with language models first."""
    experiment = next(iter(runs.values())).info.experiment_id
    return f"{mlflow_uri}/#/experiments/{experiment}/runs?workflowType=machine_learning"
