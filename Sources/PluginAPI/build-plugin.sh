#!/bin/sh
# Builds a loss plugin from one Swift file, with swiftc and nothing else:
#
#     build-plugin.sh FILE.swift [-o libnr-NAME.so]
#
# First the overlay becomes the module PluginAPI, in a folder that is removed again; then the file is compiled against it
# and linked with it. $SWIFTC names another compiler, $SWIFTFLAGS adds options to both steps (preset: -O).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
source= output=
while [ $# -gt 0 ]; do
  case $1 in
    -o) output=${2:?build-plugin.sh: -o needs a file name}; shift 2 ;;
    -*) echo "build-plugin.sh: unknown option $1; usage: build-plugin.sh FILE.swift [-o libnr-NAME.so]" >&2; exit 64 ;;
    *) source=$1; shift ;;
  esac
done
if [ -z "$source" ]; then echo "usage: build-plugin.sh FILE.swift [-o libnr-NAME.so]" >&2; exit 64; fi
if [ ! -f "$source" ]; then echo "build-plugin.sh: $source: no such file" >&2; exit 66; fi
name=$(basename "$source" .swift | tr '[:upper:]' '[:lower:]')
[ -n "$output" ] || output=libnr-$name.so

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

embedded="-swift-version 6 -enable-experimental-feature Embedded -wmo -Xfrontend -function-sections -parse-as-library ${SWIFTFLAGS:--O}"
case $(uname -s) in
  Darwin) link="-Xlinker -exported_symbol -Xlinker _nr_plugin_entry" ;;
  *) link="-Xlinker --version-script=$here/plugin.map -Xlinker --gc-sections -Xlinker -s -lm" ;;
esac

# shellcheck disable=SC2086
"${SWIFTC:-swiftc}" $embedded -module-name PluginAPI -I "$here/C/include" -emit-module -emit-module-path \
  "$work/PluginAPI.swiftmodule" -c -o "$work/PluginAPI.o" "$here"/Swift/*.swift
# shellcheck disable=SC2086
"${SWIFTC:-swiftc}" $embedded -module-name "Plugin_$(printf %s "$name" | tr -c '[:alnum:]' _)" -I "$here/C/include" -I "$work" \
  -emit-library -o "$output" "$source" "$work/PluginAPI.o" $link
