"""The names of fields in log lines: those of the protos (sealift.ctrl.v1), and the few here that no message has.

One name has one meaning in every service, so that one search follows a deployment through all logs. A new name is
written down here or is a proto field; tests compare the code and the lines of a real deploy with it.
"""

EVERY_LINE = frozenset({"ts", "level", "logger", "msg", "service", "service.instance.id"})

OWN: dict[str, str] = {
    "exc": "the traceback of an error",
    # a call
    "request_id": "of the call that this is part of; it is in the answer, too",
    "method": "the full name of the RPC",
    "transport": "grpc or http",
    "client_address": "from where a call comes; of one through a trusted proxy, what that says",
    "grpc_status": "how a call ended, by gRPC's name of the status",
    "duration_ms": "from the arrival of the call to its answer",
    "by_key_id": "the key that did this to another key",
    "created_key_id": "the key that was made",
    "revoked_key_id": "the key that was revoked",
    # a deploy
    "superseded": "ids of the older deployments that this one takes the place of",
    "workflow": "the kind of workflow, by its name in Restate",
    "workflow_key": "which one: the id of its deployment, build or operation",
    "handler": "the handler of a workflow that is called",
    "is_new": "False: Restate had it already",
    "attempts": "how often it was tried, this time included",
    "count": "how many things the line is about",
    "depot_project_id": "at Depot, of a project here",
    "depot_build_id": "at Depot, of an attempt of a build here",
    "digest": "of a manifest in the registry",
    "setting": "the configuration key that sets a bound",
    # processes
    "service_version": "of the program",
    "config": "the path of the configuration file",
    "pid": "the process",
    "grpc_port": "where the api listens for gRPC",
    "http_port": "where the api listens for HTTP",
    "uri": "under which Restate reaches the worker",
    "krane_instance_id": "the krane process that registered",
    "term": "the number of a krane's leadership",
    "from_snapshot": "whether krane began from what it had stored",
    "silence_s": "how long the feed sent nothing",
    "node_id": "the Envoy process",
    "node": "of a Kubernetes cluster",
    "namespace": "of a Kubernetes cluster",
    "resource": "the kind of Envoy's resource",
    "drain_reason": "why new work is held back: upgrade or operator",
    "stack_process": "of the stack, as the supervisor names it",
    "missing": "processes of the stack that do not work yet",
}

# Proto fields that are secret, or too large for a log.
NEVER = frozenset({
    "build_args", "command", "commit_message", "idempotency_key", "key", "log_tail", "plain_variables",
    "private_key_pem", "secret", "secrets", "set_plain_variables", "set_variables", "stderr", "stdin", "stdout", "text",
    "upload_url", "value", "values", "variables",
})  # fmt: skip
