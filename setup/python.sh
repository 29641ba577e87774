#!/bin/sh
# Installs what python.txt names into the folder `python` of cargo's target folder, where only the tests look. Quick when it is there.
# Without it the test that wants it says that it is skipped, so failing is no reason to stop.
set -eu

here=$(dirname "$0")
list=$here/python.txt
folder=${CARGO_TARGET_DIR:-$here/../target}/python

! cmp -s "$list" "$folder/installed.txt" || exit 0
echo "setup: installing from PyPI, into $folder: $(sed 's/#.*//; s/ .*//; /^$/d' "$list" | tr '\n' ' ')"
rm -rf "$folder"
if [ "${SETUP:-}" != skip ] &&
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --only-binary :all: \
        --require-hashes --target "$folder" --requirement "$list"; then
    cp "$list" "$folder/installed.txt"
else
    echo "setup: not installed; the test of it is skipped"
fi
