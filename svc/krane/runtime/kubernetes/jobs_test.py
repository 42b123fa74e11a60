"""Promise: what a job's Pod looks like, so that nothing but krane counts it, starts it again or makes another one."""

from dataclasses import replace

from svc.krane.runtime.kubernetes.api import as_data
from svc.krane.runtime.kubernetes.identity import LABEL_DEPLOYMENT, Identity
from svc.krane.runtime.kubernetes.jobs import LAST_DEADLINE_S, job_pod, job_variables
from svc.krane.runtime.kubernetes.objects import PodRules
from svc.krane.runtime.port import DeploymentSpec, JobSpec

OWN = Identity("inst_1", "local")
SPEC = JobSpec(
    "job_1",
    DeploymentSpec(
        "dep_1", "ws_1", "proj_1", "env_1", 3, "registry.example.com/a:1", 500, 64, 8080,
        command=("./migrate", "$HOME"), variables={"SECRET": "x"},
    ),
    is_release=True,
)  # fmt: skip


def test_a_pod_of_its_own() -> None:
    """No label by which StatefulSets, budgets and autoscalers find Pods; its node never starts it a second time."""
    pod = as_data(job_pod(SPEC, OWN, PodRules(), "registry.example.com/a@sha256:1", has_logins=True, is_non_root=False))
    assert (pod["metadata"]["name"], pod["metadata"]["namespace"]) == ("job-1", OWN.namespace("ws_1"))
    assert LABEL_DEPLOYMENT not in pod["metadata"]["labels"]
    assert OWN.owns(pod["metadata"]["labels"])
    body = pod["spec"]
    assert (body["restartPolicy"], body["activeDeadlineSeconds"]) == ("Never", LAST_DEADLINE_S)
    assert "readinessGates" not in body
    assert body["automountServiceAccountToken"] is False
    (app,) = body["containers"]
    assert app["args"] == ["./migrate", "$$HOME"]
    assert app["envFrom"] == [{"secretRef": {"name": "job-1"}}]
    assert {one["name"]: one["value"] for one in app["env"]}["SEALIFT_JOB_ID"] == "job_1"
    assert app["securityContext"]["allowPrivilegeEscalation"] is False


def test_its_variables_go_with_it() -> None:
    """The Secret belongs to this very Pod."""
    secret = as_data(job_variables(SPEC, OWN, "uid-1"))
    assert secret["data"] == {"SECRET": "eA=="}
    assert [(one["kind"], one["name"], one["uid"]) for one in secret["metadata"]["ownerReferences"]] == [
        ("Pod", "job-1", "uid-1")
    ]
    user = as_data(job_variables(replace(SPEC, is_release=False), OWN, "uid-1"))
    assert user["metadata"]["labels"]["sealift.dev/job-kind"] == "run"
