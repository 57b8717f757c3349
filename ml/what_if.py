"""A what-if: nights run again with other settings or other code, beside the normal ones, published never.

Like the other ``RETRAIN_…`` variables it is a matter of the whole process, so that every step and every
process that a step starts sees the same one. The command line sets it from ``--what-if`` and ``--set``,
Airflow's operators from the parameters of the DAG run.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ml.code_version import code_digest
from ml.environment import environment
from ml.errors import Misconfigured

VARIABLE, SETTINGS_VARIABLE = "RETRAIN_WHAT_IF", "RETRAIN_WHAT_IF_SETTINGS"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")

# What decides where a night publishes, when it runs, and whom it tells. None of it is a what-if's to change.
FIXED = (
    "name",
    "owner",
    "description",
    "tags",
    "serving",
    "landing.connection",
    "landing.time_zone",
    "snapshots",
    "housekeeping",
)


@dataclass(frozen=True)
class WhatIf:
    """What is tried.

    Attributes:
        name: says what for; part of the address of everything that the what-if makes.
        settings: values by their path in ``pipeline.yaml``, such as ``{"training.epochs": 4}``; none if
            only the code is another.
    """

    name: str
    settings: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise Misconfigured(
                f"a what-if cannot be named {self.name!r}; expected up to 40 small letters, digits, - and _, "
                "beginning with a letter or a digit, such as more-epochs. Choose another name."
            )
        for path in self.settings:
            if any(path == fixed or path.startswith(f"{fixed}.") for fixed in FIXED):
                raise Misconfigured(
                    f"a what-if cannot change {path}; expected settings of landing, validation, features, "
                    f"training, drift, slices or gate. Leave it out: {', '.join(FIXED)} stay as they are."
                )

    @property
    def variant(self) -> dict[str, str]:
        """What tells its artifacts from the normal ones: the name, and the code to the letter.

        A normal night trusts a step's ``revision``. Here other code is what is tried, so nothing that
        other code has made is taken for this one's.
        """
        return {"name": self.name, "code": code_digest()}


def current_what_if() -> WhatIf | None:
    """The what-if that this process is part of; None in normal operation.

    Raises:
        Misconfigured: if its name or its settings cannot be used.
    """
    name, settings = os.environ.get(VARIABLE, ""), os.environ.get(SETTINGS_VARIABLE, "")
    if name:
        return WhatIf(name, _read_settings(settings))
    if settings:
        raise Misconfigured(
            f"there are settings for a what-if, {settings}, and no name for it; expected both. Name it "
            f"(--what-if NAME, the parameter what_if in Airflow, or {VARIABLE}), or leave the settings out."
        )
    return None


@contextmanager
def trying(name: str, settings: Mapping[str, Any]) -> Iterator[None]:
    """Make this process part of a what-if for the time of the block; with neither, leave it as it is.

    Raises:
        Misconfigured: if name or settings cannot be used.
    """
    given = {VARIABLE: name, SETTINGS_VARIABLE: json.dumps(dict(settings)) if settings else ""}
    with environment(given if any(given.values()) else {}):
        current_what_if()
        yield


def _read_settings(text: str) -> dict[str, Any]:
    try:
        settings = json.loads(text or "{}")
    except ValueError as error:
        raise Misconfigured(f"{SETTINGS_VARIABLE} could not be read as JSON: {error}. Mend it.") from error
    if not isinstance(settings, dict):
        raise Misconfigured(
            f"the settings of a what-if are {settings!r}; expected an object from paths in pipeline.yaml to "
            'values, such as {"training.epochs": 4}.'
        )
    return settings
