"""Release tags: `krane/v1.4.0` for a service, `cli/v1.4.0` for the command line."""

import re
from dataclasses import dataclass
from functools import total_ordering
from typing import Literal

from dev.releasing.errors import ReleaseError

CLI = "cli"
Part = Literal["major", "minor", "patch"]

# Numbers without leading zeros, and no build metadata: a tag of an image may not hold a "+".
_VERSION = re.compile(
    r"v(?P<major>0|[1-9][0-9]*)\.(?P<minor>0|[1-9][0-9]*)\.(?P<patch>0|[1-9][0-9]*)"
    r"(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
)
_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_LONGEST = 64


@total_ordering
@dataclass(frozen=True)
class Version:
    """A version by the rules of semver.org 2.0.0, without build metadata. `str` has the leading v."""

    major: int
    minor: int
    patch: int
    pre: str = ""

    def __str__(self) -> str:
        return f"v{self.number}"

    def __lt__(self, other: "Version") -> bool:
        return self._key() < other._key()

    @property
    def number(self) -> str:
        """Without the v: 1.4.0, 1.4.0-rc.1."""
        return f"{self.major}.{self.minor}.{self.patch}" + (f"-{self.pre}" if self.pre else "")

    def next(self, part: Part) -> "Version":
        """The version after this one; that of a pre-release is the release it announces, if that is big enough."""
        if self.pre:
            reached = {"patch": True, "minor": not self.patch, "major": not (self.patch or self.minor)}
            if reached[part]:
                return Version(self.major, self.minor, self.patch)
        if part == "major":
            return Version(self.major + 1, 0, 0)
        if part == "minor":
            return Version(self.major, self.minor + 1, 0)
        return Version(self.major, self.minor, self.patch + 1)

    def _key(self) -> tuple[object, ...]:
        # A number stands below a word, and a pre-release below its release.
        pre = tuple((0, int(each), "") if each.isdecimal() else (1, 0, each) for each in self.pre.split(".") if each)
        return (self.major, self.minor, self.patch, not self.pre, pre)


FIRST = Version(0, 1, 0)


@dataclass(frozen=True)
class Tag:
    """What a tag releases; `str` is the tag.

    Attributes:
        name: of the service as its image is called, or "cli".
    """

    name: str
    version: Version

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"


def version(text: str) -> Version:
    """Reads "v1.2.3" or "v1.2.3-rc.1".

    Raises:
        ReleaseError: It is none.
    """
    match = _VERSION.fullmatch(text)
    if match is None or len(text) > _LONGEST:
        raise ReleaseError(f"{text!r} is not a version: write v1.2.3 or v1.2.3-rc.1, numbers without leading zeros")
    return Version(int(match["major"]), int(match["minor"]), int(match["patch"]), match["pre"] or "")


def parse(text: str) -> Tag:
    """Reads a tag; of the command line only whole versions, because Python writes pre-releases differently.

    Raises:
        ReleaseError: It is no release tag.
    """
    name, slash, rest = text.partition("/")
    if not slash or not _NAME.fullmatch(name):
        raise ReleaseError(f"{text!r} is no release tag: write NAME/v1.2.3, as in krane/v1.4.0")
    tag = Tag(name, version(rest))
    if name == CLI and tag.version.pre:
        raise ReleaseError(f"{text!r}: the command line has no pre-releases; write cli/v1.2.3")
    return tag


def last_before(tags: list[Tag], tag: Tag) -> Tag | None:
    """The release of the same name that `tag` follows. A whole version follows whole versions only."""
    older = [each for each in tags if each.name == tag.name and each.version < tag.version]
    if not tag.version.pre:
        older = [each for each in older if not each.version.pre]
    return max(older, key=lambda each: each.version, default=None)
