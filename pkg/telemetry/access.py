"""Access figures as they are stored."""

from dataclasses import dataclass

from pkg.access import AccessFigures


@dataclass(frozen=True, slots=True)
class AccessRecord:
    """What one writer counted for one deployment in one step.

    All but the last four attributes identify it; of records that share these the one with the highest revision counts.

    Attributes:
        project_id: of the deployment; "" without one.
        step_s: length of the step: 60 or 3600 seconds.
        at: begin of the step, epoch milliseconds.
        deployment_id: "" for requests that no deployment got. A writer stores such a record for every step in which it
            counted, also without requests.
        region: of the writer.
        writer: the krane replica that counted.
        part: records of one step with another part add up.
        revision: grows with each version of the record.
        counted_until: epoch milliseconds; the figures are complete up to then.
        is_incomplete: some requests of the step could not be counted.
        figures: since `at`.
    """

    project_id: str
    step_s: int
    at: int
    deployment_id: str
    region: str
    writer: str
    part: int
    revision: int
    counted_until: int
    is_incomplete: bool
    figures: AccessFigures
