"""Questions about the type of a configuration field: is it a section, a list of sections, how is it called in TOML."""

import types
import typing
from pathlib import Path

from pkg.config.base import Secret, Strict

_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", Path: "path", Secret: "secret string"}


def section_of(kind: object) -> type[Strict] | None:
    """The section behind `Section` or `Section | None`; None for anything else."""
    plain = _without_none(kind)
    return plain if isinstance(plain, type) and issubclass(plain, Strict) else None


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
