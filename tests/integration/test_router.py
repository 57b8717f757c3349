"""nginx as deploy/router configures it, in front of real model servers, asked by users who never stop."""

from __future__ import annotations

import json
import math
import re
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import tensorflow as tf
from prometheus_client.parser import text_string_to_metric_families
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from ml.config import Canary, Pipeline, Realised
from ml.connections import ServingConnection
from ml.pipelines import load_pipeline
from ml.release.router import route_file, set_share
from tests.demo.model_server.process import ModelServerProcess, running_model_server
from tests.demo.ports import free_port
from tests.demo.prometheus import INSTALL as INSTALL_MONITORING
from tests.demo.prometheus import Prometheus, is_monitoring_installed, running_mtail, running_prometheus
from tests.demo.router import (
    CONFIGURATION,
    INSTALL,
    PATIENCE_SECONDS,
    Router,
    is_router_installed,
    running_router,
)
from tests.integration.cutting_server import (
    GrpcAnswer,
    RestAnswer,
    in_one_chunk,
    message,
    running_cutting_server,
    with_length,
)
from tests.integration.listening_server import Listening, running_listening_server
from tests.integration.scoring_model import ROWS, copied_into_place, save_scoring_model, scores
from tests.integration.serving_client import Client, ModelDirectory, eventually
from tests.integration.traffic import GrpcUsers, Reply, RestUsers, asking

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not is_router_installed(), reason=INSTALL),
]

MODEL = "clicks"
USERS = [f"user-{number}" for number in range(150)]
STABLE, CANARY = 1, 2
PATH = f"/v1/models/{MODEL}:predict"
# A version's slope is its number, so a score tells who has answered.
SCORE = {version: scores(slope=version)[0][0] for version in (STABLE, CANARY)}


@dataclass(frozen=True)
class Tracks:
    """Both tracks and how the router is told about them.

    Attributes:
        stable: a model server that has both versions, labelled.
        serving: the connection to it.
        model: its model.
    """

    stable: ModelServerProcess
    serving: ServingConnection
    model: ModelDirectory

    def share(self, share: float, servers: str = "one", realised: Realised | None = None) -> None:
        """Let the canary answer this share."""
        pipeline = with_canary(load_pipeline(MODEL), servers, realised)
        set_share(pipeline, self.serving, share, version=CANARY)


def with_canary(pipeline: Pipeline, servers: str, realised: Realised | None = None) -> Pipeline:
    canary = Canary(servers=servers, realised=realised)
    serving = pipeline.serving.model_copy(update={"canary": canary})
    return pipeline.model_copy(update={"serving": serving})


def config(model: ModelDirectory, *versions: int, **labels: int) -> str:
    return f"model_config_list {{ config {{ {model.config(*versions, labels=labels)} }} }}"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> ModelDirectory:
    models = tmp_path_factory.mktemp("models")
    for version in (STABLE, CANARY):
        save_scoring_model(models / f".saved-{version}", slope=version)
        copied_into_place(models / f".saved-{version}", models / MODEL, version)
    return ModelDirectory(MODEL, models / MODEL, models / MODEL)


@pytest.fixture(scope="module")
def tracks(model) -> Iterator[Tracks]:
    models = model.path.parent
    file = models / "models.config"
    file.write_text(config(model, STABLE, CANARY, stable=STABLE, canary=CANARY))
    flags = ["--model_config_file_poll_wait_seconds=0", "--log_requests"]
    with running_model_server(file, models / "server.log", flags) as server:
        directories = {"models_dir": models, "server_models_dir": models, "config_file": file}
        yield Tracks(server, ServingConnection(rest=server.rest, grpc=server.grpc, **directories), model)


@pytest.fixture(scope="module")
def router(tracks, tmp_path_factory) -> Iterator[Router]:
    with running_router(
        tmp_path_factory.mktemp("router"), tracks.serving.models_dir, tracks.stable
    ) as router:
        yield router


@pytest.fixture(autouse=True)
def no_route(tracks) -> Iterator[None]:
    yield
    route_file(load_pipeline(MODEL), tracks.serving).unlink(missing_ok=True)


def users(router: Router, count: int = 1) -> list[RestUsers | GrpcUsers]:
    ways = ((RestUsers(router.rest, MODEL), GrpcUsers(router.grpc, MODEL)) for _ in range(count))
    return [way for pair in ways for way in pair]


