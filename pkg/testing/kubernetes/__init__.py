"""A real Kubernetes 1.20 for tests and for a developer's machine, from the programs of `dev/parts/kubernetes.sh`.

* `ControlPlane` (`control_plane.py`): etcd, API server, controller manager and scheduler on loopback ports of its own.
  No root, nothing of the machine changes. Its nodes are fake (`fake_node.py`): they play the status of Pods.
* `Cluster` (`real_node.py`): a control plane with a real node, which runs Pods. Needs root.
* `fixtures.py`: one of each that tests share, from module to module.
* `ApiFront` (`api_front.py`): a proxy that makes the API server slow, or fail.
* `python -m pkg.testing.kubernetes` (`__main__.py`): a cluster to work with by hand.

Everything ends with the process that started it, however that ends.
"""
