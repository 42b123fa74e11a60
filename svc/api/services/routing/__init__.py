"""RoutingService: which hostname points at which deployment; read only."""
