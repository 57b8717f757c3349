from __future__ import annotations

from pathlib import Path

import pytest

from tests.demo.ports import listens
from tests.demo.postgres import INSTALL, find_programs, running_postgres

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(find_programs() is None, reason=INSTALL),
]


def test_it_answers_whom_it_knows_and_is_gone_after_its_block(tmp_path: Path) -> None:
    with running_postgres(tmp_path) as postgres:
        with postgres.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT current_user")
            assert cursor.fetchone() == ("airflow",)
        connection.close()
        data = Path(f"/proc/{postgres.process.pid}/cwd").readlink()
        assert listens(postgres.port)

    assert not listens(postgres.port)
    assert not data.exists()
