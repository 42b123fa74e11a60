"""upgrade.sh on a real API server, where an image can't be pulled."""

import os
import signal
import subprocess

import pytest

from dev.k8s.rendering import NAMESPACE, OVERLAYS
from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.parts import prepared_part
from pkg.testing.wait import KUBERNETES_TEST_TIMEOUT_S

pytestmark = pytest.mark.timeout(KUBERNETES_TEST_TIMEOUT_S)

LABELS = {"app.kubernetes.io/name": "api"}
IMAGE = "sealift-test/pull-denied:1"


def test_an_image_that_can_not_be_pulled_is_named_at_once() -> None:
    """Promise: what waits for a Pod says what the Pod waits for, long before its time is over."""
    with ControlPlane() as plane:
        plane.add_fake_node()
        plane.kubectl("create", "namespace", NAMESPACE)
        template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "api", "image": IMAGE}]}}
        plane.apply({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "sealift-api", "namespace": NAMESPACE},
            "spec": {"replicas": 0, "selector": {"matchLabels": LABELS}, "template": template},
        })  # fmt: skip
        tools = prepared_part("kubernetes") / "root/usr/bin"
        environment = {**os.environ, "PATH": f"{tools}:/usr/bin:/bin", "KUBECONFIG": str(plane.kubeconfig)}
        running = subprocess.Popen(
            ["/usr/bin/timeout", "60", str(OVERLAYS.parent / "upgrade.sh"), "--resume"],
            env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        said = []
        assert running.stderr is not None
        with running.stderr:
            for line in running.stderr:
                said.append(line)
                if line.startswith("waiting for Pod sealift-resume-"):
                    break
            os.killpg(running.pid, signal.SIGKILL)
        assert running.wait() == -signal.SIGKILL, "".join(said)
    assert "ImagePull" in said[-1]
    assert IMAGE in said[-1]
