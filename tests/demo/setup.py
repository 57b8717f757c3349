"""Which demo was asked for or has left its state: its scenario, its days, its broker and its pages."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ml.durable import write_atomically
from tests.demo.stack import BrokerName, Ports

MARKER = "demo.json"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Setup:
    """What a demo begins with.

    Attributes:
        home: RETRAIN_HOME.
        scenario: its name.
        first: the first of its days.
        ports: of its pages.
        broker: that it reads from.
    """

    home: Path
    scenario: str
    first: date
    ports: Ports
    broker: BrokerName

    def write(self) -> None:
        """Leave it for whoever looks at the state afterwards."""
        made = {
            "scenario": self.scenario,
            "first": self.first.isoformat(),
            "ports": vars(self.ports),
            "broker": self.broker,
        }
        write_atomically(self.home / MARKER, json.dumps(made).encode())

    @classmethod
    def read(cls, home: Path) -> Setup:
        """What the last demo began with; its ports again if they are free.

        Raises:
            SystemExit: if there was none.
        """
        if not (home / MARKER).exists():
            sys.exit(
                f"{home / MARKER} is missing, so there is no state of a demo in {home}. "
                "Run `make demo` first."
            )
        made = json.loads((home / MARKER).read_text())
        ports = Ports.choose(made["ports"])
        scenario, broker = made.get("scenario", "nights"), made.get("broker", "tansu")
        return cls(home, scenario, date.fromisoformat(made["first"]), ports, broker)
