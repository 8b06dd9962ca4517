#!/bin/sh
# Builds the plugin where it is built, proves it, and compares its loss on a small example with one computed by hand:
# two groups of two completions of 2, 1, 1 and 0 tokens, rewards 1 0 1 1, log-probabilities -1 -2, -0.5, -3:
# A = 0.5 -0.5 0 0, loss = -(0.5 (-1) + 0.5 (-2) - 0.5 (-0.5)) / 4 = 0.3125. Change `expected` with the loss.
set -eu
cd "$(dirname "$0")"
program=${NANO_REASONER:-'@PROGRAM@'}
expected=0.3125

@BUILD@
"$program" plugin check ./@LIBRARY@
found=$("$program" plugin eval ./@LIBRARY@ --batch example.safetensors --out result.safetensors --json |
  sed 's/^{"loss": *\([^,]*\),.*/\1/')
if [ "$found" != "$expected" ]; then
  echo "test.sh: the loss of the example is $found, expected $expected" >&2
  exit 65
fi
echo "the example's loss is $expected, as expected"
