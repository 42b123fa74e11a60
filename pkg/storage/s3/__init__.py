"""The `s3` store: objects in one bucket of an S3 server, which clients and builders reach by presigned URLs.

`config` has the section and `settings` its keys, `client` the clients of boto3 and their limits, `calls` their calls in
threads, `store` the adapter, `failures` the words for what goes wrong, `relay` the route of the api for builders that
must see no ETag. boto3 is imported by an opened store only: it takes 0.2 s and 40 MB.
"""
