#!/bin/sh
# Builds @LIBRARY@ with a C compiler and nr_plugin.h. NR_PLUGIN_API names another place for the header's folder C/include.
set -eu
cd "$(dirname "$0")"
api=${NR_PLUGIN_API:-'@API@'}
exec "${CC:-cc}" -std=c11 -O2 -Wall -Wextra -shared -fPIC -fvisibility=hidden ${CFLAGS-} -I "$api/C/include" -o @LIBRARY@ @SOURCE@ -lm
