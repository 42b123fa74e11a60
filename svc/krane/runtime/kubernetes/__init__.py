"""Instances as Pods of a Kubernetes cluster: `runtime.KubernetesRuntime`.

`objects` says what the objects of a deployment look like, `workloads` and `workspaces` write them by server-side apply,
`cache` keeps what there is by the watches of `reflector`, `pods` reads a Pod as a value of the port, `failures` says
why one is missing or does not start, `registry_images` asks registries about images, `api` is the API server. One that
is away raises `Unavailable` ("kubernetes.unavailable").
"""
