"""CtrlService: what a client needs to know of this installation, and its drains."""
