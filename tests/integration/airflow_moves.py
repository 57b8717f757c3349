"""An Airflow whose DAGs move what serves: small pipelines, and all that watches them while users ask."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ml.connections import MlflowConnection, PrometheusConnection, ServingConnection
from ml.durable import write_atomically
from tests.demo.afternoon import AFTERNOON, ZONE
from tests.demo.model_server.process import starting_model_server
from tests.demo.prometheus import Prometheus, running_mtail, running_prometheus
from tests.demo.router import Router, running_router
from tests.demo.stack import (
    MODEL_CONFIG,
    Services,
    empty_model_config,
    http_connection,
    pipeline_settings,
    serving_extra,
)
from tests.integration.airflow_nights import Run, World, copy_pipeline, running_airflow_over
from tests.integration.canaries import LIMITS, CanaryPlace
from tests.integration.publishing import Place
from tests.integration.trials import Trials

RETURNING, TRYING, SILENT, WATCHED, REALISED = "returning", "trying", "silent", "watched", "realised"
KILLED, NO_ANSWER = "killed", "kafka_no_answer"
RECORDED = "serving_recorded"
ONE, TWO = 20261102001, 20261103001
GOOD, FAULTY, HEALTHY = 20261104001, 20261105001, 20261106001
FAULT = ("--inject_error_ratio=0.8", f"--inject_version={FAULTY}")
JOINED_BY = ("user_id", "item_id")
ALERT = "UsersSeeErrors"

# Airflow's own hook for whoever runs it: a task of the nights of KILLED has one try.
ONE_TRY = f"""
def task_policy(task):
    if task.dag_id == "retrain_{KILLED}":
        task.retries = 0
"""

# Long enough for a test to see that a look waits, and what that costs.
POLL_SECONDS = 4
SILENT_MINUTES = 0.15


@dataclass(frozen=True)
class Stage:
    """What the pipelines have in common.

    Attributes:
        services: of the pipelines; the model server fails users of the version FAULTY, whichever model's.
        scratch: a model server that answers nobody of these pipelines.
        router: in front of the model server.
        prometheus: counts what the router answers, and alerts at once.
        saved_models: models to publish.
    """

    services: Services
    scratch: Services
    router: Router
    prometheus: Prometheus
    saved_models: Path

    @property
    def servers(self) -> tuple[ServingConnection, MlflowConnection]:
        """The model server and MLflow."""
        variable = "RETRAIN_SERVING"
        serving = json.loads(self.services.command_line_connections()[variable])
        return ServingConnection.of(serving, variable), MlflowConnection(uri=self.services.mlflow)

    def place(self, home: Path, name: str) -> Place:
        """A pipeline's store and servers."""
        return Place(home / "store", name, *self.servers, self.saved_models, name=name, time_zone=ZONE)

    def canary_place(self, home: Path, name: str) -> CanaryPlace:
        """The same of a pipeline with a canary."""
        return CanaryPlace(home / "store", name, *self.servers, self.saved_models, name=name, time_zone=ZONE)

    def users_of(self, place: Place) -> Trials:
        """Those who ask the router for a pipeline's model."""
        return Trials(place, self.router, PrometheusConnection(address=self.prometheus.address))

    def connections(self) -> dict[str, str]:
        """As variables that Airflow reads Connections from."""
        serving, scratch = (
            (each.serving.rest, serving_extra(each.serving, each.models / MODEL_CONFIG))
            for each in (self.services, self.scratch)
        )
        recorded = {**serving[1], "predictions_dir": str(self.router.predictions)}
        connections: dict[str, dict[str, Any]] = {
            "prometheus_default": http_connection(self.prometheus.address),
            "serving_scratch": http_connection(*scratch),
            RECORDED: http_connection(serving[0], recorded),
        }
        return {f"AIRFLOW_CONN_{name.upper()}": json.dumps(value) for name, value in connections.items()}


