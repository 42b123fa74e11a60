"""An index of images with annotations: rules_oci 2.3.0 has an index rule, but one that cannot annotate."""

def _oci_index_impl(ctx):
    out = ctx.actions.declare_directory(ctx.label.name)
    args = ctx.actions.args()
    args.add(out.path)
    args.add(ctx.file.annotations)
    args.add_all(ctx.files.images, expand_directories = False)
    ctx.actions.run(
        executable = ctx.executable._tool,
        # rules_oci links layers instead of copying them; the links lead to files among the runfiles.
        inputs = depset(
            ctx.files.images + [ctx.file.annotations],
            transitive = [image[DefaultInfo].default_runfiles.files for image in ctx.attr.images],
        ),
        outputs = [out],
        arguments = [args],
        mnemonic = "OciIndex",
        progress_message = "Joining the images of %s" % ctx.label,
    )
    return [DefaultInfo(files = depset([out]))]

oci_index = rule(
    implementation = _oci_index_impl,
    doc = "One OCI layout that holds the images of all architectures; fit for oci_push.",
    attrs = {
        "annotations": attr.label(mandatory = True, allow_single_file = True, doc = "Lines of name=value."),
        "images": attr.label_list(mandatory = True, doc = "oci_image targets, in the order they are to stand in."),
        "_tool": attr.label(default = "//build/util:oci_index_tool", executable = True, cfg = "exec"),
    },
)
