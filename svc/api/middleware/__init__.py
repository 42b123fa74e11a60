"""What every call passes on its way to a servicer, whichever transport it came by.

`Door.enter` gives it a request id, authorises it, and on its way out translates errors (`failure`), writes the access
log, counts and traces. `grpc_door` puts gRPC in front of it, `svc.api.http.json_rpc` HTTP. A servicer method takes
(request, Call) and raises `pkg.errors`.
"""

from svc.api.middleware.authorize import Authorizer
from svc.api.middleware.call import Call
from svc.api.middleware.door import Door
from svc.api.middleware.failure import Failure
from svc.api.middleware.methods import Service

__all__ = ["Authorizer", "Call", "Door", "Failure", "Service"]
