"""The workflow engine: a client of Restate's ingress and admin API, and the serde of everything that crosses it.

Main types: `RestateClient` (send an intent, ask how far a workflow is, register a worker, query), `serde.ProtoSerde`
(bodies are protobuf messages of sealift.workflow.v1; it needs the SDK, which the client does not). The client raises
`pkg.errors.Unavailable` while Restate is away or does not know the handler yet: the same call may succeed soon.
`pkg.errors.Internal` is a request that it will never take. `serve` and `asgi` run the SDK's app on hypercorn; `testing`
starts a server for tests.
"""

from pkg.restate.client import CONTENT_TYPE, RestateClient, Sent, WorkflowStatus

__all__ = ["CONTENT_TYPE", "RestateClient", "Sent", "WorkflowStatus"]
