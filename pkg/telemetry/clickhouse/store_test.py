"""The ClickHouse store passes the tests of every store on a real engine, and says in words what it can't reach."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from pkg.errors import Unavailable
from pkg.ids import new_id
from pkg.telemetry.clickhouse.connection import Connection
from pkg.telemetry.clickhouse.store import ClickHouseTelemetry, TableVersion
from pkg.telemetry.clickhouse.testing import ClickHouseServer
from pkg.telemetry.contract import TelemetryContract, line, texts
from pkg.testing.wait import WAIT_S


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    running = ClickHouseServer(tmp_path_factory.mktemp("clickhouse"))
    running.start()
    yield running
    running.kill()


@pytest.fixture
def database() -> str:
    return new_id("inst")


@pytest.fixture
async def telemetry(server: ClickHouseServer, database: str) -> AsyncIterator[ClickHouseTelemetry]:
    store = ClickHouseTelemetry(server.access(database))
    yield store
    await store.close()


@pytest.fixture
async def connection(server: ClickHouseServer, database: str) -> AsyncIterator[Connection]:
    """An operator's, to the same database."""
    opened = Connection(server.access(database))
    yield opened
    await opened.close()


class TestClickHouseTelemetry(TelemetryContract):
    """All of the contract."""


async def test_another_process_wakes_followers(server: ClickHouseServer, database: str) -> None:
    """The worker writes, the api is woken: the two share nothing but the server, and may start at the same moment."""
    worker, api = (ClickHouseTelemetry(server.access(database)) for _ in range(2))
    token, _ = await asyncio.gather(api.changes.changed(0, 0), worker.builds.append("bld_a", [line("first", 1)]))
    for seq in range(2, 6):
        token = await api.changes.changed(0, 0)
        await worker.builds.append("bld_a", [line(str(seq), seq)])
        token = await asyncio.wait_for(api.changes.changed(token, 2 * WAIT_S), WAIT_S)
        assert texts(await api.builds.read("bld_a"))[-1] == str(seq)
    await worker.close()
    await api.close()


async def test_a_page_is_full_however_often_a_batch_came(telemetry: ClickHouseTelemetry) -> None:
    """Rows that are there several times neither shorten a page nor hide an event behind it."""
    events = [line(str(n), n) for n in range(1, 21)]
    for _ in range(4):
        await telemetry.builds.append("bld_a", events)
    assert await telemetry.builds.read("bld_a", limit=7) == events[:7]
    assert await telemetry.builds.read("bld_a", after_seq=7) == events[7:]


async def test_merges_leave_what_readers_read(telemetry: ClickHouseTelemetry, connection: Connection) -> None:
    """The engine's own removal of doubles chooses the same event as a reader does without it."""
    await telemetry.builds.append("bld_a", [line(f"new {n}", n, attempt=2) for n in (3, 4)])
    await telemetry.builds.append("bld_a", [line(f"old {n}", n) for n in (2, 3, 4)])
    before = await telemetry.builds.read("bld_a")
    await connection.execute("OPTIMIZE TABLE build_events FINAL")
    assert await connection.select(tuple[int], "SELECT count() FROM build_events") == [(3,)]
    assert await telemetry.builds.read("bld_a") == before


async def test_the_version_is_of_the_newest_rows(telemetry: ClickHouseTelemetry, connection: Connection) -> None:
    """Asking for changes reads the newest part of the table, not all of it."""
    version = TableVersion(connection)
    await telemetry.builds.append("bld_a", [line("new", 1)])
    await connection.execute(
        "INSERT INTO build_events (build_id, stored_at) SELECT 'bld_old', now() - 86400 FROM numbers(1000)"
    )
    _, count, _ = await version.read()
    assert count == 1
    (plan,) = await connection.select(
        tuple[int], "SELECT count() FROM system.data_skipping_indices WHERE table = 'build_events' AND"
        " database = currentDatabase() AND expr = 'stored_at'",
    )  # fmt: skip
    assert plan == (1,)


async def test_rows_end_by_the_servers_clock(
    server: ClickHouseServer, telemetry: ClickHouseTelemetry, connection: Connection
) -> None:
    """A table that no worker cleans is not kept forever, and a new retention counts for the present table."""
    await telemetry.check()
    ttl = "SELECT extract(create_table_query, 'toIntervalDay\\\\((\\\\d+)\\\\)') FROM system.tables"
    ttl += " WHERE database = currentDatabase() AND name = 'build_events'"
    assert await connection.select(tuple[str], ttl) == [("32",)]
    ((database,),) = await connection.select(tuple[str], "SELECT currentDatabase()")
    longer = ClickHouseTelemetry(server.access(database, retention_days=90))
    await longer.check()
    await longer.close()
    assert await connection.select(tuple[str], ttl) == [("92",)]


