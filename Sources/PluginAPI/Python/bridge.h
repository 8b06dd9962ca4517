/* What bridge.c and python_loss.py know about each other: the payload behind the library's own bytes, and the memory that both see. */
#ifndef NR_BRIDGE_H
#define NR_BRIDGE_H
#include <stdint.h>

/* The file ends in: payload, its length (u64), these eight bytes. Numbers are little-endian. A text is its length (u64) and its bytes.
   payload: text helper (python_loss.py), text path and text source of the author's file, u64 whether it has select, u64 whether it has
   state, then what python_loss.py writes to describe a file: text id, version, title, reference, card; u64 state_version; u64 count and
   the parameters (text name, help; i64 kind; f64 minimum, maximum, preset; u64 count and the choices); u64 count and the metrics (text
   name, help; i64 fold). */
#define NRPY_MAGIC "NRPYLOSS"

/* One mapping, the file of descriptor 4 in the interpreter, whose descriptor 3 is the socket: a byte from the bridge asks for a call, a byte
   back says that it is done. The mapping begins with these numbers (i64 each), has a message at MESSAGE and arrays from DATA on, each at a
   multiple of 64. */
enum {
  NRPY_CALL, NRPY_INSTANCE, NRPY_BYTES, NRPY_STATUS, NRPY_SEQUENCES, NRPY_TOKENS, NRPY_GROUPS, NRPY_PARTS, NRPY_STEP, NRPY_TOTAL_STEPS,
  NRPY_SEED, NRPY_TOKEN_LIMIT, NRPY_EPOCH, NRPY_MINIBATCH, NRPY_UPDATE_TOKENS, NRPY_UPDATE_SEQUENCES, NRPY_UPDATE_GROUPS, NRPY_SIZE,
  NRPY_LOSS /* the bits of a double */, NRPY_NEEDS, NRPY_STOPS, NRPY_METRICS, NRPY_SLOTS = 24 /* where each array is; -1: nowhere */
};
enum { NRPY_MESSAGE = 512, NRPY_MESSAGE_BYTES = 508, NRPY_DATA = 1024 };
enum { NRPY_CREATE = 1, NRPY_DESTROY, NRPY_SELECT, NRPY_ADVANTAGES, NRPY_LOSS_CALL, NRPY_SAVE, NRPY_RESTORE, NRPY_HELLO };
enum {
  NRPY_GROUP_KEYS, NRPY_GROUP_OFFSETS, NRPY_TOKEN_OFFSETS, NRPY_REWARDS, NRPY_REWARD_PARTS, NRPY_REWARD_NAMES, NRPY_FLAGS, NRPY_OLD,
  NRPY_REFERENCE, NRPY_VALUES, NRPY_IDS, NRPY_CURRENT, NRPY_SAMPLER, NRPY_ENTROPY, NRPY_OLD_VALUES, NRPY_RETURNS, NRPY_ADVANTAGE_INPUT,
  NRPY_KEEP, NRPY_OUT_ADVANTAGES, NRPY_OUT_RETURNS, NRPY_COUNTED, NRPY_D_CURRENT, NRPY_D_ENTROPY, NRPY_D_VALUES, NRPY_METRIC_VALUES,
  NRPY_PARAMETERS, NRPY_STATE, NRPY_SLOT_COUNT
};
_Static_assert((NRPY_SLOTS + NRPY_SLOT_COUNT) * 8 <= NRPY_MESSAGE, "the numbers end before the message");
#endif
