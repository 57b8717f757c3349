"""The table of a page that holds two days against each other."""

from __future__ import annotations

from ml.validation.comparison import Comparison, FieldChange
from ml.validation.comparison_page import table_of

NAMES = ("2026-03-10", "2026-03-11")


def test_a_row_has_counts_missing_and_divergence_of_its_field() -> None:
    price = FieldChange("price", (1000, 1500), (0.0, 0.25), (20.0, 30.5), 0.1234, "more above 90")

    table = table_of(Comparison((1000, 2000), (price,)), NAMES)

    assert "1,000 examples of 2026-03-10, 2,000 of 2026-03-11" in table
    assert (
        "<tr><td>price</td><td>1,000</td><td>1,500</td><td>0.00%</td><td>25.00%</td><td>20</td><td>30.5</td>"
        "<td>0.123</td><td>more above 90</td></tr>"
    ) in table


def test_a_value_of_the_data_is_never_markup() -> None:
    device = FieldChange("device", (1, 1), (0.0, 0.0), (None, None), 1.0, "<script>alert(1)</script> & more")

    table = table_of(Comparison((1, 1), (device,)), NAMES)

    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in table
    assert "<script>" not in table


def test_a_field_of_one_day_only_has_dashes_on_the_other() -> None:
    added = FieldChange("added", (None, 5), (None, 0.0), (None, None), None, "")

    table = table_of(Comparison((5, 5), (added,)), NAMES)

    assert "<td>added</td><td>-</td><td>5</td><td>-</td><td>0.00%</td><td>-</td><td>-</td><td>-</td>" in table
