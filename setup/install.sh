#!/bin/sh
# Installs what `make build` built: install.sh BUILT DESTDIR PREFIX, started by the Makefile. Nothing is enabled or started, and keepalived
# stays with the kernel until somebody links the drop-in (README.md): an installation moves no load balancer.
set -eu

here=$(dirname "$0")
built=$1
destination=$2
prefix=$3
root=$destination$prefix

fail() {
    echo "make install: $*" >&2
    exit 1
}

case $prefix in
/*) ;;
*) fail "PREFIX=$prefix must be an absolute path" ;;
esac
for file in uvs libuvs_preload.so; do
    [ -f "$built/$file" ] || fail "$built/$file is missing: run \`make build\` first"
done

generated=$(mktemp -d)
trap 'rm -rf "$generated"' EXIT
trap 'exit 1' HUP INT TERM

# put MODE FOLDER FILE…
put() {
    mode=$1 into=$root/$2
    shift 2
    install -d "$into"
    install -m "$mode" "$@" "$into"
}

# With the prefix where the file says /usr, into the folder of what is generated.
fill() {
    for file in "$@"; do
        sed -E "s,/usr/(bin/uvs|lib/uvs/|share/uvs/),$prefix/\\1,g" "$file" >"$generated/${file##*/}"
    done
}

put 755 bin "$built/uvs" "$here/uvs-ipvsadm"
put 644 lib/uvs "$built/libuvs_preload.so"
fill "$here"/uvs*.service "$here/keepalived-uvs.conf"
put 644 lib/systemd/system "$generated"/uvs*.service
put 644 share/uvs "$generated/keepalived-uvs.conf" "$here"/uvs-*.conf
put 644 share/doc/uvs "$here/../README.md" "$here/../LICENSE-MIT" "$here/../LICENSE-APACHE"
put 644 share/doc/uvs/examples "$here"/../examples/*.toml

"$built/uvs" manual "$generated"
echo '.so man1/uvs-exec.1' >"$generated/man1/uvs-ipvsadm.1"
put 644 share/man/man1 "$generated"/man1/*.1
mv "$generated/completions/uvs.bash" "$generated/completions/uvs"
put 644 share/bash-completion/completions "$generated/completions/uvs"
put 644 share/zsh/vendor-completions "$generated/completions/_uvs"
put 644 share/fish/vendor_completions.d "$generated/completions/uvs.fish"
