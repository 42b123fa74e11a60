"""EnvironmentService: where deployments live, and which settings and variables they get."""
