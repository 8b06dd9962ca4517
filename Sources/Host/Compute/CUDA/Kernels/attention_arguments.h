/* attention_arguments.h - the arguments of attention.cu, and the lists that the host makes for it. */
#pragma once
#include "arguments.h"

/* As nrk_segment: rows [start, start + length) that attend to all rows of their prefix and then to themselves, causally. */
typedef struct nrc_attention_segment {
  int64_t start, length, prefix_start, prefix_length;
} nrc_attention_segment;

/* A tile of query rows: positions [first, first + NRC_ATTENTION_QUERIES / (H / G)) of a segment, those that exist; `first` is a multiple of
   that number. One for each such run of each segment; their order is free (the longest contexts first fill the device best). */
enum { NRC_ATTENTION_QUERIES = 48 };
typedef struct nrc_attention_query_tile {
  int32_t segment, first;
} nrc_attention_query_tile;

/* A tile of key rows: rows [first, first + NRC_ATTENTION_KEYS) of a segment, those that exist; `first` is a multiple of that number. All
   segments that see any of them, this one among them, lie within [from, end) of the list; others there are passed over, so the range of
   its cluster will do. One for each such run of each segment; their order is free. */
enum { NRC_ATTENTION_KEYS = 32 };
typedef struct nrc_attention_key_tile {
  int32_t segment, first, from, end;
} nrc_attention_key_tile;

typedef struct nrc_attention_arguments {
  POINTER(const nrc_attention_segment) segments;
  POINTER(const nrc_attention_query_tile) tiles;
  POINTER(const float) q; /* [T, H C] */
  POINTER(const float) k; /* [T, G C] */
  POINTER(const float) v; /* [T, G C] */
  POINTER(float) out;     /* [T, H C] */
  POINTER(float) log_sum; /* [T, H], or null */
  int64_t ldq, ldk, ldv, ldo;
  int32_t heads, groups, channels; /* H, G, C */
  float scale;
} nrc_attention_arguments;

/* Of both kernels of the backward, the one for queries first: it writes `dots`, which the other reads. */
typedef struct nrc_attention_backward_arguments {
  POINTER(const nrc_attention_segment) segments;
  POINTER(const nrc_attention_query_tile) query_tiles;
  POINTER(const nrc_attention_key_tile) key_tiles;
  POINTER(const float) q;
  POINTER(const float) k;
  POINTER(const float) v;
  POINTER(const float) out;
  POINTER(const float) log_sum;
  POINTER(const float) d_out; /* [T, H C] */
  POINTER(float) dots;        /* [T, H], scratch */
  POINTER(float) dq;
  POINTER(float) dk;
  POINTER(float) dv;
  int64_t ldq, ldk, ldv, ldo, ldd, lddq, lddk, lddv; /* ldd: of d_out */
  int32_t heads, groups, channels;
  float scale;
} nrc_attention_backward_arguments;

/* The cache of one layer: slots one after another, each of 2 G capacity C floats: keys [G][capacity / 32][C][32], then values
   [G][capacity][C]. capacity is a multiple of 32. */
typedef struct nrc_kv_write_arguments {
  POINTER(const float) k; /* [T, G C] */
  POINTER(const float) v; /* [T, G C] */
  POINTER(float) cache;
  POINTER(const int32_t) slots;     /* [T] */
  POINTER(const int32_t) positions; /* [T] */
  int64_t ldk, ldv, capacity;
  int32_t groups, channels;
} nrc_kv_write_arguments;

typedef struct nrc_attention_decode_arguments {
  POINTER(const float) q;       /* [T, H C] */
  POINTER(const float) prompts; /* a cache */
  POINTER(const float) cache;
  POINTER(const int32_t) prompt_slots;   /* [T] */
  POINTER(const int32_t) prompt_lengths; /* [T], or null: no prompts apart */
  POINTER(const int32_t) slots;          /* [T] */
  POINTER(const int32_t) lengths;        /* [T] */
  POINTER(float) scores;                 /* [T, H, width], scratch */
  POINTER(float) out;                    /* [T, H C] */
  int64_t ldq, ldo, prompt_capacity, capacity, width; /* width: at least prompt length + length of every row */
  int32_t heads, groups, channels; /* heads / groups is at most 8 */
  float scale;
} nrc_attention_decode_arguments;
