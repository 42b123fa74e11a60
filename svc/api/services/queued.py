"""Why an intent that was recorded does not begin yet."""

from collections.abc import Collection

from sqlalchemy import Connection

from pkg.dispatch import queries as dispatch
from pkg.dispatch.queries import WorkflowName
from pkg.installation import queries as installation

DRAINING = "the server is being upgraded; it goes on by itself"


def reasons(connection: Connection, workflow: WorkflowName, keys: Collection[str]) -> dict[str, str]:
    """In words for people, by key; nothing for an intent that nothing holds back. `keys`: of pending ones."""
    if not keys or not installation.is_draining(connection):
        return {}
    return dict.fromkeys(dispatch.never_sent(connection, workflow, keys), DRAINING)
