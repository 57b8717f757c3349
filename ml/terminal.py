"""Tables for a person at a terminal."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def render_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows as a table as wide as the terminal; a missing value is left empty."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=box.SIMPLE)
    for row in rows:
        values = (row.get(column) for column in columns)
        # Text, because a reason may hold brackets, which rich would take for markup.
        table.add_row(*(Text("" if value is None else str(value)) for value in values))
    return render(table)


def render(table: Table) -> str:
    """A table as text, as wide as the terminal."""
    from rich.console import Console

    text = io.StringIO()
    Console(file=text).print(table)
    return text.getvalue().rstrip()
