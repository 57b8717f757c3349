from __future__ import annotations

import json
import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ml.landing.parsing import Parsed, Parser

COLUMNS = {"t": "int", "name": "string", "price": "float", "count": "int"}
GOOD = b'{"t":1,"name":"a","price":1.5,"count":2}'
EVENT_TIME = "t"


@pytest.fixture(scope="module")
def parser() -> Parser:
    return Parser(COLUMNS, EVENT_TIME)


def oracle(value: bytes | None) -> dict[str, Any] | str:
    """The row that a value must become, or the reason why it becomes none. Slow and plain."""
    if value is None:
        return "tombstone"
    try:
        record = json.loads(value.decode("utf-8"), parse_constant=_refuse, parse_float=_finite)
        json.dumps(record, ensure_ascii=False).encode("utf-8")  # no half of a surrogate pair
    except (ValueError, UnicodeError):
        return "not JSON"
    if not isinstance(record, dict):
        return "not an object"
    row = {}
    for name, kind in COLUMNS.items():
        found = record.get(name)
        fits = {
            "string": isinstance(found, str),
            "int": isinstance(found, int) and not isinstance(found, bool) and -(2**63) <= found < 2**63,
            "float": isinstance(found, (int, float)) and not isinstance(found, bool),
        }[kind]
        if found is not None and not fits:
            return f"wrong type: {name}"
        row[name] = float(found) if kind == "float" and found is not None else found
    return "no event time" if row[EVENT_TIME] is None else row


def _refuse(name: str) -> None:
    raise ValueError(name)


def _finite(text: str) -> float:
    if math.isinf(float(text)):
        raise ValueError(text)
    return float(text)


def outcomes(parsed: Parsed) -> dict[int, dict[str, Any] | str]:
    rows = dict(zip(parsed.rows.tolist(), parsed.table.to_pylist(), strict=True))
    assert not rows.keys() & parsed.rejects.keys()
    return {**rows, **parsed.rejects}


def agree(parser: Parser, values: list[bytes | None]) -> None:
    parsed = parser.parse(values)

    assert outcomes(parsed) == {position: oracle(value) for position, value in enumerate(values)}
    assert parsed.table.schema == parser.schema
    assert parsed.rows.tolist() == sorted(parsed.rows.tolist())


