"""What the krane replicas of a region know of each other: who leads, and whether any has contact with the api.

All of them follow the feed, probe the instances and feed an Envoy of their own. Only the leader writes to the runtime
and reports instances. A runtime that one krane has to itself, such as a Docker engine, is `Alone`.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class ReplicaContext:
    """What a backend's `Replicas` get besides krane's configuration.

    Attributes:
        has_contact: whether the api has answered this replica within the contact timeout.
        last_contact: the `time.monotonic()` at which the last call began that the api answered; -inf: none.
    """

    installation_id: str
    replica_id: str
    has_contact: Callable[[], bool]
    last_contact: Callable[[], float]
    monotonic: Callable[[], float] = time.monotonic


class Replicas(Protocol):
    """This replica among those of its region."""

    @property
    def is_shared(self) -> bool:
        """Whether there may be other replicas."""
        ...

    @property
    def term(self) -> int | None:
        """While this replica leads: the number of this leadership, higher than that of each one before. Else None.

        It becomes None by itself when the leadership was not renewed in time, before another replica may lead.
        """
        ...

    @property
    def is_follower(self) -> bool:
        """Whether another replica is seen to lead."""
        ...

    @property
    def is_announced(self) -> bool:
        """Whether the other replicas can see that one with contact is there."""
        ...

    def seen_since(self, moment: float) -> bool:
        """Whether another replica is known to have had contact with the api after the monotonic time `moment`.

        It is learned late, by some seconds, and never too early.
        """
        ...

    def heard_of_term(self, term: int) -> None:
        """The api knows a leader of this term: a later one must have a higher number."""
        ...

    async def term_changed(self, known: int | None) -> int | None:
        """Waits until `term` differs from `known`; the term then."""
        ...

    async def run(self) -> None:
        """Takes part until cancelled. A fault of what is shared is logged and tried again."""
        ...

    async def resign(self) -> None:
        """Gives the leadership up for good, so that another replica leads at once; bounded in time. Raises nothing."""
        ...

    async def close(self) -> None:
        """Resigns and disconnects; bounded in time. Raises nothing."""
        ...


class Alone:
    """The only krane of its region: it always leads."""

    is_shared = False
    term: int | None = 0
    is_follower = False
    is_announced = False

    def seen_since(self, moment: float) -> bool:
        """See `Replicas`."""
        return False

    def heard_of_term(self, term: int) -> None:
        """See `Replicas`."""

    async def term_changed(self, known: int | None) -> int | None:
        """See `Replicas`. It never changes."""
        if known is None:
            return self.term
        await asyncio.Event().wait()
        return self.term

    async def run(self) -> None:
        """See `Replicas`."""

    async def resign(self) -> None:
        """See `Replicas`. Nobody else would lead."""

    async def close(self) -> None:
        """See `Replicas`."""
