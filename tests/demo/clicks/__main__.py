"""Measure the generator: ``python -m tests.demo.clicks --records 1000000 --seed 7``."""

from __future__ import annotations

import argparse
import time
from datetime import date

from tests.demo.clicks import Day, render


def main() -> None:
    """Generate one day, throw it away, and print what it was."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo.clicks", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--date", type=date.fromisoformat, default=date(2026, 1, 1))
    parser.add_argument("--behaviour", choices=["usual", "reversed"], default="usual")
    arguments = parser.parse_args()
    day = Day(arguments.date, arguments.records, arguments.seed, behaviour=arguments.behaviour)
    started, size, clicks = time.perf_counter(), 0, 0
    for block in day.blocks():
        size += sum(map(len, render(day, block)))
        clicks += int(block.clicked.sum())
    seconds = time.perf_counter() - started
    print(
        f"{day.records:,} records of {size / day.records:.0f} B in {seconds:.1f} s, start included: ", end=""
    )
    print(f"{day.records / seconds:,.0f} records/s")
    print(f"clicked {clicks / day.records:.2%}, best reachable AUC {day.best_auc():.4f}")


if __name__ == "__main__":
    main()
