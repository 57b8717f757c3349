from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import schema_pb2

from tests.demo.clicks import Corruption, Damage, Day, Truth, World, __main__, auc, render
from tests.demo.clicks.day import BLOCK_RECORDS, DAY_MS, HOUR_MS, LATE_AFTER_MS
from tests.demo.clicks.world import BRANDS_PER_CATEGORY, DEVICES, USER_TYPES

SCHEMA = Path(__file__).parents[2] / "ml" / "pipelines" / "clicks" / "schema.pbtxt"


def values(day: Day) -> list[bytes]:
    return [value for block in day.blocks() for value in render(day, block)]


def column(day: Day, name: str) -> np.ndarray:
    return np.concatenate([getattr(block.shown, name) for block in day.blocks()])


@pytest.fixture(scope="module")
def day() -> Day:
    return Day(date(2026, 11, 20), records=20_000, seed=7)


@pytest.fixture(scope="module")
def long_day() -> Day:
    return Day(date(2026, 11, 20), records=3 * BLOCK_RECORDS + 1, seed=7)


@pytest.fixture(scope="module")
def records(day) -> list[dict]:
    return [json.loads(value) for value in values(day)]


@pytest.fixture(scope="module")
def schema() -> schema_pb2.Schema:
    return text_format.Parse(SCHEMA.read_text(), schema_pb2.Schema())


def test_a_record_has_the_fields_of_the_reviewed_schema(records, schema):
    fields = {feature.name for feature in schema.feature}

    assert {frozenset(record) for record in records} == {frozenset(fields), frozenset(fields - {"age"})}


def test_every_value_is_of_the_schemas_type_and_domain(records, schema):
    types = {schema_pb2.BYTES: str, schema_pb2.INT: int, schema_pb2.FLOAT: float}
    for feature in schema.feature:
        found = [record[feature.name] for record in records if feature.name in record]
        assert {type(value) for value in found} == {types[feature.type]}, feature.name
        if feature.string_domain.value:
            assert set(found) == set(feature.string_domain.value), feature.name
        if feature.HasField("int_domain"):
            assert feature.int_domain.min <= min(found), feature.name
            assert max(found) <= (feature.int_domain.max or sys.maxsize), feature.name


def test_a_record_is_about_350_bytes(day):
    assert 320 < np.mean([len(value) for value in values(day)]) < 380


def test_a_record_says_what_was_generated(day, records):
    block = next(day.blocks())
    for row in range(0, len(block), 997):
        record = records[row]
        assert record["event_time"] == block.shown.event_time[row]
        assert record["price"] == block.shown.price[row]
        assert record["device"] == DEVICES[block.shown.device[row]]
        assert record["user_type"] == USER_TYPES[day.world.users.returning[block.shown.user[row]]]
        assert record["clicked"] == block.clicked[row]


def test_event_ids_are_unique(long_day):
    other = replace(long_day, seed=8, records=1000)

    assert len({json.loads(value)["event_id"] for value in values(long_day) + values(other)}) == (
        long_day.records + other.records
    )


def test_about_a_seventh_of_the_users_keep_their_age_to_themselves(records):
    assert 0.13 < np.mean(["age" not in record for record in records]) < 0.17


def test_a_few_users_and_items_make_much_of_the_traffic(long_day):
    busiest = sorted(Counter(column(long_day, "item").tolist()).values(), reverse=True)[:500]

    assert 0.2 < sum(busiest) / long_day.records < 0.6
    assert len(set(column(long_day, "user").tolist())) > 80_000


