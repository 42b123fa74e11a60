"""Checks of requests about deployments. Pure."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pkg.errors import InvalidArgument
from pkg.images.ref import MAX_REF_CHARS, is_image_id, is_registry_ref
from pkg.projects.slugs import check_slug
from sealift.ctrl.v1 import deployment_pb2 as pb
from svc.api.requests import settings
from svc.api.requests.checks import check_form, check_id, check_text, shown
from svc.api.requests.trim import trim
from svc.api.services.builds.validation import BuildParameters, build_parameters
from svc.api.services.environments.validation import check_variables

DEFAULT_BRANCH = "main"
MAX_BRANCH_CHARS = 255
MAX_KEYSPACE_ID_CHARS = 128
MAX_COMMIT_MESSAGE_CHARS = 10240
MAX_AUTHOR_HANDLE_CHARS = 256
MAX_AVATAR_URL_CHARS = 512
MIN_TIMESTAMP_MS = 1_000_000_000_000  # 2001; a smaller number is seconds, sent by mistake
MAX_TIMESTAMP_AHEAD_MS = 3600 * 1000
_SHA = re.compile(r"[0-9a-f]{7,64}")


@dataclass(frozen=True)
class DeploymentParameters:
    """What to deploy. Exactly one of `build`, `docker_image` and `build_id` is set; `build_id`: an earlier build."""

    project_id: str
    environment_slug: str
    branch: str
    keyspace_id: str | None
    git: dict[str, Any]
    settings_override: dict[str, Any]
    build: BuildParameters | None
    docker_image: str
    build_id: str
    variables: dict[str, str]


def deployment_parameters(request: pb.CreateDeploymentRequest, now: int) -> DeploymentParameters:
    """The checked and trimmed deployment of a request. Does not check that what it names exists."""
    check_id("project_id", "proj", request.project_id)
    build, image, build_id = None, "", ""
    match request.WhichOneof("source"):
        case "build_context":
            build = build_parameters(request.build_context, request.project_id)
        case "docker_image":
            image = check_image(request.docker_image)
        case "build_id":
            build_id = check_id("build_id", "bld", request.build_id)
        case _:
            raise InvalidArgument("source", "is required: give build_context, docker_image or build_id")
    return DeploymentParameters(
        project_id=request.project_id,
        environment_slug=check_slug("environment_slug", request.environment_slug),
        branch=check_text("branch", request.branch or DEFAULT_BRANCH, min_chars=1, max_chars=MAX_BRANCH_CHARS),
        keyspace_id=(
            check_text("keyspace_id", request.keyspace_id, max_chars=MAX_KEYSPACE_ID_CHARS)
            if request.HasField("keyspace_id")
            else None
        ),
        git=git_of(request.git_commit, now) if request.HasField("git_commit") else {},
        settings_override=settings.override_of(request.settings) if request.HasField("settings") else {},
        build=build,
        docker_image=image,
        build_id=build_id,
        variables=check_variables("variables", request.variables),
    )


def git_of(commit: pb.GitCommit, now: int) -> dict[str, Any]:
    """The present fields, trimmed; an empty text stays an empty text."""
    git: dict[str, Any] = {}
    if commit.HasField("commit_sha"):
        git["commit_sha"] = check_form(
            "git_commit.commit_sha", commit.commit_sha, _SHA, "use 7 to 64 lower-case hex digits, or leave it out"
        )
    if commit.HasField("commit_message"):
        git["commit_message"] = _free_text("commit_message", commit.commit_message, MAX_COMMIT_MESSAGE_CHARS)
    if commit.HasField("author_handle"):
        git["author_handle"] = _free_text("author_handle", commit.author_handle, MAX_AUTHOR_HANDLE_CHARS)
    if commit.HasField("author_avatar_url"):
        git["author_avatar_url"] = _avatar_url(commit.author_avatar_url)
    if commit.HasField("timestamp"):
        git["timestamp"] = _timestamp(commit.timestamp, now)
    return git


def check_image(image: str) -> str:
    """An image reference as registries know it: [host/]name[:tag][@digest]. Ids of images on an engine are refused."""
    if not 1 <= len(image) <= MAX_REF_CHARS:
        raise InvalidArgument("docker_image", f"must have 1 to {MAX_REF_CHARS} characters, this has {len(image)}")
    if is_image_id(image):
        raise InvalidArgument("docker_image", f"{shown(image)} is an image id: name the image, as in nginx:1.27")
    if not is_registry_ref(image):
        raise InvalidArgument(
            "docker_image",
            f"{shown(image)} is not an image reference: use [host/]name[:tag][@sha256:digest] with a lower-case name",
        )
    return image


def _free_text(name: str, text: str, limit: int) -> str:
    if "\0" in text:
        raise InvalidArgument(f"git_commit.{name}", "must not hold a NUL character")
    return trim(text, limit)


def _avatar_url(url: str) -> str:
    if url:
        try:
            is_web = urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).netloc)
        except ValueError:
            is_web = False
        if not is_web:
            raise InvalidArgument("git_commit.author_avatar_url", f"{shown(url)} is not an http or https URL")
    return _free_text("author_avatar_url", url, MAX_AVATAR_URL_CHARS)


def _timestamp(timestamp: int, now: int) -> int:
    if timestamp < MIN_TIMESTAMP_MS:
        raise InvalidArgument(
            "git_commit.timestamp",
            f"{timestamp} is too small for epoch milliseconds: were seconds sent? Multiply them by 1000",
        )
    if timestamp > now + MAX_TIMESTAMP_AHEAD_MS:
        raise InvalidArgument(
            "git_commit.timestamp",
            f"{timestamp} is more than an hour ahead of this server's clock ({now}): check the clock of the sender",
        )
    return timestamp
