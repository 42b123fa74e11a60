"""The pipeline that every call passes on its way to a servicer, by either transport.

`RpcPipeline.enter` assigns a request id and authorises the call; on the way out it translates errors (`failure`),
writes the access log, counts and traces. `grpc_transport` puts gRPC in front of it, `svc.api.http.connect` the Connect
protocol with JSON. A servicer method takes (request, Call) and raises `pkg.errors`.
"""

from svc.api.rpc.authorize import Authorizer
from svc.api.rpc.call import Call
from svc.api.rpc.clients import Clients
from svc.api.rpc.failure import Failure
from svc.api.rpc.methods import Service
from svc.api.rpc.pipeline import RpcPipeline

__all__ = ["Authorizer", "Call", "Clients", "Failure", "RpcPipeline", "Service"]
