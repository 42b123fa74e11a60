"""How the tests are shared among workers."""

from tests.plugin import unit_of


def test_what_shares_a_cluster_goes_to_one_worker() -> None:
    """Promise: a cluster is started once; files that need none are taken one by one."""
    assert unit_of("tests/e2e/kubernetes_test.py") == unit_of("svc/krane/runtime/kubernetes/disk_test.py")
    assert unit_of("dev/k8s/krane_rights_test.py") == unit_of("svc/krane/runtime/kubernetes/faults_test.py")
    assert unit_of("svc/krane/runtime/kubernetes/faults_test.py") != unit_of("tests/e2e/kubernetes_test.py")
    assert unit_of("tests/plugin_test.py") == "tests/plugin_test.py"
