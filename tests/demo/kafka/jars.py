"""Apache Kafka's jars, as `deploy/kafka/pom.xml` names them, below the checkout's ``var``."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).resolve().parents[3]
POM = ROOT / "deploy" / "kafka" / "pom.xml"
JARS = ROOT / "var" / "kafka-jars"
OLDEST_JAVA = 17
FETCH_SECONDS = 600
INSTALL = "On Debian 12 or Ubuntu: apt install maven openjdk-17-jre-headless."


class KafkaMissing(RuntimeError):
    """Apache Kafka cannot be run on this machine. The message says what to install."""


def what_is_missing() -> str:
    """Why this machine cannot run Kafka and what to install; empty if it can."""
    java = java_version()
    if java is None:
        return f"Apache Kafka needs Java {OLDEST_JAVA} or newer, and there is no `java`. {INSTALL}"
    if java < OLDEST_JAVA:
        return f"Apache Kafka needs Java {OLDEST_JAVA} or newer; found Java {java}. {INSTALL}"
    if not _folder().exists() and not shutil.which("mvn"):
        return f"Maven (`mvn`) fetches Apache Kafka's jars, and is missing. {INSTALL}"
    return ""


def java_version() -> int | None:
    """The major version of the ``java`` on PATH, or None if there is none."""
    if not shutil.which("java"):
        return None
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    return int(found.group(1)) if found else None


def class_path() -> str:
    """Java's class path with Kafka's jars, which Maven fetches the first time and keeps in the checkout.

    Raises:
        KafkaMissing: if Java or Maven is missing, or Maven could not fetch them.
    """
    if missing := what_is_missing():
        raise KafkaMissing(missing)
    folder = _folder()
    JARS.mkdir(parents=True, exist_ok=True)
    with FileLock(JARS / ".lock"):
        if not folder.exists():
            _fetch(folder)
    return f"{folder}/*"


def _folder() -> Path:
    """The folder of the jars that the pom of today asks for."""
    return JARS / hashlib.sha256(POM.read_bytes()).hexdigest()[:12]


def _fetch(folder: Path) -> None:
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
    answer = subprocess.run(
        [*command, f"-DoutputDirectory={partial}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=FETCH_SECONDS,
        check=False,
    )
    if answer.returncode:
        raise KafkaMissing(
            f"`{' '.join(command)}` ended with exit code {answer.returncode}; expected it to fetch Apache "
            f"Kafka's jars. Check that Maven reaches its repository. It said:\n{answer.stdout[-2000:]}"
        )
    partial.rename(folder)
