"""The workflow engine: a client of Restate's ingress and admin API, and the serde of everything that crosses it.

Main types: `Handler` (what is called, with the types of its messages), `RestateClient` (call a handler, ask how far a
workflow is, register a worker, query), `serde.ProtoSerde` (bodies are protobuf messages of sealift.workflow.v1; needs
the SDK, which the client does not). The client raises `pkg.errors.Unavailable` while Restate is away or does not know
the handler yet: the same call may succeed soon. `pkg.errors.Internal` is a request that it will never accept. `serve`
and `asgi` run the SDK's app on hypercorn; `testing` starts a server for tests.
"""

from pkg.restate.client import CONTENT_TYPE, RestateClient, Sent, WorkflowStatus
from pkg.restate.handler import Handler

__all__ = ["CONTENT_TYPE", "Handler", "RestateClient", "Sent", "WorkflowStatus"]
