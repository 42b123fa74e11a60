"""Why an instance is not there, or does not start: the cluster's words as the port's errors. Pure.

What a container runtime says is classified as a Docker engine's words are; the codes and the text are the same.
"""

import re
from collections.abc import Sequence

from pkg.errors import FailedPrecondition, Unavailable
from pkg.output.text import printable
from pkg.registry.errors import RegistryProblem
from svc.krane.runtime import refusals
from svc.krane.runtime.kubernetes import pods
from svc.krane.runtime.kubernetes.api import UNAVAILABLE, ApiError, is_schema_error
from svc.krane.runtime.kubernetes.pods import PodHistory
from svc.krane.runtime.kubernetes.wire import Event, Pod
from svc.krane.runtime.port import CAPACITY, NOT_STARTED, DeploymentSpec, PendingError
from svc.krane.runtime.pull_failures import Cause, pull_failed

NAME_TAKEN = "instance.name_taken"
SPEAKER = "cluster"
# What registries answer who does not log in.
MAY_LACK_LOGIN = frozenset({"instance.registry_unauthorized", "instance.image_refused", "instance.image_not_found"})
# A kubelet that does not have the Secret with the logins within a second pulls without a login, and says nothing of it.
# It has it when it pulls again, 10 s later.
PULLS_WITH_LOGIN = 2
_PULL_REASONS = frozenset({
    "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable",
    "ImageInspectError",
})  # fmt: skip
_CREATE_REASONS = frozenset({"CreateContainerError", "RunContainerError", "CreateContainerConfigError"})
_NO_ROOM = re.compile(r"insufficient|too many pods", re.IGNORECASE)
# What an API server answers with 403 while it starts: its caches of rights, namespaces and quotas are not filled yet.
_NOT_READY = re.compile(
    r"not yet ready to handle request|error looking up service account|status unknown for quota", re.IGNORECASE
)
_RUNS_AS_ROOT = re.compile(r"runAsNonRoot", re.IGNORECASE)
_ABSENT = re.compile(r"(secret|configmap) \S+ not found|failed to sync (secret|configmap) cache", re.IGNORECASE)
_BACK_OFF = re.compile(r"^back-off pulling image \"[^\"]*\"(?:: (?P<rest>.*))?$", re.IGNORECASE | re.DOTALL)
# What a Docker engine's operator does is done on each node here.
_NODE_CAUSES = {
    RegistryProblem.UNTRUSTED: Cause(
        "instance.registry_certificate",
        "the nodes do not trust the certificate of {registry}; the operator adds that of its authority to the "
        "container runtime of each node",
    ),
    RegistryProblem.PLAIN_HTTP: Cause(
        "instance.registry_plain_http",
        "{registry} speaks HTTP without TLS; the operator gives it a certificate, or allows it in the container "
        "runtime of each node",
    ),
    RegistryProblem.FULL: Cause("instance.no_disk", "there is no disk left for it on the node", passes=True),
    RegistryProblem.UNRESOLVED: Cause(
        "instance.registry_unreachable", "{registry} cannot be reached from the node", passes=True
    ),
    RegistryProblem.UNREACHABLE: Cause(
        "instance.registry_unreachable", "{registry} cannot be reached from the node", passes=True
    ),
}  # fmt: skip


def image_on_engine(spec: DeploymentSpec) -> FailedPrecondition:
    """An image that no node can pull."""
    return FailedPrecondition(
        "instance.image_missing",
        f"image {spec.image_ref} is on one Docker engine only, and a cluster pulls images from a registry; the "
        "operator sets [registry] for api and worker, then deploy again to rebuild it",
    )


def not_scheduled(pod: Pod) -> PendingError:
    """No node was found for it yet."""
    condition = pods.scheduling(pod)
    said = printable(condition.message, refusals.MAX_SAID_CHARS) if condition is not None else ""
    if not said:
        return PendingError("", "the cluster chooses a node for it")
    if _NO_ROOM.search(said):
        return PendingError(CAPACITY, f"no node of the cluster has room for it ({SPEAKER}: {said})")
    return PendingError("", f"no node of the cluster takes it ({SPEAKER}: {said})")


def given_up(pod: Pod) -> PendingError:
    """Its node has ended it; the cluster makes another one."""
    said = printable(f"{pod.status.reason}: {pod.status.message}", refusals.MAX_SAID_CHARS)
    return PendingError("", f"its node gave it up, and another one is made ({SPEAKER}: {said})")


def waits_silently(pod: Pod, history: PodHistory) -> bool:
    """Whether only the cluster's events can say what it waits for."""
    waiting = pod.container.state.waiting
    if waiting is None:
        return pod.container.state == type(pod.container.state)()
    if waiting.reason in _PULL_REASONS:
        return not _pull_words(waiting.message, history)
    return waiting.reason not in _CREATE_REASONS


def lacks_variables(pod: Pod) -> bool:
    """Whether its node does not find the Secret with its variables: not yet, or not any more."""
    waiting = pod.container.state.waiting
    return waiting is not None and waiting.reason in _CREATE_REASONS and _ABSENT.search(waiting.message) is not None


