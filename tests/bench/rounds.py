"""Runs two measurements alternately, neither always first."""

from collections.abc import Callable
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def interleaved(
    rounds: int, one: Callable[[int], A], other: Callable[[int], B], *, warm_up: int = 1
) -> list[tuple[A, B]]:
    """The results of both in each round: A B, B A, A B, ... Warm-up rounds run first and are not returned.

    Each is called with the number of its round, warm-up included.
    """
    pairs: list[tuple[A, B]] = []
    for number in range(warm_up + rounds):
        if number % 2 == 0:
            first = one(number)
            pairs.append((first, other(number)))
        else:
            second = other(number)
            pairs.append((one(number), second))
    return pairs[warm_up:]
