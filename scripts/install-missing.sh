#!/bin/sh
# Installs from Debian what is missing, and says so first.
#
#   install-missing.sh PURPOSE NEED:PACKAGE...
#
# NEED is a program, or a file when it starts with a slash. What is there already, from wherever
# it came, is left alone: nothing is upgraded, replaced or removed, and no service is started.
set -eu

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
purpose=$1
shift

packages=
for pair in "$@"; do
    need=${pair%%:*} package=${pair#*:}
    case $need in
        /*) [ -e "$need" ] || packages="$packages $package" ;;
        *) command -v "$need" >/dev/null || packages="$packages $package" ;;
    esac
done
packages=${packages# }
[ -n "$packages" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "$purpose also needs (names of Debian's packages): $packages" >&2
    echo "There is no apt-get here to install them with: please install them by hand." >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null; then
    as_root=sudo
else
    echo "$purpose also needs: $packages" >&2
    echo "There is no sudo here: please run as root: apt-get install $packages" >&2
    exit 1
fi

echo "Installing from Debian for $purpose, with ${as_root:+sudo }apt-get: $packages"
# Debian starts a service when its package is installed, unless this file says no.
# shellcheck disable=SC2016 # the inner shell expands it
$as_root env DEBIAN_FRONTEND=noninteractive packages="$packages" sh -eu -c '
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap "rm -f $policy" EXIT
        trap "exit 130" INT TERM
        printf "#!/bin/sh\nexit 101\n" >$policy
        chmod 755 $policy
    fi
    # One source that cannot be reached does not matter if the others have the packages.
    apt-get update -qq || echo "Some package lists could not be fetched; going on with the others." >&2
    apt-get install --yes --no-install-recommends --no-remove --quiet $packages
'
