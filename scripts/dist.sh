#!/bin/sh
# Makes a tarball and a Debian package of the built programs.
#
#   dist.sh BUILT OUTPUT PROGRAM...
#
# The same commit and the same programs give the same bytes.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
built=$1 output=$2
shift 2

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
umask 022

# A path below OUTPUT/work, so that nothing is left of an earlier version.
work=$output/work
rm -rf "$work"
mkdir -p "$work"

# --- tarball -----------------------------------------------------------------------------------
name=creel-$version-$(uname -m)-linux
"$here/stage.sh" "$built" "$work/$name" "$@"
cp README.md CHANGELOG.md LICENSE "$work/$name"
cp -r docs "$work/$name/docs"
tar --create --directory "$work" --sort=name --owner=0 --group=0 --numeric-owner \
    --mtime="@$SOURCE_DATE_EPOCH" "$name" | gzip -9n >"$output/$name.tar.gz"

# --- Debian package ----------------------------------------------------------------------------
root=$work/deb
doc=$root/usr/share/doc/creel
"$here/stage.sh" "$built" "$root/usr" "$@"
mkdir -p "$doc" "$root/DEBIAN"
# Debian's zsh looks for the completions of packages in a folder of its own.
mv "$root/usr/share/zsh/site-functions" "$root/usr/share/zsh/vendor-completions"
find "$root/usr/share/man" -name '*.1' -exec gzip -9n {} +
gzip -9n <CHANGELOG.md >"$doc/changelog.gz"
cp README.md "$doc"
cp -r docs "$doc/docs"
cat >"$doc/copyright" <<END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: creel
Source: https://github.com/creel-project/creel

Files: *
Copyright: The Creel authors
License: Apache-2.0
 On Debian systems the text of this licence is in
 /usr/share/common-licenses/Apache-2.0.
END
architecture=$(dpkg --print-architecture)
libc=$(getconf GNU_LIBC_VERSION | cut -d ' ' -f 2)
cat >"$root/DEBIAN/control" <<END
Package: creel
Version: $version
Architecture: $architecture
Maintainer: The Creel authors <creel@invalid>
Section: admin
Priority: optional
Installed-Size: $(du -sk "$root/usr" | cut -f 1)
Depends: libc6 (>= $libc), libgcc-s1
Recommends: ca-certificates, runc
Suggests: git, uidmap
Homepage: https://github.com/creel-project/creel
Description: daemonless tools for container images
 Four programs on one local store, without a daemon: creel-build makes images
 from Dockerfiles, creel-copy moves them between registries, OCI layouts,
 archives and the store, creel-inspect tells what is in them, and creel-run
 runs containers of them through runc.
END
package=creel_${version}_$architecture.deb
dpkg-deb --root-owner-group --build "$root" "$output/$package" >/dev/null

rm -rf "$work"
ls -l "$output/$name.tar.gz" "$output/$package"