def answers(router: Router) -> list[Reply]:
    """What every user is answered, over both faces."""
    ways = users(router)
    replies = [way.ask(user) for way in ways for user in USERS]
    for way in ways:
        way.close()
    return replies


def who_tried(replies: list[Reply]) -> dict[str, set[str]]:
    """Who was answered by the canary, by face."""
    return {
        face: {reply.user for reply in replies if reply.face == face and reply.score == SCORE[CANARY]}
        for face in ("rest", "grpc")
    }


def logged(router: Router, trace: str) -> dict[str, Any]:
    """The line of the access log with this trace id."""

    def lines() -> list[dict[str, Any]]:
        lines = map(json.loads, router.access_log.read_text().splitlines())
        return [line for line in lines if line["trace"] == trace]

    return eventually(lines, bool)[0]


def test_without_a_route_stable_answers_everybody(router):
    assert {reply.score for reply in answers(router)} == {SCORE[STABLE]}


def test_the_share_of_the_users_try_the_canary_and_over_both_faces_the_same_users(router, tracks):
    tracks.share(0.2)

    tried = who_tried(answers(router))

    assert tried["rest"] == tried["grpc"]
    spread = math.sqrt(len(USERS) * 0.2 * 0.8)
    assert abs(len(tried["rest"]) - 0.2 * len(USERS)) < 3 * spread


def test_a_user_stays_on_one_track_and_a_larger_share_keeps_those_who_tried_it(router, tracks):
    seen = []
    for share in (0.1, 0.1, 0.3):
        tracks.share(share)
        seen.append(who_tried(answers(router))["rest"])

    assert seen[0] == seen[1]
    assert seen[0] < seen[2]


def test_the_share_changes_under_load_from_the_next_request_on_and_no_request_fails(router, tracks):
    tracks.share(0.0)
    with asking(users(router, count=2), USERS) as traffic:
        for share, expected in ((1.0, CANARY), (0.0, STABLE), (1.0, CANARY)):
            tracks.share(share)
            assert {reply.score for reply in traffic.await_more(200)} == {SCORE[expected]}

    assert traffic.failures == []


def test_a_canary_label_that_is_gone_falls_back_and_the_log_says_so(router, tracks, model):
    tracks.share(1.0)
    client = Client(tracks.stable.grpc, tracks.stable.rest)
    client.reload(model.config(STABLE, labels={"stable": STABLE}))
    try:
        replies = answers(router)
        answer = httpx.post(f"{router.rest}{PATH}", json=body(), headers={"X-Request-Id": "gone"})
    finally:
        client.reload(model.config(STABLE, CANARY, labels={"stable": STABLE}))
        client.wait_for_states(MODEL, {STABLE: "AVAILABLE", CANARY: "AVAILABLE"})
        client.reload(model.config(STABLE, CANARY, labels={"stable": STABLE, "canary": CANARY}))
        client.close()

    assert {reply.score for reply in replies} == {SCORE[STABLE]}
    assert answer.status_code == 200
    line = logged(router, "gone")
    assert (line["track"], line["outcome"], line["status"]) == ("canary", "failed", "400")
    assert (line["answered_by"], line["answer"]) == ("stable", "ok")


def test_a_canary_server_that_is_killed_under_load_costs_nobody_an_answer(tracks, model, tmp_path):
    file = tmp_path / "canary.config"
    file.write_text(config(model, CANARY, canary=CANARY))
    with running_model_server(file, tmp_path / "canary.log") as canary:
        tracks.share(1.0, servers="two")
        with (
            running_router(tmp_path / "router", tracks.serving.models_dir, tracks.stable, canary) as router,
            asking(users(router, count=2), USERS) as traffic,
        ):
            assert {reply.score for reply in traffic.await_more(200)} == {SCORE[CANARY]}
            canary.process.kill()
            assert {reply.score for reply in traffic.await_more(200)} == {SCORE[STABLE]}

    assert traffic.failures == []


def test_a_server_that_is_down_from_the_start_is_no_reason_not_to_answer(tracks, tmp_path):
    port = free_port()
    nobody = replace(tracks.stable, grpc=f"127.0.0.1:{port}", rest=f"http://127.0.0.1:{port}")
    tracks.share(0.5, servers="two")

    with running_router(tmp_path, tracks.serving.models_dir, tracks.stable, nobody) as router:
        assert {reply.score for reply in answers(router)} == {SCORE[STABLE]}


