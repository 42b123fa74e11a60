"""The attempts: one after the other until there is an outcome."""

from svc.worker.journal import Journal
from svc.worker.workflows.building.attempt import attempt, give_up
from svc.worker.workflows.building.open import Opened
from svc.worker.workflows.ends import End, GiveUpError
from svc.worker.workflows.waiting import Stop

# Together a minute: an engine or an api that is being restarted is back by then.
MAX_UNAVAILABLE = 7
FIRST_PAUSE_S = 1.0
MAX_PAUSE_S = 30.0


async def make_attempts(journal: Journal, opened: Opened, stop: Stop) -> None:
    """Ends with the row's outcome written. Raises GiveUpError(STOPPED) when it is cancelled between two attempts."""
    pause_s, kind = FIRST_PAUSE_S, ""
    for number in range(MAX_UNAVAILABLE):
        if number > 0:
            if await journal.wait(pause_s, stop=stop.future) == "stop":
                raise GiveUpError(End.STOPPED)
            pause_s = min(MAX_PAUSE_S, pause_s * 2)
        tried = await journal.step("attempt", attempt, opened.build_id)
        if tried.outcome == "stopped":
            raise GiveUpError(End.STOPPED)
        if tried.outcome == "ended":
            return
        kind = tried.kind
    await journal.step("give up", give_up, opened.build_id, MAX_UNAVAILABLE, kind)
