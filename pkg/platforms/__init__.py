"""The platforms that images are built for: linux/amd64 and linux/arm64. Pure."""

from enum import StrEnum
from typing import Self

# Clients send it where no platform is set, and mean the builder's own.
DYNAMIC = "dynamic"


class Platform(StrEnum):
    """A platform as BuildKit names it."""

    AMD64 = "linux/amd64"
    ARM64 = "linux/arm64"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The platform that `text` names, with or without a leading "/"; None, the builder's own, for "" and "dynamic".

        Raises:
            ValueError: any other text. The message says what is allowed.
        """
        name = text.removeprefix("/")
        if name in ("", DYNAMIC):
            return None
        try:
            return cls(name)
        except ValueError:
            raise ValueError(f"use {cls.AMD64} or {cls.ARM64}, or leave it out for the builder's own") from None
