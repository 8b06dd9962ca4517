#!/bin/sh
# Builds @LIBRARY@ with swiftc (6.2 or later) and the overlay of nano-reasoner. NR_PLUGIN_API names another place for it.
set -eu
cd "$(dirname "$0")"
api=${NR_PLUGIN_API:-'@API@'}
exec "$api/build-plugin.sh" @SOURCE@ -o @LIBRARY@
