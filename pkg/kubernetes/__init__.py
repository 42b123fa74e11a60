"""What services agree on about a Kubernetes cluster that runs instances: the section of the configuration."""
