"""The cluster's words as the port's errors."""

from typing import Any

import msgspec
import pytest

from pkg.errors import FailedPrecondition, SealiftError, Unavailable
from svc.krane.runtime.kubernetes import failures
from svc.krane.runtime.kubernetes.api import ApiError
from svc.krane.runtime.kubernetes.pods import PodHistory
from svc.krane.runtime.kubernetes.wire import Event, Pod
from svc.krane.runtime.port import CAPACITY, DeploymentSpec, PendingError
from svc.krane.testing.pods import ended, pod

IMAGE = "registry.example.com/apps/a:1"
SPEC = DeploymentSpec("dep_1", "ws_1", "proj_1", "env_1", 1, IMAGE, 100, 64, 8080, ("serve",))
PULL = (
    f'rpc error: code = Unknown desc = failed to pull and unpack image "{IMAGE}": failed to resolve reference '
    f'"{IMAGE}": '
)


def why(state: Any, username: str = "", history: PodHistory | None = None) -> Any:
    one = pod(state)
    return failures.not_started(one, (history or PodHistory()).with_state(one, 1.0), SPEC, username)


def waiting(reason: str, message: str) -> Any:
    return {"waiting": {"reason": reason, "message": message}}


@pytest.mark.parametrize(
    ("said", "code", "passes"),
    [
        (f"{IMAGE}: not found", "image_not_found", False),
        ("pull access denied, repository does not exist or may require authorization: server message: "
         "insufficient_scope: authorization failed", "image_not_found", False),
        ("unexpected status code [manifests 1]: 401 Unauthorized", "registry_unauthorized", False),
        ("unexpected status code [manifests 1]: 403 Forbidden", "image_refused", False),
        ("failed to do request: dial tcp: lookup registry.example.com: no such host", "registry_unreachable", True),
        ("failed to do request: dial tcp 10.0.0.1:443: connect: connection refused", "registry_unreachable", True),
        ("failed to do request: Head: x509: certificate signed by unknown authority", "registry_certificate", False),
        ("failed to do request: Head: http: server gave HTTP response to HTTPS client", "registry_plain_http", False),
        ("unexpected status code [manifests 1]: 429 Too Many Requests", "registry_rate_limited", True),
        ("unexpected status code [manifests 1]: 503 Service Unavailable", "registry_error", True),
    ],
)  # fmt: skip
def test_a_pull_has_the_registrys_reason(said: str, code: str, passes: bool) -> None:
    """Promise: the codes and words of a pull that failed are those of a Docker engine."""
    error = why(waiting("ErrImagePull", PULL + said))
    assert isinstance(error, Unavailable if passes else FailedPrecondition)
    assert error.code == f"instance.{code}"
    assert "registry.example.com" in error.message
    assert "(cluster: " in error.message
    assert "certs.d" not in error.message  # that is a Docker engine's


@pytest.mark.parametrize("said", ["unexpected status code: 401 Unauthorized", f"{IMAGE}: not found"])
def test_a_pull_that_may_have_had_no_login(said: str) -> None:
    """Promise: a kubelet's first pull, which may have been without the login that krane gave it, is no verdict; its
    second one is, and so is the first one from a registry without a login."""
    history, seen = PodHistory(), []
    for reason in ("ErrImagePull", "ErrImagePull", "ImagePullBackOff", "ErrImagePull"):
        one = pod(waiting(reason, PULL + said if reason == "ErrImagePull" else f'Back-off pulling image "{IMAGE}"'))
        history = history.with_state(one, 1.0)
        seen.append(type(failures.not_started(one, history, SPEC, "puller")))
    assert seen == [PendingError, PendingError, PendingError, FailedPrecondition]
    assert isinstance(why(waiting("ErrImagePull", PULL + said)), FailedPrecondition)


def test_the_back_off_of_a_pull_tells_nothing_by_itself() -> None:
    """Promise: the words of the try before count; without them the cluster's events are asked."""
    hidden = waiting("ImagePullBackOff", f'Back-off pulling image "{IMAGE}"')
    assert why(hidden) is None
    assert failures.waits_silently(pod(hidden), PodHistory())
    assert why(hidden, history=PodHistory(pull_error=f"{IMAGE}: not found")).code == "instance.image_not_found"
    newer = waiting("ImagePullBackOff", f'Back-off pulling image "{IMAGE}": ErrImagePull: {IMAGE}: not found')
    assert why(newer).code == "instance.image_not_found"
    noted = [Event(reason="Failed", message=f'Failed to pull image "{IMAGE}": {IMAGE}: not found')]
    assert failures.not_started(pod(hidden), PodHistory(), SPEC, "", noted).code == "instance.image_not_found"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (ended(128, "StartError", message='failed to create containerd task: OCI runtime create failed: starting'
               ' container process caused: exec: "serve": executable file not found in $PATH: unknown'),
         "instance.command_not_found"),
        (ended(128, "StartError", message='exec: "/serve": permission denied: unknown'), "instance.command_denied"),
        (waiting("RunContainerError", "standard_init_linux.go:228: exec user process caused: exec format error"),
         "instance.wrong_platform"),
        (waiting("CreateContainerError", 'unable to find user app: no matching entries in passwd file'),
         "instance.user_not_found"),
        (waiting("CreateContainerError", "Error response from daemon: no command specified"), "instance.no_command"),
        (waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"),
         "instance.runs_as_root"),
    ],
)  # fmt: skip
def test_a_container_that_can_not_start(state: Any, code: str) -> None:
    """Promise: what no retry heals has the code and the words that it has on a Docker engine."""
    error = why(state)
    assert isinstance(error, FailedPrecondition)
    assert error.code == code
    assert error.message.startswith("the container cannot start: ")


