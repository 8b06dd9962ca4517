/* attention_shared.h - how attention is cut into tasks, in float32 and in bfloat16: parts of segments, clusters of segments that share
   rows, runs of sequences that share a prompt. */
#ifndef NRK_ATTENTION_SHARED_H
#define NRK_ATTENTION_SHARED_H

/* Lanes that exist, then `fill`; all sixteen may be read. */
NRK_INLINE v16 first_lanes(v16 x, int64_t n, float fill) {
  const i16 lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return lane < (i16)((int32_t)n) ? x : splat(fill);
}

/* Part `index` of all segments in parts of `size` positions; returns how many there are. */
static int64_t part_of_segments(const nrk_segment *list, int64_t count, int64_t size, int64_t index, int64_t *segment, int64_t *part) {
  int64_t total = 0;
  for (int64_t s = 0; s < count; s++) {
    int64_t parts = nrk_ceil(list[s].length, size);
    if (index >= total && index < total + parts) *segment = s, *part = index - total;
    total += parts;
  }
  return total;
}

typedef struct row_span { int64_t start, end; } row_span;

NRK_INLINE int overlaps(row_span a, int64_t start, int64_t length) { return length > 0 && start < a.end && start + length > a.start; }
NRK_INLINE void cover(row_span *a, int64_t start, int64_t length) {
  if (length <= 0) return;
  if (a->start == a->end) *a = (row_span){start, start + length};
  a->start = nrk_min(a->start, start), a->end = nrk_max(a->end, start + length);
}

/* The cluster that begins at segment `first` ends before the returned one; its rows lie within `span`. */
static int64_t cluster_end(const nrk_segment *list, int64_t count, int64_t first, row_span *span) {
  *span = (row_span){0, 0};
  for (int64_t s = first; s < count; s++) {
    const nrk_segment *x = list + s;
    if (s > first && !overlaps(*span, x->start, x->length) && !overlaps(*span, x->prefix_start, x->prefix_length)) return s;
    cover(span, x->start, x->length);
    cover(span, x->prefix_start, x->prefix_length);
  }
  return count;
}

/* Sequences [first, first + size) of run `index`; returns the number of runs. A run shares a prompt and is `most` sequences at most. */
static int64_t run_of_sequences(int64_t T, const int32_t *prompt_slots, const int32_t *prompt_lengths, int64_t most, int64_t index,
                                int64_t *first, int64_t *size) {
  int64_t runs = 0;
  for (int64_t t = 0; t < T; runs++) {
    int64_t end = t + 1;
    if (prompt_lengths)
      while (end < T && end - t < most && prompt_slots[end] == prompt_slots[t] && prompt_lengths[end] == prompt_lengths[t]) end++;
    if (runs == index) *first = t, *size = end - t;
    t = end;
  }
  return runs;
}
#endif
