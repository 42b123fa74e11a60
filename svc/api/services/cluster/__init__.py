"""ClusterService: what krane, the agent of one region, asks and tells."""