def test_what_passes_by_itself() -> None:
    """Promise: a Secret that the node does not know yet, and a fault nobody knows, are no verdicts."""
    assert isinstance(why(waiting("CreateContainerConfigError", 'secret "dep-1-a" not found')), PendingError)
    assert isinstance(why(waiting("CreateContainerError", "context deadline exceeded")), Unavailable)
    assert why(waiting("ContainerCreating", "")) is None
    slow = failures.not_started(
        pod(waiting("ContainerCreating", "")), PodHistory(), SPEC, "", [Event(message="no network")]
    )
    assert isinstance(slow, PendingError)
    assert "no network" in slow.message


def unscheduled(message: str) -> Pod:
    raw = msgspec.to_builtins(pod())
    raw["status"]["conditions"] = [{"type": "PodScheduled", "status": "False", "message": message}]
    return msgspec.convert(raw, Pod)


def test_no_node() -> None:
    """Promise: too little room is a shortage, for which standbys end; a node's taint is not."""
    full = failures.not_scheduled(unscheduled("0/3 nodes are available: 3 Insufficient memory."))
    assert (full.resource, "3 Insufficient memory" in full.message) == (CAPACITY, True)
    tainted = failures.not_scheduled(unscheduled("0/1 nodes are available: 1 node(s) had taint {a: }."))
    assert (tainted.resource, "had taint" in tainted.message) == ("", True)


@pytest.mark.parametrize(
    ("said", "kind", "resource"),
    [
        ('pods "dep-1-0" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1', PendingError, CAPACITY),
        ('pods "dep-1-0" is forbidden: violates PodSecurity "restricted:latest"', FailedPrecondition, None),
        ('admission webhook "x" denied the request: no', FailedPrecondition, None),
        ("pods is forbidden: because it is being terminated", PendingError, ""),
        ("etcdserver: request timed out", PendingError, ""),
        ('pods "dep-1-0" is forbidden: not yet ready to handle request', PendingError, ""),
        ('pods "dep-1-0" is forbidden: error looking up service account ns/default: serviceaccount "default" not found',
         PendingError, ""),
        ('pods "dep-1-0" is forbidden: status unknown for quota: q, resources: pods', PendingError, ""),
        ('pods is forbidden: User "system:serviceaccount:kube-system:statefulset-controller" cannot create resource '
         '"pods" in API group ""', PendingError, ""),
    ],
)  # fmt: skip
def test_a_pod_that_is_not_made(said: str, kind: type[Exception], resource: str | None) -> None:
    """Promise: why the cluster makes no Pod is told from its own events; what it says while it starts is no verdict."""
    error = failures.not_made([Event(reason="FailedCreate", message=f"create Pod failed error: {said}")])
    assert isinstance(error, kind)
    assert said in str(error)
    if isinstance(error, PendingError):
        assert error.resource == resource


@pytest.mark.parametrize(
    ("code", "said", "kind"),
    [
        (500, "failed to create typed patch object: .spec.x: field not declared in schema", FailedPrecondition),
        (422, 'StatefulSet.apps "a" is invalid: spec', FailedPrecondition),
        (409, "the object has been modified", Unavailable),
        (404, 'namespaces "x" not found', Unavailable),
        (403, "exceeded quota: q", PendingError),
        (403, "unable to create new content in namespace x because it is being terminated", PendingError),
        (403, 'User "krane" cannot patch resource "statefulsets"', Unavailable),
        (403, 'statefulsets.apps "a" is forbidden: not yet ready to handle request', Unavailable),
        (403, 'admission webhook "x" denied the request', FailedPrecondition),
    ],
)
def test_a_write_that_is_refused(code: int, said: str, kind: type[Exception]) -> None:
    """Promise: a schema error, which the server answers with 500, is for ever; a race, a missing right and a server
    that has just started are not."""
    error = failures.refusal(ApiError(code, "", said), "StatefulSet a")
    assert isinstance(error, kind)
    assert said in str(error)
    assert not isinstance(error, SealiftError) or "StatefulSet a" in error.message or code == 403
