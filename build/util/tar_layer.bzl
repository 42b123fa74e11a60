"""A layer of an image, packed by bsdtar from an mtree specification. The same lines and files give the same bytes."""

TAR = "@tar.bzl//tar/toolchain:type"

def tar_layer(ctx, name, lines, inputs, mnemonic, message):
    """Declares the archive and the action that packs it.

    Args:
      ctx: of a rule with the toolchain TAR.
      name: of the archive, without its ending.
      lines: of the specification, in the order of the archive; each has its time.
      inputs: the files that they name.
      mnemonic: of the action.
      message: what Bazel shows meanwhile.

    Returns:
      The archive, NAME.tar.gz.
    """
    tar = ctx.toolchains[TAR]
    spec = ctx.actions.declare_file(name + ".mtree")
    ctx.actions.write(spec, "\n".join(["#mtree"] + lines) + "\n")
    out = ctx.actions.declare_file(name + ".tar.gz")
    args = ctx.actions.args()
    args.add("--create")
    args.add("--gzip")
    args.add("--options=gzip:!timestamp,gzip:compression-level=6")
    args.add("--file", out)
    args.add(spec, format = "@%s")

    # Bazel 4, on which the rules are tested without internet, does not know the parameter.
    toolchain = {"toolchain": TAR} if hasattr(ctx.runfiles(), "merge_all") else {}
    ctx.actions.run(
        executable = tar.tarinfo.binary,
        inputs = depset([spec] + inputs, transitive = [tar.default.files]),
        outputs = [out],
        arguments = [args],
        mnemonic = mnemonic,
        progress_message = message,
        **toolchain
    )
    return out
