"""From the variables to the sections of the stack's configuration. Pure.

The file that is written names the variables and holds none of their values.
"""

from collections.abc import Mapping

from dev.build_backend.variables import BACKEND, DEFAULT_USERNAME
from svc.standalone import toml

# section -> key -> variable
SECTIONS: Mapping[str, Mapping[str, str]] = {
    "build": {
        "platform": "SEALIFT_BUILD_PLATFORM",
        "address": "SEALIFT_BUILD_BUILDKIT_ADDRESS",
        "server_name": "SEALIFT_BUILD_BUILDKIT_SERVER_NAME",
        "ca_file": "SEALIFT_BUILD_BUILDKIT_CA_FILE",
        "cert_file": "SEALIFT_BUILD_BUILDKIT_CERT_FILE",
        "key_file": "SEALIFT_BUILD_BUILDKIT_KEY_FILE",
    },
    "depot": {
        "access_token": "SEALIFT_DEPOT_ACCESS_TOKEN",
        "api_url": "SEALIFT_DEPOT_API_URL",
        "project_region": "SEALIFT_DEPOT_PROJECT_REGION",
    },
    "registry": {
        "url": "SEALIFT_REGISTRY_URL",
        "username": "SEALIFT_REGISTRY_USERNAME",
        "password": "SEALIFT_REGISTRY_PASSWORD",
        "ca_file": "SEALIFT_REGISTRY_CA_FILE",
    },
    "objects": {
        "url": "SEALIFT_BUILD_S3_URL",
        "external_url": "SEALIFT_BUILD_S3_EXTERNAL_URL",
        "bucket": "SEALIFT_BUILD_S3_BUCKET",
        "access_key_id": "SEALIFT_BUILD_S3_ACCESS_KEY_ID",
        "access_key_secret": "SEALIFT_BUILD_S3_ACCESS_KEY_SECRET",
    },
}


def stack_config(variables: Mapping[str, str]) -> str:
    """The stack's configuration for these variables (`variables.resolved`), with `${NAME}` for each value."""
    backend = variables[BACKEND]
    tables: dict[str, toml.Table | list[toml.Table]] = {}
    for section, keys in SECTIONS.items():
        if section == "depot" and backend != "depot":
            continue
        table = {key: f"${{{name}}}" for key, name in keys.items() if name in variables}
        if section == "build":
            table = {"backend": backend} | table
        if section == "objects" and table:
            table = {"backend": "s3"} | table
        if table:
            tables[section] = table
    if {"SEALIFT_REGISTRY_URL", "SEALIFT_REGISTRY_PULL_PASSWORD"} <= variables.keys():
        # on a machine of a developer one account may do both; elsewhere krane has one that may only pull
        tables["registries"] = [
            {
                "host": variables["SEALIFT_REGISTRY_URL"].partition("/")[0],
                "username": f"${{SEALIFT_REGISTRY_PULL_USERNAME:-{DEFAULT_USERNAME}}}",
                "password": "${SEALIFT_REGISTRY_PULL_PASSWORD}",
            }
        ]
    return toml.render(tables)
