"""krane's ingress: the control plane of the region's Envoy (see `port.py` for the contract)."""
