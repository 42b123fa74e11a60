from pkg.testing.kubernetes.fixtures import kubernetes_plane, pytest_runtest_teardown

__all__ = ["kubernetes_plane", "pytest_runtest_teardown"]
