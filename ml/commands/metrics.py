"""``python -m ml metrics``: how the pipelines stand, for Prometheus."""

from __future__ import annotations

import argparse
import signal
import threading
from typing import Any

from ml import steps
from ml.commands.connections import canary, mlflow, serving

DEFAULT_ADDRESS = "127.0.0.1:9108"


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("metrics", help="Answer Prometheus's scrapes until SIGTERM or Ctrl-C.")
    parser.add_argument(
        "--pipeline",
        action="append",
        default=[],
        help="the name of its folder; repeat it, or leave it out for all",
    )
    parser.add_argument("--listen", type=_address, default=_address(DEFAULT_ADDRESS), metavar="HOST:PORT")
    parser.set_defaults(command=serve_metrics)


def serve_metrics(chosen: argparse.Namespace) -> str:
    """Answer until a signal comes."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    steps.serve_metrics(
        chosen.pipeline,
        chosen.listen,
        stop,
        serving=serving(),
        mlflow=mlflow(),
        canary=canary(),
    )
    return "stopped"


def _address(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdigit():
        raise argparse.ArgumentTypeError(f"expected HOST:PORT such as {DEFAULT_ADDRESS}, got {text!r}")
    return host, int(port)
