"""The report says what holds: lacks with a remedy, at 80 columns; and the policy follows the configuration."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from svc.standalone import isolation
from svc.standalone.config import StandaloneConfig
from svc.standalone.egress.policy import Listener
from svc.standalone.isolation import IsolationGap, Report
from svc.standalone.sections import Egress, Ingress


def test_lines_fit_and_name_the_remedy() -> None:
    """`make status` shows at a terminal what does not hold and what to do."""
    lines = Report(1000.0, (IsolationGap("apps may reach " + "one thing and another " * 9, "Run it as root"),)).lines(
        1001.0
    )
    assert all(len(line) < 80 for line in lines)
    assert lines[0].startswith("  isolation: apps may reach")
    assert lines[-1].endswith("Run it as root.")


def test_all_is_well_is_silent_and_old_news_are_told() -> None:
    """A supervisor that hangs does not stand for isolation that holds."""
    assert Report(1000.0).lines(1005.0) == []
    assert "not checked for 3600 s" in Report(1000.0).lines(4600.0)[0]


@pytest.mark.parametrize(
    ("ingress", "listen", "open_at"),
    [
        (Ingress(), "127.0.0.1:7480", ()),
        (Ingress(bind="0.0.0.0"), "0.0.0.0:7480", (Listener(7480),)),
        (Ingress(bind="10.0.0.5"), "10.0.0.5:80", (Listener(80, IPv4Address("10.0.0.5")),)),
        (Ingress(apex_domain="a.example", public_scheme="https"), "127.0.0.1:7480", (Listener(443),)),
        (Ingress(public_scheme="https"), "127.0.0.1:7480 127.0.0.1:7443", ()),
        (Ingress(bind="0.0.0.0"), "0.0.0.0:7480 0.0.0.0:7443", (Listener(7480), Listener(7443))),
        (Ingress(public_port=8443), "0.0.0.0:7480", (Listener(7480), Listener(8443))),
        (Ingress(bind="::1"), "[::1]:7480", ()),
    ],
)
def test_the_ingress_is_open_where_it_can_be_reached(
    ingress: Ingress, listen: str, open_at: tuple[Listener, ...]
) -> None:
    """An app reaches others by their public addresses, and no port of the machine that has nothing to do with it."""
    assert isolation.policy(StandaloneConfig(ingress=ingress), listen.split()).listeners == open_at


def test_allowed_ranges_reach_the_rules() -> None:
    """`[egress] allow` is what the packet rules get."""
    config = StandaloneConfig(egress=Egress(allow=("10.1.2.0/24",)))
    assert isolation.policy(config, ()).allow == (IPv4Network("10.1.2.0/24"),)


def test_the_device_of_a_network_that_an_older_version_made() -> None:
    """Docker names it by the network's id unless set otherwise; the rules cover both."""
    old = {"Id": "0123456789abcdef", "Options": {}, "IPAM": {"Config": [{"Subnet": "172.18.0.0/16"}]}}
    assert isolation.device_of(old) == "br-0123456789ab"
    assert isolation.device_of({**old, "Options": {"com.docker.network.bridge.name": "slt1"}}) == "slt1"
    assert isolation.subnets(old) == (IPv4Network("172.18.0.0/16"),)
    assert isolation.subnets({"IPAM": {"Config": [{"Subnet": "fd00::/64"}, {}]}}) == ()
    assert isolation.subnets({}) == ()
