"""The sweep over certificates: records orders for what is wanted and due, and takes back what is wanted no more."""
