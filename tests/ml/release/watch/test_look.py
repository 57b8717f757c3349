"""A look that nobody answers."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from ml.config import Canary, Pipeline
from ml.connections import MlflowConnection, ServingConnection
from ml.release import Records
from ml.release.router import read_share, set_share
from ml.release.watch.look import Look, Servers, look, mark_told, watch_production
from ml.store import Store
from tests.demo.ports import free_port
from tests.ml.release.published import publish

NOW = datetime(2026, 11, 21, 2, tzinfo=timezone.utc)


@pytest.fixture
def records(pipeline: Pipeline, store: Store) -> Records:
    """A pipeline of which one version was published."""
    records = Records(pipeline, store)
    publish(records, 2)
    return records


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Servers:
    """Servers that nobody has started."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    address = f"127.0.0.1:{free_port()}"
    serving = ServingConnection(
        rest=f"http://{address}",
        grpc=address,
        models_dir=tmp_path,
        server_models_dir=tmp_path,
        config_file=tmp_path / "models.config",
    )
    return Servers(serving, MlflowConnection(uri=f"http://{address}"))


def looks(records: Records, servers: Servers, count: int) -> list[Look]:
    """So many, of whose news each is told."""
    found = []
    for _ in range(count):
        found.append(watch_production(records, servers, NOW))
        mark_told(records, found[-1].news)
    return found


def test_who_does_not_answer_is_told_by_the_second_look_only(records: Records, nobody: Servers):
    first, second, third = looks(records, nobody, 3)

    assert (first.news, third.news, first.judgement) == ((), (), None)
    assert "clicks: The model server does not say what it serves" in second.news[0]


def test_what_no_message_has_brought_is_news_again_until_one_has(records: Records, nobody: Servers):
    looks(records, nobody, 1)
    untold = [watch_production(records, nobody, NOW) for _ in range(3)]

    assert len(untold[0].news) > 0
    assert untold[0].news == untold[1].news == untold[2].news
    mark_told(records, untold[2].news)
    assert watch_production(records, nobody, NOW).news == ()


def test_a_damaged_ledger_is_told_at_once_and_no_failure_of_every_look(records: Records, nobody: Servers):
    content = records.ledger.path.read_bytes()
    records.ledger.path.write_bytes(content.replace(b'"who":"ada"', b'"who":"eve"', 1))

    first, second = looks(records, nobody, 2)

    assert (len(first.news), len(second.news)) == (1, 0)
    assert "line 1 of" in first.news[0]


def test_users_of_a_canary_that_nobody_tries_are_given_back_to_stable_and_that_is_told_once(
    records: Records, nobody: Servers
):
    canary = records.pipeline.serving.model_copy(update={"canary": Canary()})
    set_share(records.pipeline.model_copy(update={"serving": canary}), nobody.serving, 0.1)

    compared = look(records, nobody, NOW).compared
    assert compared is not None
    assert compared.stray_share == 0.1
    first, second = looks(records, nobody, 2)

    assert read_share(records.pipeline, nobody.serving) == 0
    assert "clicks: The router sends 10.0% of the users to a canary, and no version is" in first.news[0]
    assert not any("router" in news for news in second.news)
