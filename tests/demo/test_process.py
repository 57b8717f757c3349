from __future__ import annotations

import os
import select
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.demo.process import ManagedProcess, ProcessFailed

FOREVER = "import signal; print('up', flush=True); signal.pause()"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {FOREVER}"


def python(code: str, log: Path, **settings: object) -> ManagedProcess:
    return ManagedProcess("child", [sys.executable, "-c", code], log, **settings)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "child.log"


def prints(child: ManagedProcess, text: str) -> bool:
    return text in child.tail()


def ends(pid: int) -> bool:
    """Whether any process, a child or not, ends within half a minute."""
    try:
        end = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with open(end) as file:
        return bool(select.select([file], [], [], 30)[0])


def test_a_process_runs_inside_its_block_only(log):
    with python(FOREVER, log) as child:
        child.wait_until(lambda: prints(child, "up"), timeout=30)
        assert child.running

    assert not child.running
    assert ends(child.pid)


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace(log):
    with python(DEAF, log) as child:
        child.wait_until(lambda: prints(child, "up"), timeout=30)
        child.stop(grace_seconds=0.1)

    assert child.wait(timeout=0) == -signal.SIGKILL


def test_a_process_is_asked_to_end_only_once(log):
    count = "signal.signal(signal.SIGTERM, lambda *_: print('asked', flush=True))"
    with python(f"import signal; {count}; print('up', flush=True)\nwhile True: signal.pause()", log) as child:
        child.wait_until(lambda: prints(child, "up"), 30)
        child.ask_to_end()
        child.wait_until(lambda: prints(child, "asked"), 30)
        child.stop(grace_seconds=0.2)

    assert child.tail().count("asked") == 1


def test_waiting_for_a_process_that_dies_fails_at_once_with_its_last_lines(log):
    with (
        python("raise SystemExit('the disk is full')", log) as child,
        pytest.raises(
            ProcessFailed, match=r"child ended with exit code 1 before it was ready(.|\n)*disk is full"
        ),
    ):
        child.wait_until(lambda: False, timeout=3600)


def test_waiting_too_long_fails_and_says_for_what(log):
    with python(FOREVER, log) as child, pytest.raises(ProcessFailed, match=r"was not warm within 0\.1 s"):
        child.wait_until(lambda: False, timeout=0.1, goal="warm")


def test_variables_are_added_to_the_environment(log, monkeypatch):
    monkeypatch.setenv("INHERITED", "old")
    code = "import os; print(os.environ['INHERITED'], os.environ['GIVEN'])"

    with python(code, log, env={"GIVEN": "new"}) as child:
        assert child.wait(timeout=30) == 0

    assert child.tail() == "old new"


def test_a_stopped_process_can_be_started_again_and_its_log_goes_on(log):
    with python("print('once')", log) as child:
        child.wait(timeout=30)
        child.start()
        child.wait(timeout=30)

    assert child.tail() == "once\nonce"


def test_the_children_of_a_process_end_with_it(log):
    code = (
        "import subprocess, sys\n"
        f"print(subprocess.Popen([sys.executable, '-c', {FOREVER!r}]).pid, flush=True)\n"
        f"{FOREVER}"
    )

    with python(code, log) as child:
        child.wait_until(lambda: child.tail().count("up") == 2, timeout=30)
        grandchild = int(next(line for line in child.tail().splitlines() if line != "up"))

    assert ends(grandchild)


def test_a_process_ends_when_its_parent_is_killed(log, tmp_path):
    inner = tmp_path / "inner.log"
    code = (
        "import sys; from pathlib import Path; from tests.demo.process import ManagedProcess\n"
        f"with ManagedProcess('inner', [sys.executable, '-c', {FOREVER!r}], Path({str(inner)!r})) as inner:\n"
        "    inner.wait_until(lambda: 'up' in inner.tail(), timeout=30)\n"
        "    print(inner.pid, flush=True)\n"
        "    inner.wait(3600)\n"
    )
    with python(code, log, cwd=Path(__file__).parents[2]) as outer:
        outer.wait_until(outer.tail, timeout=30)
        orphan = int(outer.tail())
        os.kill(outer.pid, signal.SIGKILL)
        outer.wait(timeout=30)

    assert ends(orphan)


def test_starting_outside_the_main_thread_is_refused(log):
    failures: list[Exception] = []

    def start() -> None:
        with ExitStack() as stack:
            try:
                stack.enter_context(python(FOREVER, log))
            except RuntimeError as error:
                failures.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()

    assert "must be started from the main thread" in str(failures[0])
