"""The variables of a deployment, as they were sealed when it was created."""

import json

from pkg.deployments.model import Deployment
from pkg.secrets import AssociatedData, Vault


def opened_snapshot(vault: Vault, data_key: bytes, deployment: Deployment) -> dict[str, str]:
    """The values by name; keep them out of logs, messages and Restate.

    Args:
        vault: of the installation.
        data_key: of the deployment's environment.
        deployment: one without variables, or that was deleted, has none.
    """
    if deployment.variables_sealed is None:
        return {}
    text = vault.open(data_key, deployment.variables_sealed, AssociatedData.deployment_variables(deployment.id))
    return {str(name): str(value) for name, value in json.loads(text).items()}
