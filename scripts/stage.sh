#!/bin/sh
# Lays out programs, man pages and completions below a prefix.
#
#   stage.sh BUILT PREFIX PROGRAM...
#
# What creel-run starts itself goes to PREFIX/libexec/creel. Pages and completions are written by the programs themselves, from their argument definitions.
set -eu

built=$1 prefix=$2
shift 2

bash=$prefix/share/bash-completion/completions
zsh=$prefix/share/zsh/site-functions
fish=$prefix/share/fish/vendor_completions.d
man=$prefix/share/man/man1
mkdir -p "$prefix/bin" "$bash" "$zsh" "$fish" "$man"

for program in "$@"; do
    install -m 755 "$built/$program" "$prefix/bin/$program"
    "$built/$program" man "$man"
    "$built/$program" completion bash >"$bash/$program"
    "$built/$program" completion zsh >"$zsh/_$program"
    "$built/$program" completion fish >"$fish/$program.fish"
    for file in "$man/$program.1" "$bash/$program" "$zsh/_$program" "$fish/$program.fish"; do
        if [ ! -s "$file" ]; then
            echo "$program wrote nothing into $file" >&2
            exit 1
        fi
    done
done

install -D -m 755 "$built/creel-monitor" "$prefix/libexec/creel/creel-monitor"
