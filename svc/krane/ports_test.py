"""Ports of ordinary apps that nobody set, on a real engine: adopted, reported or refused."""

import asyncio
import datetime

import docker
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pkg.desired.protocol import AppProtocol
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import common_pb2, deployment_pb2
from svc.krane.runtime.docker import sockets
from svc.krane.testing import engine
from svc.krane.testing.harness import KraneHarness, eventually, name_of

HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY
FAILED = deployment_pb2.INSTANCE_STATE_FAILED
CHECK = {"path": "", "interval_ms": 200, "timeout_ms": 500, "start_timeout_s": 8}

# Stand-ins for ordinary apps: LISTEN is a list of address:port[/protocol], opened one after the other.
APP = """
import http.server, os, signal, socket, ssl, threading, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(os.environ.get("ANSWER", "200")))
        self.end_headers()
    def log_message(self, *_): pass
def accepted(address):
    with socket.create_server(address) as server:
        while True:
            yield server.accept()[0]
def mail(address):
    for peer in accepted(address):
        peer.sendall(b"220 mail ready\\r\\n")
def silent(address):
    kept = [peer for peer in accepted(address)]
def tls(address, tells=False):
    with open("/tmp/pem", "w") as file:
        file.write(os.environ["PEM"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("/tmp/pem")
    for peer in accepted(address):
        try:
            if tells and peer.recv(1, socket.MSG_PEEK) != b"\\x16":  # as nginx and Go do
                peer.sendall(b"HTTP/1.1 400 Bad Request\\r\\nContent-Length: 0\\r\\n\\r\\n")
            else:
                context.wrap_socket(peer, server_side=True).recv(99)
            peer.close()
        except OSError:
            peer.close()
def h2(address):
    for peer in accepted(address):
        if peer.recv(99).startswith(b"PRI * HTTP/2.0"):
            peer.sendall(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        peer.close()
def udp(address):
    server = socket.socket(type=socket.SOCK_DGRAM)
    server.bind(address); server.recv(99)
def v6(port):
    server = socket.socket(socket.AF_INET6)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.bind(("::", port)); server.listen(); time.sleep(600)
for one in os.environ["LISTEN"].split():
    where, _, protocol = one.partition("/")
    host, _, port = where.rpartition(":")
    target = {"": lambda a: http.server.ThreadingHTTPServer(a, Handler).serve_forever(), "mail": mail, "h2": h2,
              "silent": silent, "tls": tls, "tls400": lambda a: tls(a, True), "udp": udp,
              "six": lambda a: v6(a[1])}[protocol]
    threading.Thread(target=target, args=((host or "0.0.0.0", int(port)),)).start()
    time.sleep(float(os.environ.get("BETWEEN_S", "0")))
time.sleep(600)
"""


