"""``python -m ml statistics diff``: two days side by side."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml import steps
from ml.commands.arguments import add_days, add_pipeline
from ml.terminal import render

if TYPE_CHECKING:
    from ml.validation import Comparison


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("statistics", help="Compare the statistics of two days.")
    group = parser.add_subparsers(required=True, metavar="diff")
    diff = add_pipeline(group.add_parser("diff", help="print what changed, and write both as a page"))
    add_days(diff).add_argument(
        "--page", type=Path, help="where the HTML goes; by default statistics-FROM-TO.html here"
    )
    diff.set_defaults(command=diff_statistics)


def diff_statistics(chosen: argparse.Namespace) -> str:
    """Compare two days field by field."""
    page = chosen.page or Path(f"statistics-{chosen.first}-{chosen.last}.html")
    comparison = steps.diff_statistics(chosen.pipeline, chosen.first, chosen.last, page)
    return (
        f"{_table(comparison, str(chosen.first), str(chosen.last))}\nBoth days with their histograms: {page}"
    )


def _table(comparison: Comparison, first: str, last: str) -> str:
    from rich.table import Table

    table = Table(
        "field", title=f"{comparison.rows[0]:,} examples of {first}, {comparison.rows[1]:,} of {last}"
    )
    for name in ("values", "missing", "mean"):
        table.add_column(f"{name}\n{first}", justify="right")
        table.add_column(f"{name}\n{last}", justify="right")
    table.add_column("divergence\nbits", justify="right")
    table.add_column("what moved most")
    for one in comparison.fields:
        values = [_number(count, ",d") for count in one.present]
        shares = [_number(share, ".2%") for share in one.missing]
        means = [_number(mean, ".4g") for mean in one.mean]
        table.add_row(one.field, *values, *shares, *means, _number(one.divergence_bits, ".3f"), one.moved)
    return render(table)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
