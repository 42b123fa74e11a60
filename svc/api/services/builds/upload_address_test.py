"""Upload URLs suit the address by which their client came."""

import hashlib

import aiohttp
import msgspec
import pytest
from yarl import URL

from pkg.config.sections import Ingress
from pkg.errors import FailedPrecondition
from pkg.storage.port import PresignedPut
from sealift.ctrl.v1 import build_pb2 as pb
from sealift.ctrl.v1 import project_pb2
from svc.api.config import Http
from svc.api.rpc.clients import Client
from svc.api.services.builds.upload_address import upload_url
from svc.api.testing import RecordingRestate, config_in, running_api

HOST, LOCAL = "deploy.example.com", "http://127.0.0.1:7401"
SERVED = PresignedPut("https://files.example.com/objects/x?s", served_path="/objects/x?s")
THROUGH = (("x-forwarded-for", "203.0.113.7"), ("x-forwarded-proto", "https"), ("x-forwarded-host", f"{HOST}:7443"))


@pytest.mark.parametrize(
    ("client", "is_on_loopback", "url"),
    [
        (Client("203.0.113.7", f"https://{HOST}"), False, f"https://{HOST}/objects/x?s"),
        (Client("127.0.0.1", f"http://{HOST}:7480"), True, f"http://{HOST}:7480/objects/x?s"),
        (Client("203.0.113.7", "https://other.example.com"), False, SERVED.url),
        (Client("203.0.113.7", "https://other.example.com"), True, SERVED.url),
        (Client("127.0.0.1"), True, f"{LOCAL}/objects/x?s"),
        (Client("127.0.0.1"), False, SERVED.url),
        (Client("203.0.113.7"), False, SERVED.url),
    ],
)
def test_which_address(client: Client, is_on_loopback: bool, url: str) -> None:
    """Promise: through the ingress the URL that the client used, on this machine loopback, else the external URL."""
    assert upload_url(SERVED, client, HOST, LOCAL, is_on_loopback=is_on_loopback) == url
    elsewhere = PresignedPut("https://s3.example.com/b/x?s")
    assert upload_url(elsewhere, client, HOST, LOCAL, is_on_loopback=is_on_loopback) == elsewhere.url


@pytest.mark.parametrize(
    ("url", "server_url", "is_refused"),
    [
        ("http://s3.example.com:9000/b/x?s", "https://other.example.com", True),
        ("http://10.0.0.1/b/x?s", f"https://{HOST}", True),
        ("http://127.0.0.1:9000/b/x?s", f"https://{HOST}", False),
        ("https://s3.example.com/b/x?s", f"https://{HOST}", False),
        ("http://s3.example.com/b/x?s", f"http://{HOST}", False),
        ("http://s3.example.com/b/x?s", "", False),
        ("", f"https://{HOST}", False),
    ],
)
def test_who_calls_by_https_uploads_by_https(url: str, server_url: str, is_refused: bool) -> None:
    """Promise: what is in a build context crosses no network in the clear because of one wrong setting."""
    client = Client("203.0.113.7", server_url, is_behind_proxy=True)
    if is_refused:
        with pytest.raises(FailedPrecondition, match="external_url") as caught:
            upload_url(PresignedPut(url), client, HOST, LOCAL, is_on_loopback=False)
        assert (caught.value.code, "?s" in str(caught.value)) == ("upload.insecure", False)
    else:
        assert upload_url(PresignedPut(url), client, HOST, LOCAL, is_on_loopback=False) == url


async def test_over_a_real_api(restate: RecordingRestate, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Promise: each of the URLs carries a signature that the api accepts, wherever it leads; nobody else's header
    decides for a client."""
    config = config_in(tmp_path_factory.mktemp("api"), restate.url)
    http = Http(listen="127.0.0.1:0", external_url="https://files.example.com/")
    config = msgspec.structs.replace(config, http=http, ingress=Ingress(api_hostname=HOST))
    async with running_api(config) as api, aiohttp.ClientSession() as session:
        made = await api.admin.project.CreateProject(project_pb2.CreateProjectRequest(slug="hello"))
        seen = []
        for number, (is_on_loopback, metadata) in enumerate(((False, ()), (True, ()), (False, THROUGH))):
            data = f"archive {number}".encode()
            request = pb.GenerateUploadURLRequest(
                project_id=made.project.project_id, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data),
                is_on_loopback=is_on_loopback,
            )  # fmt: skip
            url = URL((await api.admin.build.GenerateUploadURL(request, metadata=metadata)).upload_url, encoded=True)
            seen.append(str(url.origin()))
            async with session.put(f"{api.http}{url.raw_path_qs}", data=data) as answer:
                assert answer.status < 300
        assert seen == ["https://files.example.com", api.http, f"https://{HOST}:7443"]
