"""Click parameter types. Empty values are refused, because they usually come from an unset variable."""

from typing import Any

import click


class _Text(click.ParamType[str]):
    """Text that is valid UTF-8, and not empty unless that has a meaning of its own."""

    name = "text"

    def __init__(self, *, may_be_empty: bool = False) -> None:
        self._may_be_empty = may_be_empty

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if not text.strip() and not (self._may_be_empty and not text):
            self.fail("the value is empty: set a value, or omit the option", param, ctx)
        if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
            self.fail(f"{text!r:.80} is not UTF-8 text", param, ctx)
        return text


TEXT = _Text()
TEXT_OR_EMPTY = _Text(may_be_empty=True)
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Number(click.ParamType[int]):
    """A whole number within bounds.

    Args:
        minimum: the smallest value.
        maximum: the largest value; None: unlimited.
    """

    name = "number"

    def __init__(self, minimum: int, maximum: int | None = None) -> None:
        self._minimum = minimum
        self._maximum = maximum

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; errors name the bounds."""
        bounds = f"from {self._minimum} to {self._maximum}" if self._maximum else f"at least {self._minimum}"
        try:
            number = int(value)
        except ValueError:
            self.fail(f"{str(value)!r:.80} is not a whole number {bounds}", param, ctx)
        if number < self._minimum or (self._maximum and number > self._maximum):
            self.fail(f"{number} is not {bounds}", param, ctx)
        return number


class Duration(click.ParamType[int]):
    """A time such as 90s, 15m, 6h or 7d, in seconds.

    Args:
        minimum: in seconds.
        maximum: in seconds.
    """

    name = "duration"

    def __init__(self, minimum: int, maximum: int) -> None:
        self._minimum = minimum
        self._maximum = maximum

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The seconds; errors show the form and the bounds."""
        if isinstance(value, int):
            return value
        digits, unit = str(value)[:-1], str(value)[-1:]
        if unit not in _UNITS_S or not digits.isascii() or not digits.isdecimal():
            self.fail(f"{str(value)!r:.80} is not a time such as 90s, 15m, 6h or 7d", param, ctx)
        seconds = int(digits[:12]) * _UNITS_S[unit]
        if not self._minimum <= seconds <= self._maximum:
            self.fail(f"{str(value)!r:.80} is not from {self._minimum} s to {self._maximum // 86400} d", param, ctx)
        return seconds
