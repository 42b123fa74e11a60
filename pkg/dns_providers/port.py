"""The port: where TXT records are made."""

from typing import Protocol


class DnsFailure(Exception):  # noqa: N818 - what the server said
    """A change of the DNS that was refused, or a server that does not answer. The message is for people."""


class DnsProvider(Protocol):
    """Makes TXT records in the zone that it may change. Several records of one name stand beside each other."""

    async def add_txt(self, name: str, value: str) -> None:
        """The name has this record when it returns. Idempotent.

        Raises:
            DnsFailure: it could not be made.
        """
        ...

    async def remove_txt(self, name: str, value: str) -> None:
        """The name has this record no more; others stay. Idempotent.

        Raises:
            DnsFailure: it could not be removed.
        """
        ...