def test_a_canary_that_says_nothing_is_not_waited_for_longer_than_compose_says(tracks, tmp_path):
    shipped = (CONFIGURATION / "site.conf").read_text()
    patience = dict(re.findall(r"(proxy|grpc)_read_timeout (\d+)s;", shipped))
    assert patience == {"proxy": "1", "grpc": "1"}
    tracks.share(1.0, servers="two")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        mute = replace(tracks.stable, grpc=f"127.0.0.1:{port}", rest=f"http://127.0.0.1:{port}")
        with running_router(tmp_path, tracks.serving.models_dir, tracks.stable, mute, patience=1.0) as router:
            for way in users(router):
                assert way.ask("user", trace=way.face).score == SCORE[STABLE]
                way.close()
            lines = [logged(router, face) for face in ("rest", "grpc")]

    assert [(line["outcome"], line["status"]) for line in lines] == [("failed", "504"), ("failed", "14")]
    assert all(1.0 <= float(line["seconds"]) < 30.0 for line in lines)


def test_a_caller_who_cannot_wait_for_the_canary_is_logged_with_the_track(tracks, tmp_path):
    tracks.share(1.0, servers="two")
    request, metadata = PredictRequest(model_spec=ModelSpec(name=MODEL)), [("x-request-id", "left")]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mute = replace(tracks.stable, grpc=f"127.0.0.1:{silent.getsockname()[1]}")
        with (
            running_router(tmp_path, tracks.serving.models_dir, tracks.stable, mute, patience=3.0) as router,
            grpc.insecure_channel(router.grpc) as channel,
        ):
            grpc.channel_ready_future(channel).result(timeout=60)
            with pytest.raises(grpc.RpcError, match="DEADLINE_EXCEEDED"):
                PredictionServiceStub(channel).Predict(request, timeout=1.0, metadata=metadata)
            line = logged(router, "left")

    assert (line["model"], line["track"], line["answer"]) == (MODEL, "canary", "")
    assert line["http_status"] == "499"


GOOD = json.dumps({"predictions": [[0.75]] * 30}).encode()
NOT_FINITE = b'{"predictions": [[0.25], [NaN], [-Infinity]]}'


def response() -> bytes:
    answer = PredictResponse(model_spec=ModelSpec(name=MODEL))
    answer.outputs["score"].CopyFrom(tf.make_tensor_proto([[0.75]], tf.float32))
    return bytes(answer.SerializeToString())


WHOLE = (RestAnswer(with_length(GOOD)), GrpcAnswer(message(response())))
NOT_WHOLE = {
    "closed in the middle": (
        RestAnswer(with_length(GOOD, written=30)),
        GrpcAnswer(message(response()[:-4], length=len(response()))),
    ),
    "cut between two parts": (RestAnswer(in_one_chunk(GOOD[:30])), GrpcAnswer(message(response()), None)),
    "not a prediction": (RestAnswer(with_length(b"<html>welcome</html>")), GrpcAnswer(message(b"\x0a\xff"))),
    "JSON and no prediction": (RestAnswer(with_length(b'{"status": "ok"}')), GrpcAnswer(b"")),
    "null": (RestAnswer(with_length(b"null")), GrpcAnswer(message(b"\xff"))),
}
STALLED = (RestAnswer(with_length(GOOD, written=0), stalls=True), GrpcAnswer(b"", None))
# By then the stalled answer's head has come, on a busy machine too. The others end by themselves.
STALLED_SECONDS = 2.0


@pytest.mark.parametrize(
    ("rest", "grpc", "patience"),
    [*((*answers, PATIENCE_SECONDS) for answers in NOT_WHOLE.values()), (*STALLED, STALLED_SECONDS)],
    ids=[*NOT_WHOLE, "stalled after the head"],
)
def test_an_answer_of_the_canary_that_is_not_whole_is_a_failure_and_stable_answers(
    tracks, tmp_path, rest, grpc, patience
):
    tracks.share(1.0, servers="two")
    with (
        running_cutting_server(rest, grpc) as cutting,
        running_router(tmp_path, tracks.serving.models_dir, tracks.stable, cutting, patience) as router,
    ):
        for way in users(router):
            assert way.ask("user", trace=way.face).score == SCORE[STABLE]
            way.close()
        lines = [logged(router, face) for face in ("rest", "grpc")]

    told = [(line["track"], line["outcome"], line["answered_by"], line["answer"]) for line in lines]
    assert told == [("canary", "failed", "stable", "ok")] * 2
    assert [line["status"] for line in lines] == ["502", "13"]


