"""Looks at all sources of all pipelines at the same time, for no longer than a scrape may take.

One that hangs must not take away what the others tell: Prometheus would drop the whole answer, the alerts
that fire would seem to be over, and the one that names the silent source could never fire.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from datetime import datetime

from ml.config import Pipeline
from ml.errors import RetrainingError
from ml.release.questions import Questions
from ml.release.standing import Sample, Sources, certain, readings

log = logging.getLogger(__name__)

# Below scrape_timeout in deploy/prometheus/prometheus.yml.
ANSWER_SECONDS = 15.0


class Observer:
    """How some pipelines stand."""

    def __init__(
        self, pipelines: Sequence[Pipeline], sources: Sources, seconds: float = ANSWER_SECONDS
    ) -> None:
        """Remember whom to ask.

        Args:
            pipelines: which.
            sources: where they are read from.
            seconds: for how long; who has not answered by then is silent.
        """
        self._pipelines = pipelines
        self._sources = sources
        self._seconds = seconds
        self._questions: Questions[tuple[str, str], list[Sample]] = Questions()

    def observe(self, now: datetime) -> Iterator[tuple[str, Sample]]:
        """(pipeline's name, sample) of all that can be told; any number of threads may ask."""
        for pipeline in self._pipelines:
            for sample in certain(pipeline, now):
                yield pipeline.name, sample
        answers = self._questions.ask(
            {
                (pipeline.name, source): read
                for pipeline in self._pipelines
                for source, read in readings(pipeline, self._sources, now).items()
            },
            self._seconds,
        )
        for (name, source), answer in answers.items():
            samples = self._told(name, source, answer)
            yield name, Sample("retraining_source_up", float(samples is not None), (source,))
            for sample in samples or ():
                yield name, sample

    def _told(self, name: str, source: str, answer: Future[list[Sample]]) -> list[Sample] | None:
        """What a source has answered; None, and a line in the log, if it is silent."""
        if not answer.done():
            log.warning("the %s of %s has not answered for %g s", source, name, self._seconds)
            return None
        if error := answer.exception():
            trace = None if isinstance(error, RetrainingError | OSError) else error
            log.warning("the %s of %s tells nothing: %s", source, name, error, exc_info=trace)
            return None
        return answer.result()
