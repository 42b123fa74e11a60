"""A client of ACME servers (RFC 8555), over the libraries `acme` and `josepy`.

`AcmeServer` makes each call in a thread of its own few, with a connection of its own: the libraries block, and their
network object may not be shared. Nothing here waits for the server to finish its work: a caller asks again. All that
fails raises `AcmeFailure`, which holds the server's own words; no message holds a key.
"""

from pkg.acme.failure import AcmeFailure, AcmeProblem
from pkg.acme.server import AcmeServer

__all__ = ["AcmeFailure", "AcmeProblem", "AcmeServer"]
