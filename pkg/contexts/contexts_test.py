"""What the check of build contexts promises, on archives in a real store."""

import asyncio
import gzip
import io
import os
import random
import tarfile
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pkg.contexts.archive import ContextReport, Limits, check_archive
from pkg.contexts.check import ContextChecker
from pkg.contexts.errors import ContextRejected
from pkg.errors import NotFound
from pkg.storage.disk import DiskStore
from pkg.storage.disk.testing import served
from pkg.storage.testing import put
from pkg.testing.wait import WAIT_S

Edit = Callable[[tarfile.TarFile], None]
PATH = "contexts/proj_a/x.tar.gz"


def add(
    archive: tarfile.TarFile, name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = len(content) if kind == tarfile.REGTYPE else 0
    archive.addfile(info, io.BytesIO(content))


def pack(*edits: Edit, dockerfile: bool = True, form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        if dockerfile:
            add(archive, "Dockerfile", b"FROM scratch\n")
        for edit in edits:
            edit(archive)
    return gzip.compress(out.getvalue(), 1)


def entry(name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, link: str = "") -> Edit:
    return lambda archive: add(archive, name, content, kind, link)


def dated(name: str, mode: int, mtime: float) -> Edit:
    def edit(archive: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.mode, info.mtime = mode, mtime
        archive.addfile(info)

    return edit


def check(packed: bytes, dockerfile: str = "Dockerfile", limits: Limits | None = None) -> ContextReport:
    return check_archive(io.BytesIO(packed), dockerfile, limits or Limits())


def refusal(packed: bytes, dockerfile: str = "Dockerfile", limits: Limits | None = None) -> ContextRejected:
    with pytest.raises(ContextRejected) as caught:
        check(packed, dockerfile, limits)
    return caught.value


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_ordinary_contexts_pass(form: int) -> None:
    """Folders, links inside, long and foreign names, in every form that packers write."""
    long = "/".join(["deep" * 10] * 5) if form != tarfile.USTAR_FORMAT else "a/" * 20 + "x"
    packed = pack(
        entry("src/", kind=tarfile.DIRTYPE),
        entry("src/main.py", b"print()" * 1000),
        entry("src/again.py", kind=tarfile.LNKTYPE, link="src/main.py"),
        entry("src/up", kind=tarfile.SYMTYPE, link="../Dockerfile"),
        entry("./dotted.txt"),
        entry("grüße 🛳.txt" if form != tarfile.USTAR_FORMAT else "plain.txt"),
        entry(long),
        entry("empty", b""),
        form=form,
    )
    report = check(packed)
    assert report.entries == 9
    assert report.packed_bytes == len(packed)
    assert report.unpacked_bytes == len(gzip.decompress(packed))


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("mode", [0, 0o600, 0o644, 0o1777, 0o7777])
@pytest.mark.parametrize("mtime", [0, 315_619_200, 4_354_732_799, 8_589_934_591])
def test_any_modes_and_dates_pass(form: int, mode: int, mtime: int) -> None:
    """Modes and dates are the app's own affair, of any CLI: older ones sent the date 0 and two modes."""
    assert check(pack(dated("a", mode, mtime), form=form)).entries == 2


def test_dates_as_packers_write_them() -> None:
    """Fractions and years before 1970 pass; what is no number is refused here, not by the builder."""
    for mtime in (-1.5, -300_000_000, 1_500_000_000.987_654_321, 99_999_999_999):
        assert check(pack(dated("a", 0o644, mtime))).entries == 2
    for text in ("", "x", "1e9", "nan", "9" * 16, "1 ", "٣", "--1"):
        info = tarfile.TarInfo("a")
        info.pax_headers = {"mtime": text}
        refused = refusal(gzip.compress(info.tobuf(tarfile.PAX_FORMAT) + bytes(1024)))
        assert refused.code == "context.damaged"
        assert "date" in refused.message


@pytest.mark.parametrize("dockerfile", ["docker/App.dockerfile", "./docker/App.dockerfile", "docker//App.dockerfile"])
def test_a_dockerfile_in_a_folder(dockerfile: str) -> None:
    """Its path is compared as paths are, not as text; the archive may write "./" before names."""
    assert check(pack(entry("./docker/App.dockerfile"), dockerfile=False), dockerfile).entries == 1


@pytest.mark.parametrize(
    ("edit", "code", "says"),
    [
        (entry("../x"), "name_outside", "'../x'"),
        (entry("a/../../x"), "name_outside", "'a/../../x'"),
        (entry("/etc/passwd"), "name_outside", "'/etc/passwd'"),
        (entry("l", kind=tarfile.SYMTYPE, link="/etc/passwd"), "link_outside", "'l' points to '/etc/passwd'"),
        (entry("a/l", kind=tarfile.SYMTYPE, link="../../x"), "link_outside", "'a/l' points to '../../x'"),
        (entry("l", kind=tarfile.SYMTYPE, link=""), "link_outside", "'l'"),
        (entry("h", kind=tarfile.LNKTYPE, link="../x"), "link_outside", "hard link 'h'"),
        (entry("h", kind=tarfile.LNKTYPE, link="/etc/shadow"), "link_outside", "hard link 'h'"),
        (entry("null", kind=tarfile.CHRTYPE), "special_file", "'null', a device"),
        (entry("sda", kind=tarfile.BLKTYPE), "special_file", "'sda', a device"),
        (entry("pipe", kind=tarfile.FIFOTYPE), "special_file", "named pipe"),
        (entry("odd", kind=b"7"), "special_file", "unknown type"),
        (entry("x" * 256), "name_too_long", "xxx"),
        (entry("y/" * 2100 + "y"), "name_too_long", "y/y"),
        (entry("bad\x1b[31m\n", kind=tarfile.FIFOTYPE), "special_file", r"\x1b[31m\n"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_reaches_outside_is_refused(edit: Edit, code: str, says: str) -> None:
    """The code is stable and the message names the entry, printably."""
    error = refusal(pack(edit))
    assert error.code == f"context.{code}"
    assert says in error.message
    assert error.message.isprintable()
    assert error.field == "build_context_path"


def test_an_entry_behind_a_link_is_refused() -> None:
    """Writing through a link is how an archive leaves its folder in two steps; replacing a link by a folder is fine."""
    link = entry("a", kind=tarfile.SYMTYPE, link="b")
    assert refusal(pack(link, entry("a/x"))).code == "context.through_link"
    assert refusal(pack(link, entry("a/b/c/x"))).code == "context.through_link"
    assert check(pack(link, entry("a/", kind=tarfile.DIRTYPE), entry("a/x"))).entries == 4


@pytest.mark.parametrize(
    ("edits", "dockerfile", "code"),
    [
        ([], "Dockerfile", "empty"),
        ([entry("src/", kind=tarfile.DIRTYPE)], "Dockerfile", "empty"),
        ([entry("x")], "Dockerfile", "dockerfile_missing"),
        ([entry("Dockerfile/", kind=tarfile.DIRTYPE), entry("x")], "Dockerfile", "dockerfile_not_a_file"),
        ([entry("x"), entry("Dockerfile", kind=tarfile.SYMTYPE, link="x")], "Dockerfile", "dockerfile_not_a_file"),
        ([entry("Dockerfile")], "../Dockerfile", "dockerfile_outside"),
        ([entry("Dockerfile")], "/Dockerfile", "dockerfile_outside"),
        ([entry("Dockerfile")], "a/../../Dockerfile", "dockerfile_outside"),
        ([entry("Dockerfile")], "", "dockerfile_outside"),
    ],
)
def test_what_is_no_context(edits: list[Edit], dockerfile: str, code: str) -> None:
    """Empty, without Dockerfile, or with one that is none."""
    assert refusal(pack(*edits, dockerfile=False), dockerfile).code == f"context.{code}"


def test_similar_dockerfiles_are_named() -> None:
    """Who forgot --dockerfile reads what to write."""
    error = refusal(pack(entry("docker/Dockerfile.prod"), entry("x"), dockerfile=False))
    assert "There is: 'docker/Dockerfile.prod'." in error.message


def test_limits() -> None:
    """One more than allowed is refused, exactly as many is not."""
    packed = pack(entry("a", b"x" * 5000), entry("b"))
    size = len(gzip.decompress(packed))
    assert check(packed, limits=Limits(entries=3, unpacked_bytes=size)).entries == 3
    assert refusal(packed, limits=Limits(entries=2)).code == "context.too_many_entries"
    assert refusal(packed, limits=Limits(unpacked_bytes=size - 1)).code == "context.too_large"


def test_a_decompression_bomb_is_refused_early() -> None:
    """A ratio over the limit ends the reading; below the free allowance any ratio is fine."""
    packed = pack(entry("zeros", bytes(20 << 20)))
    assert check(packed).entries == 2
    assert refusal(packed, limits=Limits(ratio_free_bytes=1 << 20)).code == "context.ratio"


def test_a_size_that_lies_is_refused_before_it_is_read() -> None:
    """A header that announces terabytes costs nothing."""
    info = tarfile.TarInfo("huge")
    info.size = 1 << 42
    header = info.tobuf(tarfile.GNU_FORMAT)
    assert refusal(gzip.compress(header)).code == "context.too_large"


def test_huge_extended_headers_are_refused_before_they_are_read() -> None:
    """A "name" of a gigabyte never gets into memory."""
    for kind in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE):
        info = tarfile.TarInfo("x")
        info.type, info.size = kind, 1 << 30
        assert refusal(gzip.compress(info.tobuf(tarfile.GNU_FORMAT))).code == "context.name_too_long"


def block(name: str, content: bytes, kind: bytes) -> bytes:
    """One header with its content, as it stands in an archive."""
    info = tarfile.TarInfo(name)
    info.size, info.type = len(content), kind
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % tarfile.BLOCKSIZE)


def record(key: str, value: str) -> bytes:
    """One pax record of under 1,000 bytes, or of 1,000,000 to 9,999,999."""
    length = len(f" {key}={value}\n")
    length += next(digits for digits in range(1, 9) if len(str(length + digits)) == digits)
    return f"{length} {key}={value}\n".encode()


@pytest.mark.parametrize(
    "headers",
    [
        # each is held until its entry comes: a few MiB packed would take gigabytes of memory
        [block("x", record(f"key{number}", "v"), tarfile.XHDTYPE) for number in range(2)],
        [block("x", record("k", "v") * 1001, tarfile.XHDTYPE)],
        # neither an entry nor content: nothing else bounds how many there are
        [block("g", record("comment", "v"), tarfile.XGLTYPE)] * 101,
    ],
    ids=["two pax headers for one entry", "too many records", "too many global headers"],
)
def test_headers_that_cost_more_than_they_say(headers: list[bytes]) -> None:
    """What is read for one entry is bounded in memory and time, however well it is compressed."""
    refused = refusal(gzip.compress(b"".join([*headers, block("Dockerfile", b"FROM x\n", tarfile.REGTYPE)])))
    assert refused.code == "context.unsupported"


def test_a_header_of_a_million_bytes_is_read_at_once() -> None:
    """Records are not copied one by one: the largest header takes milliseconds."""
    large = block("x", record("comment", "v" * 1_000_000) + record("path", "a.txt"), tarfile.XHDTYPE)
    packed = gzip.compress(large + block("y", b"", tarfile.REGTYPE) + block("Dockerfile", b"FROM x\n", tarfile.REGTYPE))
    assert check(packed).entries == 2


def test_names_of_many_folders_are_refused() -> None:
    """Each folder of a name costs a look: 200,000 names of 2,000 folders would take ten minutes."""
    deep = "a/" * 254 + "f"
    assert check(pack(entry("link", kind=tarfile.SYMTYPE, link="a"), entry(deep))).entries == 3
    refused = refusal(pack(entry("a/" * 255 + "f")))
    assert refused.code == "context.name_too_long"
    assert "255 folders" in refused.message


def test_sparse_files_are_refused() -> None:
    """A sparse file takes no room here and terabytes on the builder."""
    info = tarfile.TarInfo("sparse")
    info.type = tarfile.GNUTYPE_SPARSE
    assert refusal(gzip.compress(info.tobuf(tarfile.GNU_FORMAT))).code == "context.unsupported"
    info = tarfile.TarInfo("sparse")
    info.pax_headers = {"GNU.sparse.realsize": "99999999999"}
    assert refusal(gzip.compress(info.tobuf(tarfile.PAX_FORMAT))).code == "context.unsupported"


def test_what_is_no_archive() -> None:
    """Other formats, cut ones and flipped bits are named as such, never an exception of a library."""
    packed = pack(entry("a", os.urandom(100_000)))
    assert refusal(b"PK\x03\x04" + bytes(100)).code == "context.not_gzip"
    assert refusal(gzip.decompress(packed)).code == "context.not_gzip"
    assert refusal(packed[: len(packed) // 2]).code == "context.damaged"
    assert refusal(packed[:-4]).code == "context.damaged"
    assert refusal(packed[:5000] + bytes(20) + packed[5020:]).code == "context.damaged"
    assert refusal(gzip.compress(b"no tar at all" * 100)).code == "context.damaged"
    assert refusal(b"").code in ("context.damaged", "context.not_gzip", "context.empty")


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    damage=st.lists(st.tuples(st.integers(0, 1 << 20), st.binary(min_size=1, max_size=8)), max_size=6),
)
def test_any_bytes_end_in_a_report_or_a_refusal(seed: int, damage: list[tuple[int, bytes]]) -> None:
    """No archive, however damaged, brings another exception or an endless loop."""
    rng = random.Random(seed)
    form = rng.choice([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    packed = pack(
        entry("n" * rng.randrange(1, 99), rng.randbytes(rng.randrange(2000))),
        entry("é" * 120 if form else "e"),
        form=form,
    )
    plain = bytearray(gzip.decompress(packed))
    for offset, data in damage:
        at = offset % len(plain)
        plain[at : at + len(data)] = data
    with suppress(ContextRejected):
        check(gzip.compress(bytes(plain), 1))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DiskStore]:
    async with served(tmp_path / "objects") as disk:
        yield disk


@pytest.fixture
async def checker(store: DiskStore) -> AsyncIterator[ContextChecker]:
    made = ContextChecker(store)
    yield made
    await made.close()


async def test_a_stored_archive_is_read_as_a_stream(store: DiskStore, checker: ContextChecker) -> None:
    """Many pieces of the store make one archive, several at once, without blocking the event loop."""
    packed = pack(*(entry(f"f{n}", os.urandom(1 << 20)) for n in range(12)))
    await put(store, PATH, packed)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    ticking = asyncio.create_task(tick())
    reports = await asyncio.gather(*(checker.check(PATH) for _ in range(4)))
    ticking.cancel()
    assert {r.entries for r in reports} == {13}
    assert ticks > 3


async def test_refusals_and_absence_come_out(store: DiskStore, checker: ContextChecker) -> None:
    """The thread's errors are the caller's."""
    await put(store, PATH, pack(entry("../x")))
    with pytest.raises(ContextRejected, match=r"context\.name_outside"):
        await checker.check(PATH)
    with pytest.raises(NotFound, match=r"object\.not_found"):
        await checker.check("contexts/proj_a/nothing.tar.gz")


async def test_cancelling_ends_the_reading(store: DiskStore, checker: ContextChecker) -> None:
    """A cancelled check leaves its thread free at once for the next one."""

    class Slow:
        def __init__(self) -> None:
            self.reading = asyncio.Event()
            self.closed = threading.Event()

        async def open_read(self, path: str) -> AsyncIterator[bytes]:
            try:
                yield pack()[:50]
                self.reading.set()
                await asyncio.sleep(3600)
            finally:
                self.closed.set()

    slow = Slow()
    checking = ContextChecker(slow)  # type: ignore[arg-type]
    task = asyncio.create_task(checking.check(PATH))
    await asyncio.wait_for(slow.reading.wait(), WAIT_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, WAIT_S)
    await checking.close()
    assert slow.closed.is_set()
