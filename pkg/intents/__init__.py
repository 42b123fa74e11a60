"""Records what a user wants: one transaction each, all or nothing.

Every function takes a connection and writes the rows of an intent together with its dispatch to Restate. Refusals raise
`pkg.errors.FailedPrecondition` or `NotFound` and write nothing.
"""

from pkg.intents.deletions import (
    record_deployment_deletion,
    record_environment_deletion,
    record_project_deletion,
)
from pkg.intents.deploys import (
    BuildIntent,
    DeployIntent,
    cancel_unsent_build,
    cancel_unsent_deploy,
    record_build,
    record_cancel,
    record_deploy,
    take_image,
)
from pkg.intents.operations import record_restart, record_scale, record_stop, record_switch

__all__ = [
    "BuildIntent",
    "DeployIntent",
    "cancel_unsent_build",
    "cancel_unsent_deploy",
    "record_build",
    "record_cancel",
    "record_deploy",
    "record_deployment_deletion",
    "record_environment_deletion",
    "record_project_deletion",
    "record_restart",
    "record_scale",
    "record_stop",
    "record_switch",
    "take_image",
]
