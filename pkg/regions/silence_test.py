"""Promise: a region that says nothing is never taken for a healthy one."""

from dataclasses import replace

from pkg.regions.queries import Region
from pkg.regions.silence import SILENT_AFTER_MS, Silence, silence, silences

SEEN = 100_000
WELL = Region("local", "k", "0", "docker", "Docker 20.10", SEEN, 1, None, 1, "", SEEN)


def test_a_region_is_silent_after_three_heartbeats() -> None:
    assert silence(WELL, SEEN + SILENT_AFTER_MS - 1) is None
    found = silence(WELL, SEEN + SILENT_AFTER_MS)
    assert found == Silence(SEEN, "krane of region local does not report", is_probed=False)


def test_an_engine_that_is_away_is_told_while_krane_reports() -> None:
    away = replace(WELL, engine_away="connection refused", engine_seen_at=70_000)
    found = silence(away, SEEN)
    assert found == Silence(70_000, "the engine of region local does not answer: connection refused", is_probed=True)
    assert silence(replace(away, engine=""), SEEN) == replace(found, is_probed=False), "this krane has seen nothing yet"
    later = silence(away, SEEN + SILENT_AFTER_MS)
    assert later is not None
    assert not later.is_probed, "what krane said last of its engine is out of date, too"


def test_only_silent_regions_are_named() -> None:
    assert list(silences([WELL, replace(WELL, name="eu", last_seen_at=0)], SEEN)) == ["eu"]
