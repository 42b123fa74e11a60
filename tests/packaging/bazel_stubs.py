"""Names and types of what we use of other people's Bazel code, as the named versions declare it."""

from collections.abc import Mapping

# Read in rules_oci 2.3.0, bazel_lib 3.7.1 and rules_python 2.3.2. An update of one of them is a reason to read again.
VERSIONS = {
    "bazel_lib": "3.7.1",
    "platforms": "1.1.0",
    "rules_oci": "2.3.0",
    "rules_python": "2.3.2",
    "tar.bzl": "0.10.8",
}

_PYTHON = """
{name} = rule(attrs = {{
    "args": attr.string_list(),
    "data": attr.label_list(),
    "deps": attr.label_list(),
    "imports": attr.string_list(),
    "main": attr.label(),
    "srcs": attr.label_list(),
}})
"""

RULES: Mapping[str, str] = {
    "@rules_oci//oci:defs.bzl": """
oci_image = rule(attrs = {
    "annotations": attr.label(),
    "base": attr.label(mandatory = True),
    "entrypoint": attr.string_list(),
    "env": attr.string_dict(),
    "exposed_ports": attr.string_list(),
    "labels": attr.label(),
    "tars": attr.label_list(),
    "user": attr.string(),
    "workdir": attr.string(),
})
oci_load = rule(attrs = {"image": attr.label(mandatory = True), "repo_tags": attr.string_list(mandatory = True)})
oci_push = rule(attrs = {
    "image": attr.label(mandatory = True),
    "remote_tags": attr.label(),
    "repository": attr.string(),
})
""",
    "@bazel_lib//lib:expand_template.bzl": """
expand_template = rule(attrs = {
    "out": attr.output(mandatory = True),
    "stamp_substitutions": attr.string_dict(),
    "substitutions": attr.string_dict(),
    "template": attr.label(mandatory = True),
})
""",
    "@rules_python//python:py_info.bzl": "PyInfo = None\n",
    "@rules_python//python:py_binary.bzl": _PYTHON.format(name="py_binary"),
    "@rules_python//python:py_library.bzl": _PYTHON.format(name="py_library"),
    "@rules_python//python:py_test.bzl": _PYTHON.format(name="py_test"),
}

# Before the text of MODULE.bazel: what it may say. Tags are recorded as "extension.tag".
MODULE = """
def module(**kw):
    _call_native("module", kw)
def bazel_dep(**kw):
    _call_native("bazel_dep", kw)
def use_repo_rule(file, name):
    def call(**kw):
        _call_native(name, kw)
        _RULES[file + " " + name](**kw)
    return call
def use_repo(extension, *names):
    _call_native("use_repo", {"names": list(names)})
_TAGS = {
    "oci.pull": rule(attrs = {
        "digest": attr.string(mandatory = True),
        "image": attr.string(mandatory = True),
        "platforms": attr.string_list(),
    }),
    "pip.parse": rule(attrs = {
        "hub_name": attr.string(mandatory = True),
        "python_version": attr.string(mandatory = True),
        "requirements_lock": attr.label(),
        "target_platforms": attr.string_list(),
    }),
    "python.defaults": rule(attrs = {"python_version": attr.string()}),
    "python.toolchain": rule(attrs = {"python_version": attr.string(mandatory = True)}),
}
_RULES = {
    "//build/util:npm_package.bzl npm_package": rule(attrs = {
        "files": attr.string_list(mandatory = True),
        "lock": attr.label(mandatory = True),
        "package": attr.string(mandatory = True),
    }),
}
def _tag(kind):
    def call(**kw):
        _call_native(kind, kw)
        _TAGS[kind](**kw)
    return call
_EXTENSIONS = {
    "@rules_python//python/extensions:python.bzl python": struct(
        defaults = _tag("python.defaults"),
        toolchain = _tag("python.toolchain"),
    ),
    "@rules_python//python/extensions:pip.bzl pip": struct(parse = _tag("pip.parse")),
    "@rules_oci//oci:extensions.bzl oci": struct(pull = _tag("oci.pull")),
}
def use_extension(file, name, **kw):
    return _EXTENSIONS[file + " " + name]
"""
