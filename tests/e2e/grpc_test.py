"""Promise: a gRPC app with `[run] protocol = "h2c"` is deployed, reached and switched like any other app."""

import re
import threading
from collections import Counter
from pathlib import Path

import grpc
import pytest

from pkg.docker.sdk import open_client
from pkg.testing.wait import WAIT_S
from svc.krane.testing.engine import python_image_name
from tests.harness import apps
from tests.harness.grpc_app import channel, grpc_app, trailers
from tests.harness.stack import Stack
from tests.harness.wait import eventually


@pytest.fixture
def base_image(stack: Stack) -> str:
    """An image of the stack's engine in which `python3` runs."""
    client = open_client(stack.engine_socket, timeout_s=60)
    try:
        return python_image_name(client)
    finally:
        client.close()


class Calls:
    """A context manager: calls without pause from several threads; counts answers by the app's version."""

    def __init__(self, address: str, hostname: str) -> None:
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(address, hostname)) for _ in range(4)]

    def __enter__(self) -> "Calls":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(30)

    def _call(self, address: str, hostname: str) -> None:
        with channel(address, hostname) as connected:
            unary = connected.unary_unary("/t.Echo/Unary")
            while not self._ended.is_set():
                try:
                    self.answers[unary(b"", timeout=WAIT_S).decode().partition(":")[0]] += 1
                except grpc.RpcError as error:
                    self.failures.append(str(error))


def test_grpc_works_end_to_end(stack: Stack, project: str, tmp_path: Path, base_image: str) -> None:
    """No port is set; calls of every kind pass, by HTTP/2 with and without TLS; a switch and a rollback lose none."""
    done = stack.deploy(grpc_app(tmp_path / "app", base_image, "one"), project, timeout_s=240)
    assert done.code == 0, done.err
    assert any("[run] port = 50051" in notice for notice in done.last_json["notices"])
    assert "h2c, HTTP/2 without TLS" in stack.sealift("status", done.last_json["deployment_id"]).out
    hostname = f"{project}.sealift.localhost"
    address, tls = stack.endpoints["ingress"].removeprefix("http://"), stack.endpoints["ingress_tls"]
    (chain,) = stack.rows("SELECT chain_pem FROM certificates WHERE names_json LIKE '%*.sealift.localhost%' LIMIT 1")
    authority = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", chain[0], re.DOTALL)[-1]
    for connected in (channel(address, hostname), channel(tls, hostname, ca_pem=authority.encode())):
        with connected:
            answer, call = connected.unary_unary("/t.Echo/Unary").with_call(b"hi", timeout=WAIT_S)
            assert answer == b"one:hi"
            assert 0 < int(trailers(call)["x-deadline"]) <= WAIT_S
            assert list(connected.unary_stream("/t.Echo/Down")(b"3", timeout=WAIT_S)) == [b"0", b"1", b"2"]
            assert connected.stream_unary("/t.Echo/Up")(iter([b"a", b"bc"]), timeout=WAIT_S) == b"3"
            both = connected.stream_stream("/t.Echo/Both")(iter([b"x", b"y"]), timeout=WAIT_S)
            assert list(both) == [b"x", b"y"]
            with pytest.raises(grpc.RpcError) as caught:
                connected.unary_unary("/t.Echo/Fail")(b"", timeout=WAIT_S)
            assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "full")

    with Calls(address, hostname) as calls:
        eventually(lambda: calls.answers["one"] > 50, what="calls of version one")
        second = stack.deploy(grpc_app(tmp_path / "app", base_image, "two"), project, timeout_s=240)
        eventually(lambda: calls.answers["two"] > 50, what="calls of version two")
        before = calls.answers["one"]
        back = stack.sealift("rollback", "--project", project)
        eventually(lambda: calls.answers["one"] > before + 50, what="version one again")
    assert (second.code, back.code) == (0, 0), second.err + back.err
    assert calls.failures == []

    down = stack.sealift("stop", "--live", "--project", project, "--yes")
    assert down.code == 0, down.err

    def told() -> grpc.RpcError | None:
        with channel(address, hostname) as connected, pytest.raises(grpc.RpcError) as caught:
            connected.unary_unary("/t.Echo/Unary")(b"", timeout=WAIT_S)
        return caught.value if "is stopped" in (caught.value.details() or "") else None

    error = eventually(told, what="callers are told that the app is stopped")
    assert error.code() is grpc.StatusCode.UNAVAILABLE


def test_the_wrong_protocol_is_told(stack: Stack, project: str, tmp_path: Path, base_image: str) -> None:
    """An app that speaks the other one does not go live; the reason names the setting."""
    wait = "\n[run.health_check]\nstart_timeout_s = 8\n"
    web = apps.app(tmp_path / "web", toml='[run]\nprotocol = "h2c"\n' + wait)
    refused = stack.deploy(web, project)
    assert refused.code != 0
    assert "speaks HTTP, but [run] protocol is h2c" in refused.last_json["message"]
    rpc = grpc_app(tmp_path / "rpc", base_image, "one", toml="[run]\nport = 50051\n" + wait)
    refused = stack.deploy(rpc, project, timeout_s=240)
    assert refused.code != 0
    assert "speaks HTTP/2 only" in refused.last_json["message"]
    assert 'set [run] protocol = "h2c"' in refused.last_json["message"]
    mistyped = apps.app(tmp_path / "typo", toml='[run]\nprotocol = "http2"\n')
    refused = stack.deploy(mistyped, project)
    assert (refused.code, "run.protocol" in refused.err) == (2, True)
