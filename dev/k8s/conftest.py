from pkg.testing.kubernetes.fixtures import kubernetes_plane

__all__ = ["kubernetes_plane"]
