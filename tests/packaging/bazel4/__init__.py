"""Our own Bazel rules, really run without internet: by Debian's Bazel 4.2.3, with stand-ins for other people's rules.

`dev/bazel/bazel4.sh` calls `workspace`, which copies the tree and puts `standins`, wheels (`wheels`), interpreters and
base images (`base`) of both architectures beside it, builds, and runs `images_check` on the result. That tests the
BUILD files, our rules and macros and the images; not rules_oci, rules_python or MODULE.bazel, of which only the calls
of `npm_package` are taken.
"""
