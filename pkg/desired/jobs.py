"""What api and krane agree on about jobs. Pure."""

from pkg.ids import dns_label

MAX_RUN_TIMEOUT_S = 86_400
START_BOUND_S = 600  # from when its region was told: the pull of the image among it
AWAY_BOUND_S = 600  # on top of the timeout, while its region says nothing


def job_name(job_id: str) -> str:
    """The name of a job's container or Pod: "job-06b7...". Deterministic: a second creation meets the first one."""
    return dns_label(job_id)
