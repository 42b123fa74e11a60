"""Writes a new sealift.toml, and derives a project slug from the directory's name."""

import os
import re
from pathlib import Path

from sealift.cli.project.project_file import MAX_SLUG_CHARS, is_slug
from sealift.client.errors import InputError

TEMPLATE = """\
# Settings of `sealift deploy` for this directory. Options and SEALIFT_* variables override them.
project = "{slug}"
environment = "production"
# branch = "main"            # default: from git
# dockerfile = "Dockerfile"

# [build]
# target = "runtime"         # default: the last stage
# args = {{ NAME = "value" }}  # not for secrets: use --secret
# platform = "linux/amd64"   # or linux/arm64; default: the server's
# kind = "python"            # without a Dockerfile: or "node", "go", "static"; default: detected
# base_python = "python:{{version}}-slim"

# [run]                      # default: settings of the environment
# port = 8080                # the app gets it as $PORT
# protocol = "http1"         # or "h2c": HTTP/2 without TLS, as gRPC servers speak it
# memory_mib = 512
# disk_mib = 10240           # limit of an instance's own disk
# cpu_millicores = 1000
# replicas = 1                # or min_replicas = 1, max_replicas = 4: on Kubernetes, scaled by CPU use
# command = ["python", "app.py"]

# [run.health_check]
# path = "/healthz"          # default: the port accepts a connection

# [processes]                # beside the app, without routes; default without a Dockerfile: those of the Procfile
# worker = "python worker.py"

# [env]                      # not for secrets; `sealift env set` and `sealift env import` override it
# LOG_LEVEL = "info"
"""


def slug_for(path: Path) -> str:
    """A project slug for a directory.

    Raises:
        InputError: the directory's name has no usable characters.
    """
    name = _name(path)
    slug = slug_of(name)
    if not slug:
        raise InputError(f"the directory name {name!r} gives no project slug; set one with --project")
    return slug


def slug_of(name: str) -> str:
    """A project slug from a directory's name; "" if it has no usable characters."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:MAX_SLUG_CHARS].strip("-")


def write(path: Path, slug: str) -> Path:
    """Write a new sealift.toml.

    Raises:
        InputError: the slug is not valid, the file exists, or it can't be written.
    """
    if not is_slug(slug):
        raise InputError(
            f"{slug!r} is not a valid slug: use 1 to {MAX_SLUG_CHARS} of a-z, 0-9 and single hyphens, starting and "
            "ending with a letter or digit"
        )
    return write_new(path, TEMPLATE.format(slug=slug))


def write_new(path: Path, text: str) -> Path:
    """Write a file that does not exist.

    Raises:
        InputError: it exists, or can't be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        raise InputError(f"{path} already exists; edit it, or remove it first") from None
    except OSError as error:
        raise InputError(f"can't write {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def _name(path: Path) -> str:
    """The directory's name, also for "."."""
    try:
        return path.resolve().name
    except OSError as error:
        raise InputError(f"can't open {path}: {error.strerror}") from None
