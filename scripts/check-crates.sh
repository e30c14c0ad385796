#!/bin/sh
# Looks at the dependency tree for what a foreign feature flag could change without any compile
# error: unwanted crates, and another gzip implementation behind flate2.
#
#   check-crates.sh CRATE...
set -eu

tree=$(cargo tree --locked --workspace --all-features --prefix none --format '{p} [{f}]')
failed=0
for crate in "$@"; do
    if echo "$tree" | grep -q "^$crate v"; then
        echo "$crate is in the dependency tree:" >&2
        cargo tree --locked --workspace --all-features --invert "$crate" >&2
        failed=1
    fi
done

# Without run-time detection of the CPU's abilities inflating is a fifth slower.
flate2=$(echo "$tree" | grep '^flate2 v' | sort -u)
for feature in zlib-rs runtime_detection; do
    if ! echo "$flate2" | grep -q "[[,]${feature}[],]"; then
        echo "flate2 is built without its feature $feature: $flate2" >&2
        failed=1
    fi
done
exit $failed
