"""A package of npm, as package-lock.json pins it: fetched by npm itself, from wherever npm is set to fetch, and checked."""

def _npm_package_impl(ctx):
    package = ctx.attr.package
    locked = json.decode(ctx.read(ctx.attr.lock))["packages"].get("node_modules/" + package)
    if not locked:
        fail("%s is not in %s" % (package, ctx.attr.lock))
    npm = ctx.which("npm")
    if not npm:
        fail("npm is missing: it fetches %s (Debian: apt-get install npm)" % package)
    wanted = "%s@%s" % (package, locked["version"])
    done = ctx.execute([npm, "pack", "--silent", "--ignore-scripts", wanted])
    if done.return_code:
        fail("npm pack %s failed: %s" % (wanted, done.stderr))
    archive = ctx.path(done.stdout.strip().split("\n")[-1])
    ctx.download_and_extract(
        integrity = locked["integrity"],
        stripPrefix = "package",
        type = "tar.gz",
        url = "file://%s" % archive,
    )
    ctx.delete(archive)
    ctx.file("BUILD.bazel", "exports_files(%s, visibility = [\"//visibility:public\"])\n" % repr(ctx.attr.files))

npm_package = repository_rule(
    implementation = _npm_package_impl,
    doc = "Exports files of a package. No script of it runs.",
    attrs = {
        "files": attr.string_list(mandatory = True, doc = "Paths in the package."),
        "lock": attr.label(mandatory = True, allow_single_file = [".json"], doc = "package-lock.json: version and hash."),
        "package": attr.string(mandatory = True),
    },
)
