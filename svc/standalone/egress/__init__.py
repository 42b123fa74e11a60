"""What the containers of one engine reach, held by packet rules of the machine.

An instance, and a RUN step on a private engine, reaches the outside, the resolvers that containers are given, and the
ingress; nothing else on the machine, no other container, nothing in private ranges but what the operator allows.

`Policy` says what is open, `Scope` whose packets are meant, `rules` computes from both (pure), `firewall` applies,
compares and removes, `resolvers` finds the resolvers. Drops lie in the table `mangle`: they are final, whatever another
program puts first in `filter`. Frames between two ports of a bridge are dropped in the bridge family, as packet rules
see these only where br_netfilter is loaded and switched on.
"""

from svc.standalone.egress import firewall
from svc.standalone.egress.policy import Policy, Scope

__all__ = ["Policy", "Scope", "firewall"]
