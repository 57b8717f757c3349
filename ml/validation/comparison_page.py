"""Two days side by side as a page: the numbers of each field, and below them TFDV's histograms."""

from __future__ import annotations

import html
from collections.abc import Iterable
from pathlib import Path

from ml.validation.comparison import Comparison
from ml.validation.statistics_file import read_statistics

STYLE = (
    "body{font-family:sans-serif}table{border-collapse:collapse}"
    "th,td{border:1px solid #ccc;padding:.2em .6em;text-align:right;white-space:pre-line}"
    "td:first-child,td:last-child{text-align:left}"
)
NOTE = (
    "Divergence is Kullback and Leibler's, of the later day from the earlier one, with the bias of the "
    "sample taken off; a dash stands where there is nothing to compare. The histograms below need the "
    "network: the browser loads their scripts."
)


def compare_page(comparison: Comparison, earlier: Path, later: Path, names: tuple[str, str]) -> str:
    """The table of what changed, above TFDV's Facets view of both days, as HTML.

    Args:
        comparison: of the two.
        earlier: the statistics of the earlier day.
        later: the statistics of the later day.
        names: what the two are called on the page.
    """
    from ml.validation import tfdv

    histograms: str = tfdv.get_statistics_html(
        read_statistics(later), read_statistics(earlier), lhs_name=names[1], rhs_name=names[0]
    )
    title = html.escape(" and ".join(names))
    head = f'<!doctype html><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    return f"{head}{table_of(comparison, names)}<p>{html.escape(NOTE)}</p>{histograms}"


def table_of(comparison: Comparison, names: tuple[str, str]) -> str:
    """The fields of a comparison as an HTML table, with the same words as at a terminal."""
    rows = "".join(_row("td", change.as_words()) for change in comparison.fields)
    title = html.escape(comparison.title(names))
    return f"<table><caption>{title}</caption>{_row('th', comparison.headings(names))}{rows}</table>"


def _row(tag: str, words: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(word)}</{tag}>" for word in words) + "</tr>\n"