def certificate() -> str:
    """A key and its own certificate, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now.replace(year=9999)
    )
    kinds = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return (key.private_bytes(*kinds) + made.sign(key, hashes.SHA256()).public_bytes(kinds[0])).decode()


def app(harness: KraneHarness, listen: str, **settings: object) -> pb.Topology:
    """An app without a set port."""
    variables = {"LISTEN": listen, **settings.pop("variables", {})}  # type: ignore[dict-item]
    if "/tls" in listen:
        variables["PEM"] = certificate()
    topology = harness.topology(APP, health_check=settings.pop("health_check", CHECK), variables=variables, **settings)
    if "port" not in settings:
        topology.settings.ClearField("port")
    return topology


def exposing(harness: KraneHarness, client: docker.APIClient, topology: pb.Topology, ports: str) -> pb.Topology:
    """The same app in an image that EXPOSEs these ports."""
    if ports:
        image = engine.derived_image(client, harness.image_id, [f"EXPOSE {ports}"], harness.installation_id)
        topology.image_ref = f"engine:{image}"
    return topology


async def found(harness: KraneHarness, topology: pb.Topology) -> int:
    """The port that krane reports first."""

    def port() -> int:
        report = harness.cluster.instances.get(name_of(topology))
        return report.port if report else 0

    await eventually(port)
    return port()


async def told(harness: KraneHarness, topology: pb.Topology, words: str) -> None:
    """Waits until krane says this of the ports while it waits itself."""
    await eventually(lambda: words in getattr(harness.cluster.instances.get(name_of(topology)), "port_notice", ""))


async def all_fail(harness: KraneHarness, apps: list[tuple[pb.Topology, str]], *, are_told: bool = False) -> None:
    """Runs apps side by side, each until it fails with this text and without a port; nothing of it is served."""

    async def fails(topology: pb.Topology, words: str) -> str:
        await harness.cluster.put(topology)
        try:
            if are_told:
                await told(harness, topology, words)
            report = await harness.cluster.until_state(name_of(topology), FAILED)
        except TimeoutError:
            return f"{words!r} expected in time: {harness.cluster.instances.get(name_of(topology))}"
        is_right = words in report.reason and not report.port and not harness.ingress.healthy(topology.deployment_id)
        return "" if is_right else f"{words!r} expected: {report}"

    wrong = await asyncio.gather(*(fails(topology, words) for topology, words in apps))
    assert "\n".join(filter(None, wrong)) == ""


@pytest.mark.parametrize(
    ("listen", "variables"),
    [
        (":3000", {}),  # Express that ignores PORT, Rails
        (":3000 :9229", {}),
        (":3000 127.0.0.1:6379/mail", {}),  # a helper of its own
        (":3000 :2525/mail", {}),
        (":3000", {"ANSWER": "500"}),  # is HTTP
    ],
)
async def test_a_fixed_port_is_found_recorded_and_served(
    harness: KraneHarness, listen: str, variables: dict[str, str]
) -> None:
    """Promise: krane reports the port, uses it once it is recorded and not before, and the ingress gets it."""
    await harness.start_krane()
    topology = app(harness, listen, variables=variables)
    await harness.cluster.put(topology)
    assert await found(harness, topology) == 3000
    assert harness.cluster.instances[name_of(topology)].state != HEALTHY
    topology.adopted_port = 3000
    await harness.cluster.put(topology)
    report = await harness.cluster.until_state(name_of(topology), HEALTHY)
    assert (report.port, report.port_notice) == (3000, "")
    assert [e.port for e in harness.ingress.healthy(topology.deployment_id)] == [3000]


async def test_the_port_that_was_handed_to_the_app_needs_no_record(harness: KraneHarness) -> None:
    """Promise: an app that obeys $PORT is healthy at once; the port is reported with that."""
    await harness.start_krane()
    topology = app(harness, ":8080 :9090")
    await harness.cluster.put(topology)
    report = await harness.cluster.until_state(name_of(topology), HEALTHY)
    assert report.port == 8080


async def test_a_restarted_krane_finds_the_port_again(harness: KraneHarness) -> None:
    """Promise: a report that was lost with krane comes again; the container stays."""
    await harness.start_krane()
    topology = app(harness, ":3000")
    await harness.cluster.put(topology)
    assert await found(harness, topology) == 3000
    await harness.stop_krane()
    harness.cluster.instances.clear()
    await harness.start_krane()
    assert await found(harness, topology) == 3000
    topology.adopted_port = 3000
    await harness.cluster.put(topology)
    report = await harness.cluster.until_state(name_of(topology), HEALTHY)
    assert report.restarts == 0


async def test_what_would_be_a_guess_is_said_while_it_waits(harness: KraneHarness) -> None:
    """Promise: nothing is made public by a guess; the deploy says live what it sees, and at its end."""
    await harness.start_krane()
    seen = {
        ":8000 :9090": "ports 8000 and 9090",  # the app and its admin port
        ":9229": "Node's inspector",
        ":2525/mail": "another protocol than HTTP",
        "127.0.0.1:5000": "port 5000 of 127.0.0.1 only",  # Flask
        ":8443/tls": "port 8443 speaks TLS",
        ":8444/tls400": "port 8444 speaks TLS",
        ":50051/h2": "port 50051 speaks HTTP/2 only",
        ":3000/silent": "port 3000, which takes connections but has answered no request yet",
        ":3000/six": "port 3000 is open for IPv6 only",
        ":5353/udp": "the app listens on UDP port 5353 only",
        "": "the app listens on no port",
        " ".join(f":{port}" for port in range(3000, 3009)): "on 9 ports (3000, 3001",
    }
    prefix = "not healthy within 15 s: connection refused on port 8080; "
    check = {**CHECK, "start_timeout_s": 15}
    await all_fail(
        harness, [(app(harness, listen, health_check=check), words) for listen, words in seen.items()], are_told=True
    )
    assert all(report.reason.startswith(prefix) for report in harness.cluster.instances.values())


async def test_an_address_that_nobody_reaches_ends_a_start_early(harness: KraneHarness) -> None:
    """Promise: the right port where nobody reaches it ends the deploy after about five seconds, not after 120."""
    await harness.start_krane()
    check = {**CHECK, "start_timeout_s": 120}
    said = "the app listens on 127.0.0.1 only: let it listen on 0.0.0.0"
    apps = [
        (app(harness, "127.0.0.1:8080", health_check=check), said),
        (app(harness, "127.0.0.1:3000", health_check=check, port=3000), said),
        (app(harness, ":8080/six", health_check=check), "port 8080 is open for IPv6 only: let it listen on 0.0.0.0"),
    ]
    await all_fail(harness, apps)
    assert not any("not healthy within" in report.reason for report in harness.cluster.instances.values())


async def test_another_port_than_the_recorded_one_fails_with_both(harness: KraneHarness) -> None:
    """Promise: one port serves all: a region that sees another one says so and fails."""
    await harness.start_krane()
    topology = app(harness, ":4000")
    topology.adopted_port = 3000
    await harness.cluster.put(topology)
    report = await harness.cluster.until_state(name_of(topology), FAILED)
    assert "on port 4000 here, but another instance was found on port 3000 before" in report.reason


async def test_a_slow_starter_is_waited_for(harness: KraneHarness) -> None:
    """Promise: a port that opens first and alone is not taken while others still come."""
    await harness.start_krane()
    topology = app(harness, ":7000 :8080", variables={"BETWEEN_S": "1"})
    await harness.cluster.put(topology)
    report = await harness.cluster.until_state(name_of(topology), HEALTHY)
    assert report.port == 8080


async def test_a_failing_health_check_adopts_nothing(harness: KraneHarness) -> None:
    """Promise: with a health check, only a port that passes it is adopted."""
    await harness.start_krane()
    check = {**CHECK, "path": "/up", "start_timeout_s": 5}
    topology = app(harness, ":3000", health_check=check, variables={"ANSWER": "404"})
    await harness.cluster.put(topology)
    report = await harness.cluster.until_state(name_of(topology), FAILED)
    assert report.port == 0
    assert "port 3000, where GET /up answered 404" in report.reason


async def test_expose_breaks_ties(harness: KraneHarness, client: docker.APIClient) -> None:
    """Promise: among several ports the one that the image EXPOSEs, and that answers HTTP, is the app's."""
    await harness.start_krane()
    apps = [
        (exposing(harness, client, app(harness, ":80 :443/tls"), "80 443"), 80),
        (exposing(harness, client, app(harness, ":3000 :4000"), "4000"), 4000),
        (exposing(harness, client, app(harness, ":9090"), "9090"), 9090),  # Prometheus itself
    ]
    for topology, _ in apps:
        await harness.cluster.put(topology)
    assert [await found(harness, topology) for topology, _ in apps] == [port for _, port in apps]