def test_a_brand_belongs_to_one_category():
    items = World.of(1).items

    assert (items.brand // BRANDS_PER_CATEGORY == items.category).all()
    assert len(np.unique(items.brand)) == 500


def test_a_session_keeps_its_user_and_device(long_day):
    session = column(long_day, "session")
    kept = np.stack(
        [session, column(long_day, "user"), column(long_day, "device"), column(long_day, "system")]
    )

    assert len(np.unique(kept, axis=1).T) == len(np.unique(session)) < long_day.records


def test_the_same_day_is_the_same_bytes(day):
    assert values(day) == values(replace(day))


def test_another_seed_is_another_day_in_the_same_world(day):
    other = replace(day, seed=8)

    assert set(values(day)).isdisjoint(values(other))
    assert other.world is day.world


@pytest.mark.parametrize("records", [0, 1, BLOCK_RECORDS, BLOCK_RECORDS + 1])
@pytest.mark.parametrize("late", [0.0, 0.5, 1.0])
def test_a_day_has_the_asked_number_of_records_in_blocks_of_bounded_size(records, late):
    sizes = [len(block) for block in Day(date(2026, 11, 20), records, seed=1, late=late).blocks()]

    assert sum(sizes) == records
    assert all(0 < size <= BLOCK_RECORDS for size in sizes)


def test_events_lie_within_the_day_and_reach_the_log_slightly_out_of_order(long_day):
    time = column(long_day, "event_time")

    assert long_day.start_ms <= time.min() < time.max() < long_day.start_ms + DAY_MS
    assert 0.01 < np.mean(np.diff(time) < 0) < 0.5
    assert np.diff(time).min() > -HOUR_MS


def test_traffic_is_highest_in_the_evening(long_day):
    by_hour = np.bincount((column(long_day, "event_time") - long_day.start_ms) // HOUR_MS)

    assert by_hour.argmax() in (19, 20)
    assert by_hour.max() > 2 * by_hour.min() > 0


def test_late_events_are_of_the_day_but_arrive_hours_after_it(day):
    *_, block = replace(day, late=0.02).blocks()

    assert len(block) == day.records * 0.02
    assert (block.arrival >= day.start_ms + DAY_MS + LATE_AFTER_MS).all()
    assert block.shown.event_time.max() < day.start_ms + DAY_MS


def test_damage_is_what_it_says_and_as_frequent_as_asked(day):
    corruption = Corruption(negative_quantity=0.02, missing_item=0.01, not_json=0.03, immense_price=0.02)
    damaged = replace(day, corruption=corruption)
    [block] = damaged.blocks()
    for value, damage in zip(render(damaged, block), block.damage, strict=True):
        if damage == Damage.NOT_JSON:
            with pytest.raises(json.JSONDecodeError):
                json.loads(value)
        else:
            record = json.loads(value)
            assert (record["quantity"] == -1) == (damage == Damage.NEGATIVE_QUANTITY)
            assert ("item_id" not in record) == (damage == Damage.MISSING_ITEM)
            assert (record["price"] > 3.5e38) == (damage == Damage.IMMENSE_PRICE)

    shares = np.bincount(block.damage) / len(block)
    assert shares == pytest.approx([0.02, 0.01, 0.03, 0.02, 0.92], abs=0.005)


def test_damage_changes_no_other_record(day):
    damaged = values(replace(day, corruption=Corruption(negative_quantity=0.02, not_json=0.02)))

    assert np.mean([left == right for left, right in zip(values(day), damaged, strict=True)]) > 0.95


def test_a_day_has_the_asked_mix_of_devices_and_nothing_else_moves(long_day):
    drifted = replace(long_day, devices=(0.3, 0.3, 0.4))
    shares = np.bincount(column(drifted, "device")) / drifted.records

    assert shares == pytest.approx([0.3, 0.3, 0.4], abs=0.01)
    assert (column(drifted, "price") == column(long_day, "price")).all()


def test_shares_of_devices_that_do_not_add_up_are_refused(day):
    with pytest.raises(ValueError, match="mobile, desktop, tablet must add up to 1"):
        replace(day, devices=(0.5, 0.4, 0.2))


@pytest.mark.parametrize("behaviour", ["usual", "reversed"])
def test_about_one_impression_in_eight_is_clicked(long_day, behaviour):
    blocks = list(replace(long_day, behaviour=behaviour).blocks())
    clicked = np.concatenate([block.clicked for block in blocks])
    probability = np.concatenate([block.probability for block in blocks])

    assert 0.11 < clicked.mean() < 0.14
    assert clicked.mean() == pytest.approx(probability.mean(), abs=4 * np.sqrt(0.125 / len(clicked)))


@pytest.mark.parametrize("behaviour", ["usual", "reversed"])
def test_the_best_reachable_auc_is_known(long_day, behaviour):
    assert 0.75 < replace(long_day, behaviour=behaviour).best_auc() < 0.79


def test_the_best_auc_of_a_part_of_the_day_is_that_of_its_events(day):
    boundary = day.start_ms + 19 * HOUR_MS
    [block] = day.blocks()
    held_out = block.shown.event_time >= boundary

    assert day.best_auc(start_ms=boundary) == auc(block.probability[held_out], block.clicked[held_out])
    assert day.best_auc(end_ms=boundary) == auc(block.probability[~held_out], block.clicked[~held_out])
    assert day.best_auc(day.start_ms, day.start_ms + DAY_MS) == day.best_auc()


def test_who_knows_the_usual_behaviour_only_is_lost_after_the_reversal(long_day):
    usual = Truth.of(long_day.world_seed, "usual")
    blocks = list(replace(long_day, behaviour="reversed").blocks())
    stale = np.concatenate([usual.probability(block.shown) for block in blocks])
    clicked = np.concatenate([block.clicked for block in blocks])

    assert auc(stale, clicked) < 0.62


@given(st.data(), st.integers(2, 40))
def test_auc_is_the_share_of_rightly_ordered_pairs(data, size):
    score = np.array(data.draw(st.lists(st.floats(0, 1), min_size=size, max_size=size, unique=True)))
    clicked = np.array([0, 1, *data.draw(st.lists(st.integers(0, 1), min_size=size - 2, max_size=size - 2))])
    pairs = [high > low for high in score[clicked == 1] for low in score[clicked == 0]]

    assert auc(score, clicked) == pytest.approx(np.mean(pairs))


def test_auc_of_one_label_alone_is_refused():
    with pytest.raises(ValueError, match="needs both labels, found 0 clicked and 2 not"):
        auc(np.array([0.1, 0.2]), np.array([0, 0]))


def test_the_command_prints_rate_and_best_auc(capsys, monkeypatch, day):
    monkeypatch.setattr(
        sys, "argv", ["clicks", "--records", str(day.records), "--seed", "7", "--date", "2026-11-20"]
    )

    __main__.main()

    printed = capsys.readouterr().out
    assert "records/s" in printed
    assert f"best reachable AUC {day.best_auc():.4f}" in printed