@pytest.mark.parametrize(("rest", "grpc"), NOT_WHOLE.values(), ids=NOT_WHOLE)
def test_an_answer_of_stable_that_is_not_whole_is_an_error_to_the_user_and_counted(
    tracks, tmp_path, rest, grpc
):
    with (
        running_cutting_server(rest, grpc) as cutting,
        running_router(tmp_path, tracks.serving.models_dir, cutting) as router,
    ):
        by_rest, by_grpc = users(router)
        errors = [way.ask("user", trace=way.face).error for way in (by_rest, by_grpc)]
        told = httpx.post(f"{router.rest}{PATH}", json=body()).json()
        lines = [logged(router, face) for face in ("rest", "grpc")]
        by_rest.close()
        by_grpc.close()

    assert "502 Bad Gateway" in errors[0]
    assert "INTERNAL: The answer of stable is not whole." in errors[1]
    assert told == {"error": "The answer of stable is not whole."}
    assert [(line["outcome"], line["answer"]) for line in lines] == [("failed", "failed")] * 2


@pytest.mark.parametrize(
    "content", [GOOD, NOT_FINITE, b'{"outputs": {"score": [[0.5]]}}\n', b'{"predictions": []}']
)
def test_an_answer_that_is_whole_reaches_the_user_byte_for_byte(tracks, tmp_path, content):
    for number, answer in enumerate((with_length(content), in_one_chunk(content))):
        with (
            running_cutting_server(RestAnswer(answer), WHOLE[1]) as whole,
            running_router(tmp_path / str(number), tracks.serving.models_dir, whole) as router,
        ):
            answered = httpx.post(f"{router.rest}{PATH}", json=body())

        assert (answered.status_code, answered.content) == (200, content)