async def test_expose_is_no_licence_to_guess(harness: KraneHarness, client: docker.APIClient) -> None:
    """Promise: two that are EXPOSEd, a debugger, or one on loopback are reported, and not adopted."""
    await harness.start_krane()
    seen = [
        (":3000 :4000", "3000 4000", "ports 3000 and 4000, which the image EXPOSEs all"),
        (":9229", "9229", "not made public"),
        ("127.0.0.1:5000", "5000", "127.0.0.1 only (port 5000): let it listen on 0.0.0.0"),
    ]
    await all_fail(
        harness, [(exposing(harness, client, app(harness, listen), ports), words) for listen, ports, words in seen]
    )


async def test_a_port_that_speaks_no_http_1_is_never_live(harness: KraneHarness) -> None:
    """Promise: a connection alone does not make an app public that would answer each visitor with an error."""
    await harness.start_krane()
    seen: list[tuple[str, dict[str, object], str]] = [
        (":8443/tls", {"port": 8443}, "port 8443 speaks TLS"),
        (":8443/tls400", {"port": 8443}, "port 8443 speaks TLS"),
        (":50051/h2", {"port": 50051}, "port 50051 speaks HTTP/2 only"),
        (":8080/tls", {}, "port 8080 speaks TLS"),  # it obeys $PORT
    ]
    end = ", but requests to apps are HTTP/1.1 without TLS: let the app answer those"
    apps = [
        (app(harness, listen, health_check={**CHECK, "path": path, "start_timeout_s": 120}, **settings), words + end)
        for listen, settings, words in seen
        for path in ("", "/up")
    ]
    await all_fail(harness, apps, are_told=True)
    assert not any("not healthy within" in report.reason for report in harness.cluster.instances.values())


