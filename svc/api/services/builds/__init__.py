"""BuildService: accepts build contexts, builds images, and serves the build logs."""