async def test_a_removed_table_and_database_are_made_again(
    telemetry: ClickHouseTelemetry, connection: Connection, database: str
) -> None:
    """An operator who empties the store need not restart anything: one call fails, the next ones work."""
    for what in ("TABLE build_events", f"DATABASE {database}"):
        await telemetry.builds.append("bld_a", [line("lost", 1)])
        await connection.execute(f"DROP {what} SYNC")
        with pytest.raises(Unavailable, match=r"telemetry\.unavailable"):
            await telemetry.builds.append("bld_a", [line("lost", 2)])
        await telemetry.builds.append("bld_a", [line("kept", 3)])
        assert texts(await telemetry.builds.read("bld_a")) == ["kept"]


async def test_a_table_of_others_is_left_alone(server: ClickHouseServer, connection: Connection, database: str) -> None:
    """Promise: the store neither changes nor fills a table that only has its name."""
    await connection.execute("DROP TABLE build_events SYNC")
    await connection.execute("CREATE TABLE build_events (build_id String, message String) ENGINE = Memory")
    store = ClickHouseTelemetry(server.access(database))
    with pytest.raises(Unavailable, match=r"without the columns seq, attempt.*set database in \[telemetry\]"):
        await store.check()
    await store.close()


async def test_a_refused_password_names_the_keys(server: ClickHouseServer, database: str) -> None:
    """Promise: the message names the user and the keys, and no password."""
    store = ClickHouseTelemetry(server.access(database, password="wrong-and-secret"))
    with pytest.raises(
        Unavailable, match=r"refuses the user 'sealift'\. Correct username and password in \[tel"
    ) as away:
        await store.check()
    assert "wrong-and-secret" not in str(away.value)
    await store.close()


async def test_a_user_who_may_only_read(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Promise: a read-only profile, which no GRANT changes, is named as such. The password has every character.

    https://github.com/ClickHouse/clickhouse-tableau-connector-jdbc/issues/46
    """
    password = "p$a\"s's:\u00df\u20ac+/=?&%#@{}\\ ${HOME}"
    server = ClickHouseServer(tmp_path_factory.mktemp("clickhouse"), password=password, readonly=1)
    server.start()
    store = ClickHouseTelemetry(server.access("logs"))
    try:
        with pytest.raises(Unavailable, match=r"lets the user 'sealift' only read .* settings profile"):
            await store.check()
    finally:
        await store.close()
        server.kill()


async def test_an_old_server(server: ClickHouseServer, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a server of a version that lacks statements is refused at the first use, not at the first clean-up."""
    store = ClickHouseTelemetry(server.access(database))
    monkeypatch.setattr("pkg.telemetry.clickhouse.schema.MIN_VERSION", "99.1")
    with pytest.raises(Unavailable, match=r"is of version 2\d\..* Update it to 99\.1 or newer"):
        await store.check()
    await store.close()


async def test_a_server_that_is_away_is_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Killed and started again: refused with its address meanwhile, and used again without a restart of ours."""
    server = ClickHouseServer(tmp_path_factory.mktemp("clickhouse"))
    server.start()
    store = ClickHouseTelemetry(server.access("logs"))
    await store.builds.append("bld_a", [line("before", 1)])
    server.kill()
    for _ in range(2):
        with pytest.raises(Unavailable, match=rf"ClickHouse at {server.url}, can't be reached .* url in \[telemetry\]"):
            await store.builds.append("bld_a", [line("lost", 2)])
    server.start()
    await store.builds.append("bld_a", [line("after", 3)])
    assert texts(await store.builds.read("bld_a")) == ["before", "after"]
    await store.close()
    server.kill()


async def test_a_server_that_hangs_holds_nobody_up(server: ClickHouseServer, database: str) -> None:
    """Every call ends in time, and what was under way may arrive later without harm."""
    store = ClickHouseTelemetry(server.access(database), timeout_s=2)
    await store.builds.append("bld_a", [line("before", 1)])
    with server.paused():
        started = time.monotonic()
        calls = [store.builds.append("bld_a", [line(str(n), n)]) for n in range(2, 40)]
        ended = await asyncio.gather(*calls, store.changes.changed(0, 0), return_exceptions=True)
        assert time.monotonic() - started < 40  # one after the other would be 80 s
    for each in ended:
        assert isinstance(each, Unavailable)
        assert "did not answer within 2 s" in each.message
    await store.builds.append("bld_a", [line("after", 40)])
    read = texts(await store.builds.read("bld_a"))
    assert (read[0], read[-1]) == ("before", "after")
    await store.close()


async def test_a_full_disk_is_named(telemetry: ClickHouseTelemetry, connection: Connection) -> None:
    """The engine refuses rows for want of space and takes them again once there is some; reading goes on."""
    await telemetry.builds.append("bld_a", [line("before", 1)])
    setting = "ALTER TABLE build_events MODIFY SETTING min_free_disk_bytes_to_perform_insert ="
    await connection.execute(f"{setting} {1 << 60}")
    with pytest.raises(Unavailable, match=r"has no disk space left .*\. Free some there"):
        await telemetry.builds.append("bld_a", [line("lost", 2)])
    assert texts(await telemetry.builds.read("bld_a")) == ["before"]
    await connection.execute(f"{setting} 0")
    await telemetry.builds.append("bld_a", [line("after", 3)])
    assert texts(await telemetry.builds.read("bld_a")) == ["before", "after"]
