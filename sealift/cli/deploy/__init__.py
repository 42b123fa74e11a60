"""What `deploy` and `build` do: a plan from options and files, the upload, the request, the wait for the outcome."""