def test_a_large_answer_is_whole_by_its_length_alone_and_cut_it_is_none(tracks, tmp_path):
    large = b'{"predictions": [' + b"[0.5]," * 100_000 + b"[0.5]]}"
    for number, written in enumerate((len(large), len(large) // 2)):
        with (
            running_cutting_server(RestAnswer(with_length(large, written)), WHOLE[1]) as server,
            running_router(tmp_path / str(number), tracks.serving.models_dir, server) as router,
        ):
            answered = httpx.post(f"{router.rest}{PATH}", json=body())

        assert (answered.status_code == 200, answered.content == large) == (written == len(large),) * 2


def test_a_request_that_no_track_can_answer_is_the_users_own_fault(router, tracks):
    tracks.share(1.0)

    answer = httpx.post(
        f"{router.rest}{PATH}", json={"instances": [{"nonsense": 1}]}, headers={"X-Request-Id": "nonsense"}
    )

    assert answer.status_code == 400
    assert "error" in answer.json()
    assert (logged(router, "nonsense")["track"], logged(router, "nonsense")["outcome"]) == (
        "canary",
        "refused",
    )


ROUTE = {"share": 1.0, "salt": "", "header": "X-User-Id", "stable": {"label": "stable"}, "recorded": None}
TRACK = {"label": "canary", "server": "stable"}
NO_ROUTES = [
    "{",
    "",
    "{}",
    "null",
    "[]",
    "7",
    '"route"',
    json.dumps({"share": 1.0, "canary": TRACK}),
    json.dumps({**ROUTE, "canary": {"label": "canary"}}),
    json.dumps({**ROUTE, "canary": {"label": 7, "server": "stable"}}),
    json.dumps({**ROUTE, "canary": {"label": "canary", "server": "elsewhere"}}),
    json.dumps({**ROUTE, "canary": TRACK, "share": "1.0"}),
    json.dumps({**ROUTE, "canary": TRACK, "share": 1.5}),
    json.dumps({**ROUTE, "canary": TRACK, "header": None}),
    json.dumps({**ROUTE, "canary": TRACK, "stable": {}}),
    json.dumps({**ROUTE, "canary": TRACK, "recorded": {"inputs": "user_id"}}),
]


@pytest.mark.parametrize("content", NO_ROUTES)
def test_a_file_that_is_no_route_leaves_everything_to_stable(router, tracks, content):
    tracks.share(1.0)
    route_file(load_pipeline(MODEL), tracks.serving).write_text(content)

    for way in users(router):
        assert way.ask("user").score == SCORE[STABLE]
        way.close()


def test_a_route_of_the_same_shape_is_followed(router, tracks):
    tracks.share(1.0)
    route_file(load_pipeline(MODEL), tracks.serving).write_text(json.dumps({**ROUTE, "canary": TRACK}))

    for way in users(router):
        assert way.ask("user").score == SCORE[CANARY]
        way.close()


def mistaken(home: Path, function: str) -> Path:
    """The router's configuration with a mistake in one of the functions of router.js."""
    shutil.copytree(CONFIGURATION, home)
    script = home / "router.js"
    written = script.read_text()
    begin = re.search(rf"function {function}\(.*\) {{\n", written)
    assert begin, f"router.js has no function {function}"
    script.write_text(written[: begin.end()] + "null.mistake;\n" + written[begin.end() :])
    return home


@pytest.mark.parametrize("function", ["drawTrack", "userOf"])
def test_a_mistake_in_choosing_a_track_leaves_everything_to_stable(tracks, tmp_path, function):
    tracks.share(1.0)
    written = mistaken(tmp_path / "written", function)

    with running_router(
        tmp_path / "router", tracks.serving.models_dir, tracks.stable, written=written
    ) as router:
        for way in users(router):
            assert way.ask("user", trace=way.face).score == SCORE[STABLE]
            way.close()
        lines = [logged(router, face) for face in ("rest", "grpc")]

    told = [(line["track"], line["outcome"], line["answered_by"]) for line in lines]
    assert told == [("stable", "ok", "stable")] * 2
    assert "because of a mistake in the router: TypeError" in router.process.log.read_text()


@pytest.mark.parametrize("label", ["", "stable"])
def test_users_name_production_s_label_or_none(router, tracks, label):
    tracks.share(1.0)
    by_rest = httpx.post(f"{router.rest}/v1/models/{MODEL}{label and '/labels/'}{label}:predict", json=body())
    by_grpc = GrpcUsers(router.grpc, MODEL, label)

    assert by_rest.json()["predictions"][0][0] == SCORE[CANARY]
    assert by_grpc.ask("user").score == SCORE[CANARY]
    by_grpc.close()


def test_nobody_reaches_a_version_a_foreign_label_or_the_servers_own_controls(router, tracks, model):
    for path in (f"/v1/models/{MODEL}/versions/2:predict", f"/v1/models/{MODEL}/labels/canary:predict"):
        assert httpx.post(f"{router.rest}{path}", json=body()).status_code == 404
    assert (
        "Users' requests name the label stable" in GrpcUsers(router.grpc, MODEL, "canary").ask("user").error
    )

    controls = Client(router.grpc, router.rest)
    with pytest.raises(Exception, match="ask a model server itself"):
        controls.reload()
    with pytest.raises(Exception, match="name no version"):
        controls.predict(model.spec(version=CANARY))
    controls.close()


def test_the_access_log_has_the_trace_the_track_the_version_and_a_score(router, tracks):
    tracks.share(1.0)
    answer = httpx.post(
        f"{router.rest}{PATH}", json=body(), headers={"X-Request-Id": "trace-1", "X-User-Id": "u"}
    )
    made_up = httpx.post(f"{router.rest}{PATH}", json=body(), headers={"X-Request-Id": 'a "quoted" id'})

    line = logged(router, answer.headers["X-Request-Id"])
    assert line["trace"] == "trace-1"
    assert (line["face"], line["model"], line["track"], line["answered_by"]) == (
        "rest",
        MODEL,
        "canary",
        "canary",
    )
    assert float(line["score"]) in [score for [score] in scores(slope=CANARY)]
    # nginx takes the one from a monotonic clock and the other from the wall's, each in whole milliseconds.
    track, request = (round(1000 * float(line[name])) for name in ("seconds", "request_seconds"))
    assert track <= request + 1
    assert len(made_up.headers["X-Request-Id"]) == 32
    assert logged(router, made_up.headers["X-Request-Id"])["outcome"] == "ok"


def test_the_trace_id_and_the_label_reach_the_model_server_over_both_faces(tracks, tmp_path):
    with (
        running_listening_server() as listening,
        running_router(
            tmp_path, tracks.serving.models_dir, replace(tracks.stable, **addresses(listening))
        ) as router,
    ):
        httpx.post(f"{router.rest}{PATH}", json=body(), headers={"X-Request-Id": "over-rest"})
        with grpc.insecure_channel(router.grpc) as channel:
            request = PredictRequest(model_spec=ModelSpec(name=MODEL))
            metadata = [("x-request-id", "over-grpc")]
            answer = PredictionServiceStub(channel).Predict(request, timeout=60, metadata=metadata)

        assert [heard["x-request-id"] for heard in listening.heard["rest"]] == ["over-rest"]
        assert [heard["x-request-id"] for heard in listening.heard["grpc"]] == ["over-grpc"]
        assert answer.model_spec.version_label == "stable"
        assert logged(router, "over-rest")["score"] == logged(router, "over-grpc")["score"] == "0.5"


def test_one_trace_id_finds_a_request_in_the_logs_of_router_and_model_server(router, tracks):
    for way in users(router):
        trace = f"found-over-{way.face}"
        assert way.ask("user", trace).score == SCORE[STABLE]
        way.close()

        heard = tracks.stable.process.log.read_text().splitlines()
        assert logged(router, trace)["face"] == way.face
        assert sum(f"x-request-id={trace} face={way.face} " in line for line in heard) == 1


def test_good_answers_are_recorded_with_what_their_events_are_found_by(router, tracks):
    tracks.share(0.5, realised=Realised(inputs=("user_id", "device")))

    given = answers(router)

    lines = eventually(lambda: recorded(router), lambda lines: len(lines) == len(given))
    assert {line["user"] for line in lines} == set(USERS)
    tried = who_tried(given)["rest"]
    assert {line["user"] for line in lines if line["answered_by"] == "canary"} == tried
    expected = {"canary": scores(slope=CANARY), "stable": scores(slope=STABLE)}
    for line in lines:
        row = [score for [score] in expected[line["track"]]].index(line["score"])
        # The second row's user is beyond 2^53, which JavaScript cannot tell from its neighbour.
        assert line["key"] == (["7", "phone"] if row == 0 else None)
    assert {line["key"] is None for line in lines} == {True, False}


def test_nothing_is_recorded_where_nobody_asks_for_it_or_the_canary_has_no_users(router, tracks):
    before = recorded(router)
    for share, realised in ((0.5, None), (0.0, Realised(request="request_id"))):
        tracks.share(share, realised=realised)
        answers(router)

    assert recorded(router) == before


def recorded(router: Router) -> list[dict[str, Any]]:
    files = sorted(router.predictions.glob(f"{MODEL}-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_over_grpc_the_log_names_the_version_that_answered(router, tracks):
    tracks.share(1.0)

    assert GrpcUsers(router.grpc, MODEL).ask("user", trace="named-over-grpc").score == SCORE[CANARY]

    line = logged(router, "named-over-grpc")
    assert (line["face"], line["version"], line["status"]) == ("grpc", str(CANARY), "0")
    assert float(line["score"]) in [score for [score] in scores(slope=CANARY)]


@pytest.mark.skipif(not is_monitoring_installed(), reason=INSTALL_MONITORING)
def test_what_each_track_answered_reaches_prometheus_and_agrees_with_what_users_got(tracks, tmp_path):
    models, dead = tracks.serving.models_dir, free_port()
    nobody = replace(tracks.stable, grpc=f"127.0.0.1:{dead}", rest=f"http://127.0.0.1:{dead}")
    tracks.share(0.3, servers="one")
    with (
        running_router(tmp_path / "router", models, tracks.stable, nobody) as router,
        running_mtail(tmp_path, router.access_log) as mtail,
        running_prometheus(tmp_path / "prometheus", {"router": mtail}) as prometheus,
    ):
        tried = who_tried(answers(router))["rest"]
        tracks.share(0.3, servers="two")
        answers(router)
        asked = len(USERS)
        requests = {
            ("stable", "ok"): 2 * 2 * (asked - len(tried)),
            ("canary", "ok"): 2 * len(tried),
            ("canary", "failed"): 2 * len(tried),
        }
        good = {("stable",): requests["stable", "ok"], ("canary",): requests["canary", "ok"]}
        stable, canary = 2 * (asked - len(tried)), len(tried)
        statuses = {
            ("stable", "rest", "200"): stable,
            ("stable", "grpc", "0"): stable,
            ("canary", "rest", "200"): canary,
            ("canary", "grpc", "0"): canary,
            # Nobody listened: nginx says so over REST, and the router in gRPC's words.
            ("canary", "rest", "502"): canary,
            ("canary", "grpc", "14"): canary,
        }
        expected = (requests, good, good, statuses, sum(requests.values()))
        eventually(lambda: counted(prometheus), lambda seen: seen == expected)
        unread = prometheus.values("router_unread_lines_total")

    assert all(lines == 0 for lines in unread.values())


def counted(prometheus: Prometheus) -> tuple[Any, ...]:
    """By track: requests, those with a latency, those with a score, statuses; and all requests over time."""
    over_time = prometheus.series("sum(router_requests_total)", (time.time() - 60, time.time()), step=1)
    return (
        prometheus.values("sum by (track, outcome) (router_requests_total)", "track", "outcome"),
        prometheus.values("sum by (track) (router_track_seconds_count)", "track"),
        prometheus.values("router_score_count", "track"),
        prometheus.values("router_statuses_total", "track", "face", "status"),
        max(over_time.values(), default=0),
    )


# A version, which is not for users, a question and a path that are none, and a scanner's: nobody's mistake.
ASTRAY = (
    f"/v1/models/{MODEL}/versions/2:predict",
    f"/v1/models/{MODEL}:classify",
    f"/models/{MODEL}:predict",
    "/favicon.ico",
)


@pytest.mark.skipif(not is_monitoring_installed(), reason=INSTALL_MONITORING)
def test_what_no_track_was_asked_for_is_counted_by_who_is_to_blame(tracks, tmp_path):
    models, written = tracks.serving.models_dir, mistaken(tmp_path / "written", "attempt")
    with (
        running_router(tmp_path / "router", models, tracks.stable, written=written) as router,
        running_mtail(tmp_path, router.access_log) as mtail,
    ):
        broken = [way.ask("user").error for way in users(router)]
        foreign = httpx.post(f"{router.rest}/v1/models/{MODEL}/labels/canary:predict", json=body())
        large = httpx.post(f"{router.rest}{PATH}", content=b" " * 3_000_000)
        no_http = said(router, b"what is this?\r\n\r\n")
        astray = [httpx.post(f"{router.rest}{path}", json=body()).status_code for path in ASTRAY]
        controls = Client(router.grpc, router.rest)
        with pytest.raises(Exception, match="ask a model server itself"):
            controls.reload()
        controls.close()
        expected = {
            ("router_own_failures_total", ""): 2,
            ("router_turned_away_total", "rest"): 1 + len(ASTRAY[:-1]),
            ("router_turned_away_total", "grpc"): 1,
            ("router_turned_away_total", ""): 2,
            ("router_unread_lines_total", ""): 0,
        }
        eventually(lambda: exposed(mtail, {name for name, _ in expected}), lambda seen: seen == expected)

    assert "500 Internal Server Error" in broken[0]
    assert "status: 500" in broken[1]
    assert (foreign.status_code, large.status_code) == (404, 413)
    assert set(astray) == {404}
    assert no_http.startswith(b"HTTP/1.1 400 ")
    errors = router.process.log.read_text()
    assert errors.count("a mistake in the router: TypeError") == 2
    assert "exited on signal" not in errors


def said(router: Router, words: bytes) -> bytes:
    """What the router says to somebody who speaks no HTTP."""
    host, _, port = router.rest.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(words)
        return connection.makefile("rb").read()


def exposed(mtail: str, names: set[str]) -> dict[tuple[str, str], float]:
    """The counters of these names as mtail tells them: name and face → value."""
    families = text_string_to_metric_families(httpx.get(f"http://{mtail}/metrics").text)
    samples = [sample for family in families for sample in family.samples if sample.name in names]
    return {(sample.name, sample.labels.get("face", "")): sample.value for sample in samples}


def addresses(listening: Listening) -> dict[str, str]:
    return {"rest": listening.rest, "grpc": listening.grpc}


def body() -> dict[str, Any]:
    return {"instances": [dict(zip(ROWS, row, strict=True)) for row in zip(*ROWS.values(), strict=True)]}
