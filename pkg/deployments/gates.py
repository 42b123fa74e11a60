"""Decides whether a deployment may be promoted, rolled back to, stopped, scaled, restarted or cancelled.

Pure; api and worker both ask.
"""

from pkg.deployments.model import Deployment
from pkg.deployments.settings import from_json
from pkg.deployments.status import RunState, Status
from pkg.errors import FailedPrecondition


def check_switch(
    target: Deployment, *, live_deployment_id: str | None, is_rolled_back: bool, is_rollback: bool
) -> None:
    """Raises FailedPrecondition unless the environment's routes may be moved to `target`.

    A promote of the deployment that is live already confirms a rollback, so it is refused only when nothing was
    rolled back. A promote brings an app back that was taken down; there is nothing to roll back from then.
    """
    if target.status is not Status.READY:
        raise FailedPrecondition(
            "deployment.not_ready",
            f"Deployment {target.id} is {target.status}, not ready, so it can't take traffic: "
            + (
                "choose a ready one of `sealift ls`, or deploy again."
                if target.status.is_terminal
                else f"wait for it with `sealift status --wait {target.id}`."
            ),
        )
    if live_deployment_id is None and is_rollback:
        raise FailedPrecondition(
            "environment.nothing_live",
            f"The environment has no live deployment: make {target.id} live with `sealift promote {target.id}`.",
        )
    if target.id == live_deployment_id and (is_rollback or not is_rolled_back):
        raise FailedPrecondition("deployment.already_live", f"Deployment {target.id} is already the live one.")
    if not target.image_ref:
        raise FailedPrecondition(
            "deployment.image_gone", f"The image of deployment {target.id} is gone: deploy that commit again."
        )


def check_stop(target: Deployment, *, live_hostnames: list[str], takes_down: bool) -> None:
    """Raises FailedPrecondition unless `target` may be stopped: ready, running or on standby, and not live.

    A stop names the deployment, and with it the address of its branch. What is live stops only if it is taken down.

    Args:
        target: what is to stop.
        live_hostnames: the environment's own that point at it.
        takes_down: whether those may go, too.
    """
    if target.status is not Status.READY:
        advice = "" if target.status.is_terminal else f": end it with `sealift cancel {target.id}`"
        raise FailedPrecondition(
            "deployment.not_ready",
            f"Deployment {target.id} is {target.status}, and only a ready deployment can be stopped{advice}.",
        )
    if live_hostnames and not takes_down:
        raise FailedPrecondition(
            "deployment.routed",
            f"Deployment {target.id} is live at {live_hostnames[0]}. Make another one live first (deploy, promote or "
            "rollback), or take the app down with `sealift stop --live`.",
        )
    if target.run_state in (RunState.STOPPING, RunState.STOPPED):
        raise FailedPrecondition("deployment.already_stopped", f"Deployment {target.id} is already {target.run_state}.")


def check_scale(live: Deployment | None, *, environment_slug: str, is_stopped: bool, process: str = "") -> None:
    """Raises FailedPrecondition unless the environment may be given a fixed number of instances.

    Args:
        live: the deployment that gets the environment's requests.
        environment_slug: of the environment.
        is_stopped: what was live there was taken down.
        process: whose instances; "" for web.
    """
    if live is None and is_stopped:
        raise FailedPrecondition(
            "environment.nothing_live",
            f"The app of environment {environment_slug!r} is stopped: start it with `sealift promote` or "
            "`sealift deploy`, then scale it.",
        )
    if live is None:
        raise FailedPrecondition(
            "environment.nothing_live",
            f"Nothing was deployed to environment {environment_slug!r} that could be scaled: `sealift deploy` first, "
            "with `replicas` of [run] as the number to begin with.",
        )
    settings = from_json(live.settings_json)
    if process:
        if settings.process(process) is None:
            names = ", ".join(one.name for one in settings.processes)
            there = f"its processes are {names}" if names else "it has none beside web"
            raise FailedPrecondition(
                "process.not_found",
                f"The live deployment {live.id} has no process {process!r}: {there}. [processes] in sealift.toml adds "
                "one with the next deploy.",
            )
        return
    bounds = settings.autoscaling
    if bounds is not None:
        raise FailedPrecondition(
            "environment.autoscaled",
            f"The live deployment {live.id} is scaled between min_replicas = {bounds.min_replicas} and max_replicas = "
            f"{bounds.max_replicas}, so its number is not yours to set: change the bounds in [run] of sealift.toml, or "
            "set replicas there instead, and deploy.",
        )


def check_restart(target: Deployment, *, alone_in: str = "") -> None:
    """Raises FailedPrecondition unless the instances of `target` may be made again: it is ready, and they run.

    `alone_in`: a region in which it has an only instance, and none may be added since an autoscaler holds the number.
    """
    if target.status is not Status.READY:
        advice = "" if target.status.is_terminal else f": wait for it with `sealift status --wait {target.id}`"
        raise FailedPrecondition(
            "deployment.not_ready",
            f"Deployment {target.id} is {target.status}, and only a ready deployment can be restarted{advice}.",
        )
    if not (target.run_state.is_warm or target.run_state is RunState.STARTING):
        raise FailedPrecondition(
            "deployment.not_running",
            f"Deployment {target.id} is {target.run_state}, so there is nothing to restart: start it with "
            f"`sealift promote {target.id}`.",
        )
    if alone_in:
        raise FailedPrecondition(
            "deployment.only_instance",
            f"Deployment {target.id} has one instance in region {alone_in}, and the cluster's autoscaler holds that "
            "number: a restart would leave a gap. Deploy again, or set min_replicas = 2 or more in [run] and deploy.",
        )


def check_cancel(target: Deployment) -> None:
    """Raises FailedPrecondition unless a cancel of `target` can still be honoured. A repeated cancel is fine."""
    if target.status in (Status.CANCELLED, Status.SUPERSEDED):
        return
    if target.status is Status.NETWORK:
        raise FailedPrecondition(
            "deployment.already_switching",
            f"Deployment {target.id} is taking over its routes now and can't be cancelled. Once it is ready, roll "
            "back, or take it down with `sealift stop --live` if nothing was live before.",
        )
    if not target.status.can_be_cancelled:
        raise FailedPrecondition(
            "deployment.already_ended",
            f"Deployment {target.id} has already ended: it is {target.status}."
            + (f" `sealift stop {target.id}` ends its instances." if target.status is Status.READY else ""),
        )
