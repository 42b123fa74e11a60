"""krane's ingress: the control plane of the region's Envoy.

`port.Ingress` is what the controller codes against; `EnvoyIngress` implements it and `AdsServer` serves it to Envoy on
a unix socket:

    ingress = EnvoyIngress(ListenerSpec("127.0.0.1", 7480))
    server = AdsServer(ingress, Path("/run/sealift/ads.sock"))
    await server.start()        # Envoy may connect; it gets no answer yet
    ingress.set_endpoints("dep_1", [Endpoint("172.18.0.2", 8080, healthy=True)])
    ingress.set_certificates({}, version=7)  # before the routes of the version; so set_challenges
    ingress.set_routes({"app.sealift.localhost": Route.to("app.sealift.localhost", "dep_1")}, version=7)
    ingress.mark_ready()        # endpoints, routes, certificates and challenges are complete
    applied = await ingress.wait_version(7, timeout_s=60)

How it fails: with Envoy away or refusing, nothing raises. `wait_version` times out with a lower version, what Envoy had
stays in force, and refused routes come back as `Nack`s while all others are applied. `AdsServer.start` raises
`Unavailable` when the socket cannot be opened.
"""

from svc.krane.ingress.ads import AdsServer
from svc.krane.ingress.ingress import EnvoyIngress, Timing
from svc.krane.ingress.listener import ListenerSpec
from svc.krane.ingress.port import Applied, Endpoint, Ingress, Nack

__all__ = ["AdsServer", "Applied", "Endpoint", "EnvoyIngress", "Ingress", "ListenerSpec", "Nack", "Timing"]
