"""JSON values into columns, in bulk, and the reason for each value that is none of ours.

A value is an example if it is one JSON object (RFC 8259, UTF-8, no NaN, no number beyond a double), if each
field of the schema is absent, null or of its type, and if it has an event time. A string field takes a
string, an int field an integer without point or exponent that fits int64, a float field any number. Nothing
is converted: "1" is no number and 1.0 no int. Of a name that is repeated the last one counts.

Arrow's parser takes a whole block at once and is used where it can be trusted: where the block's text shows
that every value is exactly one row, and nothing in it was refused or unknown. Any other block is read
one value at a time, which decides by the same rules, gives the same columns and says why. It is some two
times slower, and the only way for days whose records hold fields that the schema does not know.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from ml.schema import ColumnType

ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    "string": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
}
INT64 = range(-(2**63), 2**63)
OPENING, CLOSING, NEWLINE = b"{}\n"
# Between an object's end and another's start valid JSON has a comma, except between two values.
TWO_OBJECTS = re.compile(rb"}[ \t\r]*{")
LAST_LINE = b"{}"

NOT_JSON = "not JSON"
NOT_AN_OBJECT = "not an object"
NO_EVENT_TIME = "no event time"
TOMBSTONE = "tombstone"
WRONG_TYPE = "wrong type: "


class NotAnExampleError(Exception):
    """A value is no example; says why."""


@dataclass(frozen=True)
class Parsed:
    """What became of a list of values.

    Attributes:
        table: the examples, a column for each field of the schema.
        rows: for each row of ``table``, the position of its value.
        rejects: position of a value → why it is no example.
        unknown: for each row, the names of its fields that the schema does not have and that are not
            null; empty if no row has any.
    """

    table: pa.Table
    rows: np.ndarray[Any, np.dtype[np.int64]]
    rejects: dict[int, str] = field(default_factory=dict)
    unknown: Sequence[tuple[str, ...]] = ()


class Parser:
    """Parses values into the columns of a schema.

    Args:
        columns: field name → type.
        event_time: the field without which a value is no example.
    """

    def __init__(self, columns: Mapping[str, ColumnType], event_time: str) -> None:
        self.schema = pa.schema([(name, ARROW_TYPES[type_]) for name, type_ in columns.items()])
        self._event_time = event_time
        self._fits = {name: FITS[type_] for name, type_ in columns.items()}

    def parse(self, values: Sequence[bytes | None]) -> Parsed:
        """Turn values into rows, in their order."""
        table = self._in_bulk(values)
        if table is None:
            return self._one_by_one(values)
        event_times = table[self._event_time]
        if not event_times.null_count:
            return Parsed(table, np.arange(len(values)))
        timed = event_times.is_valid()
        rows = np.flatnonzero(timed.to_numpy())
        missing = np.setdiff1d(np.arange(len(values)), rows)
        return Parsed(table.filter(timed), rows, dict.fromkeys(missing.tolist(), NO_EVENT_TIME))

    def _in_bulk(self, values: Sequence[bytes | None]) -> pa.Table | None:
        """All values at once, or None if they must be looked at one by one."""
        lines = _one_line_each(values)
        if lines is None:
            return None
        try:
            table = pa.json.read_json(
                pa.BufferReader(lines),
                read_options=pa.json.ReadOptions(use_threads=False, block_size=len(lines) + 64),
                parse_options=pa.json.ParseOptions(
                    explicit_schema=self.schema, unexpected_field_behavior="error"
                ),
            )
        except pa.ArrowInvalid:
            return None
        # The parser ends without a word at a surplus bracket; then the last line is missing.
        if table.num_rows != len(values) + 1:
            return None
        return _finite(table.slice(0, len(values)).combine_chunks())

    def _one_by_one(self, values: Sequence[bytes | None]) -> Parsed:
        records, rows, rejects = [], [], {}
        for position, value in enumerate(values):
            try:
                records.append(self._read(value))
                rows.append(position)
            except NotAnExampleError as reason:
                rejects[position] = str(reason)
        unknown = [self._unknown(record) for record in records]
        return Parsed(
            self._table(records), np.array(rows, np.int64), rejects, unknown if any(unknown) else ()
        )

    def _read(self, value: bytes | None) -> dict[str, Any]:
        record = _decode(value)
        for name, fits in self._fits.items():
            found = record.get(name)
            if found is not None and not fits(found):
                raise NotAnExampleError(f"{WRONG_TYPE}{name}")
        if record.get(self._event_time) is None:
            raise NotAnExampleError(NO_EVENT_TIME)
        return record

    def _table(self, records: list[dict[str, Any]]) -> pa.Table:
        columns = [[record.get(name) for record in records] for name in self.schema.names]
        for position, type_ in enumerate(self.schema.types):
            if pa.types.is_floating(type_):
                columns[position] = [one if one is None else float(one) + 0.0 for one in columns[position]]
        arrays = [pa.array(column, type_) for column, type_ in zip(columns, self.schema.types, strict=True)]
        return pa.table(arrays, self.schema)

    def _unknown(self, record: dict[str, Any]) -> tuple[str, ...]:
        if len(record) <= len(self._fits) and record.keys() <= self._fits.keys():
            return ()
        return tuple(name for name in record if name not in self._fits and record[name] is not None)


def _one_line_each(values: Sequence[bytes | None]) -> bytes | None:
    """The values as lines and the last line, if the text shows that each value is at most one JSON object.

    Each line begins with a brace and ends with one; inside none does an object end where another begins.
    So as many rows as lines, if the parser finds them, are one row a line: a blank value and one that
    holds two objects cannot make up for each other.
    """
    try:
        lines = b"\n".join([*values, LAST_LINE])  # type: ignore[list-item]
    except TypeError:
        return None
    text = np.frombuffer(lines, np.uint8)
    if not values or np.count_nonzero(text == NEWLINE) != len(values) or not _is_utf8(lines):
        return None
    lengths = np.fromiter(map(len, values), np.int64, len(values))  # type: ignore[arg-type]
    line_breaks = np.cumsum(lengths + 1) - 1
    if (text[line_breaks - lengths] != OPENING).any() or (text[line_breaks - 1] != CLOSING).any():
        return None
    # One closing brace a line is the one at its end; only where there are more is a search worth its time.
    surplus = np.count_nonzero(text == CLOSING) > len(values) + 1
    return None if surplus and TWO_OBJECTS.search(lines) else lines


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _finite(table: pa.Table) -> pa.Table | None:
    """The table, or None if a float is NaN or infinite.

    Negative zero becomes zero: read one by one, ``-0`` is an int and has lost its sign already.
    """
    for position, column in enumerate(table.schema):
        if pa.types.is_floating(column.type):
            numbers = table.column(position)
            if pc.all(pc.is_finite(numbers), min_count=0).as_py() is False:
                return None
            table = table.set_column(position, column, pc.add(numbers, 0.0))
    return table


def _decode(value: bytes | None) -> dict[str, Any]:
    if value is None:
        raise NotAnExampleError(TOMBSTONE)
    try:
        record = orjson.loads(value)
    except orjson.JSONDecodeError:
        raise NotAnExampleError(NOT_JSON) from None
    if not isinstance(record, dict):
        raise NotAnExampleError(NOT_AN_OBJECT)
    return record


def _is_int64(found: object) -> bool:
    return type(found) is int and found in INT64  # bool is an int to isinstance, and none to us


FITS: dict[ColumnType, Callable[[object], bool]] = {
    "string": lambda found: type(found) is str,
    "int": _is_int64,
    "float": lambda found: type(found) in (int, float),
}
