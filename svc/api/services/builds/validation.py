"""Checks of requests about contexts and builds. Pure."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from pkg.errors import InvalidArgument
from pkg.platforms import Platform
from pkg.storage.port import SHA256_HEX
from sealift.ctrl.v1 import build_pb2 as pb
from svc.api.requests.checks import check_form, check_id, check_text, shown

DEFAULT_DOCKERFILE = "Dockerfile"
MAX_DOCKERFILE_PATH_CHARS = 512
MAX_BUILD_ARGS = 64
MAX_BUILD_ARG_CHARS = 32 << 10
MAX_SECRETS = 32
MAX_SECRET_BYTES = 64 << 10
_CONTEXT_PATH = re.compile(r"contexts/(?P<project>proj_[0-9a-z]{26})/(?P<sha256>[0-9a-f]{64})\.tar\.gz")
_ARG_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_SECRET_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_TARGET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True)
class BuildParameters:
    """A Dockerfile build. `target` and `platform` "": the builder's choice."""

    build_context_path: str
    dockerfile_path: str
    target: str
    platform: str
    build_args: dict[str, str]
    secrets: dict[str, bytes]
    no_cache: bool


def check_upload(request: pb.GenerateUploadURLRequest, max_context_bytes: int) -> None:
    """Checks that the announced archive may be uploaded."""
    check_id("project_id", "proj", request.project_id)
    if SHA256_HEX.fullmatch(request.sha256) is None:
        raise InvalidArgument("sha256", f"{shown(request.sha256)} is not a sha256: use 64 lower-case hex digits")
    if request.size_bytes < 1:
        raise InvalidArgument("size_bytes", "must be at least 1: the archive of an empty directory has some bytes, too")
    if request.size_bytes > max_context_bytes:
        raise InvalidArgument(
            "size_bytes",
            f"the archive has {request.size_bytes} bytes and this server accepts at most {max_context_bytes}"
            f" ({max_context_bytes >> 20} MiB, limits.max_context_bytes): leave files out with a .dockerignore",
        )


def build_parameters(context: pb.BuildContext, project_id: str, field: str = "build_context") -> BuildParameters:
    """The checked build of a request. Does not check that the context was uploaded."""
    if len(context.build_args) > MAX_BUILD_ARGS:
        raise InvalidArgument(
            f"{field}.build_args", f"has {len(context.build_args)}, at most {MAX_BUILD_ARGS} are allowed"
        )
    for name, value in context.build_args.items():
        check_form(f"{field}.build_args", name, _ARG_NAME, "use A-Z, a-z, 0-9 and _, not beginning with a digit")
        check_text(f"{field}.build_args[{name}]", value, max_chars=MAX_BUILD_ARG_CHARS, one_line=False)
    if context.HasField("tree_sha256"):
        check_form(f"{field}.tree_sha256", context.tree_sha256, SHA256_HEX, "use 64 lower-case hex digits")
    return BuildParameters(
        build_context_path=check_context_path(context.build_context_path, project_id, f"{field}.build_context_path"),
        dockerfile_path=dockerfile_path_of(context, field),
        target=_optional(context, "target", field, _TARGET, "a stage name has letters, digits, _, . and -"),
        platform=check_platform(f"{field}.platform", context.platform),
        build_args=dict(context.build_args),
        secrets=_secrets(context, f"{field}.secrets"),
        no_cache=context.no_cache,
    )


def check_context_path(path: str, project_id: str, field: str) -> str:
    """Returns the path, which GenerateUploadURL made for this project."""
    if not path:
        raise InvalidArgument(field, "is required: GenerateUploadURL gives it")
    match = _CONTEXT_PATH.fullmatch(path)
    if match is None:
        raise InvalidArgument(
            field, f"{shown(path)} is not a path that GenerateUploadURL gives", code="context.path_invalid"
        )
    if match["project"] != project_id:
        raise InvalidArgument(
            field,
            f"{shown(path)} belongs to another project: upload the context for project {project_id}",
            code="context.foreign",
        )
    return path


def dockerfile_path_of(context: pb.BuildContext, field: str) -> str:
    """Relative to the context's root, without "." and ".."; absent: "Dockerfile"."""
    if not context.HasField("dockerfile_path"):
        return DEFAULT_DOCKERFILE
    name, path = f"{field}.dockerfile_path", context.dockerfile_path
    if not path:
        raise InvalidArgument(name, f"must not be empty: leave it out for {DEFAULT_DOCKERFILE!r}")
    check_text(name, path, max_chars=MAX_DOCKERFILE_PATH_CHARS)
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or "\\" in path:
        raise InvalidArgument(
            name, f"{shown(path)} leaves the build context: give a path relative to its root, with / and without .."
        )
    if path.endswith("/") or parts == PurePosixPath("."):
        raise InvalidArgument(name, f"{shown(path)} is a directory: name the file")
    return parts.as_posix()


def check_platform(field: str, text: str) -> str:
    """The platform as the builder names it; "" for its own."""
    try:
        platform = Platform.parse(text)
    except ValueError as error:
        raise InvalidArgument(field, f"{shown(text)} is not supported: {error}") from None
    return "" if platform is None else platform.value


def _optional(context: pb.BuildContext, name: str, field: str, form: re.Pattern[str], allowed: str) -> str:
    if not context.HasField(name):  # type: ignore[arg-type]
        return ""
    return check_form(f"{field}.{name}", getattr(context, name), form, allowed)


def _secrets(context: pb.BuildContext, field: str) -> dict[str, bytes]:
    if len(context.secrets) > MAX_SECRETS:
        raise InvalidArgument(field, f"has {len(context.secrets)}, at most {MAX_SECRETS} are allowed")
    secrets: dict[str, bytes] = {}
    for number, secret in enumerate(context.secrets):
        check_form(f"{field}[{number}].id", secret.id, _SECRET_ID, "use 1 to 128 letters, digits, _, . and -")
        if secret.id in secrets:
            raise InvalidArgument(f"{field}[{number}].id", f"{secret.id!r} is given twice")
        if len(secret.value) > MAX_SECRET_BYTES:
            raise InvalidArgument(
                f"{field}[{number}].value", f"has {len(secret.value)} bytes, at most {MAX_SECRET_BYTES} are allowed"
            )
        secrets[secret.id] = secret.value
    return secrets
