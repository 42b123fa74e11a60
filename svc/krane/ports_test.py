"""Ports of ordinary apps that nobody set, on a real engine: adopted, told or refused."""

import pytest

from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import deployment_pb2
from svc.krane.testing.lab import Lab, eventually, name_of

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
def silent(address):
    with socket.create_server(address) as server:
        while True:
            server.accept()[0].sendall(b"220 mail ready\\r\\n")
def v6(port):
    server = socket.socket(socket.AF_INET6)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.bind(("::", port)); server.listen(); time.sleep(600)
for one in os.environ["LISTEN"].split():
    where, _, protocol = one.partition("/")
    host, _, port = where.rpartition(":")
    target = {"": lambda a: http.server.ThreadingHTTPServer(a, Handler).serve_forever(), "mail": silent,
              "six": lambda a: v6(a[1])}[protocol]
    threading.Thread(target=target, args=((host or "0.0.0.0", int(port)),)).start()
    time.sleep(float(os.environ.get("BETWEEN_S", "0")))
time.sleep(600)
"""


def app(lab: Lab, listen: str, **settings: object) -> pb.Topology:
    """An app without a set port."""
    variables = {"LISTEN": listen, **settings.pop("variables", {})}  # type: ignore[dict-item]
    topology = lab.topology(APP, health_check=settings.pop("health_check", CHECK), variables=variables, **settings)
    if "port" not in settings:
        topology.settings.ClearField("port")
    return topology


async def found(lab: Lab, topology: pb.Topology) -> int:
    """The port that krane reports first."""

    def port() -> int:
        report = lab.cluster.instances.get(name_of(topology))
        return report.port if report else 0

    await eventually(port)
    return port()


async def notice(lab: Lab, topology: pb.Topology) -> str:
    """What krane says of the ports while it waits."""

    def said() -> str:
        report = lab.cluster.instances.get(name_of(topology))
        return report.port_notice if report else ""

    await eventually(said)
    return said()


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
async def test_a_fixed_port_is_found_recorded_and_served(lab: Lab, listen: str, variables: dict[str, str]) -> None:
    """Promise: krane reports the port, uses it once it is recorded and not before, and the ingress gets it."""
    await lab.start_krane()
    topology = app(lab, listen, variables=variables)
    await lab.cluster.put(topology)
    assert await found(lab, topology) == 3000
    assert lab.cluster.instances[name_of(topology)].state != HEALTHY
    topology.adopted_port = 3000
    await lab.cluster.put(topology)
    report = await lab.cluster.until_state(name_of(topology), HEALTHY)
    assert (report.port, report.port_notice) == (3000, "")
    assert [e.port for e in lab.ingress.healthy(topology.deployment_id)] == [3000]


async def test_the_port_that_was_handed_to_the_app_needs_no_record(lab: Lab) -> None:
    """Promise: an app that obeys $PORT is healthy at once; the port is reported with that."""
    await lab.start_krane()
    topology = app(lab, ":8080 :9090")
    await lab.cluster.put(topology)
    report = await lab.cluster.until_state(name_of(topology), HEALTHY)
    assert report.port == 8080


async def test_a_restarted_krane_finds_the_port_again(lab: Lab) -> None:
    """Promise: a report that was lost with krane comes again; the container stays."""
    await lab.start_krane()
    topology = app(lab, ":3000")
    await lab.cluster.put(topology)
    assert await found(lab, topology) == 3000
    await lab.stop_krane()
    lab.cluster.instances.clear()
    await lab.start_krane()
    assert await found(lab, topology) == 3000
    topology.adopted_port = 3000
    await lab.cluster.put(topology)
    report = await lab.cluster.until_state(name_of(topology), HEALTHY)
    assert report.restarts == 0


@pytest.mark.parametrize(
    ("listen", "words"),
    [
        (":8000 :9090", "ports 8000 and 9090"),  # the app and its admin port
        (":9229", "Node's inspector"),
        (":2525/mail", "another protocol than HTTP"),
        ("127.0.0.1:5000", "port 5000 of 127.0.0.1 only"),  # Flask
    ],
)
async def test_what_would_be_a_guess_is_said_while_it_waits(lab: Lab, listen: str, words: str) -> None:
    """Promise: nothing is made public by a guess; the deploy says live what it sees, and at its end."""
    await lab.start_krane()
    topology = app(lab, listen)
    await lab.cluster.put(topology)
    assert words in await notice(lab, topology)
    report = await lab.cluster.until_state(name_of(topology), FAILED)
    assert report.reason.startswith("not healthy within 8 s: connection refused on port 8080")
    assert words in report.reason
    assert report.port == 0


@pytest.mark.parametrize(
    ("listen", "settings", "words"),
    [
        ("127.0.0.1:8080", {}, "the app listens on 127.0.0.1 only: let it listen on 0.0.0.0"),
        ("127.0.0.1:3000", {"port": 3000}, "the app listens on 127.0.0.1 only"),
    ],
)
async def test_loopback_ends_a_start_early(lab: Lab, listen: str, settings: dict[str, object], words: str) -> None:
    """Promise: the right port where nobody reaches it ends the deploy after about five seconds, not after 120."""
    await lab.start_krane()
    check = {**CHECK, "start_timeout_s": 120}
    topology = app(lab, listen, health_check=check, **settings)
    await lab.cluster.put(topology)
    report = await lab.cluster.until_state(name_of(topology), FAILED)
    assert words in report.reason
    assert "not healthy within" not in report.reason


async def test_another_port_than_the_recorded_one_fails_with_both(lab: Lab) -> None:
    """Promise: one port serves all: a region that sees another one says so and fails."""
    await lab.start_krane()
    topology = app(lab, ":4000")
    topology.adopted_port = 3000
    await lab.cluster.put(topology)
    report = await lab.cluster.until_state(name_of(topology), FAILED)
    assert "on port 4000 here, but another instance was found on port 3000 before" in report.reason


async def test_a_slow_starter_is_waited_for(lab: Lab) -> None:
    """Promise: a port that opens first and alone is not taken while others still come."""
    await lab.start_krane()
    topology = app(lab, ":7000 :8080", variables={"BETWEEN_S": "1"})
    await lab.cluster.put(topology)
    report = await lab.cluster.until_state(name_of(topology), HEALTHY)
    assert report.port == 8080


async def test_a_failing_health_check_adopts_nothing(lab: Lab) -> None:
    """Promise: with a health check, only a port that passes it is adopted."""
    await lab.start_krane()
    check = {**CHECK, "path": "/up", "start_timeout_s": 5}
    topology = app(lab, ":3000", health_check=check, variables={"ANSWER": "404"})
    await lab.cluster.put(topology)
    report = await lab.cluster.until_state(name_of(topology), FAILED)
    assert report.port == 0
    assert "port 3000, where GET /up answered 404" in report.reason
