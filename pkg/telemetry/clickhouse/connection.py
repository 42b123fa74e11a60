"""The client of a ClickHouse server: opened at the first use, with every call bounded and every failure in words."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import clickhouse_connect
import msgspec
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import ClickHouseError

from pkg.config import Secret
from pkg.errors import Unavailable
from pkg.telemetry.clickhouse import schema

CONNECT_TIMEOUT_S = 5.0
TIMEOUT_S = 10.0  # as long as the SQLite store waits for a locked file
MAX_CONNECTIONS = 16

_SETTINGS = {
    # The server collects small batches into one part, and answers once that is stored.
    "async_insert": 1,
    "wait_for_async_insert": 1,
    "output_format_json_quote_64bit_integers": 0,
}
_UNKNOWN_TABLE, _UNKNOWN_DATABASE, _NOT_ENOUGH_SPACE = 60, 81, 243
_OVERLOADED = {159, 202, 209, 241, 252}  # too slow, too many queries, no memory, too many parts
_USER_REFUSED = {192, 193, 194, 516}
_READ_ONLY = 164
_NOT_ALLOWED = {497}  # no grant
_VALUE = re.compile(r":(\w+)")
_MAX_REASON_CHARS = 300

Value = int | str | Sequence[str]
T = TypeVar("T")


@dataclass(frozen=True)
class ServerAccess:
    """Which server, as whom, and how long it keeps rows: the keys of the section, which describes them."""

    url: str
    database: str
    username: str
    password: Secret
    retention_days: int


class Connection:
    """One client, and the tables that it has found or made. Calls may run at the same time.

    Every call raises Unavailable `telemetry.unavailable`, which names the key at fault where there is one.

    Args:
        access: which server, and as whom.
        timeout_s: of one call, in seconds.
    """

    def __init__(self, access: ServerAccess, timeout_s: float = TIMEOUT_S) -> None:
        self._access = access
        self._timeout_s = timeout_s
        self._opening = asyncio.Lock()
        self._client: AsyncClient | None = None
        self._has_tables = False
        self._is_closed = False

    async def select(self, kind: type[T], sql: str, **values: Value) -> list[T]:
        """The rows of a query, each converted to `kind`."""
        async with self._call() as client:
            return await _select(client, kind, sql, values)

    async def execute(self, sql: str, **values: Value) -> None:
        """A statement without a result."""
        async with self._call() as client:
            await client.command(_bound(sql, values), parameters=values)

    async def insert(self, table: schema.Table, rows: Iterable[tuple[object, ...]]) -> None:
        """Returns once the server has written the rows."""
        block = b"\n".join(msgspec.json.encode(row) for row in rows)
        async with self._call() as client:
            await client.raw_insert(table.name, table.columns, block, fmt="JSONCompactEachRow")

    async def close(self) -> None:
        """Waits for calls under way, then closes. Idempotent."""
        self._is_closed = True
        async with self._opening:
            client, self._client = self._client, None
        if client is not None:
            await client.close()

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[AsyncClient]:
        try:
            async with asyncio.timeout(self._timeout_s):
                yield await self._opened()
        except TimeoutError as error:
            raise self._unavailable(f"did not answer within {self._timeout_s:g} s", "Is it overloaded?") from error
        except (ClickHouseError, aiohttp.ClientError, OSError, msgspec.MsgspecError) as error:
            raise self._unavailable(*self._words(error)) from error

    async def _opened(self) -> AsyncClient:
        async with self._opening:
            if self._is_closed:
                raise RuntimeError("the connection to ClickHouse is closed")
            client = self._client = self._client or await self._connect()
            if not self._has_tables:
                await self._prepare(client)
                self._has_tables = True
            return client

    async def _connect(self) -> AsyncClient:
        url = urlsplit(self._access.url)
        return await clickhouse_connect.get_async_client(
            host=url.hostname,
            port=url.port or (8443 if url.scheme == "https" else 8123),
            interface=url.scheme,
            username=self._access.username,
            password=self._access.password.reveal(),
            settings=_SETTINGS,
            client_name="sealift",
            compress=False,
            connect_timeout=CONNECT_TIMEOUT_S,
            send_receive_timeout=self._timeout_s,
            connector_limit=MAX_CONNECTIONS,
            query_retries=0,
            autogenerate_session_id=False,
        )

    async def _prepare(self, client: AsyncClient) -> None:
        if not client.min_version(schema.MIN_VERSION):
            raise self._unavailable(
                f"is of version {client.server_version}", f"Update it to {schema.MIN_VERSION} or newer."
            )
        database = self._access.database
        client.database = None
        if not await _select(client, tuple[str], schema.SELECT_DATABASE, {"database": database}):
            await client.command(schema.CREATE_DATABASE.format(database=database))
        client.database = database
        for table in schema.TABLES:
            await self._prepare_table(client, table)

    async def _prepare_table(self, client: AsyncClient, table: schema.Table) -> None:
        ttl = table.ttl(self._access.retention_days)
        await client.command(table.create.format(ttl=ttl))
        named = {"table": table.name}
        columns = {name for (name,) in await _select(client, tuple[str], schema.SELECT_COLUMNS, named)}
        if missing := [name for name in table.columns if name not in columns]:
            raise self._unavailable(
                f"has a table {table.name} in the database {self._access.database!r} without the columns"
                f" {', '.join(missing)}",
                "It is not Sealift's: set database in [telemetry] to another one.",
            )
        ((created_by,),) = await _select(client, tuple[str], schema.SELECT_TABLE, named)
        if ttl not in created_by:
            await client.command(schema.MODIFY_TTL.format(table=table.name, ttl=ttl))

    def _words(self, error: Exception) -> tuple[str, str]:
        """What happened, and what to do about it."""
        code, reason = getattr(error, "code", None), " ".join(str(error).split())[:_MAX_REASON_CHARS]
        user, database = self._access.username, self._access.database
        if code in {_UNKNOWN_TABLE, _UNKNOWN_DATABASE}:
            self._has_tables = False  # someone removed it: the next call makes it again
        if code in _USER_REFUSED:
            return f"refuses the user {user!r}", "Correct username and password in [telemetry]."
        if code == _READ_ONLY or "is readonly" in reason:
            return (
                f"lets the user {user!r} only read ({reason})",
                "Set readonly to 0 in the user's settings profile, or set username in [telemetry].",
            )
        if code in _NOT_ALLOWED:
            return (
                f"does not let the user {user!r} use the database {database!r} ({reason})",
                f"GRANT CREATE, SELECT, INSERT, ALTER ON {database}.* TO {user}, or set username in [telemetry].",
            )
        if code == _UNKNOWN_DATABASE:
            return f"has no database {database!r}", f"CREATE DATABASE {database}, or set database in [telemetry]."
        if code == _NOT_ENOUGH_SPACE or "No space left on device" in reason:
            return f"has no disk space left ({reason})", "Free some there."
        if code in _OVERLOADED:
            return f"is overloaded ({reason})", "Try again."
        if code is None:
            return f"can't be reached ({reason})", "Does it run, and is url in [telemetry] its HTTP interface?"
        return f"refuses a statement ({reason})", "Try again; its own log says more."

    def _unavailable(self, what: str, next_step: str) -> Unavailable:
        where = f"the store of build logs, ClickHouse at {self._access.url},"
        return Unavailable("telemetry.unavailable", f"{where} {what}. {next_step}")


async def _select(client: AsyncClient, kind: type[T], sql: str, values: dict[str, Any]) -> list[T]:
    lines = await client.raw_query(_bound(sql, values), parameters=values, fmt="JSONCompactEachRow")
    return msgspec.json.Decoder(kind).decode_lines(lines)


def _bound(sql: str, values: dict[str, Any]) -> str:
    """The statement with ClickHouse's form of parameters, which the server fills in."""
    return _VALUE.sub(lambda match: f"{{{match[1]}:{_type(values[match[1]])}}}", sql)


def _type(value: Value) -> str:
    if isinstance(value, int):
        return "Int64"
    return "String" if isinstance(value, str) else "Array(String)"
