"""What a topology asks for."""

from pkg.desired.protocol import AppProtocol
from pkg.desired.scaling import ReplicaBounds
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import common_pb2
from svc.krane.controller.topology import deployment_spec, health_rule, process_topology
from svc.krane.controller.uptime import HEALTHY_AFTER_S


def complete() -> pb.Topology:
    """Every field of the message set to something that is not a default."""
    return pb.Topology(
        deployment_id="dep_a",
        workspace_id="ws_a",
        project_id="proj_a",
        environment_id="env_a",
        image_ref="engine:sha256:1",
        must_pull=True,
        settings=common_pb2.RuntimeSettings(
            cpu_millicores=250,
            memory_mib=128,
            disk_mib=2048,
            replicas=3,
            port=3000,
            protocol=common_pb2.APP_PROTOCOL_H2C,
            command=common_pb2.StringList(values=["run", "me"]),
            health_check=common_pb2.HealthCheck(path="/up", interval_ms=300, timeout_ms=700, start_timeout_s=9),
        ),
        variables={"A": "1"},
        stopped=False,
        restart_generation=7,
        own_authority="a-dep-a.x:7480",
        public_url="http://a.x:7480",
        traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01",
    )


def test_every_field_is_used() -> None:
    # Promise: nothing that the control plane says of an instance is lost.
    spec = deployment_spec(complete())
    assert spec.replicas == 3
    assert (spec.workspace_id, spec.project_id, spec.environment_id) == ("ws_a", "proj_a", "env_a")
    assert (spec.cpu_millicores, spec.memory_mib, spec.disk_mib, spec.port) == (250, 128, 2048, 3000)
    assert (spec.image_ref, spec.command, spec.variables) == ("engine:sha256:1", ("run", "me"), {"A": "1"})
    assert spec.bounds is None
    rule = health_rule(complete())
    assert (rule.path, rule.port, rule.interval_s, rule.timeout_s, rule.start_timeout_s) == ("/up", 3000, 0.3, 0.7, 9)
    assert rule.protocol is AppProtocol.H2C
    assert health_rule(pb.Topology()).protocol is AppProtocol.HTTP1
    assert spec.must_pull
    assert spec.restart_generation == 7
    assert spec.public_url == "http://a.x:7480"
    used = {"deployment_id", "workspace_id", "project_id", "environment_id", "image_ref", "settings", "variables"}
    assert set(pb.Topology.DESCRIPTOR.fields_by_name) == used | {
        "stopped",
        "traceparent",
        "own_authority",
        "public_url",
        "adopted_port",
        "plain_variables",
        "must_pull",
        "restart_generation",
        "processes_stopped",
    }


def test_bounds() -> None:
    """Promise: bounds come with the least number as `replicas`; a part that an older api leaves out has its default."""
    topology = complete()
    topology.settings.min_replicas, topology.settings.max_replicas = 3, 9
    before = deployment_spec(complete())
    spec = deployment_spec(topology)
    assert (spec.replicas, spec.bounds) == (3, ReplicaBounds(3, 9, 80))
    assert spec.revision == before.revision
    topology.settings.target_cpu_percent = 55
    assert deployment_spec(topology).bounds == ReplicaBounds(3, 9, 55)
    settings = set(common_pb2.RuntimeSettings.DESCRIPTOR.fields_by_name)
    assert settings == {field.name for field, _ in complete().settings.ListFields()} | {
        "min_replicas", "max_replicas", "target_cpu_percent", "release_command", "release_timeout_s", "processes"
    }  # fmt: skip


def test_an_adopted_port_is_asked_and_the_app_is_still_handed_the_default() -> None:
    """Promise: adopting a port changes where is asked, and nothing that an instance is made from."""
    topology = complete()
    topology.settings.ClearField("port")
    before = deployment_spec(topology)
    rule = health_rule(topology)
    assert (rule.port, rule.is_port_set, rule.is_port_adopted) == (8080, False, False)
    topology.adopted_port = 5000
    rule = health_rule(topology)
    assert (rule.port, rule.is_port_set, rule.is_port_adopted) == (5000, False, True)
    spec = deployment_spec(topology)
    assert (spec.port, spec.revision) == (8080, before.revision)


