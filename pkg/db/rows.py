"""Rows as frozen dataclasses whose fields are the columns."""

from collections.abc import Iterable
from typing import Any, TypeVar

from sqlalchemy import CursorResult, Row

T = TypeVar("T")


def one(kind: type[T], result: CursorResult[Any]) -> T | None:
    """The first row as `kind`, or None."""
    row = result.first()
    return None if row is None else of(kind, row)


def of(kind: type[T], row: Row[Any]) -> T:
    """One row as `kind`."""
    return kind(**row._mapping)  # noqa: SLF001 - public in all but name


def every(kind: type[T], result: Iterable[Row[Any]]) -> list[T]:
    """All rows as `kind`."""
    return [of(kind, row) for row in result]
