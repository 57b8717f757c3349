"""Tables for a person at a terminal, or in a log. Nothing of them is cut off: long words go on below."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

WIDTH = 132  # what the log in Airflow shows of a line on a laptop
# Columns of sentences and long names, which may be folded. What all others hold stays whole in one line.
PROSE = frozenset({"who", "says", "why", "reason"})
PROSE_WIDTH = 20


def terminal_width() -> int:
    """In characters: the terminal's, or ``WIDTH`` where there is none (a pipe, a task's log)."""
    return shutil.get_terminal_size((WIDTH, 0)).columns


def render_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows as a table as wide as the terminal; a missing value is left empty.

    Where the terminal is too narrow for its versions and times, the table is wider.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, collapse_padding=True)
    for column in columns:
        table.add_column(column, no_wrap=column not in PROSE)
    cells = [["" if (value := row.get(column)) is None else str(value) for column in columns] for row in rows]
    for words in cells:
        # Text, because a reason may hold brackets, which rich would take for markup.
        table.add_row(*map(Text, words))
    return render(table, max(terminal_width(), _least_width(columns, cells)))


def _least_width(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> int:
    """In which nothing but prose is folded, and that not to shreds."""
    longest = {
        column: max(map(len, (column, *words))) for column, *words in zip(columns, *cells, strict=True)
    }
    kept = [min(width, PROSE_WIDTH) if column in PROSE else width for column, width in longest.items()]
    return sum(kept) + 2 * len(kept) + 2  # two spaces between columns, and at both ends


def render(table: Table, width: int | None = None, below: Sequence[str] = ()) -> str:
    """A table as text.

    Args:
        table: of any columns; all of them are folded where they are too narrow.
        width: in characters; by default `terminal_width`.
        below: sentences that follow it, as wide.
    """
    from rich.console import Console

    for column in table.columns:
        column.overflow = "fold"
    text = io.StringIO()
    console = Console(file=text, width=width or terminal_width())
    console.print(table)
    for sentence in below:
        console.print(sentence, markup=False, highlight=False)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