def test_a_set_port_wins_over_an_adopted_one() -> None:
    """Promise: nothing that was observed overrules what somebody wrote down."""
    topology = complete()
    topology.adopted_port = 5000
    rule = health_rule(topology)
    assert (rule.port, rule.is_port_set, rule.is_port_adopted) == (3000, True, False)


def test_stopped_means_no_instance() -> None:
    # Promise: a stopped deployment keeps nothing running.
    topology = complete()
    topology.stopped = True
    assert deployment_spec(topology).replicas == 0


def test_absent_settings_have_the_documented_defaults() -> None:
    # Promise: an older api's topology still runs.
    bare = pb.Topology(deployment_id="dep_a", image_ref="x")
    spec = deployment_spec(bare)
    assert spec.replicas == 1
    assert (spec.cpu_millicores, spec.memory_mib, spec.disk_mib, spec.port) == (1000, 512, 10_240, 8080)
    rule = health_rule(bare)
    assert (rule.path, rule.interval_s, rule.timeout_s, rule.start_timeout_s) == ("", 1.0, 2.0, 120.0)


def test_only_what_an_instance_is_made_from_needs_a_new_one() -> None:
    # Promise: another count, health check, bound of disk or trace restarts nothing; another variable does.
    topology = complete()
    before = deployment_spec(topology).revision
    topology.settings.replicas = 1
    topology.settings.disk_mib = 0
    topology.settings.health_check.path = "/other"
    topology.traceparent = ""
    assert deployment_spec(topology).revision == before
    topology.variables["A"] = "2"
    assert deployment_spec(topology).revision != before


def test_variables_do_not_show_in_repr() -> None:
    # Promise: no secret in logs by accident.
    topology = complete()
    topology.variables["TOKEN"] = "hunter2"
    assert "hunter2" not in repr(deployment_spec(topology))


def with_worker() -> pb.Topology:
    """A complete topology, between bounds, with a worker."""
    topology = complete()
    topology.settings.min_replicas, topology.settings.max_replicas = 3, 9
    command = common_pb2.StringList(values=["work", "hard"])
    topology.settings.processes.values.add(name="worker", command=command, replicas=2, memory_mib=64)
    return topology


def test_a_process_is_like_web_without_what_serves_requests() -> None:
    """Promise: the same image, variables and place; its own command, number and resources; no port, probe or bounds."""
    topology = with_worker()
    derived = process_topology(topology, "worker")
    assert derived is not None
    web, worker = deployment_spec(topology, "dep_live"), deployment_spec(derived, "dep_live")
    assert (worker.deployment_id, worker.owner_id, worker.process) == ("dep_a.worker", "dep_a", "worker")
    assert (web.owner_id, web.process) == ("dep_a", "")
    assert (worker.command, worker.replicas, worker.port, worker.bounds) == (("work", "hard"), 2, 0, None)
    assert (worker.memory_mib, worker.cpu_millicores, worker.disk_mib) == (64, 250, 2048)
    for field in ("image_ref", "variables", "must_pull", "public_url", "workspace_id", "restart_generation"):
        assert getattr(worker, field) == getattr(web, field), field
    rule = health_rule(derived)
    assert (rule.stays_up_s, rule.path, rule.start_timeout_s) == (HEALTHY_AFTER_S, "", 9)
    assert health_rule(topology).stays_up_s == 0
    assert rule.protocol is AppProtocol.HTTP1
    assert process_topology(topology, "clock") is None


def test_when_a_process_is_to_run() -> None:
    """Promise: with its deployment, unless the deployment's processes are stopped or its number is 0."""
    topology = with_worker()

    def replicas() -> int:
        derived = process_topology(topology, "worker")
        assert derived is not None
        return deployment_spec(derived).replicas

    assert replicas() == 2
    topology.processes_stopped = True
    assert (replicas(), deployment_spec(topology).replicas) == (0, 3)
    topology.processes_stopped = False
    topology.settings.processes.values[0].replicas = 0
    assert replicas() == 0
    topology.settings.processes.values[0].replicas = 1
    topology.stopped = True
    assert replicas() == 0


def test_web_is_as_it_was() -> None:
    """Promise: an upgrade of krane replaces no instance: the revision of web is what it was before."""
    before = deployment_spec(complete())
    assert before.revision == deployment_spec(with_worker()).revision == "1-fc89836147e4e49a2577eb3407f1fc24"
