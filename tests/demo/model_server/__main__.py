"""``python -m tests.demo.model_server``: runs the stand-in until SIGTERM or SIGINT."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from contextlib import ExitStack
from functools import partial
from types import FrameType

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")

import tensorflow as tf

from tests.demo.model_server.config import read_metrics_path, read_model_server_config, single_model_config
from tests.demo.model_server.config_file import ConfigFilePoller
from tests.demo.model_server.core import ServerCore
from tests.demo.model_server.faults import Faults
from tests.demo.model_server.flags import Flags, parse_flags
from tests.demo.model_server.grpc_service import Core, start_grpc
from tests.demo.model_server.metrics import Metrics
from tests.demo.model_server.rest import RestApi, RestServer
from tests.demo.model_server.servable import Servable
from tests.demo.model_server.status import StatusError

log = logging.getLogger("tests.demo.model_server")

GRACE_SECONDS = 2


def main(argv: list[str]) -> int:
    """Serve, and return the exit code."""
    flags = parse_flags(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    tf.get_logger().setLevel(logging.ERROR)
    log.info(
        "This is a stand-in for TensorFlow Serving, for tests and the demo. It is not TensorFlow Serving."
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)
    with ExitStack() as stack:
        try:
            serve(flags, stack)
        except (StatusError, OSError, RuntimeError) as error:
            log.error("Not serving: %s", error)
            return 1
        threading.Event().wait()
    return 0


def serve(flags: Flags, stack: ExitStack) -> None:
    """Load the models, then open the ports; what must be closed is left on ``stack``.

    Raises:
        StatusError: if a config file, a label or a model is not good.
        OSError, RuntimeError: if a port is taken.
    """
    metrics = Metrics()
    metrics_path = read_metrics_path(flags.monitoring_config_file) if flags.monitoring_config_file else None
    load = partial(Servable.load, warm_up=flags.enable_model_warmup)
    core = stack.enter_context(ServerCore[Servable](load, flags.core))
    _load_models(core, flags, stack)
    faults = Faults(flags.inject_latency_ms, flags.inject_error_ratio, flags.inject_version)
    server = start_grpc(core, metrics, f"{flags.host}:{flags.port}", faults, flags.log_requests)
    stack.callback(lambda: server.stop(GRACE_SECONDS).wait())
    if flags.rest_api_port:
        rest = RestServer(RestApi(core, metrics, faults), metrics, metrics_path, flags.log_requests)
        rest.start(flags.host, flags.rest_api_port)
        stack.callback(rest.stop)


def _load_models(core: Core, flags: Flags, stack: ExitStack) -> None:
    if flags.model_config_file is None:
        core.reload(single_model_config(flags.model_name, flags.model_base_path))
        return
    core.reload(read_model_server_config(flags.model_config_file))
    poller = ConfigFilePoller(flags.model_config_file, core, flags.model_config_file_poll_wait_seconds)
    stack.callback(poller.stop)
    poller.start()


def _exit(number: int, _: FrameType | None) -> None:
    for other in (signal.SIGTERM, signal.SIGINT):
        signal.signal(other, signal.SIG_IGN)
    log.info("Stopping on %s", signal.Signals(number).name)
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
