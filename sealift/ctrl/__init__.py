"""Generated code of the control plane's protos."""
