"""Read the manifest's offset ranges and write the window's examples."""

from __future__ import annotations

import logging
import os
import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ml.artifact import Window
from ml.config import Pipeline
from ml.connections import KafkaConnection
from ml.landing.block import Block
from ml.landing.expiry import read_ranges
from ml.landing.files import ExampleFiles, ParquetFiles
from ml.landing.garbage import rare_searches
from ml.landing.late import EarlierDays, report_late
from ml.landing.progress import Progress
from ml.landing.ranges import OFFSETS_FILE, OffsetManifest
from ml.landing.repeats import drop_repeats
from ml.landing.selection import REJECTS, Landed, Selection
from ml.landing.tally import Tally
from ml.landing.topic import Topic
from ml.store import Draft

log = logging.getLogger(__name__)

REJECTS_FILE = "rejects.parquet"
MOST_PARSERS = 4
BLOCKS_UNDER_WAY = 8  # about a row group: parsers have work while one is written
REJECTS_GROUP_ROWS = 4_096


@dataclass(frozen=True)
class Source:
    """Where a window's records are read from.

    Attributes:
        offsets: the directory of the offset manifest.
        earlier: the days whose late events are counted in passing; None in a refreshment.
        kafka: how to reach the brokers.
    """

    offsets: Path
    earlier: EarlierDays | None
    kafka: KafkaConnection


def land_examples(pipeline: Pipeline, window: Window, source: Source, draft: Draft) -> None:
    """Write the examples of a window, its rejects and its exact counts, whatever these say.

    Reads the manifest's ranges one partition after the other, so rows are ordered by partition and offset.
    Which records are kept is decided for each by itself, and files are cut by numbers of rows. So the same
    ranges give the same bytes, however the network cuts them, and so do other ranges with the same records
    of the window in them. Values are parsed by threads while the next are fetched; a fixed number of
    blocks is under way at a time, so memory does not grow with the day. If ``landing.deduplicate`` names a
    field, rows that repeat an earlier one are dropped at the end.

    Args:
        pipeline: the settings.
        window: whose records are wanted.
        source: where they are.
        draft: gets ``part-*.parquet``, ``rejects.parquet`` and ``measured/offsets.json``; facts and
            measurements as `Tally`, and the measurement ``late_by_day``: what was met of earlier days, None
            of those that were never landed.

    Raises:
        Unavailable: if the brokers do not answer, or fall silent.
        Misconfigured: if the topic is gone, or the brokers refuse us.
        WindowExpired: if the topic has lost some of the manifest's offsets.
    """
    manifest = OffsetManifest.read(source.offsets)
    selection = Selection.of(pipeline, window, manifest.decision, source.earlier)
    progress = Progress(manifest.record_count)
    with rare_searches(), Topic(source.kafka, manifest.topic) as topic:
        topic.partitions()  # asks once, so that what is out of reach is named now and not after a silence
        landed = _landed(selection, read_ranges(topic, manifest, window))
        tally = _write(landed, selection, progress, draft.path)
    if pipeline.landing.deduplicate:
        tally.drop(drop_repeats(draft.path, pipeline.landing.deduplicate))
    shutil.copytree((source.offsets / OFFSETS_FILE).parent, (draft.path / OFFSETS_FILE).parent)
    draft.facts.update(tally.as_facts())
    draft.measurements.update(
        tally.as_measurements(), seconds=progress.seconds, records_per_second=progress.rate
    )
    log.info("%s %s: %s", pipeline.name, window, _sentence(tally, progress))
    if source.earlier:
        draft.measurements["late_by_day"] = source.earlier.by_day(tally.earlier)
        report_late(pipeline, source.earlier, draft.measurements["late_by_day"])
    else:
        log.info("late events of earlier days are not counted, because this is a refreshment")


def _landed(selection: Selection, blocks: Iterable[Block]) -> Iterator[Landed]:
    """Parse blocks in threads and hand them on in their order, with few of them in memory."""
    parsers = min(MOST_PARSERS, os.cpu_count() or 1)
    pending: deque[Future[Landed]] = deque()
    with ThreadPoolExecutor(parsers, "parser") as pool:
        for block in blocks:
            pending.append(pool.submit(selection.land, block))
            if len(pending) > BLOCKS_UNDER_WAY:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _write(landed: Iterator[Landed], selection: Selection, progress: Progress, path: Path) -> Tally:
    tally = Tally()
    with ExampleFiles(path, selection.schema) as examples, _reject_file(path) as rejects:
        for block in landed:
            examples.write(block.examples)
            rejects.write(block.rejects)
            tally.add(block.tally)
            progress.advance(block.tally.scanned)
    return tally


def _reject_file(path: Path) -> ParquetFiles:
    return ParquetFiles(lambda _: path / REJECTS_FILE, REJECTS, REJECTS_GROUP_ROWS)


def _sentence(tally: Tally, progress: Progress) -> str:
    rejected = ", ".join(f"{count} {reason}" for reason, count in sorted(tally.rejected.items())) or "none"
    return (
        f"{tally.accepted} examples out of {tally.scanned} records in {progress.seconds:.1f} s "
        f"({progress.rate:.0f} records/s); rejected: {rejected}; outside the window: {tally.outside}; "
        f"late: {tally.late}{'' if tally.duplicates is None else f'; repeats: {tally.duplicates}'}"
    )
