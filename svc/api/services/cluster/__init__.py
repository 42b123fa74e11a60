"""ClusterService: the calls of krane, the agent of one region."""
