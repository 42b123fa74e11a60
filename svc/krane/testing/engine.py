"""A real Docker engine for tests: an image with Python in it, and the removal of everything a test left.

The engine is the one of SEALIFT_ENGINE_SOCKET, the image the one of SEALIFT_TEST_BASE_IMAGE, else one made of this
machine's own interpreter (no registry needed).
"""

import io
import os
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import docker
import docker.errors

from pkg.docker.sdk import open_client

SOCKET = os.environ.get("SEALIFT_ENGINE_SOCKET", "/var/run/docker.sock")
_OWN = f"sealift-test/python:{sys.version_info.major}.{sys.version_info.minor}"
_LEFT_OUT = ("test", "idlelib", "site-packages", "dist-packages", "__pycache__", "ensurepip", "lib2to3", "tkinter")


def client() -> docker.APIClient:
    """A client; close it. Raises docker.errors.DockerException when no engine answers."""
    return open_client(SOCKET, timeout_s=60)


def python_image(engine: docker.APIClient) -> str:
    """The id ("sha256:...") of an image in which `python3` runs."""
    return str(_inspect(engine, python_image_name(engine))["Id"])


def python_image_name(engine: docker.APIClient) -> str:
    """The name of that image."""
    for name in (os.environ.get("SEALIFT_TEST_BASE_IMAGE"), _OWN):
        if name:
            try:
                _inspect(engine, name)
            except docker.errors.ImageNotFound:
                continue
            return name
    repository, _, tag = _OWN.partition(":")
    engine.import_image_from_data(_root_file_system(), repository=repository, tag=tag, changes=["ENV PATH=/bin"])
    return _OWN


def derived_image(
    engine: docker.APIClient, base: str, lines: Sequence[str], installation_id: str, file: bytes = b""
) -> str:
    """The id of an image made from `base` by lines of a Dockerfile, which may copy `file`; `remove_all` removes it."""
    folder = io.BytesIO()
    dockerfile = "\n".join([f"FROM {base}", f"LABEL sealift.installation={installation_id}", *lines]).encode()
    with tarfile.open(fileobj=folder, mode="w") as tar:
        for name, content, mode in (("Dockerfile", dockerfile, 0o644), ("file", file, 0o755)):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
    folder.seek(0)
    said = list(engine.build(fileobj=folder, custom_context=True, decode=True))
    built = next((m["aux"]["ID"] for m in said if "aux" in m), None)
    if built is None:
        raise RuntimeError(f"the engine built nothing: {said}")
    return str(built)


def remove_all(engine: docker.APIClient, installation_id: str) -> None:
    """Removes the containers, networks and images of one test's installation."""
    filters = {"label": [f"sealift.installation={installation_id}"]}
    for container in engine.containers(all=True, filters=filters):
        engine.remove_container(container["Id"], force=True, v=True)
    for network in engine.networks(filters=filters):
        engine.remove_network(network["Id"])
    for image in engine.images(filters=filters):
        engine.remove_image(image["Id"], force=True)


def _root_file_system() -> bytes:
    """A tar with the interpreter, its shared libraries and its standard library at their own paths."""
    interpreter = Path(sys.executable).resolve()
    library = Path(sysconfig.get_path("stdlib"))
    files = {interpreter, *_shared_libraries(interpreter)}
    for extension in library.rglob("*.so"):
        if not set(extension.parts) & set(_LEFT_OUT):
            files.update(_shared_libraries(extension))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path in sorted(files):
            tar.add(path.resolve(), arcname=str(path).lstrip("/"), recursive=False)
        tar.add(library, filter=lambda member: None if set(Path(member.name).parts) & set(_LEFT_OUT) else member)
        link = tarfile.TarInfo("bin/python3")
        link.type, link.linkname = tarfile.SYMTYPE, str(interpreter)
        tar.addfile(link)
    return out.getvalue()


def _shared_libraries(program: Path) -> set[Path]:
    listed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
    words = [word for line in listed.splitlines() for word in line.split()]
    return {Path(word) for word in words if word.startswith("/") and Path(word).exists()}


def _inspect(engine: docker.APIClient, name: str) -> dict[str, Any]:
    found: dict[str, Any] = engine.inspect_image(name)  # type: ignore[no-untyped-call]
    return found
