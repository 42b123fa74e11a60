"""DeploymentService: deployments and the operations (promote, rollback, stop) on them."""
