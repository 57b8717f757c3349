"""Java processes of Apache Kafka: small and quick to start, which matters more here than running fast."""

from __future__ import annotations

import os
import subprocess

from tests.demo.kafka.jars import class_path

TOOL_SECONDS = 120
JVM = ("java", "-Xmx256m", "-Xms64m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


def run_tool(main_class: str, *arguments: str) -> str:
    """Run one of Kafka's command line tools and return what it printed.

    Raises:
        RuntimeError: with its last words, if it fails.
    """
    answer = subprocess.run(
        [*JVM, main_class, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **java_environment()},
        timeout=TOOL_SECONDS,
        check=False,
    )
    if answer.returncode:
        raise RuntimeError(
            f"{main_class} {' '.join(arguments)} ended with exit code {answer.returncode}:\n"
            f"{answer.stdout[-2000:]}"
        )
    return answer.stdout


def java_environment() -> dict[str, str]:
    """The variables by which Java finds Kafka.

    Raises:
        KafkaMissing: if this machine cannot run it.
    """
    return {"CLASSPATH": class_path()}
