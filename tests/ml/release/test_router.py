"""The route that the router reads for every request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ml.config import Canary, Pipeline
from ml.connections import ServingConnection
from ml.errors import Misconfigured
from ml.release.router import read_share, route_file, set_share, stray_share


@pytest.fixture
def serving(tmp_path: Path) -> ServingConnection:
    return ServingConnection(
        rest="http://127.0.0.1:1",
        grpc="127.0.0.1:1",
        models_dir=tmp_path,
        server_models_dir=tmp_path,
        config_file=tmp_path / "models.config",
    )


def with_canary(pipeline: Pipeline, **settings: Any) -> Pipeline:
    serving = pipeline.serving.model_copy(update={"canary": Canary(**settings)})
    return pipeline.model_copy(update={"serving": serving})


def test_nobody_sees_a_canary_before_a_share_is_set(pipeline, serving):
    assert read_share(with_canary(pipeline), serving) == 0


def test_the_share_that_was_set_is_read(pipeline, serving):
    clicks = with_canary(pipeline)

    set_share(clicks, serving, 0.25, version=20260310001)
    set_share(clicks, serving, 0.5, version=20260310001)

    assert read_share(clicks, serving) == 0.5


@pytest.mark.parametrize(("servers", "asked"), [("one", "stable"), ("two", "canary")])
def test_the_route_tells_the_router_all_that_it_needs(pipeline, serving, servers, asked):
    clicks = with_canary(pipeline, servers=servers, header="X-Visitor")

    set_share(clicks, serving, 0.1, version=20260310001)

    assert json.loads(route_file(clicks, serving).read_text()) == {
        "share": 0.1,
        "salt": "20260310001",
        "header": "X-Visitor",
        "stable": {"label": "stable"},
        "canary": {"label": "canary", "server": asked},
        "recorded": None,
    }


def test_a_pipeline_without_a_canary_has_a_route_to_its_own_label(pipeline, serving):
    setting = pipeline.serving.model_copy(update={"label": "live"})

    set_share(pipeline.model_copy(update={"serving": setting}), serving, 0)

    route = json.loads(route_file(pipeline, serving).read_text())
    assert (route["stable"], route["canary"]) == ({"label": "live"}, None)


def test_a_share_for_no_canary_is_refused_and_the_key_is_named(pipeline, serving):
    with pytest.raises(Misconfigured, match=r"Add serving\.canary"):
        set_share(pipeline, serving, 0.1)


@pytest.mark.parametrize("share", [-0.1, 1.01, float("nan")])
def test_what_is_no_share_is_refused_and_changes_nothing(pipeline, serving, share):
    clicks = with_canary(pipeline)
    set_share(clicks, serving, 0.1)

    with pytest.raises(Misconfigured, match="expected 0 to 1"):
        set_share(clicks, serving, share)
    assert read_share(clicks, serving) == 0.1


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"share": "many"}'])
def test_a_broken_route_is_named(pipeline, serving, content):
    path = route_file(pipeline, serving)
    path.parent.mkdir()
    path.write_text(content)

    with pytest.raises(Misconfigured, match="is not a route"):
        read_share(pipeline, serving)


def test_a_canary_changes_no_identity(pipeline):
    assert with_canary(pipeline).model_dump(mode="json") == pipeline.model_dump(mode="json")
    assert "canary" not in pipeline.model_dump(mode="json")["serving"]


def test_a_share_is_stray_if_no_version_is_on_trial(pipeline, serving):
    assert stray_share(pipeline, serving, None) == 0

    set_share(with_canary(pipeline), serving, 0.1, version=20260310001)

    assert stray_share(with_canary(pipeline), serving, {"to": 20260310001}) == 0
    assert stray_share(pipeline, serving, None) == 0.1


def test_a_broken_route_strays_nobody(pipeline, serving):
    path = route_file(pipeline, serving)
    path.parent.mkdir()
    path.write_text("[]")

    assert stray_share(pipeline, serving, None) == 0
