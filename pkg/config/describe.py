"""Every key of a configuration with its type, default and text, for the generated reference page."""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from pkg.config.base import Secret, Strict
from pkg.config.shape import backends_of, item_section_of, section_of, type_name

_ATTRIBUTE = re.compile(r"^ {4}(?P<name>\w+): (?P<text>.*(?:\n {5,}\S.*)*)", re.MULTILINE)


class KeyDoc(NamedTuple):
    """One key. `default` is TOML text, "" for an optional key without one, None for a required key."""

    key: str
    type: str
    default: str | None
    doc: str


def describe(kind: type[Strict]) -> list[KeyDoc]:
    """All keys in the order of their declaration: "log.level", and "bootstrap_keys[].name" in arrays of tables."""
    return list(_walk(kind, ""))


def _walk(kind: type[Strict], prefix: str) -> Iterator[KeyDoc]:
    docs = _attributes(kind)
    for field in msgspec.structs.fields(kind):
        key = f"{prefix}{field.encode_name}"
        nested, item = section_of(field.type), item_section_of(field.type)
        if nested:
            yield from _walk(nested, f"{key}.")
        elif backends := backends_of(field.type):
            yield from _walk_backends(backends, f"{key}.")
        elif item:
            yield from _walk(item, f"{key}[].")
        else:
            yield KeyDoc(key, type_name(field.type), _default(field), docs.get(field.name, ""))


def _walk_backends(backends: Mapping[str, type[Strict]], prefix: str) -> Iterator[KeyDoc]:
    """The key that chooses, then the keys of each backend; one that several have is listed once."""
    choice = f"{prefix}backend"
    named = {name: list(_walk(kind, prefix)) for name, kind in backends.items()}
    texts = [doc.doc for docs in named.values() for doc in docs if doc.key == choice]
    default = next(iter(backends))
    yield KeyDoc(choice, " or ".join(f'"{name}"' for name in backends), f'"{default}"', " ".join(texts))
    known = {choice}
    for name, docs in named.items():
        for doc in docs:
            if doc.key not in known:
                known.add(doc.key)
                owners = [owner for owner in named if any(other.key == doc.key for other in named[owner])]
                text = doc.doc if len(owners) == len(named) else f'With backend "{name}": {doc.doc}'
                yield doc._replace(doc=text)


def _attributes(kind: type[Strict]) -> dict[str, str]:
    docs: dict[str, str] = {}
    for base in reversed(kind.__mro__):  # a section that extends another one keeps its texts
        if issubclass(base, Strict):
            _, _, section = inspect.cleandoc(base.__doc__ or "").partition("Attributes:\n")
            docs |= {match["name"]: " ".join(match["text"].split()) for match in _ATTRIBUTE.finditer(section)}
    return docs


def _default(field: msgspec.structs.FieldInfo) -> str | None:
    if field.required:
        return None
    value = field.default
    if value is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    return "" if value is None else _toml(value)


def _toml(value: object) -> str:
    if isinstance(value, Secret):
        return '""' if not value else '"****"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool | int | float):
        return msgspec.json.encode(value).decode()
    return msgspec.json.encode(str(value)).decode()
