"""What `status` and a start say of the files in the state directory: damage, and a full disk."""

import os

from svc.standalone import admin
from svc.standalone.statedir import StateDir

FULL_BELOW_BYTES = 1 << 20


async def notes(state: StateDir) -> list[str]:
    """Problems of files in the state directory, for `status`; empty when there is none."""
    found = (disk_note(state), await admin.database_problem(state), telemetry_note(state))
    return [note for note in found if note]


def telemetry_note(state: StateDir) -> str:
    """That build logs were set aside; "" when none were."""
    # as `pkg.telemetry.sqlite.damage` names them, which would load a database library here
    found = sorted(each.name for each in state.root.glob("telemetry.db.damaged-*Z"))
    return f"telemetry.db was damaged; older build logs are in {found[-1]}, which may be deleted." if found else ""


def disk_note(state: StateDir) -> str:
    """That the disk of the state directory is full; "" while it is not."""
    found = os.statvfs(state.root)
    if found.f_bavail * found.f_frsize >= FULL_BELOW_BYTES and (found.f_favail or not found.f_files):
        return ""
    return (
        f"the disk of {state.root} is full: what is live keeps serving, nothing can be recorded. Free space there; the "
        "services resume by themselves."
    )
