"""The keys of a project's sealift.toml: texts from here, types and limits from the structs."""

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from msgspec import Meta, UnsetType

from pkg.config import KeyDoc
from sealift.cli.project.project_file import ProcessSection, ProjectFile, Section

TEXTS: Mapping[str, str] = {
    "project": "slug or id; created with `sealift projects create`.",
    "environment": "slug. Default: production.",
    "branch": "branch name. Default: git's, else the CI system's, else main.",
    "dockerfile": "relative to the directory. Default: Dockerfile.",
    "build.args": "build arguments; not for secrets, because they stay in the image's history.",
    "build.target": "stage of the Dockerfile. Default: the last.",
    "build.platform": "such as linux/amd64. Default: the builder's own.",
    "build.kind": "kind of an app without a Dockerfile, if it may be several. Default: detected.",
    "build.go_package": "folder of the Go program, such as ./cmd/server, if there are several. Without a Dockerfile.",
    "build.base_python": "base image of a generated Dockerfile, for Python; `{version}` stands for the version. "
    "Default: python:{version}-slim.",
    "build.base_node": "the same for Node. Default: node:{version}-slim.",
    "build.base_go": "the same for building Go. Default: golang:{version}-bookworm.",
    "build.base_go_run": "image in which a Go program runs. Default: debian:bookworm-slim.",
    "build.base_static": "image with nginx, which serves static files. Default: nginx:1.28.",
    "run.port": "port of the app; the app gets it as `$PORT`. Default of an environment: 8080.",
    "run.protocol": "what the app speaks: HTTP/1.1, or HTTP/2 without TLS, as gRPC servers do. Default of an "
    "environment: http1.",
    "run.memory_mib": "limit of each instance. Default of an environment: 512.",
    "run.disk_mib": "limit of what each instance writes to its own disk. Default of an environment: 10240.",
    "run.cpu_millicores": "limit of each instance; 1000 is one core. Default of an environment: 1000.",
    "run.replicas": "instances in each region: a fixed number. Default of an environment: 1.",
    "run.min_replicas": "least instances in each region, where a cluster scales them. Default: 1.",
    "run.max_replicas": "most instances in each region, where a cluster scales them; not together with `replicas`.",
    "run.target_cpu_percent": "CPU use that scaling aims at, the mean in percent of `cpu_millicores`. Default: 80.",
    "run.command": "replaces the image's command; a list of words, without a shell.",
    "run.health_check.path": "a healthy instance answers it with 200 to 399. Default: the port accepts a connection.",
    "run.health_check.interval_ms": "interval of probes; shorter in the first seconds. Default: 1000.",
    "run.health_check.timeout_ms": "timeout of one probe. Default: 2000.",
    "run.health_check.start_timeout_s": "time to become healthy, else the start has failed. Default: 120.",
    "release.command": "runs once per deploy, before anything of it starts, in a container of the new image with its "
    "entrypoint; the deploy fails unless it exits with 0. A line, or a list of words. Default: `release` of a Procfile "
    "where no Dockerfile is, else none.",
    "release.timeout_s": "time for it, after which it is ended and the deploy fails. Default of an environment: 600.",
    "processes": "processes beside the app, by name: a command line, or a table of the keys below. Names have 1 to 20 "
    "of a-z, 0-9 and -. Default without a Dockerfile: the lines of the Procfile.",
    "processes.NAME.command": "a command line, or a list of words, without a shell; required.",
    "processes.NAME.replicas": "instances in each region. Default: 1.",
    "processes.NAME.memory_mib": "limit of each instance. Default: as in `[run]`.",
    "processes.NAME.disk_mib": "limit of what each instance writes to its own disk. Default: as in `[run]`.",
    "processes.NAME.cpu_millicores": "limit of each instance. Default: as in `[run]`.",
    "env": "variables of the app that are not secret; text or whole numbers. `sealift env set` overrides them.",
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
        elif get_origin(plain) is dict and get_args(plain)[1] is ProcessSection:
            yield KeyDoc(key, "table of string or table", "", TEXTS.get(key, ""))
            yield from _walk(ProcessSection, f"{key}.NAME.")
        else:
            yield KeyDoc(key, _type(plain), "", TEXTS.get(key, ""))


def _without_unset(hint: Any) -> Any:
    if get_origin(hint) in {Union, UnionType}:
        rest = tuple(arg for arg in get_args(hint) if arg is not UnsetType)
        return rest[0] if len(rest) == 1 else rest
    return hint


def _type(hint: Any) -> str:
    if isinstance(hint, tuple):
        return "; or ".join(_type(one) for one in hint)
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
    if get_origin(hint) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(hint))
    if get_origin(hint) is dict:
        return "table of string"
    return _NAMES.get(hint, str(hint))
