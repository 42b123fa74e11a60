"""One call for an image of a ready-made program: the same base, user, labels and targets as the images of services."""

load("//build/util:images.bzl", "ARCHITECTURES", "BASE_ENVIRONMENT", "images", "stamps")
load("//build/util:tar_layer.bzl", "TAR", "tar_layer")

def _program_layer_impl(ctx):
    line = "{} uid=0 gid=0 time=0 mode=0755 type=file content={}".format(ctx.attr.path[1:], ctx.file.program.path)
    message = "Packing %s" % ctx.label
    return [DefaultInfo(files = depset([tar_layer(ctx, ctx.label.name, [line], [ctx.file.program], "ProgramLayer", message)]))]

program_layer = rule(
    implementation = _program_layer_impl,
    doc = "A layer with one program.",
    attrs = {
        "path": attr.string(mandatory = True, doc = "Where it is in the image; absolute."),
        "program": attr.label(mandatory = True, allow_single_file = True),
    },
    toolchains = [TAR],
)

def program_image(path, programs, description, ports = [], name = "image"):
    """Declares :image_linux_amd64, :image_linux_arm64, :image (both), :push and :load.

    It stands in build/<image>.

    Args:
      path: of the program in the image; the image starts it.
      programs: architecture to the file.
      description: one sentence, shown in the registry.
      ports: what the program may listen on, as "8080/tcp".
      name: of the index; leave it.
    """
    binary_name = native.package_name().split("/")[-1].replace("_", "-")
    stamps(name, binary_name, description)
    layers = {}
    for arch in ARCHITECTURES:
        layers[arch] = "{}_layers_linux_{}".format(name, arch)
        program_layer(
            name = layers[arch],
            path = path,
            program = programs[arch],
            tags = ["manual"],
        )
    images(
        name = name,
        binary_name = binary_name,
        entrypoint = [path],
        env = BASE_ENVIRONMENT,
        layers = layers,
        ports = ports,
    )
