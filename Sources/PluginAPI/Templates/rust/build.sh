#!/bin/sh
# Builds @LIBRARY@ with rustc alone.
set -eu
cd "$(dirname "$0")"
exec "${RUSTC:-rustc}" --edition 2021 -O --crate-type cdylib -C panic=abort -C strip=symbols ${RUSTFLAGS-} @SOURCE@ -o @LIBRARY@
