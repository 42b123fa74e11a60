"""What an option or argument may hold. An empty one is a variable that was not set: refused, never taken for absent."""

from typing import Any

import click


class _Text(click.ParamType[str]):
    """Any text but none. Bytes that are not UTF-8 are refused: no name, value or message can hold them."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if not text.strip():
            self.fail("it is empty: name something, or leave it out", param, ctx)
        if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
            self.fail(f"{text!r:.80} is not UTF-8 text", param, ctx)
        return text


TEXT = _Text()


class Number(click.ParamType[int]):
    """A whole number within bounds.

    Args:
        minimum: the smallest.
        maximum: the largest; None: no bound.
    """

    name = "number"

    def __init__(self, minimum: int, maximum: int | None = None) -> None:
        self._minimum = minimum
        self._maximum = maximum

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; whatever else it is, the bounds are named."""
        bounds = f"from {self._minimum} to {self._maximum}" if self._maximum else f"from {self._minimum} on"
        try:
            number = int(value)
        except ValueError:
            self.fail(f"{str(value)!r:.80} is not a whole number {bounds}", param, ctx)
        if number < self._minimum or (self._maximum and number > self._maximum):
            self.fail(f"{number} is not {bounds}", param, ctx)
        return number
