"""What all images have in common: base, user, labels, and the targets that build, push and load them."""

load("@bazel_lib//lib:expand_template.bzl", "expand_template")
load("@rules_oci//oci:defs.bzl", "oci_image", "oci_load", "oci_push")
load("//build/util:oci_index.bzl", "oci_index")

REGISTRY = "ghcr.io/sealift"
SOURCE = "https://github.com/sealift/sealift"

# Of the base image.
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
BASE_ENVIRONMENT = {"SSL_CERT_FILE": AUTHORITIES}

# Architecture to its setting and its base image; both are named in MODULE.bazel.
ARCHITECTURES = {
    "amd64": ("//build/platforms:is_amd64", "@base_linux_amd64"),
    "arm64": ("//build/platforms:is_arm64", "@base_linux_arm64_v8"),
}

def stamps(name, binary_name, description):
    """Declares :<name>_labels, :<name>_stamp and :<name>_tags: what a stamped build says about itself.

    Args:
      name: of the index of the images.
      binary_name: what the image and its release tags are called.
      description: one sentence, shown in the registry.
    """
    files = {
        "labels": ("labels.txt", "//build/util:labels.txt.tpl"),
        "stamp": ("stamp.json", "//build/util:stamp.json.tpl"),
        "tags": ("tags.txt", "//build/util:tags.txt.tpl"),
    }
    fixed = {
        "{{BINARY}}": binary_name,
        "{{DESCRIPTION}}": description,
        "{{SOURCE}}": SOURCE,
    }
    for kind, (file, template) in files.items():
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

def images(name, binary_name, layers, entrypoint, env, ports):
    """Declares :<name>_linux_<architecture>, :<name>, :push and :load. `stamps` comes first.

    Args:
      name: of the index of the images.
      binary_name: what the image and its release tags are called.
      layers: architecture to the name of the target with its layers.
      entrypoint: what the image starts.
      env: its environment.
      ports: what it may listen on, as "7400/tcp".
    """
    by_cpu = {}
    members = []
    for arch, (cpu, base) in ARCHITECTURES.items():
        image = "{}_linux_{}".format(name, arch)
        oci_image(
            name = image,
            annotations = ":{}_labels".format(name),
            base = base,
            entrypoint = entrypoint,
            env = env,
            exposed_ports = ports or None,
            labels = ":{}_labels".format(name),
            tags = ["manual"],
            tars = [":" + layers[arch]],
            user = "65532:65532",
            workdir = "/app",
        )
        members.append(":" + image)
        by_cpu[cpu] = ":" + image
    oci_index(
        name = name,
        annotations = ":{}_labels".format(name),
        images = members,
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
