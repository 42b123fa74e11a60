"""Builds on the engine of tests, and images that need no build: one small layer with something that no image has."""

import base64
import io
import json
import re
import tarfile
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from pkg.builders.port import BuiltImage
from pkg.builders.testing import MemorySink, engine_socket, nonce
from pkg.builds.failures import BuildFailed
from pkg.images import INSTALLATION_LABEL, ImageRef

Build = Callable[..., Coroutine[None, None, BuiltImage]]


class EngineImages:
    """Imports images with the label of an installation of its own, and looks at them."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http
        self.installation_id = f"inst_{nonce()}"

    async def add(self, name: str = "", labels: Mapping[str, str] | None = None) -> ImageRef:
        """Makes an image, with `name` (repository:tag) if there is one; its image_ref."""
        params = [("fromSrc", "-")]
        for key, value in ({INSTALLATION_LABEL: self.installation_id} if labels is None else labels).items():
            params.append(("changes", f"LABEL {key}={value}"))
        if name:
            repo, _, tag = name.rpartition(":")
            params += [("repo", repo), ("tag", tag)]
        async with self._http.post("/images/create", params=params, data=_layer()) as response:
            lines = (await response.text()).splitlines()
        return ImageRef.on_engine(json.loads(lines[-1])["status"])

    async def name(self, image_ref: ImageRef, name: str) -> None:
        """Gives it one more name; another image loses it."""
        repo, _, tag = name.rpartition(":")
        path = f"/images/{image_ref.digest}/tag"
        async with self._http.post(path, params={"repo": repo, "tag": tag}) as response:
            assert response.status == 201, await response.text()

    async def push(self, image_ref: ImageRef, repository: str) -> str:
        """Pushes it to a repository (with its registry, one without login) and names it so; the image by digest."""
        await self.name(image_ref, f"{repository}:pushed")
        headers = {"X-Registry-Auth": base64.urlsafe_b64encode(b"{}").decode()}
        async with self._http.post(f"/images/{repository}/push", params={"tag": "pushed"}, headers=headers) as response:
            found = re.search(r"digest: (sha256:[0-9a-f]{64})", await response.text())
        assert found
        return f"{repository}@{found[1]}"

    async def pull(self, digest: str) -> None:
        """Pulls an image by "repository@sha256:..."."""
        repository, _, version = digest.partition("@")
        async with self._http.post("/images/create", params={"fromImage": repository, "tag": version}) as response:
            assert "error" not in await response.text()

    async def contain(self, image_ref: ImageRef) -> str:
        """Makes a container of it, which is not started; its id. It goes with everything else."""
        config = {"Image": image_ref.digest, "Cmd": ["/none"]}
        async with self._http.post("/containers/create", json=config) as response:
            return str((await response.json())["Id"])

    async def has(self, image_ref: ImageRef) -> bool:
        """Whether the engine has it."""
        async with self._http.get(f"/images/{image_ref.digest}/json") as response:
            return response.status == 200

    async def clear(self) -> None:
        """Removes what carries the label of this installation."""
        filters = json.dumps({"label": [f"{INSTALLATION_LABEL}={self.installation_id}"]})
        # an image's labels are its containers' labels, too
        async with self._http.get("/containers/json", params={"all": "1", "filters": filters}) as response:
            containers = [one["Id"] for one in await response.json()]
        for one in containers:
            await self._delete(f"/containers/{one}")
        async with self._http.get("/images/json", params={"filters": filters}) as response:
            images = [one["Id"] for one in await response.json()]
        for one in images:
            await self._delete(f"/images/{one}")

    async def _delete(self, path: str) -> None:
        async with self._http.delete(path, params={"force": "1"}):
            pass


@asynccontextmanager
async def engine_images() -> AsyncIterator[EngineImages]:
    """Images of one more installation; they are gone when the context is left."""
    connector = aiohttp.UnixConnector(path=str(engine_socket()))
    async with aiohttp.ClientSession("http://docker", connector=connector) as http:
        images = EngineImages(http)
        try:
            yield images
        finally:
            await images.clear()


def _layer() -> bytes:
    out, content = io.BytesIO(), nonce().encode()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("nonce")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


async def failure(build: Build, dockerfile: str, sink: MemorySink | None = None, **fields: Any) -> BuildFailed:
    """Builds what cannot be built; its error."""
    with pytest.raises(BuildFailed) as caught:
        await build({"Dockerfile": dockerfile}, sink, **fields)
    return caught.value
