from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from ml.config import Slice
from ml.errors import Misconfigured
from ml.evaluation.slices import MAX_VALUES, Partition, partition, slice_columns


def encoded(**columns: list[Any]) -> pa.Table:
    return pa.table({name: pa.array(values).dictionary_encode() for name, values in columns.items()})


def names_by_row(part: Partition) -> list[str | None]:
    return [part.slices[code - 1] if code else None for code in part.codes]


def test_a_slice_by_a_feature_has_a_name_for_each_value() -> None:
    [device] = partition([Slice(by="device")], encoded(device=["tv", "mobile", "tv"]))

    assert device.name == "device"
    assert device.slices == ("device.mobile", "device.tv")
    assert names_by_row(device) == ["device.tv", "device.mobile", "device.tv"]


def test_a_named_slice_holds_the_rows_that_all_its_features_accept() -> None:
    young = Slice(name="young", where={"user_type": ("new", "trial"), "hour": (1, 2)})
    [part] = partition([young], encoded(user_type=["new", "trial", "old", "new"], hour=[1, 2, 1, 3]))

    assert names_by_row(part) == ["young", "young", None, None]


def test_rows_without_a_value_are_a_slice_and_match_no_name() -> None:
    by, named = partition(
        [Slice(by="os"), Slice(name="linux", where={"os": ("linux",)})], encoded(os=["linux", None])
    )

    assert names_by_row(by) == ["os.linux", "os._missing_"]
    assert names_by_row(named) == ["linux", None]


def test_a_slice_that_nobody_is_in_is_still_there() -> None:
    [part] = partition([Slice(name="linux", where={"os": ("linux",)})], encoded(os=["ios"]))

    assert part.slices == ("linux",)
    assert names_by_row(part) == [None]


def test_the_rarest_of_very_many_values_share_a_slice() -> None:
    users = [f"u{number:03}" for number in range(MAX_VALUES + 2)]
    [part] = partition([Slice(by="user")], encoded(user=users * 2 + users[:MAX_VALUES]))

    assert len(part.slices) == MAX_VALUES + 1
    assert names_by_row(part)[: len(users)] == [*(f"user.{u}" for u in users[:-2]), *["user._other_"] * 2]


def test_batches_with_other_dictionaries_are_cut_alike() -> None:
    whole = pa.concat_tables([encoded(os=["ios", "linux"]), encoded(os=["linux", "macos"])])
    [part] = partition([Slice(by="os")], whole)

    assert names_by_row(part) == ["os.ios", "os.linux", "os.linux", "os.macos"]


def test_two_slices_of_one_name_are_refused() -> None:
    slices = [Slice(by="os"), Slice(name="os.ios", where={"os": ("ios",)})]

    with pytest.raises(Misconfigured, match=r"os\.ios"):
        partition(slices, encoded(os=["ios"]))


def test_only_the_columns_that_slices_name_are_read() -> None:
    slices = [Slice(by="os"), Slice(name="night", where={"hour": (1,), "os": ("ios",)})]

    assert slice_columns(slices) == ["hour", "os"]
