from pathlib import Path
from typing import Literal

from pkg.config import KeyDoc, Secret, Strict, describe
from pkg.config.sections import Log, Objects


class Key(Strict):
    """A key.

    Attributes:
        name: of the key.
    """

    name: str


class MyObjects(Objects):
    """More.

    Attributes:
        external_url: what users reach,
            on two lines.
        mode: how.
    """

    external_url: str = "http://127.0.0.1:7401"
    mode: Literal["a", "b"] | None = None


class Config(Strict):
    """All.

    Attributes:
        count: how many.
        names: several.
    """

    count: int = 3
    names: tuple[str, ...] = ("x",)
    token: Secret = Secret("hunter2")
    log: Log = Log()
    objects: MyObjects
    keys: tuple[Key, ...] = ()


def test_lists_every_key_with_type_default_and_text() -> None:
    """Promise: the reference page is complete, also for extended sections, and shows no secret."""
    assert describe(Config) == [
        KeyDoc("count", "integer", "3", "how many."),
        KeyDoc("names", "list of string", '["x"]', "several."),
        KeyDoc("token", "secret string", '"****"', ""),
        KeyDoc("log.level", '"debug" or "info" or "warning" or "error"', '"info"', "lines below it are not written."),
        KeyDoc("objects.root", "path", None, "folder of the stored objects."),
        KeyDoc(
            "objects.signing_key_file",
            "path",
            None,
            "0600 file with the key that signs upload and download URLs; api and worker share it.",
        ),
        KeyDoc("objects.external_url", "string", '"http://127.0.0.1:7401"', "what users reach, on two lines."),
        KeyDoc("objects.mode", '"a" or "b"', "", "how."),
        KeyDoc("keys[].name", "string", None, "of the key."),
    ]
    assert MyObjects(root=Path("/r"), signing_key_file=Path("/k")).mode is None
