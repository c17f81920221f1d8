# shellcheck shell=bash
# The two builds: that of everything, programs and tests, in one set of features; and that of the programs as users run them.
# Sourced.
#
# cargo builds a dependency anew for each set of features, and a part of the workspace has another one than the whole. So
# whoever needs a debug build (make test, browser, interop, faults) asks for this one, and the second to ask finds it made.
build_everything() { cargo build --locked --workspace --all-targets; }
build_release() { cargo build --release --locked -p ingest -p worker -p oncehook --bins; }
