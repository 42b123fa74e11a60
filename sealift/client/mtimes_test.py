"""Within one checkout, a changed file is never older than before, and an unchanged tree keeps its dates."""

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sealift.client.archive import pack
from sealift.client.context import Context, scan
from sealift.client.mtimes import ModificationTimes
from sealift.client.tree import NEWEST_S, OLDEST_S, Kind

LONG_AGO = 1_500_000_000


class Checkout:
    """A directory that is deployed again and again."""

    def __init__(self, home: Path) -> None:
        self.root = home / "app"
        self.root.mkdir()
        (self.root / "Dockerfile").write_text("FROM scratch")
        self.page = self.root / "site" / "page"
        self.page.parent.mkdir()
        self.write("one")
        self.mtimes = ModificationTimes({}, home)

    def write(self, text: str, mtime: float = LONG_AGO) -> None:
        self.page.write_text(text)
        os.utime(self.page, (mtime, mtime))

    def deploy(self, *, is_over: bool = True) -> Context:
        """Packs what is there; the context as it went into the archive."""
        context = self.mtimes.adjusted(scan(self.root))
        with pack(context, max_bytes=1 << 30) as archive:
            assert self.mtimes.save(context, archive.digests)
        assert not is_over or self.mtimes.mark_finished(context.root)
        return context

    def page_date(self, context: Context) -> int:
        return next(entry.mtime_s for entry in context.entries if entry.path == "site/page")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_files_keep_their_dates(checkout: Checkout) -> None:
    """Promise: a file that is new, unchanged, or changed after the deploy's end has its own time."""
    assert checkout.page_date(checkout.deploy()) == LONG_AGO
    assert checkout.page_date(checkout.deploy()) == LONG_AGO
    later = int(time.time()) + 5
    checkout.write("two", later)
    assert checkout.page_date(checkout.deploy()) == later


def _same_date(checkout: Checkout) -> None:
    checkout.write("two")


def _older_date(checkout: Checkout) -> None:
    checkout.write("two", LONG_AGO - 1000)


def _same_size_and_date(checkout: Checkout) -> None:
    checkout.write("eno")


def _moved_over(checkout: Checkout) -> None:
    other = checkout.root.parent / "other"
    other.write_text("two")
    os.utime(other, (LONG_AGO, LONG_AGO))
    other.replace(checkout.page)


def _newer_but_before_the_deploy(checkout: Checkout) -> None:
    checkout.write("two", LONG_AGO + 1000)


@pytest.mark.parametrize(
    "change", [_same_date, _older_date, _same_size_and_date, _moved_over, _newer_but_before_the_deploy]
)
def test_a_change_that_brings_an_old_date(checkout: Checkout, change: Callable[[Checkout], None]) -> None:
    """Promise: files from `cp -p`, `mv`, `tar -x` and similar get the time of the deploy, and keep it."""
    checkout.deploy()
    began = time.time()
    change(checkout)
    context = checkout.deploy()
    given = checkout.page_date(context)
    assert began < given <= time.time() + 1
    assert {entry.path: entry.mtime_s for entry in context.entries}["site"] == given
    assert checkout.page_date(checkout.deploy()) == given
    (checkout.root / "other").touch()
    assert checkout.page_date(checkout.deploy()) == given


def test_a_change_while_the_build_is_under_way(checkout: Checkout) -> None:
    """Promise: a file written before the end of the last deploy is newer than that deploy's outputs."""
    checkout.deploy(is_over=False)
    began = time.time()
    checkout.write("two", began - 30)
    assert checkout.page_date(checkout.deploy(is_over=False)) > began


def test_a_date_in_the_future(checkout: Checkout) -> None:
    """Promise: after a file from the future, its next version is still newer; at the maximum it is not older."""
    for date in (int(time.time()) + 10**8, NEWEST_S):
        checkout.write(f"{date}", date)
        assert checkout.page_date(checkout.deploy()) == date
        checkout.write(f"after {date}", time.time())
        assert checkout.page_date(checkout.deploy()) == min(date + 1, NEWEST_S)


def test_touch_alone_is_kept(checkout: Checkout) -> None:
    """Promise: unchanged content keeps its own time, also an older one; chmod and a copy change none."""
    checkout.deploy()
    for date in (LONG_AGO + 50, LONG_AGO - 50, int(time.time())):
        os.utime(checkout.page, (date, date))
        assert checkout.page_date(checkout.deploy()) == date
    checkout.page.chmod(0o600)
    assert checkout.page_date(checkout.deploy()) == date


def test_a_given_date_is_not_taken_back(checkout: Checkout) -> None:
    """Promise: a file with an adjusted time never gets an older one while its content is unchanged."""
    checkout.deploy()
    _older_date(checkout)
    given = checkout.page_date(checkout.deploy())
    os.utime(checkout.page, (LONG_AGO, LONG_AGO))
    assert checkout.page_date(checkout.deploy()) == given


def test_any_history(checkout: Checkout) -> None:
    """Promise: over many random changes, changed files are newer than before, and others keep their time."""
    chance = random.Random(20_267)
    before = checkout.deploy()
    for _ in range(60):
        text = checkout.page.read_text()
        kind = chance.randrange(3)
        if kind:
            checkout.write(
                chance.choice(["one", "two", "six"]), chance.choice([LONG_AGO, -5, time.time(), LONG_AGO - 9])
            )
        after = checkout.deploy(is_over=chance.random() < 0.5)
        if checkout.page.read_text() != text:
            assert checkout.page_date(after) > checkout.page_date(before)
        elif not kind:
            assert [(e.path, e.mtime_s) for e in after.entries] == [(e.path, e.mtime_s) for e in before.entries]
        assert all(OLDEST_S <= entry.mtime_s <= NEWEST_S for entry in after.entries)
        before = after


def test_new_files_and_no_record(checkout: Checkout, tmp_path: Path) -> None:
    """Promise: a new file keeps its time; without a record, or with a damaged one, all do."""
    checkout.deploy()
    (checkout.root / "new").touch()
    os.utime(checkout.root / "new", (LONG_AGO, LONG_AGO))
    assert {e.path: e.mtime_s for e in checkout.deploy().entries}["new"] == LONG_AGO
    _older_date(checkout)
    [record] = (tmp_path / ".cache/sealift/dates").iterdir()
    good = record.read_bytes()
    for bad in (b"", good[:-1], good[:200], good[:40] + bytes([good[40] ^ 1]) + good[41:], b"x" * 40):
        record.write_bytes(bad)
        assert checkout.page_date(checkout.mtimes.adjusted(scan(checkout.root))) == LONG_AGO - 1000
        assert not checkout.mtimes.mark_finished(checkout.root)


def test_a_record_holds_no_names(checkout: Checkout, tmp_path: Path) -> None:
    """Promise: the record contains neither paths nor contents, and only its owner can read it."""
    checkout.deploy()
    [record] = (tmp_path / ".cache/sealift/dates").iterdir()
    assert record.stat().st_mode & 0o777 == 0o600
    assert not [word for word in (b"page", b"one", b"Dockerfile", b"app") if word in record.read_bytes()]


def test_files_that_cannot_be_told_by_their_stamp(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: settled files are not read again."""
    monkeypatch.setattr("sealift.client.mtimes.is_settled_at", lambda stamp, at: True)
    checkout.deploy()
    monkeypatch.setattr("sealift.client.mtimes.digest_of", lambda *_: pytest.fail("read"))
    context = checkout.mtimes.adjusted(scan(checkout.root))
    assert all(entry.kind is not Kind.FILE or entry.mtime_s for entry in context.entries)
    assert checkout.page_date(context) == LONG_AGO
