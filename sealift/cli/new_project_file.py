"""A new sealift.toml: its text, and a project slug made from the directory's name."""

import os
import re
from pathlib import Path

from sealift.cli.project_file import MAX_SLUG_CHARS, is_slug
from sealift.client.errors import InputError

TEMPLATE = """\
# Settings of `sealift deploy` for this directory. Options and SEALIFT_* variables win over it.
project = "{slug}"
environment = "production"
# branch = "main"            # default: git's
# dockerfile = "Dockerfile"

# [build]
# target = "runtime"         # default: the last stage
# args = {{ NAME = "value" }}  # not for secrets: use --secret

# [run]                      # default: what the environment says
# port = 8080                # also handed to the app as $PORT
# memory_mib = 512
# disk_mib = 10240           # what an instance may write to its own disk
# cpu_millicores = 1000
# replicas = 1
# command = ["python", "app.py"]

# [run.health_check]
# path = "/healthz"          # default: the port accepts a connection

# [env]                      # no secrets: `sealift env set` and `sealift env import` are for those, and win
# LOG_LEVEL = "info"
"""


def slug_for(path: Path) -> str:
    """The slug of a project in this directory.

    Raises:
        InputError: none can be made of the directory's name.
    """
    name = _name(path)
    slug = slug_of(name)
    if not slug:
        raise InputError(f"no slug can be made of {name!r}; name one with --project")
    return slug


def slug_of(name: str) -> str:
    """A project slug from a directory's name, "" when nothing of it can be kept."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:MAX_SLUG_CHARS].strip("-")


def write(path: Path, slug: str) -> Path:
    """Write a new file.

    Raises:
        InputError: there is one already, or it can't be written.
    """
    if not is_slug(slug):
        raise InputError(
            f"{slug!r} is not a slug: use 1 to {MAX_SLUG_CHARS} of a-z, 0-9 and single hyphens, beginning and ending "
            "with a letter or digit"
        )
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        raise InputError(f"{path} exists already; edit it, or remove it first") from None
    except OSError as error:
        raise InputError(f"can't write {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(TEMPLATE.format(slug=slug))
    return path


def _name(path: Path) -> str:
    """The directory's own name, also of "."."""
    try:
        return path.resolve().name
    except OSError as error:
        raise InputError(f"can't go to {path}: {error.strerror}") from None
