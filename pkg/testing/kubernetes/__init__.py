"""A real Kubernetes 1.20 for tests and for a developer's machine, from the programs of `dev/parts/kubernetes.sh`.

* `ControlPlane` (`control_plane.py`): etcd, API server, controller manager and scheduler on loopback ports of its own.
  No root, nothing of the machine changes. Its nodes are fake (`fake_node.py`): they play the status of Pods.
* `fixtures.py`: the cluster that all tests of a session share.

Everything ends with the process that started it, however that ends.
"""
