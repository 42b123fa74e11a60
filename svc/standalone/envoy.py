"""Envoy, the ingress: detached, because what users see must not end with the control plane."""

import json
import os
from pathlib import Path

from pkg.envoy import bootstrap, command, find_binary
from pkg.errors import Unavailable
from svc.standalone.detach import detach
from svc.standalone.errors import StartupError
from svc.standalone.files import replace
from svc.standalone.process import Identity
from svc.standalone.render import Stack
from svc.standalone.supervised import SupervisedProcess

NAME = "envoy"


def envoy_process(stack: Stack) -> SupervisedProcess:
    """Envoy as a process of the stack. Listeners and routes come from krane.

    Raises:
        StartupError: there is no Envoy to start.
    """
    state, region = stack.state, stack.config.region
    try:
        binary = find_binary()
    except Unavailable as error:
        raise StartupError(error.message) from error
    config = state.run / "envoy.json"
    replace(
        config,
        json.dumps(
            bootstrap(
                node_id=f"{region}-envoy",
                cluster=region,
                ads_socket=state.socket("ads"),
                admin_socket=state.socket(NAME),
            )
        ),
    )

    def launch() -> Identity:
        # One that was killed leaves its admin socket behind, and the next could not listen there.
        state.socket(NAME).unlink(missing_ok=True)
        return detach(
            command(binary, config),
            pidfile=state.pidfile(NAME),
            log_path=state.log(NAME),
            env=os.environ,
            cwd=Path("/"),
        )

    return SupervisedProcess(name=NAME, pidfile=state.pidfile(NAME), launch=launch, grace_s=3.0, outlives=True)