@contextmanager
def running_stage(home: Path, services: Services, saved_models: Path) -> Iterator[Stage]:
    """Run a model server of their own, the router and Prometheus while the block runs.

    Args:
        home: RETRAIN_HOME.
        services: broker and MLflow; their model server is the scratch one.
        saved_models: models to publish.
    """
    config = empty_model_config(home / "serving" / MODEL_CONFIG)
    with (
        starting_model_server(config, home / "model-server.log", FAULT) as serving,
        running_router(home / "router", config.parent, serving) as router,
        running_mtail(home, router.access_log) as mtail,
        running_prometheus(home / "prometheus", {"router": mtail}, at_once=True) as prometheus,
    ):
        serving.wait_until_it_answers()
        own = replace(services, serving=serving, models=config.parent)
        yield Stage(own, services, router, prometheus, saved_models)


@contextmanager
def running_moves(home: Path, pipelines: Path, stage: Stage) -> Iterator[World]:
    """Run the Airflow over a stage while the block runs."""
    _write_pipelines(pipelines)
    write_atomically(home / "airflow" / "config" / "airflow_local_settings.py", ONE_TRY.encode())
    settings = {
        "RETRAIN_PIPELINES": str(pipelines),
        **AFTERNOON,
        **pipeline_settings("tansu"),
        **stage.connections(),
    }
    with running_airflow_over(stage.services, home, settings) as world:
        yield world


def push_by_dag(world: World, place: CanaryPlace, day: int, saved_model: str, night: str) -> Run:
    """A night whose push the DAG does, after all that comes before was made without training.

    The tasks before it are marked as done, as a person may do it, and hand on what was made.

    Args:
        world: where the DAG is; it is paused, and paused again.
        place: the pipeline.
        day: whose model it is.
        saved_model: what it answers like.
        night: the data interval's start, so that the scheduler makes no run of its own for it.
    """
    dag_id, handed_on = f"retrain_{place.name}", _made_before_push(place, day, saved_model)
    world.airflow.wait_for_dag(dag_id)
    made = world.ask_for_run(dag_id, night).raise_for_status().json()
    run = Run(world, dag_id, made["dag_run_id"])
    run.patch("/taskInstances/log_to_mlflow", new_state="success", include_upstream=True)
    for task, output in handed_on.items():
        run.post(f"/taskInstances/{task}/xcomEntries", key="return_value", value=output)
        world.wait_until(lambda task=task: task in run.outputs, f"aware of what {task} hands on")
    world.unpause(dag_id)
    run.wait()
    world.pause(dag_id)
    return run


def _made_before_push(place: CanaryPlace, day: int, saved_model: str) -> dict[str, Any]:
    """What the verdict and the log of a night hand on to its push, by task."""
    made = place.prepare(day, saved_model)
    inputs = place.store.manifest(made["model"]).identity.inputs
    window = inputs["training_window"]
    judged = {"model": made["model"], "production": made["production"], "training_window": window}
    evaluation = place.produce("evaluation", day, judged, lambda draft: draft.write_json({}))
    verdict = place.store.read_json(made["blessing"])
    evidence = {"evaluation": evaluation, "production": made["production"]}
    blessing = place.produce("blessing", day, evidence, lambda draft: draft.write_json(verdict))
    artifacts = {"examples": place.examples(day), **made, "blessing": blessing}
    night = {"artifacts": artifacts, "key": f"{place.model}/{day}", "url": "http://airflow/run"}
    return {"decide_blessing": blessing, "log_to_mlflow": {"night": night}}


def _write_pipelines(folder: Path) -> None:
    """Going back, trying few users or none first, watched, killed, and judged by what users did."""
    copy_pipeline(folder, RETURNING)
    rollout = LIMITS.model_dump() | {"poll_seconds": POLL_SECONDS}
    canary = {"share": 0.5, "servers": "one", "rollout": rollout}
    copy_pipeline(folder, TRYING, serving={"canary": canary, "approval": {"verdicts": ["PROMOTE"]}})
    soon = {**canary, "rollout": {**rollout, "max_minutes": SILENT_MINUTES}}
    copy_pipeline(folder, SILENT, serving={"canary": soon})
    copy_pipeline(folder, WATCHED, serving={"watch": {"alerts": [ALERT]}})
    later = {**canary, "realised": {"inputs": list(JOINED_BY), "min_rows": 100}}
    copy_pipeline(folder, KILLED, landing={"connection": NO_ANSWER})
    copy_pipeline(
        folder, REALISED, landing={"topic": REALISED}, serving={"canary": later, "connection": RECORDED}
    )
