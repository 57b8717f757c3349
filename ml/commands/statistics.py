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
    names = str(chosen.first), str(chosen.last)
    return f"{_table(comparison, names)}\nThe same with the histograms of both days: {page}"


def _table(comparison: Comparison, names: tuple[str, str]) -> str:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=comparison.title(names))
    field, *numbers, moved = comparison.headings(names)
    table.add_column(field)
    for heading in numbers:
        table.add_column(heading, justify="right")
    table.add_column(moved)
    for one in comparison.fields:
        # Text, because a value may hold brackets, which rich would take for markup.
        table.add_row(*map(Text, one.as_words()))
    return render(table)