ODD = {
    "tombstone": None,
    "nothing": b"",
    "blanks": b"   ",
    "cut off": b'{"t":1,"na',
    "an array": b"[]",
    "a number": b"1",
    "null, on which Arrow's parser crashes": b"null",
    "true": b"true",
    "two objects": b'{"t":1}{"t":2}',
    "two objects, a blank between": b'{"t":1} {"t":2}',
    "two objects, a line between": b'{"t":1}\n{"t":2}',
    "an object and a comma": b'{"t":1},{"t":2}',
    "surplus bracket": b'{"t":1}}',
    "surplus brackets": b'{"t":1}]}',
    "a byte zero and a bracket": b'{"t":1}\x00}',
    "a byte zero": b'{"t":1}\x00',
    "a byte zero in a string": b'{"t":1,"name":"a\x00b"}',
    "a line break in a string": b'{"t":1,"name":"a\nb"}',
    "a tab in a string": b'{"t":1,"name":"a\tb"}',
    "unfinished, ends like an object": b'{"t":1,"name":"}',
    "unfinished object in an object": b'{"t":1,"x":{"y":1}',
    "comma at the end": b'{"t":1,}',
    "single quotes": b"{'t':1}",
    "a comment": b'{"t":1}//}',
    "byte order mark": b'\xef\xbb\xbf{"t":1}',
    "latin-1": b'{"t":1,"name":"\xe9"}',
    "latin-1 in a field that is not ours": b'{"t":1,"x":"\xe9"}',
    "half a surrogate pair": b'{"t":1,"name":"\\ud800"}',
    "half a surrogate pair in UTF-8": b'{"t":1,"name":"\xed\xa0\x80"}',
    "NaN": b'{"t":1,"price":NaN}',
    "minus infinity": b'{"t":1,"price":-Infinity}',
    "Arrow's Inf": b'{"t":1,"price":Inf}',
    "NaN as an int": b'{"t":1,"count":NaN}',
    "NaN in a field that is not ours": b'{"t":1,"x":NaN}',
    "NaN deep in a field that is not ours": b'{"t":1,"x":[{"y":NaN}]}',
    "beyond a double": b'{"t":1,"price":1e999}',
    "beyond a double in a field that is not ours": b'{"t":1,"x":1e999}',
    "int beyond int64": b'{"t":1,"count":9223372036854775808}',
    "int below int64": b'{"t":1,"count":-9223372036854775809}',
    "int far beyond": b'{"t":1,"count":123456789012345678901234567890}',
    "a point in an int": b'{"t":1,"count":1.0}',
    "an exponent in an int": b'{"t":1,"count":1e3}',
    "a leading zero": b'{"t":1,"count":01}',
    "a leading plus": b'{"t":1,"count":+1}',
    "a point without digits": b'{"t":1,"price":1.}',
    "a number in quotes": b'{"t":1,"count":"1"}',
    "a number for a string": b'{"t":1,"name":1}',
    "a boolean for a string": b'{"t":1,"name":true}',
    "a boolean for an int": b'{"t":1,"count":true}',
    "a boolean for a float": b'{"t":1,"price":false}',
    "an object for a string": b'{"t":1,"name":{}}',
    "a list for a float": b'{"t":1,"price":[1.5]}',
    "no event time": b'{"name":"a"}',
    "event time null": b'{"t":null}',
    "event time a float": b'{"t":1.5}',
    "event time a string": b'{"t":"2026-03-10"}',
    "empty object": b"{}",
}
FINE = {
    "blanks around": b' {"t":1}\t',
    "a line break after": b'{"t":1}\n',
    "carriage return after": b'{"t":1}\r\n',
    "several lines": b'{\n  "t": 1,\n  "name": "a"\n}',
    "lowest int64": b'{"t":-9223372036854775808}',
    "highest int64": b'{"t":9223372036854775807}',
    "an int for a float": b'{"t":1,"price":2}',
    "a large int for a float": b'{"t":1,"price":9007199254740993}',
    "a very large int for a float": b'{"t":1,"price":123456789012345678901234567890}',
    "nothing so small": b'{"t":1,"price":1e-400}',
    "negative zero": b'{"t":1,"price":-0.0}',
    "negative zero without a point": b'{"t":1,"price":-0}',
    "nulls": b'{"t":1,"name":null,"price":null,"count":null}',
    "a repeated name": b'{"t":1,"name":"a","name":"b"}',
    "a repeated event time": b'{"t":1,"t":2}',
    "a name with an escape": b'{"\\u0074":1}',
    "an escaped line break": b'{"t":1,"name":"a\\nb"}',
    "an escaped byte zero": b'{"t":1,"name":"a\\u0000b"}',
    "a surrogate pair": b'{"t":1,"name":"\\ud83d\\ude00"}',
    "braces in a string": b'{"t":1,"name":"}{"}',
    "beyond ASCII": '{"t":1,"name":"größe 日本"}'.encode(),
    "a field that is not ours": b'{"t":1,"x":1}',
    "objects in a field that is not ours": b'{"t":1,"x":[{"y":1},{"z":{}}]}',
    "an empty name": b'{"t":1,"":1}',
}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD.keys())
def test_what_is_no_example_is_rejected_and_moves_no_neighbour(parser: Parser, value: bytes | None) -> None:
    assert isinstance(oracle(value), str)
    for values in ([value], [GOOD, value, GOOD], [value, GOOD], [GOOD, value]):
        agree(parser, values)


@pytest.mark.parametrize("value", FINE.values(), ids=FINE.keys())
def test_unusual_but_valid_json_is_an_example(parser: Parser, value: bytes) -> None:
    assert not isinstance(oracle(value), str)
    for values in ([value], [GOOD, value, GOOD], [value, GOOD], [GOOD, value]):
        agree(parser, values)


@pytest.mark.parametrize("gap", [b"", b"  ", None])
@pytest.mark.parametrize("pair", [b'{"t":7}{"t":8}', b'{"t":7}\n{"t":8}', b'{"t":7}}', b'{"t":7}\r{"t":8}'])
def test_a_missing_row_and_a_surplus_one_do_not_cancel_out(
    parser: Parser, gap: bytes | None, pair: bytes
) -> None:
    agree(parser, [GOOD, gap, GOOD, pair, GOOD])
    agree(parser, [GOOD, pair, GOOD, gap, GOOD])
    agree(parser, [pair, b'{"t":3}}', b'{"t":4}'])


