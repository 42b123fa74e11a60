"""The labels by which the containers and networks of an installation are found on an engine."""

import json
from collections.abc import Mapping, Sequence

# On containers and networks of instances. Images carry `pkg.images.INSTALLATION_LABEL`.
LABEL_INSTALLATION = "sealift.installation"
LABEL_REGION = "sealift.region"
LABEL_WORKSPACE = "sealift.workspace"
LABEL_PROJECT = "sealift.project"
LABEL_ENVIRONMENT = "sealift.environment"
LABEL_DEPLOYMENT = "sealift.deployment"  # of a process, its workload (pkg.desired.processes)
LABEL_PROCESS = "sealift.process"
LABEL_REPLICA = "sealift.replica"
LABEL_SPEC = "sealift.spec"
LABEL_RESTART = "sealift.restart"  # the restart that an instance was made for; absent: none

# On the container of a job, which is no instance: it has no LABEL_DEPLOYMENT.
LABEL_JOB = "sealift.job"
LABEL_JOB_KIND = "sealift.job-kind"  # "release" or "run"
LABEL_JOB_DEPLOYMENT = "sealift.job-deployment"


def label_filters(*labels: str) -> dict[str, str]:
    """The query of the engine's lists that leaves only what carries every label (`key=value` or `key`)."""
    return filters({"label": labels})


def filters(labels: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The `filters` parameter of the engine's lists, by its names."""
    return {"filters": json.dumps({name: list(values) for name, values in labels.items()})}
