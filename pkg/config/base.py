"""Base classes of configuration: strict structs, masked secrets, one error that lists every problem."""

import hmac
from collections.abc import Iterator, Sequence
from typing import Any, dataclass_transform

import msgspec

from pkg.errors import SealiftError


class ConfigError(SealiftError):
    """The configuration cannot be used; nothing was started.

    Attributes:
        problems: one line each, beginning with the TOML path at fault.
    """

    def __init__(self, code: str, message: str, *, problems: Sequence[str] = ()) -> None:
        super().__init__(code, message)
        self.problems = list(problems)


class _StrictMeta(msgspec.StructMeta):
    """Makes the three settings hold for every subclass: msgspec itself does not inherit `kw_only`."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **config: Any) -> "_StrictMeta":
        strict: dict[str, Any] = {"frozen": True, "kw_only": True, "forbid_unknown_fields": True}
        return super().__new__(mcs, name, bases, namespace, **(strict | config))


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Strict(msgspec.Struct, metaclass=_StrictMeta, frozen=True):
    """Base of every configuration section.

    A section may define `problems(self) -> list[str]` for rules across its fields; each line begins with the key at
    fault. Its keys are documented in an "Attributes:" section of its docstring.
    """

    def problems(self) -> list[str]:
        """Rules across fields that this section breaks; none here."""
        return []


class Secret:
    """Text that only `reveal` returns: masked in repr, str, format, logs and tracebacks."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(****)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        # constant time: a comparison with input from outside must not reveal how much of it matched
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __bool__(self) -> bool:
        return bool(self._value)


def secrets_of(section: Strict) -> Iterator[str]:
    """The text of every secret in a section and in the sections below it, none of them empty."""
    pending: list[object] = [section]
    while pending:
        value = pending.pop()
        if isinstance(value, Secret) and value:
            yield value.reveal()
        elif isinstance(value, Strict):
            pending += [getattr(value, field.name) for field in msgspec.structs.fields(value)]
        elif isinstance(value, list | tuple):
            pending += value
        elif isinstance(value, dict):
            pending += value.values()
