#!/usr/bin/env bash
# Shows what the programs do: offline, in a temporary folder that is removed at the end.
#
#   demo.sh BUILT
set -Eeuo pipefail

programs=$(cd "$1" && pwd)
export PATH=$programs:$PATH:/usr/sbin
unset "${!CREEL_@}" REGISTRY_AUTH_FILE

work=$(mktemp -d)
registry=
cleanup() {
    # Only the process that was started here, and only by its number.
    [ -z "$registry" ] || { kill "$registry" && wait "$registry"; } 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
trap 'echo "demo: stopped: line $LINENO failed" >&2' ERR
cd "$work"
export CREEL_ROOT=$work/creel

title() { printf '\n# %s\n' "$*"; }

# Prints a command as one would type it, then runs it.
show() {
    printf '$'
    printf ' %s' "$@"
    printf '\n'
    "$@"
}

# Fails unless two things are the same.
same() {
    [ "$2" = "$3" ] || { echo "demo: $1: expected $2, found $3" >&2; exit 1; }
}

# --- a registry on a free port of this machine ---------------------------------------------------

start_registry() {
    cat >registry.yml <<END
version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $work/registry}, delete: {enabled: true}}
http: {addr: "127.0.0.1:0"}
END
    docker-registry serve registry.yml >registry.log 2>&1 &
    registry=$!
    for _ in $(seq 100); do
        host=$(sed -n 's/.*listening on \(127\.0\.0\.1:[0-9]*\).*/\1/p' registry.log)
        [ -z "$host" ] || return 0
        sleep 0.1
    done
    cat registry.log >&2
    return 1
}

# --- a small image, made by hand -----------------------------------------------------------------

size() { stat --format %s "$1"; }

# Moves a file to where a layout keeps it, and prints its digest.
blob() {
    local digest
    digest=$(sha256sum "$1" | cut -d ' ' -f 1)
    mv "$1" "hello/blobs/sha256/$digest"
    echo "sha256:$digest"
}

# Prints a descriptor: its media type, of a blob that is in place, and more members if any.
descriptor() {
    printf '{"mediaType":"%s","digest":"%s","size":%s%s}' \
        "$1" "$2" "$(size "hello/blobs/sha256/${2#sha256:}")" "${3:-}"
}

make_image() {
    local oci=application/vnd.oci.image diff_id layer config
    mkdir -p hello/blobs/sha256 rootfs/bin
    cp /bin/busybox rootfs/bin/busybox
    ln -s busybox rootfs/bin/sh
    ln -s busybox rootfs/bin/cat
    tar --create --directory rootfs --sort=name --owner=0 --group=0 --mtime=@0 --file layer.tar .
    diff_id=sha256:$(sha256sum layer.tar | cut -d ' ' -f 1)
    gzip -n layer.tar
    layer=$(blob layer.tar.gz)
    printf '{"architecture":"%s","os":"linux","config":{"Cmd":["sh"]},"rootfs":{"type":"layers","diff_ids":["%s"]}}' \
        "$architecture" "$diff_id" >config.json
    config=$(blob config.json)
    printf '{"schemaVersion":2,"mediaType":"%s","config":%s,"layers":[%s]}' "$oci.manifest.v1+json" \
        "$(descriptor "$oci.config.v1+json" "$config")" \
        "$(descriptor "$oci.layer.v1.tar+gzip" "$layer")" >manifest.json
    manifest=$(blob manifest.json)
    printf '{"imageLayoutVersion":"1.0.0"}' >hello/oci-layout
    printf '{"schemaVersion":2,"manifests":[%s]}' "$(descriptor "$oci.manifest.v1+json" "$manifest" \
        ',"annotations":{"org.opencontainers.image.ref.name":"1.0"}')" >hello/index.json
}

case $(uname -m) in
    x86_64) architecture=amd64 ;;
    aarch64) architecture=arm64 ;;
    *) architecture=$(uname -m) ;;
esac

start_registry
make_image
image=docker://$host/demo/hello

title "An OCI layout goes to a registry (on this machine, at $host)"
show creel-copy oci:hello:1.0 "$image:1.0"

title "The registry has it: its tags, and the digest that the layout had"
show creel-copy tags "$image"
show creel-copy digest "$image:1.0"
same "the digest in the registry" "$manifest" "$(creel-copy digest "$image:1.0")"

title "One more name for the same image"
show creel-copy tag "$image:1.0" latest
same "the digest under the new name" "$manifest" "$(creel-copy digest "$image:latest")"

title "What a copy would do, without doing it"
show creel-copy --dry-run "$image:1.0" oci:mirror:1.0
[ ! -e mirror ] || { echo "demo: a dry run wrote something" >&2; exit 1; }

title "From the registry to another layout, byte for byte"
show creel-copy "$image:1.0" oci:mirror:1.0
cmp "hello/blobs/sha256/${manifest#sha256:}" "mirror/blobs/sha256/${manifest#sha256:}"

title "The same again: nothing has to move"
show creel-copy "$image:1.0" oci:mirror:1.0

title "To an archive that docker load takes"
show creel-copy "$image:1.0" docker-archive:hello.tar:hello:1.0
show tar --list --file hello.tar

title "Into the local store"
show creel-copy "$image:1.0" store:hello:1.0
same "the digest in the store" "$manifest" "$(creel-copy digest store:hello:1.0)"

title "A Dockerfile becomes an image, on the one in the store"
mkdir app
printf 'hello from a build\n' >app/greeting
cat >app/Dockerfile <<'END'
FROM hello:1.0
COPY greeting /etc/greeting
ENV LANG=C.UTF-8
CMD ["cat", "/etc/greeting"]
END
show creel-build -t greeting app
built=$(creel-copy digest store:greeting)

title "The same again: nothing has to be made"
show creel-build -t greeting app
same "the digest of the second build" "$built" "$(creel-copy digest store:greeting)"

if [ "$(id -u)" = 0 ]; then
    title "It runs, through runc, in namespaces of its own"
    show creel-run --rm --network none greeting
    same "what the container said" "hello from a build" \
        "$(creel-run --rm --network none greeting cat /etc/greeting)"
    same "what is left of it" "" "$(creel-run ps --all --quiet)"

    title "A service: in the background, stopped, started again, removed"
    show creel-run run -d --network none --name demo hello:1.0 sh -c 'echo up; trap "exit 0" TERM; while :; do busybox sleep 1; done'
    show creel-run exec demo busybox echo "hello from inside"
    show creel-run stop demo
    same "its exit code" 0 "$(creel-run wait demo)"
    show creel-run restart demo
    show creel-run ps
    show creel-run logs demo
    show creel-run rm --force demo
else
    title "Running it needs root so far: sudo make demo shows that too"
fi

title "What is it, and what is in it?"
show creel-inspect greeting
show creel-inspect files greeting /etc
show creel-inspect diff hello:1.0 greeting || [ $? = 1 ]

title "And pushed, compressed on the way"
show creel-build push greeting "docker://$host/demo/greeting:1.0"
show creel-copy tags "docker://$host/demo/greeting"

printf '\ndemo: one image went through a layout, a registry, an archive, the store and a build, and %s stayed its digest\n' \
    "${manifest:0:19}"
