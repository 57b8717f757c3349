"""Reading TFDV's quantile histograms as a distribution function.

In TFDV's ``QUANTILES`` histogram a bucket holds the values in ``(low, high]``, the first one its lower end
too, and the number of values up to the end of a bucket is exact but for the sketch's error. A value that
fills several quantiles appears as buckets of no width: a *point*.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tensorflow_metadata.proto.v0 import statistics_pb2

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Distribution:
    """How many values are at most x.

    Attributes:
        knots: ascending values where the number is known.
        cumulative: the number of values up to each knot, whole.
        points: whether the values since the last knot all lie at the knot. Elsewhere they are spread
            evenly between the two.
    """

    knots: Floats
    cumulative: Floats
    points: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, feature: statistics_pb2.FeatureNameStatistics) -> Distribution:
        """The distribution of a field's values; empty if it has none."""
        for histogram in feature.num_stats.histograms:
            if histogram.type == statistics_pb2.Histogram.QUANTILES and histogram.buckets:
                return cls._of_buckets(histogram.buckets)
        return cls(np.empty(0), np.empty(0), np.empty(0, np.bool_))

    @classmethod
    def _of_buckets(cls, buckets: Iterable[statistics_pb2.Histogram.Bucket]) -> Distribution:
        rows = [(bucket.low_value, bucket.high_value, bucket.sample_count) for bucket in buckets]
        low, high, count = np.array(rows, np.float64).T
        widthless = high[low == high]
        if low[0] < high[0]:
            high, count = np.insert(high, 0, low[0]), np.insert(count, 0, 0.0)
        knots, last = np.unique(high[::-1], return_index=True)
        cumulative = np.round(np.cumsum(count)[len(high) - 1 - last])
        return cls(knots, cumulative, points=np.isin(knots, widthless))

    def up_to(self, values: Floats) -> Floats:
        """How many values are at most each of these."""
        if not len(self.knots):
            return np.zeros(len(values))
        at = np.searchsorted(self.knots, values, side="right")
        before = np.insert(self.cumulative, 0, 0.0)[at]
        interpolated = np.interp(values, self.knots, self.cumulative, left=0.0)
        inside = (at > 0) & ~np.append(self.points, True)[at]
        result: Floats = np.where(inside, interpolated, before)
        return result
