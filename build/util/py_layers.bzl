"""The file system layers of a Python service: no launcher, no shell, no archive to unpack at start.

    /opt/python            the interpreter of the toolchain
    /app/site-packages     the wheels, merged into one import root
    /app/src               the repository's own modules, at their paths in the repository
    /app/src/pkg/buildinfo/buildinfo.json   which version this is
    /var/lib/sealift, /run/sealift   empty, owned by the user of the image

Every module has its bytecode next to it: a container's root is read-only, so each start would compile everything again.
The same inputs give the same bytes: entries are sorted, times are zero, gzip holds no time.
"""

load("@rules_python//python:py_info.bzl", "PyInfo")
load("//build/util:tar_layer.bzl", "TAR", "tar_layer")

_SITE = "/site-packages/"
_PYTHON = "@rules_python//python:toolchain_type"
_UNUSED = ["/test/", "/tests/", "/idlelib/", "/tkinter/", "/turtledemo/", "/ensurepip/", "/lib2to3/", "/__pycache__/"]
_BUILD_INFO = "app/src/pkg/buildinfo/buildinfo.json"

# A wheel repository also holds what pip would install outside of site-packages.
_OUTSIDE_SITE = ["bin", "data", "include"]
_USER = "uid=65532 gid=65532"
_OWN_FOLDERS = ["var/lib/sealift", "run/sealift"]

# How the interpreter of the toolchain names its bytecode; a test compares it with .python-version.
_BYTECODE = "cpython-311"

def _to_platform_impl(_settings, attr):
    return {"//command_line_option:platforms": str(attr.platform)}

_to_platform = transition(
    implementation = _to_platform_impl,
    inputs = [],
    outputs = ["//command_line_option:platforms"],
)

def _quote(path):
    return path.replace("\\", "\\134").replace(" ", "\\040")

def _entry(dest, file):
    # Programs: of the interpreter, and those that wheels hold.
    mode = "0755" if "/bin/" in dest or "/_bin/" in dest else "0644"
    return "{} uid=0 gid=0 time=0 mode={} type=file content={}".format(_quote(dest), mode, _quote(file.path))

def _with_bytecode(ctx, kind, entries):
    """The entries, and the bytecode of each module, where Python looks for it."""
    lines, compiled = [], {}
    for dest in sorted(entries):
        if dest.endswith(".py"):
            folder, _, name = dest.rpartition("/")
            cached = "{}/__pycache__/{}.{}.pyc".format(folder, name[:-len(".py")], _BYTECODE)
            compiled[cached] = ctx.actions.declare_file("{}.{}/{}".format(ctx.label.name, kind, cached))
            lines.append("\t".join([entries[dest].path, dest, compiled[cached].path]))
    if not lines:
        return entries
    listed = ctx.actions.declare_file("{}.{}.modules".format(ctx.label.name, kind))
    ctx.actions.write(listed, "\n".join(lines) + "\n")
    ctx.actions.run(
        executable = ctx.executable._compiler,
        inputs = [listed] + [entries[dest] for dest in entries if dest.endswith(".py")],
        outputs = compiled.values(),
        arguments = [listed.path],
        env = {"PYTHONHASHSEED": "0"},
        mnemonic = "PyBytecode",
        progress_message = "Compiling the modules of the %s layer of %s" % (kind, ctx.label),
    )
    return dict(entries, **compiled)

def _layer(ctx, kind, entries, folders = []):
    entries = _with_bytecode(ctx, kind, entries)
    lines = ["{} {} time=0 mode=0700 type=dir".format(folder, _USER) for folder in folders]
    lines += [_entry(dest, entries[dest]) for dest in sorted(entries)]  # deps come in any order
    message = "Packing the %s layer of %s" % (kind, ctx.label)
    return tar_layer(ctx, "{}.{}".format(ctx.label.name, kind), lines, entries.values(), "PyLayer", message)

def _interpreter(ctx):
    runtime = ctx.toolchains[_PYTHON].py3_runtime
    if not runtime.interpreter:
        fail("the Python toolchain of %s has no own interpreter (a system Python?)" % ctx.attr.platform)
    root = runtime.interpreter.short_path.rsplit("/bin/", 1)[0]
    entries = {"opt/python/bin/python3": runtime.interpreter}
    for file in runtime.files.to_list():
        rest = file.short_path[len(root):]
        if not rest.startswith("/lib/") or file.extension in ["pyc", "a"]:
            continue
        if not [unused for unused in _UNUSED if unused in rest]:
            entries["opt/python" + rest] = file
    return entries

def _contents(ctx):
    """What the libraries need while running, by its place in the image: (wheels, own code)."""
    wheels, own = {}, {}

    # Since rules_python 0.37 sources are not among the runfiles.
    sources = [lib[PyInfo].transitive_sources for lib in ctx.attr.libs]
    runfiles = [lib[DefaultInfo].default_runfiles.files for lib in ctx.attr.libs]
    for file in depset(transitive = sources + runfiles).to_list():
        path = file.short_path
        at = path.find(_SITE)
        if file.extension == "pyc":
            continue
        elif not path.startswith("../"):
            own["app/src/" + path] = file
        elif at >= 0:
            dest = "app/site-packages/" + path[at + len(_SITE):]
            if dest in wheels and file != wheels[dest] and file.basename != "__init__.py":
                fail("%s: two wheels hold %s: %s and %s" % (ctx.label, dest, wheels[dest], file))
            wheels.setdefault(dest, file)
        elif path.split("/")[2] not in _OUTSIDE_SITE:
            fail("%s: %s is neither ours nor in a wheel's site-packages" % (ctx.label, path))
    if _BUILD_INFO in own:
        fail("%s: %s is data of a library; only the image may have it" % (ctx.label, _BUILD_INFO))
    return wheels, own

def _py_layers_impl(ctx):
    wheels, own = _contents(ctx)
    tars = [_layer(ctx, "interpreter", _interpreter(ctx), _OWN_FOLDERS)]
    for group, prefixes in ctx.attr.groups.items():
        members = {
            dest: file
            for dest, file in wheels.items()
            if [prefix for prefix in prefixes if dest.startswith("app/site-packages/" + prefix)]
        }
        if members:  # not every service needs every heavy wheel
            tars.append(_layer(ctx, group, members))
            wheels = {dest: file for dest, file in wheels.items() if dest not in members}
    tars.append(_layer(ctx, "wheels", wheels))
    tars.append(_layer(ctx, "code", own))
    tars.append(_layer(ctx, "stamp", {_BUILD_INFO: ctx.file.stamp}))
    return [DefaultInfo(files = depset(tars, order = "preorder"))]

py_layers = rule(
    implementation = _py_layers_impl,
    doc = "Layers of py_libraries for one platform, the least often changed first.",
    cfg = _to_platform,
    attrs = {
        "groups": attr.string_list_dict(
            doc = "Heavy wheels get a layer of their own: name to the first letters of their paths in site-packages.",
        ),
        "libs": attr.label_list(mandatory = True, providers = [PyInfo]),
        "platform": attr.label(mandatory = True),
        "stamp": attr.label(mandatory = True, allow_single_file = [".json"]),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
        "_compiler": attr.label(default = "//build/util:bytecode_tool", executable = True, cfg = "exec"),
    },
    toolchains = [TAR, _PYTHON],
)
