"""The upload: exact length, retries, words for refusals; never the signed address."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sealift.client.archive import Archive, Stopped, pack
from sealift.client.context import scan
from sealift.client.errors import InputError, UnreachableError
from sealift.client.retry import Retry
from sealift.client.testing_store import FakeStore
from sealift.client.upload import InsecureUploadError, UploadExpiredError, upload_archive

FAST = Retry(first_s=0.01, tries=3)


@pytest.fixture
def store() -> Iterator[FakeStore]:
    fake = FakeStore()
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    (tmp_path / "Dockerfile").write_bytes(os.urandom(3 << 20))
    with pack(scan(tmp_path), max_bytes=1 << 30) as made:
        yield made


def url(store: FakeStore, archive: Archive) -> str:
    return f"{store.url}/objects/{archive.sha256}?sig=topsecret"


def test_upload(store: FakeStore, archive: Archive) -> None:
    """Promise: the object arrives complete, with an exact Content-Length, and progress ends at the size."""
    told: list[int] = []
    upload_archive(archive, url(store, archive), progress=lambda done, total: told.append(done))
    assert len(store.objects[archive.sha256]) == archive.size_bytes
    assert store.headers["Content-Length"] == str(archive.size_bytes)
    assert "Transfer-Encoding" not in store.headers
    assert told[0] == 0
    assert told[-1] == archive.size_bytes


def test_headers_of_the_server_are_sent(store: FakeStore, archive: Archive) -> None:
    """Promise: a store that checks the content itself gets the header that the URL was signed with."""
    upload_archive(archive, url(store, archive), headers={"x-amz-checksum-sha256": "abc="})
    assert store.headers["x-amz-checksum-sha256"] == "abc="


def test_retries_from_the_start(store: FakeStore, archive: Archive) -> None:
    """Promise: after a retryable response the whole archive is sent again."""
    store.answers = [503, 500]
    upload_archive(archive, url(store, archive), retry=FAST)
    assert store.puts == 3
    assert archive.sha256 in store.objects


def test_expired(store: FakeStore, archive: Archive) -> None:
    """Promise: a refused URL is a separate error, so that the caller can request another."""
    store.answers = [403]
    with pytest.raises(UploadExpiredError) as caught:
        upload_archive(archive, url(store, archive), retry=FAST)
    assert "topsecret" not in str(caught.value)


def test_refused_before_the_body_is_read(store: FakeStore, archive: Archive) -> None:
    """Promise: an early response of the store is read, or the upload fails after a limited number of tries."""
    store.refuse_early = True
    store.answers = [413] * 3
    with pytest.raises((InputError, UnreachableError)) as caught:
        upload_archive(archive, url(store, archive), retry=FAST)
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (307, r"sends the upload to another address \(307: made to fail\).*endpoint of the bucket's region"),
        (413, r"takes no upload of 3\.0 MiB \(413: made to fail\)\. Exclude .*\.dockerignore"),
    ],
)
def test_refusals_say_what_to_do(store: FakeStore, archive: Archive, status: int, words: str) -> None:
    """Promise: a redirect, which no signature survives, and a proxy's limit name what has to change.

    https://github.com/aws/aws-cli/issues/2424, https://github.com/kislyuk/aegea/pull/51
    """
    store.answers = [status]
    with pytest.raises(InputError, match=words) as caught:
        upload_archive(archive, url(store, archive), retry=FAST)
    assert caught.value.code == "upload.refused"
    assert store.puts == 1


def test_nobody_listens(archive: Archive) -> None:
    """Promise: an unreachable store is reported by host and port only."""
    with pytest.raises(UnreachableError, match=r"http://127\.0\.0\.1:9 ") as caught:
        upload_archive(archive, "http://127.0.0.1:9/objects/x?sig=topsecret", retry=FAST)
    assert "topsecret" not in str(caught.value)


def test_a_server_with_tls_gets_no_upload_without(store: FakeStore, archive: Archive) -> None:
    """Promise: the source of an app crosses no network in the clear; on this machine there is nobody to read it."""
    with pytest.raises(InsecureUploadError, match=r"http://192\.0\.2\.1,") as caught:
        upload_archive(archive, "http://192.0.2.1/objects/x?sig=topsecret", retry=FAST, requires_tls=True)
    assert (caught.value.code, "topsecret" in str(caught.value)) == ("upload.insecure", False)
    upload_archive(archive, url(store, archive), retry=FAST, requires_tls=True)
    assert store.puts == 1


def test_stop(store: FakeStore, archive: Archive) -> None:
    """Promise: an upload stops on request."""
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        upload_archive(archive, url(store, archive), stop=stop)


def test_localhost_names(store: FakeStore, archive: Archive) -> None:
    """Promise: *.localhost is reached although the resolver does not resolve it."""
    upload_archive(archive, url(store, archive).replace("127.0.0.1", "objects.sealift.localhost"))
    assert store.headers["Host"].startswith("objects.sealift.localhost:")
