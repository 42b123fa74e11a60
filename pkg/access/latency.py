"""A histogram of durations with fixed buckets, so that histograms of any place and time add up.

Bounds follow the E24 series of IEC 60063 (1.0, 1.1, 1.2, 1.3, 1.5, ... 9.1), 24 for each power of ten, from 100 µs to
100 s. The bounds of a bucket differ by 16 % at most; a percentile is told as their geometric mean and so is at most 8 %
away from a duration that was measured. Each bound has two significant digits, as those of Envoy's own histograms have
(https://github.com/openhistogram/libcircllhist), so that Envoy's buckets fit into these whole.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping

_E24: tuple[int, ...] = (10, 11, 12, 13, 15, 16, 18, 20, 22, 24, 27, 30, 33, 36, 39, 43, 47, 51, 56, 62, 68, 75, 82, 91)
_FIRST_US, _DECADES = 100, 6
# Bucket 0 is below the first bound, bucket n from bound n - 1 up to bound n, the last one has no upper bound.
BOUNDS_US: tuple[int, ...] = (
    *(e * _FIRST_US * 10**decade // 10 for decade in range(_DECADES) for e in _E24),
    int(_FIRST_US * 10**_DECADES),
)
BUCKETS = len(BOUNDS_US) + 1

Latencies = Mapping[int, int]  # how many by bucket; none is 0


def bucket_of(duration_us: float) -> int:
    """The bucket of a duration in microseconds."""
    return bisect_right(BOUNDS_US, duration_us)


def merged(one: Latencies, other: Latencies) -> Latencies:
    """Both together."""
    if not one or not other:
        return one or other
    counts = dict(one)
    for bucket, count in other.items():
        counts[bucket] = counts.get(bucket, 0) + count
    return counts


def subtracted(one: Latencies, earlier: Latencies) -> Latencies:
    """What came to `earlier` until it was `one`."""
    counts = {bucket: count - earlier.get(bucket, 0) for bucket, count in one.items()}
    return {bucket: count for bucket, count in counts.items() if count > 0}


def percentile_us(counts: Latencies, percent: float) -> int | None:
    """The duration in microseconds that `percent` of the requests did not exceed; None without any.

    The lowest bucket counts as its upper bound, the highest as its lower one.
    """
    total = sum(counts.values())
    if not total:
        return None
    left = max(1, math.ceil(total * percent / 100))
    for bucket in sorted(counts):
        left -= counts[bucket]
        if left <= 0:
            return _told(bucket)
    raise AssertionError("unreachable")


def _told(bucket: int) -> int:
    if bucket == 0:
        return BOUNDS_US[0]
    if bucket == BUCKETS - 1:
        return BOUNDS_US[-1]
    return round(math.sqrt(BOUNDS_US[bucket - 1] * BOUNDS_US[bucket]))


def to_text(counts: Latencies) -> str:
    """As stored: "bucket:count", separated by spaces, by bucket."""
    return " ".join(f"{bucket}:{counts[bucket]}" for bucket in sorted(counts))


def from_text(text: str) -> Latencies:
    """What `to_text` wrote."""
    pairs = (pair.partition(":") for pair in text.split())
    return {int(bucket): int(count) for bucket, _, count in pairs}
