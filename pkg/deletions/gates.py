"""Refuses new intents on what is being deleted."""

from sqlalchemy import Connection

from pkg.deletions import queries
from pkg.deletions.model import DeletionKind
from pkg.errors import FailedPrecondition

CODES = {
    DeletionKind.DEPLOYMENT: "deployment.deleting",
    DeletionKind.ENVIRONMENT: "environment.deleting",
    DeletionKind.PROJECT: "project.deleting",
}


def check_not_deleting(connection: Connection, deletion_id: str | None) -> None:
    """Raises FailedPrecondition `project.deleting`, `environment.deleting` or `deployment.deleting`.

    Args:
        connection: of the transaction that would record the intent.
        deletion_id: of the row that the intent is about; None: nobody deletes it.
    """
    if deletion_id is None:
        return
    found = queries.get(connection, deletion_id)
    assert found is not None
    is_named = found.kind is not DeletionKind.DEPLOYMENT
    raise FailedPrecondition(
        CODES[found.kind],
        f"{found.what[0].upper()}{found.what[1:]} is being deleted ({found.id}), so nothing new can be begun there."
        + (" Its name is free again once that has ended." if is_named else ""),
        metadata={"deletion_id": found.id},
    )