@pytest.mark.parametrize(
    "surplus", [b'{"t":1}{"t":2}{"t":3}', b'null null{"t":2}', b'{"t":1}\t{"t":2} {"t":3}']
)
@pytest.mark.parametrize("stop", [b'{"t":3}}', b'{"t":3}]', b'{"t":3}\x00}'])
def test_a_surplus_row_and_an_early_stop_do_not_cancel_out(
    parser: Parser, surplus: bytes, stop: bytes
) -> None:
    agree(parser, [GOOD, surplus, stop, b'{"t":4}'])
    agree(parser, [GOOD, surplus, stop])


def test_reasons_name_the_field(parser: Parser) -> None:
    parsed = parser.parse([b'{"t":1,"count":"1"}', b'{"name":"a"}', b"oops", None, b"[]"])

    assert parsed.rejects == {
        0: "wrong type: count",
        1: "no event time",
        2: "not JSON",
        3: "tombstone",
        4: "not an object",
    }


def test_unknown_fields_are_named_for_each_row(parser: Parser) -> None:
    parsed = parser.parse([b'{"t":1,"x":1,"y":null}', b"oops", GOOD, b'{"t":1,"z":{"x":1},"x":"a"}'])

    assert parsed.unknown == [("x",), (), ("z", "x")]


def test_an_empty_block_is_an_empty_table(parser: Parser) -> None:
    parsed = parser.parse([])

    assert (parsed.table.num_rows, parsed.rejects) == (0, {})


def test_clean_blocks_are_read_in_bulk(parser: Parser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Parser, "_one_by_one", lambda *_: pytest.fail("read one by one"))

    parsed = parser.parse([GOOD, '{"t":2,"name":"größe","price":null}'.encode(), b'{"name":"no time"}'])

    assert parsed.rejects == {2: "no event time"}


def test_columns_have_the_types_of_the_schema(parser: Parser) -> None:
    assert parser.schema.types == [pa.int64(), pa.string(), pa.float64(), pa.int64()]


def test_deep_nesting_is_refused_and_not_fatal(parser: Parser) -> None:
    deep = b'{"t":1,"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}"

    assert outcomes(parser.parse([GOOD, deep]))[1] == "not JSON"


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
field_values = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    scalars,
)
names = st.sampled_from([*COLUMNS, "x", "}{"])
records = st.dictionaries(
    names, field_values | st.lists(scalars, max_size=2) | st.dictionaries(names, scalars, max_size=2)
)
encoded = st.builds(
    lambda record, ascii_, indent: json.dumps(record, ensure_ascii=ascii_, indent=indent).encode(
        "utf-8", "surrogatepass"
    ),
    records,
    st.booleans(),
    st.sampled_from([None, 1]),
)
proper = st.builds(
    lambda t, name, price, count: json.dumps({"t": t, "name": name, "price": price, "count": count}).encode(),
    st.integers(-(2**63), 2**63 - 1),
    st.none() | st.text(max_size=8),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.integers(-(2**63), 2**63 - 1),
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A proper record with a byte or two removed, doubled or replaced."""
    value = bytearray(draw(proper))
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(value) - 1))
        value[at : at + 1] = draw(
            st.sampled_from([b"", b"{", b"}", b"\n", b'"', b",", b" ", b"\x00", b"1", b"\xff"])
        )
    return bytes(value)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(proper, encoded, damaged(), st.sampled_from([*ODD.values(), *FINE.values()])), max_size=6
    )
)
@example([b'{"t":1}{"t":2}', b'{"t":3}}', b'{"t":4}'])
def test_bulk_and_oracle_agree_on_anything(values: list[bytes | None]) -> None:
    agree(Parser(COLUMNS, EVENT_TIME), values)


@settings(max_examples=100, deadline=None)
@given(st.lists(proper, min_size=1, max_size=20))
def test_bulk_and_one_by_one_give_the_same_columns(values: list[bytes]) -> None:
    parser = Parser(COLUMNS, EVENT_TIME)
    alone = [parser.parse([value, b'{"t":1,"x":1}']).table.slice(0, 1) for value in values]

    assert parser.parse(values).table.equals(pa.concat_tables(alone).combine_chunks())
