"""The files of an app, as the rules see them: the paths that would be sent, and the beginning of their texts."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from sealift.client.context import Context

MAX_READ_BYTES = 256 << 10
MAX_DEPTH = 4  # directories above a file that the rules look at


class AppFiles:
    """Files by their path relative to the app, with slashes. Each file is read at most once.

    Args:
        paths: of all files.
        read: the text of one of them; never raises.
    """

    def __init__(self, paths: Iterable[str], read: Callable[[str], str]) -> None:
        self.paths = frozenset(path for path in paths if path.count("/") < MAX_DEPTH)
        self._read = read
        self._texts: dict[str, str] = {}

    @classmethod
    def of_texts(cls, texts: Mapping[str, str]) -> "AppFiles":
        """Files with these texts."""
        return cls(texts, texts.__getitem__)

    @classmethod
    def of_context(cls, context: Context) -> "AppFiles":
        """The files of a scanned directory, so that what is not sent is not seen either."""
        return cls((entry.path for entry in context.files), lambda path: _beginning(context.root / path))

    def __contains__(self, path: str) -> bool:
        return path in self.paths

    def first(self, *paths: str) -> str:
        """The first of these paths that exists; "" if none does."""
        return next((path for path in paths if path in self.paths), "")

    def text(self, path: str) -> str:
        """The beginning of a file, at most 256 KiB; "" if there is none."""
        if path not in self.paths:
            return ""
        if path not in self._texts:
            self._texts[path] = self._read(path).removeprefix("\ufeff")
        return self._texts[path]

    def json(self, path: str) -> dict[str, Any]:
        """A JSON file's object; {} if there is none, or it is not one."""
        try:
            found = msgspec.json.decode(self.text(path) or "{}")
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            return {}
        return found if isinstance(found, dict) else {}

    def toml(self, path: str) -> dict[str, Any]:
        """A TOML file's table; {} if there is none, or it is not valid."""
        import tomli

        try:
            return tomli.loads(self.text(path))
        except (tomli.TOMLDecodeError, RecursionError):
            return {}

    def has_folder(self, folder: str) -> bool:
        """Whether files are below this folder."""
        return any(path.startswith(f"{folder}/") for path in self.paths)

    def top(self) -> "AppFiles":
        """The files that are in no folder."""
        return AppFiles((path for path in self.paths if "/" not in path), self.text)

    def below(self, folder: str) -> "AppFiles":
        """The files of a folder, by their paths in it."""
        start = f"{folder}/"
        inside = (path.removeprefix(start) for path in self.paths if path.startswith(start))
        return AppFiles(inside, lambda path: self.text(start + path))


def table(value: object, *keys: str) -> dict[str, Any]:
    """The table at the end of a path of keys in parsed JSON or TOML; {} if there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def text_at(value: object, *keys: str) -> str:
    """The text at the end of a path of keys in parsed JSON or TOML; "" if there is none."""
    found = table(value, *keys[:-1]).get(keys[-1])
    return found if isinstance(found, str) else ""


def _beginning(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_READ_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
