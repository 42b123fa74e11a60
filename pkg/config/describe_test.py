from typing import Literal

from pkg.config import KeyDoc, Secret, Strict, describe
from pkg.config.sections import Log, Restate


class Key(Strict):
    """A key.

    Attributes:
        name: of the key.
    """

    name: str


class MyRestate(Restate):
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
    restate: MyRestate
    keys: tuple[Key, ...] = ()


def test_lists_every_key_with_type_default_and_text() -> None:
    """Promise: the reference page is complete, also for extended sections, and shows no secret."""
    assert describe(Config) == [
        KeyDoc("count", "integer", "3", "how many."),
        KeyDoc("names", "list of string", '["x"]', "several."),
        KeyDoc("token", "secret string", '"****"', ""),
        KeyDoc("log.level", '"debug" or "info" or "warning" or "error"', '"info"', "lines below it are not written."),
        KeyDoc("restate.ingress", "string", None, '"unix:///path/to/ingress.sock" or "http://host:port".'),
        KeyDoc("restate.admin", "string", None, "the same for the admin API."),
        KeyDoc("restate.external_url", "string", '"http://127.0.0.1:7401"', "what users reach, on two lines."),
        KeyDoc("restate.mode", '"a" or "b"', "", "how."),
        KeyDoc("keys[].name", "string", None, "of the key."),
    ]
    assert MyRestate(ingress="unix:///i", admin="unix:///a").mode is None
