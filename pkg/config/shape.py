"""What the type of a configuration field means: a section, a list or a union of sections, its name in TOML."""

import types
import typing
from pathlib import Path

from pkg.config.base import Secret, Strict

_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", Path: "path", Secret: "secret string"}


def section_of(kind: object) -> type[Strict] | None:
    """The section behind `Section` or `Section | None`; None for anything else."""
    plain = _without_none(kind)
    return plain if isinstance(plain, type) and issubclass(plain, Strict) else None


def backends_of(kind: object) -> dict[str, type[Strict]]:
    """The sections of a union (`DiskConfig | S3Config`) by their `backend`, in order; empty for anything else.

    Each of them has a key `backend: Literal["name"] = "name"`; the first one is the default.
    """
    if typing.get_origin(kind) not in {types.UnionType, typing.Union}:
        return {}
    sections = [section_of(arg) for arg in typing.get_args(kind)]
    if len(sections) < 2:
        return {}
    return {name: section for section in sections if section for name in _backend_names(section)}


def backend_names(kind: object) -> tuple[str, ...]:
    """What the key `backend` of a section, or of a union of sections, may be; the default first."""
    section = section_of(kind)
    return _backend_names(section) if section else tuple(backends_of(kind))


def _backend_names(section: type[Strict]) -> tuple[str, ...]:
    return tuple(str(name) for name in choices_of(typing.get_type_hints(section).get("backend")))


def item_section_of(kind: object) -> type[Strict] | None:
    """The section that an array of tables (`list[Section]`, `tuple[Section, ...]`) repeats; None for anything else."""
    plain = _without_none(kind)
    if typing.get_origin(plain) not in {list, tuple}:
        return None
    return section_of(typing.get_args(plain)[0])


def choices_of(kind: object) -> tuple[object, ...]:
    """The values that a `Literal` allows; empty for anything else."""
    plain = _without_none(kind)
    return typing.get_args(plain) if typing.get_origin(plain) is typing.Literal else ()


def type_name(kind: object) -> str:
    """The type as a reader of TOML knows it: "integer", "list of string", '"info" or "debug"'."""
    plain = _without_none(kind)
    choices = choices_of(plain)
    if choices:
        return " or ".join(f'"{choice}"' for choice in choices)
    if section_of(plain):
        return "table"
    origin = typing.get_origin(plain)
    if origin in {list, tuple}:
        return f"list of {type_name(typing.get_args(plain)[0])}"
    if origin is dict:
        return f"table of {type_name(typing.get_args(plain)[1])}"
    if isinstance(plain, type):
        return _NAMES.get(plain, plain.__name__)
    return str(plain)


def _without_none(kind: object) -> object:
    if typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) in {types.UnionType, typing.Union}:
        rest = [arg for arg in typing.get_args(kind) if arg is not types.NoneType]
        if len(rest) == 1:
            return _without_none(rest[0])
    return kind