async def test_an_app_of_http2_is_found_probed_and_served_in_it(harness: KraneHarness) -> None:
    """Promise: with protocol h2c its port is the one that speaks HTTP/2, and the ingress knows it after each start."""
    await harness.start_krane()
    h2c = common_pb2.APP_PROTOCOL_H2C
    topology = app(harness, ":50051/h2 :9000", protocol=h2c)
    await harness.cluster.put(topology)
    assert await found(harness, topology) == 50051
    assert harness.ingress.protocols == {topology.deployment_id: AppProtocol.H2C}
    topology.adopted_port = 50051
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology), HEALTHY)
    assert [e.port for e in harness.ingress.healthy(topology.deployment_id)] == [50051]
    await harness.stop_krane()
    harness.cluster.instances.clear()
    await harness.start_krane()
    await harness.cluster.until_state(name_of(topology), HEALTHY)
    assert harness.ingress.protocols == {topology.deployment_id: AppProtocol.H2C}
    web = app(harness, ":3000", port=3000, protocol=h2c, health_check={**CHECK, "start_timeout_s": 120})
    await all_fail(harness, [(web, "port 3000 speaks HTTP, but [run] protocol is h2c")], are_told=True)


async def test_a_set_port_that_takes_connections_is_healthy(harness: KraneHarness) -> None:
    """Promise: without a path, what takes a connection and shows neither TLS nor HTTP/2 is healthy."""
    await harness.start_krane()
    apps = [app(harness, listen, port=3000) for listen in (":3000/silent", ":3000/mail", ":3000")]
    for topology in apps:
        await harness.cluster.put(topology)
    for topology in apps:
        await harness.cluster.until_state(name_of(topology), HEALTHY)


async def test_an_engine_whose_processes_cannot_be_seen(
    harness: KraneHarness, client: docker.APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: there the EXPOSEd ports are tried, and what is unknown is not reported as "listens on no port"."""
    monkeypatch.setattr(sockets, "listening", lambda _: None)  # as of a process that is not ours to see
    await harness.start_krane()
    one = exposing(harness, client, app(harness, ":80 :443/tls"), "80 443")
    await harness.cluster.put(one)
    blind = "the app's ports can't be seen on this engine, and "
    other = exposing(harness, client, app(harness, ":3000"), "4000")
    await all_fail(
        harness,
        [(app(harness, ":3000"), f"{blind}none is EXPOSEd"), (other, f"{blind}of the EXPOSEd port 4000 none is open")],
    )
    assert await found(harness, one) == 80
