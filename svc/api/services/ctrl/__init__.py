"""CtrlService: the server about itself."""
