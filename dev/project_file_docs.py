"""Every key of a project's sealift.toml, from its structs; the texts stand here, the types and limits there."""

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from msgspec import Meta, UnsetType

from pkg.config import KeyDoc
from sealift.cli.project_file import ProjectFile, Section

TEXTS: Mapping[str, str] = {
    "project": "slug or id; made by `sealift projects create`.",
    "environment": "slug; absent: production.",
    "branch": "absent: git's, else main.",
    "dockerfile": "relative to the directory; absent: Dockerfile.",
    "build.args": "build arguments; not for secrets, they stay in the image's history.",
    "build.target": "stage of the Dockerfile; absent: the last.",
    "build.platform": "such as linux/amd64; absent: the builder's own.",
    "run.port": "where the app listens; also handed to it as `$PORT`. Default of an environment: 8080.",
    "run.memory_mib": "limit of each instance. Default of an environment: 512.",
    "run.disk_mib": "limit of what each instance writes to its own disk. Default of an environment: 10240.",
    "run.cpu_millicores": "limit of each instance; 1000 is one core. Default of an environment: 1000.",
    "run.replicas": "instances in each region. Default of an environment: 1.",
    "run.command": "in place of the image's command; a list of words, no shell.",
    "run.health_check.path": "answered with 200 to 399 by a healthy instance; absent: the port accepts a connection.",
    "run.health_check.interval_ms": "between probes; more often in the first seconds. Default: 1000.",
    "run.health_check.timeout_ms": "of one probe. Default: 2000.",
    "run.health_check.start_timeout_s": "not healthy by then is a failed start. Default: 120.",
    "env": "variables of the app, for what is no secret; text or whole numbers. What `sealift env set` says wins.",
}
_NAMES = {str: "string", int: "integer"}


def project_file_keys() -> list[KeyDoc]:
    """All keys in the order of their declaration; none is required."""
    return list(_walk(ProjectFile, ""))


def _walk(kind: type[Section], prefix: str) -> Iterator[KeyDoc]:
    for name, hint in get_type_hints(kind, include_extras=True).items():
        key = f"{prefix}{name}"
        plain = _without_unset(hint)
        if isinstance(plain, type) and issubclass(plain, Section):
            yield from _walk(plain, f"{key}.")
        else:
            yield KeyDoc(key, _type(plain), "", TEXTS.get(key, ""))


def _without_unset(hint: Any) -> Any:
    if get_origin(hint) in {Union, UnionType}:
        (rest,) = (arg for arg in get_args(hint) if arg is not UnsetType)
        return rest
    return hint


def _type(hint: Any) -> str:
    if get_origin(hint) is not Annotated:
        return _plain(hint)
    plain, *notes = get_args(hint)
    meta = next((note for note in notes if isinstance(note, Meta)), None)
    limit = "" if meta is None else _limit(meta)
    return f"{_plain(plain)}{limit}"


def _limit(meta: Meta) -> str:
    if meta.ge is not None and meta.le is not None:
        return f", {meta.ge} to {meta.le}"
    return "" if meta.max_length is None else f", at most {meta.max_length}"


def _plain(hint: Any) -> str:
    if get_origin(hint) is list:
        return "list of string"
    if get_origin(hint) is dict:
        return "table of string"
    return _NAMES.get(hint, str(hint))
