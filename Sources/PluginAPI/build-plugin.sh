#!/bin/sh
# Builds a loss plugin from its Swift file, or several, with swiftc and nothing else:
#
#     build-plugin.sh FILE.swift... [-o libnr-NAME.so]
#
# First the overlay becomes the module PluginAPI, in a folder that is removed again; then the files are compiled against it
# and linked with it. The library is called after the first. $SWIFTC names another compiler, $SWIFTFLAGS adds options to both steps (preset: -O).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
usage="usage: build-plugin.sh FILE.swift... [-o libnr-NAME.so]"
name= output= arguments=$#
# What is no option goes round to the end of "$@", so that names may hold spaces.
while [ "$arguments" -gt 0 ]; do
  case $1 in
    -o)
      if [ "$arguments" -lt 2 ]; then echo "build-plugin.sh: -o needs a file name; $usage" >&2; exit 64; fi
      output=$2; shift 2; arguments=$((arguments - 2)) ;;
    -*) echo "build-plugin.sh: unknown option $1; $usage" >&2; exit 64 ;;
    *)
      if [ ! -f "$1" ]; then echo "build-plugin.sh: $1: no such file" >&2; exit 66; fi
      [ -n "$name" ] || name=$(basename "$1" .swift | tr '[:upper:]' '[:lower:]')
      set -- "$@" "$1"; shift; arguments=$((arguments - 1)) ;;
  esac
done
if [ $# -eq 0 ]; then echo "$usage" >&2; exit 64; fi
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
  -emit-library -o "$output" "$@" "$work/PluginAPI.o" $link
