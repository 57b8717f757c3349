"""The flags of tensorflow_model_server that the stand-in has, with its names and defaults."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from tests.demo.model_server.core import CoreOptions


@dataclass(frozen=True)
class Flags:
    """What the command line said; see ``--help``."""

    host: str
    port: int
    rest_api_port: int
    model_config_file: Path | None
    model_config_file_poll_wait_seconds: float
    model_name: str
    model_base_path: str
    monitoring_config_file: Path | None
    enable_model_warmup: bool
    inject_latency_ms: float
    inject_error_ratio: float
    inject_version: int | None
    log_requests: bool
    core: CoreOptions


def parse_flags(argv: list[str]) -> Flags:
    """Read the flags; an unknown one ends the program, as an ignored one would promise what is not kept."""
    parser = _parser()
    values = vars(parser.parse_args(argv))
    if not values["model_config_file"] and not values["model_base_path"]:
        parser.error("one of --model_config_file and --model_base_path is required")
    core = CoreOptions(**{name: values.pop(name) for name in CoreOptions.__dataclass_fields__})
    return Flags(core=core, **values)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.demo.model_server",
        description="A stand-in for tensorflow_model_server. Its flags mean the same there, "
        "except --host, --inject_* and --log_requests, which only this one has.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=int, default=8500, help="of the gRPC API")
    add("--rest_api_port", type=int, default=0, help="of the REST API; 0: none")
    add("--model_config_file", type=Path, help="a ModelServerConfig in text form")
    add("--model_config_file_poll_wait_seconds", type=float, default=0, help="0: read it once")
    add("--model_name", default="default", help="without a config file")
    add("--model_base_path", default="", help="without a config file")
    add("--monitoring_config_file", type=Path, help="a MonitoringConfig in text form")
    _add_switch(parser, "--enable_model_warmup", default=True)
    add("--inject_latency_ms", type=float, default=0, help="of predictions by label")
    add("--inject_error_ratio", type=float, default=0, help="of predictions by label")
    add("--inject_version", type=int, help="the only version that the two above strike")
    _add_switch(parser, "--log_requests", default=False)
    add("--file_system_poll_wait_seconds", type=float, default=1, help="0: look once")
    add("--max_num_load_retries", type=int, default=5, help="tries after a load that failed")
    add("--load_retry_interval_micros", type=int, default=60_000_000, help="pause before each")
    _add_switch(parser, "--allow_version_labels_for_unavailable_models", default=False)
    return parser


def _add_switch(parser: argparse.ArgumentParser, name: str, default: bool) -> None:
    parser.add_argument(name, nargs="?", const=True, type=_boolean, default=default, help="true or false")


def _boolean(text: str) -> bool:
    try:
        return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"expected true or false, got {text!r}") from None
