"""Records what a user wants: one transaction each, all or nothing.

Every function takes a connection and writes the rows of an intent together with its dispatch to Restate. Refusals raise
`pkg.errors.FailedPrecondition` or `NotFound` and write nothing.
"""

from pkg.intents.deploys import (
    BuildIntent,
    DeployIntent,
    end_unbegun,
    end_unbegun_build,
    record_build,
    record_cancel,
    record_deploy,
)
from pkg.intents.operations import record_stop, record_switch

__all__ = [
    "BuildIntent",
    "DeployIntent",
    "end_unbegun",
    "end_unbegun_build",
    "record_build",
    "record_cancel",
    "record_deploy",
    "record_stop",
    "record_switch",
]
