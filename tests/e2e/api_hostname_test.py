"""Promise: a user on another machine needs one URL and a key: calls, uploads and streams go through the ingress."""

import json
import subprocess
from pathlib import Path

import pytest

from pkg.testing.wait import WAIT_S
from tests.harness import apps
from tests.harness.login import HOSTNAME, RemoteUser
from tests.harness.stack import Stack, finish
from tests.harness.wait import eventually

SERVICE = "/sealift.ctrl.v1.CtrlService"


def curl(user: RemoteUser, path: str, *more: str) -> tuple[int, str]:
    """Status and body, by a client that knows nothing of Sealift."""
    port = user.url.rpartition(":")[2]
    done = subprocess.run(
        [
            "curl", "-sS", "--cacert", str(user.ca_file), "--resolve", f"{HOSTNAME}:{port}:127.0.0.1", "-w",
            "\n%{http_code}", *more, f"{user.url}{path}",
        ],
        capture_output=True, text=True, timeout=WAIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def test_a_login_is_all_that_is_needed(stack: Stack, project: str, user: RemoteUser, tmp_path: Path) -> None:
    """Deploy with a build, follow, read logs, roll back: with no variable set, and the upload by the same URL."""
    shown = user.sealift("whoami", "--json")
    assert shown.code == 0, shown.err
    assert (shown.last_json["url"], shown.last_json["role"]) == (user.url, "admin")
    directory = apps.app(tmp_path / "app", "one", build="RUN echo from-the-build")
    deployed = user.sealift("deploy", str(directory), "--project", project, "--json")
    assert deployed.code == 0, deployed.err
    assert {"uploaded"} <= {json.loads(line)["event"] for line in deployed.out.splitlines()}
    assert stack.get(project).body == "one"
    assert "from-the-build" in user.sealift("logs", "--build", deployed.last_json["deployment_id"]).out
    assert user.sealift("ls", "--project", project).code == 0


def test_logs_are_followed(project: str, user: RemoteUser, tmp_path: Path) -> None:
    """A build's log reaches the user line by line while the build runs."""
    directory = apps.app(tmp_path / "app", "one", build="RUN echo first-line && sleep 2 && echo second-line")
    made = user.sealift("build", str(directory), "--project", project, "--detach")
    assert made.code == 0, made.err
    followed = finish(user.start("logs", "--build", made.out.strip(), "--follow"))
    assert followed.code == 0, followed.err
    assert followed.out.index("first-line") < followed.out.index("second-line")


def test_json_calls(stack: Stack, user: RemoteUser) -> None:
    """Curl calls every RPC as JSON under the same URL; the log has the client's address, not the ingress'."""
    post = ("-X", "POST", "-H", "Content-Type: application/json", "-d", "{}")
    assert curl(user, f"{SERVICE}/Liveness", *post) == (200, '{"status": "ok"}')
    status, body = curl(user, f"{SERVICE}/GetServerInfo", *post)
    assert (status, json.loads(body)["code"]) == (401, "unauthenticated")
    asked_by = ("-H", f"Authorization: Bearer {user.key}", "-H", "X-Request-Id: asked-by-curl")
    status, body = curl(user, f"{SERVICE}/GetServerInfo", *post, *asked_by, "-H", "X-Forwarded-For: 203.0.113.7")
    assert (status, json.loads(body)["apexDomain"]) == (200, HOSTNAME)
    log = stack.state / "logs" / "api.log"
    line = eventually(
        lambda: next((one for one in log.read_text().splitlines() if "asked-by-curl" in one), ""),
        what="the call is logged",
    )  # fmt: skip
    # the test stands on loopback, where the ingress trusts proxies: what it says of the client is passed on
    assert json.loads(line)["client_address"] == "203.0.113.7"


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/", ()),
        ("/metrics", ()),
        ("/health/live", ()),
        ("/health/ready", ()),
        ("/healthz", ()),
        ("/objects", ()),
        ("/sealift.ctrl.v1.CtrlService/../../metrics", ("--path-as-is",)),
        ("/objects/..%2fmetrics", ("--path-as-is",)),
        ("//metrics", ("--path-as-is",)),
        ("/grpc.health.v1.Health/Check", ("--http1.1", "-H", "Content-Type: application/json", "-d", "{}")),
    ],
)
def test_what_is_for_the_machine_alone(user: RemoteUser, path: str, more: tuple[str, ...]) -> None:
    """Health, metrics and everything else of the api are not reached through the ingress, however the path is spelt."""
    status, body = curl(user, path, *more)
    assert status == 404
    assert "sealift_" not in body
    assert "checks" not in body


@pytest.mark.parametrize(
    "method", ["grpc.health.v1.Health/Check", "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"]
)
async def test_grpcs_own_services(user: RemoteUser, method: str) -> None:
    """Health and reflection of gRPC answer UNIMPLEMENTED through the ingress."""
    import grpc

    roots = grpc.ssl_channel_credentials(user.ca_file.read_bytes())
    port = user.url.rpartition(":")[2]
    options = [("grpc.ssl_target_name_override", HOSTNAME), ("grpc.default_authority", f"{HOSTNAME}:{port}")]
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", roots, options) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(f"/{method}")(b"", timeout=WAIT_S)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_the_plain_port_on_loopback(stack: Stack, user: RemoteUser) -> None:
    """On this machine the api's hostname answers by plain HTTP, too, for clients that don't trust the authority."""
    url = f"http://{HOSTNAME}:{stack.ingress_port}"
    done = user.sealift("login", url, stdin=user.key)
    assert done.code == 0, done.err
    assert user.sealift("whoami", "--json").last_json["url"] == url


def test_another_hostname_is_no_api(stack: Stack, project: str, user: RemoteUser, tmp_path: Path) -> None:
    """The name of an app leads to the app alone; calls are told that nobody takes them there."""
    assert stack.deploy(apps.app(tmp_path / "app", "one"), project).code == 0
    port = user.url.rpartition(":")[2]
    refused = user.sealift(
        "login", f"https://{project}.{HOSTNAME}:{port}", "--ca-file", str(user.ca_file), stdin=user.key
    )
    assert refused.code != 0
    assert user.key not in refused.err
    assert user.sealift("whoami").code == 0
