/* flash_arguments.h - the arguments of flash.cu: attention on tensor cores, and the lists that the host makes for it. */
#pragma once
#include "attention_arguments.h"

/* A tile of queries, nrc_attention_query_tile, is NRC_FLASH_ROWS query rows of one segment and key-value head: row r of a segment is its position r / share, query head r % share
   of those that share the keys. `first` is a multiple of NRC_FLASH_ROWS below length * share. One for each such run of each segment, the
   longest contexts first. */
enum { NRC_FLASH_ROWS = 64, NRC_FLASH_KEYS = 64 };
/* Key tiles are nrc_attention_key_tile with runs of NRC_FLASH_KEYS rows of a segment. */

/* Keys come in blocks of NRC_FLASH_KEYS positions counted from the beginning of the context, prefix first. */
typedef struct nrc_flash_arguments {
  POINTER(const nrc_attention_segment) segments;
  POINTER(const nrc_attention_query_tile) tiles;
  POINTER(const uint16_t) q; /* [T, H C] */
  POINTER(const uint16_t) k; /* [T, G C] */
  POINTER(const uint16_t) v; /* [T, G C] */
  POINTER(uint16_t) out;     /* [T, H C] */
  POINTER(float) log_sum;    /* [T, H] without gaps, or null */
  int64_t ldq, ldk, ldv, ldo;
  int32_t heads, groups, channels; /* H, G, C; C at most 128 */
  float scale;
} nrc_flash_arguments;

/* Of both kernels of the backward, the one for queries first: it writes `dots`, which the other reads. */
typedef struct nrc_flash_backward_arguments {
  POINTER(const nrc_attention_segment) segments;
  POINTER(const nrc_attention_query_tile) query_tiles;
  POINTER(const nrc_attention_key_tile) key_tiles;
  POINTER(const uint16_t) q;
  POINTER(const uint16_t) k;
  POINTER(const uint16_t) v;
  POINTER(const uint16_t) out;
  POINTER(const float) log_sum;
  POINTER(const uint16_t) d_out; /* [T, H C] */
  POINTER(float) dots;           /* [T, H], scratch */
  POINTER(uint16_t) dq;
  POINTER(uint16_t) dk;
  POINTER(uint16_t) dv;
  int64_t ldq, ldk, ldv, ldo, ldd, lddq, lddk, lddv; /* ldd: of d_out */
  int32_t heads, groups, channels;
  float scale;
} nrc_flash_backward_arguments;

/* The cache of one layer: slots one after another, each of 2 G capacity C bfloat16: keys [G][capacity][C], then values [G][capacity][C].
   capacity is a multiple of 32. */
typedef struct nrc_flash_write_arguments {
  POINTER(const uint16_t) k; /* [T, G C] */
  POINTER(const uint16_t) v; /* [T, G C] */
  POINTER(uint16_t) cache;
  POINTER(const int32_t) slots;     /* [T] */
  POINTER(const int32_t) positions; /* [T] */
  int64_t ldk, ldv, capacity;
  int32_t groups, channels;
} nrc_flash_write_arguments;

/* One query row per sequence t against prompt_lengths[t] rows of slot prompt_slots[t] of `prompts`, then lengths[t] rows of slot slots[t]
   of `cache`. Rows that share a prompt usually stand next to each other. */
typedef struct nrc_flash_decode_arguments {
  POINTER(const uint16_t) q;       /* [T, H C] */
  POINTER(const uint16_t) prompts; /* a cache */
  POINTER(const uint16_t) cache;
  POINTER(const int32_t) prompt_slots;   /* [T] */
  POINTER(const int32_t) prompt_lengths; /* [T] */
  POINTER(const int32_t) slots;          /* [T] */
  POINTER(const int32_t) lengths;        /* [T] */
  POINTER(uint16_t) out;                 /* [T, H C] */
  int64_t ldq, ldo, prompt_capacity, capacity;
  int32_t T, heads, groups, channels;
  float scale;
  int32_t unused;
} nrc_flash_decode_arguments;