def not_started(
    pod: Pod, history: PodHistory, spec: DeploymentSpec, username: str, warnings: Sequence[Event] = ()
) -> Exception | None:
    """Why the container of a Pod on a node does not run yet; None while nothing is known to be wrong.

    Args:
        pod: its newest state.
        history: what was seen of it before.
        spec: of its deployment.
        username: with which nodes log in to the image's registry; "" without a login.
        warnings: the cluster's, newest last.
    """
    waiting = pod.container.state.waiting
    end = history.first_end or pods.last_end(pod)
    if pods.could_not_start(end) and end is not None:
        return _refused(end.message, spec)
    if waiting is not None and waiting.reason in _PULL_REASONS:
        said = _pull_words(waiting.message, history) or next(
            (one.message for one in reversed(warnings) if one.reason == "Failed" and "pull" in one.message), ""
        )
        if waiting.reason == "InvalidImageName":
            return FailedPrecondition(
                "instance.image_not_found", f"image {spec.image_ref} cannot be pulled: its name is not valid"
            )
        return _not_pulled(said, history, spec, username) if said else None
    if waiting is not None and waiting.reason in _CREATE_REASONS:
        return _not_created(waiting.message, spec)
    if warnings:
        said = printable(warnings[-1].message, refusals.MAX_SAID_CHARS)
        return PendingError("", f"its node does not start it yet ({SPEAKER}: {said})")
    return None


def not_made(warnings: Sequence[Event]) -> Exception:
    """Why the cluster has made no Pod, from the events of the StatefulSet, newest last."""
    said = next((one.message for one in reversed(warnings) if one.reason == "FailedCreate"), "")
    if not said:
        return PendingError("", "the cluster has not made its Pod yet")
    words = printable(said, refusals.MAX_SAID_CHARS)
    if "exceeded quota" in said or "must specify" in said:
        return PendingError(CAPACITY, f"the quota of its namespace is used up ({SPEAKER}: {words})")
    if "is being terminated" in said:
        return PendingError("", f"its namespace is being deleted; waiting until that is over ({SPEAKER}: {words})")
    if _NOT_READY.search(said) or " cannot " in said:  # rights of the cluster's own controller
        return PendingError("", f"the cluster could not make its Pod yet ({SPEAKER}: {words})")
    if "is forbidden" in said or "denied the request" in said or "is invalid" in said:
        return FailedPrecondition(refusals.REFUSED, f"the cluster refuses its Pod ({SPEAKER}: {words})")
    return PendingError("", f"the cluster could not make its Pod yet ({SPEAKER}: {words})")


def refusal(error: ApiError, what: str) -> Exception:
    """What the refusal of a write means. `what` names the object, e.g. "StatefulSet dep-1"."""
    words = printable(error.message, refusals.MAX_SAID_CHARS)
    if error.code == 409:
        return Unavailable(UNAVAILABLE, f"{what} was changed at the same moment; trying again ({SPEAKER}: {words})")
    if "exceeded quota" in error.message:
        return PendingError(CAPACITY, f"the quota of its namespace is used up ({SPEAKER}: {words})")
    if "is being terminated" in error.message:
        return PendingError("", f"its namespace is being deleted; waiting until that is over ({SPEAKER}: {words})")
    if error.code == 403 and _NOT_READY.search(error.message):
        return Unavailable(
            UNAVAILABLE, f"the API server is not ready to write {what}; trying again ({SPEAKER}: {words})"
        )
    if error.code == 404:
        return Unavailable(UNAVAILABLE, f"the namespace of {what} was gone; trying again ({SPEAKER}: {words})")
    if error.code == 403 and " cannot " in error.message:
        return Unavailable(
            NOT_STARTED,
            f"krane may not write {what}: its role lacks a right of dev/k8s/base/krane-rbac.yaml ({SPEAKER}: {words})",
        )
    if error.code in (400, 403, 422) or is_schema_error(error):
        return FailedPrecondition(refusals.REFUSED, f"the cluster refuses {what} ({SPEAKER}: {words})")
    return Unavailable(NOT_STARTED, f"the cluster could not write {what} ({SPEAKER}: {words})")


def name_taken(kind: str, name: str, namespace: str) -> FailedPrecondition:
    """An object of somebody else has the name."""
    where = f" -n {namespace}" if namespace else ""
    return FailedPrecondition(
        NAME_TAKEN,
        f"the name of {kind} {name} is taken by an object that is not this instance's (its labels differ); remove it "
        f"by hand: kubectl delete {kind.lower()} {name}{where}",
    )


def _not_pulled(said: str, history: PodHistory, spec: DeploymentSpec, username: str) -> Exception:
    error = pull_failed(spec.image_ref, said, username, causes=_NODE_CAUSES, speaker=SPEAKER)
    if username and error.code in MAY_LACK_LOGIN and history.failed_pulls < PULLS_WITH_LOGIN:
        return PendingError(
            "", f"its node pulls the image again, should it not have had the login yet: {error.message}"
        )
    return error


def _pull_words(message: str, history: PodHistory) -> str:
    back_off = _BACK_OFF.match(message)
    said = message if back_off is None else back_off["rest"] or ""
    return said or history.pull_error


def _not_created(said: str, spec: DeploymentSpec) -> Exception:
    words = printable(said, refusals.MAX_SAID_CHARS)
    if _ABSENT.search(said):
        return PendingError("", f"its node does not know its variables yet ({SPEAKER}: {words})")
    if _RUNS_AS_ROOT.search(said):
        return FailedPrecondition(
            "instance.runs_as_root",
            "the container cannot start: the image runs as root, or as a user whose number it does not say, which the "
            f"operator does not allow; add USER with a number to the Dockerfile: USER 1000 ({SPEAKER}: {words})",
        )
    return _refused(said, spec)


def _refused(said: str, spec: DeploymentSpec) -> Exception:
    words = printable(said, refusals.MAX_SAID_CHARS)
    found = refusals.classify(None, said, command=spec.command, platform="its node")
    text = f"{found.why} ({SPEAKER}: {words})"
    if found.kind is refusals.Kind.PERMANENT:
        return FailedPrecondition(found.code, f"the container cannot start: {text}")
    return Unavailable(found.code, f"the container could not be started: {text}")
