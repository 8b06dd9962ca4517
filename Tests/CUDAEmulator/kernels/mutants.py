"""mutants.py - breaks the kernels in one place at a time; the harness of the kernel has to notice.

    mutants.py [--only PATTERN] [--jobs N] [--programs FOLDER]

`make mutants` builds the harnesses and runs this. A mutant is caught where its harness fails, in brief, with the emulator looking at
what the mutant needs to show. Some change nothing by design: those say why, and must pass."""
import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

EMULATOR = pathlib.Path(__file__).resolve().parent.parent
TREE = EMULATOR.parent.parent
KERNELS = TREE / "Sources/Host/Compute/CUDA/Kernels"

ACCESSES = {"NREMU_CHECK": "1"}
CONFLICTS = {"NREMU_CHECK": "2"}


class Mutant:
  """`edits`: a text and its replacement, which may be followed by others; the first place of each. `look`: what the emulator looks at.
  `by_design`: why nothing changes."""

  def __init__(self, what, *edits, look={}, by_design=None):
    self.what, self.edits, self.look, self.by_design = what, list(zip(edits[::2], edits[1::2])), look, by_design
    self.harness = self.file = ""

  def fits(self, text):
    return all(old in text for old, _ in self.edits)

  def apply(self, text):
    for old, new in self.edits:
      text = text.replace(old, new, 1)
    return text


TABLE = {
  ("product", "product.cuh"): [
    Mutant("a missing wait", "copy_wait<STAGES - 2>();", "copy_wait<STAGES - 1>();"),
    Mutant("a missing barrier", "      copy_wait<STAGES - 2>();\n      barrier();", "      copy_wait<STAGES - 2>();"),
    Mutant("k's bound, asynchronous", "i * STEP < rows && k < k_end", "i * STEP < rows"),
    Mutant("the rows' bound, asynchronous", "i * STEP < rows && k < k_end", "k < k_end"),
    Mutant("the rows' bound, element by element", "int count = i * STEP < rows ? k_end - k : 0", "int count = k_end - k", look=ACCESSES),
    Mutant("k's bound, element by element", "return i >= count ? 0.0f", "return i > count ? 0.0f"),
    Mutant("a chunk that goes on", "total[i][j][e] += sum[i][j][e], sum[i][j][e] = 0;", "total[i][j][e] += sum[i][j][e];"),
    Mutant("chunks too long", "      left = NRC_PRODUCT_CHUNK / 64;\n", "      left = NRC_PRODUCT_CHUNK / 32;\n"),
    Mutant("no chunks", "if (--left && !is_last) return;", "if (!is_last) return;"),
    Mutant("an alignment of 8 taken for 16", "& 15) == 0;\n  }", "& 7) == 0;\n  }"),
    Mutant("a last piece past the end", "| (u64)k_end * 2) & 15", ") & 15"),
    Mutant("whole sixteens of R only", "for (int r = 0; r < R; r += 16) {", "for (int r = 0; r + 16 <= R; r += 16) {"),
    Mutant("odd R", "r + t + 1 < R ? from[1]", "r + t < R ? from[1]"),
    Mutant("rows of up", "minimum(j * 16 + e / 2 * 8 + g, N)", "(j * 16 + e / 2 * 8 + g)", look=ACCESSES),
    Mutant("rows of low", "minimum(i * 16 + g + e % 2 * 8, M)", "(i * 16 + g + e % 2 * 8)", look=ACCESSES),
    Mutant("the stride of y is not looked at", "| (u64)part.ldy * (part.is_float ? 4 : 2)", ""),
    Mutant("the alignment of the residual", "(!part.residual ||", "(true ||", look=ACCESSES),
    Mutant("columns past the end", "n0 + WN <= part.N &&", ""),
    Mutant("columns past the end, element by element", "if (m >= a.T || n >= part.N) continue;", "if (m >= a.T) continue;"),
    Mutant("rows written over", "if (i + 1 < MI) warp_barrier();", ""),
    Mutant("scale after bias", "* part.scale;\n        if (part.bias) v += part.bias[n];",
           ";\n        if (part.bias) v += part.bias[n];\n        v *= part.scale;"),
    Mutant("the sums of all parts at one place", "if (i == which) before = all;", ""),
    Mutant("where a part begins", "tile >= a.part[i].first) which = i", "tile > a.part[i].first) which = i"),
    Mutant("the last group of tiles", "rows = rows < 16 ? rows : 16", "rows = 16"),
    Mutant("the permutation of pieces", "(a_at ^ step << 5)", "(a_at + (step << 5))"),
    Mutant("where a chunk goes", "(i64)blockIdx.z * a.T * all + before", "(i64)blockIdx.z * a.T * part.N + before"),
    Mutant("minus zero", "clear(total, -0.0f)", "clear(total, 0.0f)"),
  ],
  ("product", "product.cu"): [
    Mutant("chunks backwards", "+= from[(i64)down * all + right]",
           "+= from[(i64)(chunks - 1 - 2 * c) * a.T * all + (i64)down * all + right]"),
    Mutant("columns of partial sums", "m + down < a.T && n + right < N", "m + down < a.T", look=ACCESSES),
    Mutant("a chunk too long", "k_end = minimum(a.K, k_begin + NRC_PRODUCT_CHUNK)", "k_end = a.K"),
  ],
  ("product", "product_nf4.cu"): [
    Mutant("codes of a byte exchanged", "make_float4(first, nf4_numbers[i], first, nf4_numbers[i])",
           "make_float4(nf4_numbers[i], first, nf4_numbers[i], first)"),
    Mutant("the magnitude of another row", "pair.y * scale[e / 2]", "pair.y * scale[e % 2]"),
    Mutant("outer blocks", "count - 1)) >> 8] + offset", "count - 1)) >> 7] + offset"),
    Mutant("a fused magnitude", "part.map[codes[i]] * part.absmax[(block + minimum(from + 2 * i, count - 1)) >> 8] + offset",
           "fmaf(part.map[codes[i]], part.absmax[(block + minimum(from + 2 * i, count - 1)) >> 8], offset)"),
    Mutant("expand: a fused magnitude", "map[absmax_codes[block]] * absmax[block >> 8] + map[256] :",
           "fmaf(map[absmax_codes[block]], absmax[block >> 8], map[256]) :"),
    Mutant("minus zero", "total[i][j][e] = -0.0f;", "total[i][j][e] = 0;"),
    Mutant("magnitudes of the next chunk are not waited for", "minimum(tiles - t - 1, CHUNK_TILES));\n          barrier();",
           "minimum(tiles - t - 1, CHUNK_TILES));"),
    Mutant("columns that do not exist", "threadIdx.x * 16, codes + (i64)t * 512, works)", "threadIdx.x * 16, codes + (i64)t * 512, true)"),
    Mutant("no chunks", "++in_chunk == CHUNK_TILES || t + 1 == tiles", "t + 1 == tiles"),
    Mutant("codes of the next tile", "expand(right, numbers, step_words[3], scale)", "expand(right, numbers, words.w, scale)"),
    Mutant("expand: the order in a byte, at the end", "e & 1 ? byte & 15 : byte >> 4", "e & 1 ? byte >> 4 : byte & 15"),
    Mutant("expand: the end", "if (at >= all) break;", "", look=ACCESSES),
    Mutant("reorder: the order in a byte", "(byte >> 4 | (byte & 15) << 4)", "byte"),
    Mutant("expand: alignment", "bool in_pieces = ((u64)out & 15) == 0;", "bool in_pieces = true;"),
  ],
  ("product_backward", "product_backward.cu"): [
    Mutant("a missing wait", "copy_wait<STAGES - 2>();", "copy_wait<STAGES - 1>();"),
    Mutant("a missing barrier", "      barrier(); /* and all", "      /* and all"),
    Mutant("one row too many", "exists = i * STEP < left && count > 0;", "exists = i * STEP <= left && count > 0;"),
    Mutant("one column too many", "exists = i * STEP < left && count > 0;", "exists = i * STEP < left && count >= 0;"),
    Mutant("a last chunk that does not exist whole", "&& columns % 8 == 0;", ";"),
    Mutant("the stride is not looked at", "(ld & (is_float ? 3 : 7)) == 0 &&", ""),
    Mutant("the permutation of short rows", "(chunk ^ (row / TOGETHER & MASK))", "(chunk ^ (row & MASK))"),
    Mutant("the last sixteen of a stage", "k < left_over; k += 16) multiply_step", "k + 16 < left_over; k += 16) multiply_step"),
    Mutant("whole eights of R only", "return is_low() ? Matrix(p.low, p.R, g.T, p.R, false)",
           "return is_low() ? Matrix(p.low, p.R, g.T, p.R & ~7, false)"),
    Mutant("which parts have low rank", "while (is_low() && i < 2 * g.parts && !part().low);",
           "while (is_low() && i < 2 * g.parts && part().R == 1);"),
    Mutant("what was there is scaled", "old.x + v.x * g.scale, old.y + v.y * g.scale", "(old.x + v.x) * g.scale, (old.y + v.y) * g.scale"),
    Mutant("every second is not scaled", "old.y + v.y * g.scale", "old.y + v.y"),
    Mutant("pairs in odd rows", "ld % 2 == 0 && (u64)data % (is_float ? 8 : 4) == 0", "(u64)data % (is_float ? 8 : 4) == 0", look=ACCESSES),
    Mutant("the second of a pair exists", "n + 1 < columns, make_float2", "true, make_float2"),
    Mutant("where a part begins", "(int)blockIdx.x < g.part[p].first", "(int)blockIdx.x <= g.part[p].first"),
    Mutant("a part without room made by all blocks", "if (!is_split && blockIdx.z > 0) return;", ""),
    Mutant("a run too long", "minimum(g.T, begin + NRC_PRODUCT_RUN) : g.T;", "g.T : g.T;"),
    Mutant("no runs", "(now.k + Tile::PER_STAGE) % NRC_PRODUCT_RUN != 0 && now.left", "now.left"),
    Mutant("tiles the other way", "index / across * Tile::ROWS, index % across * Tile::COLUMNS",
           "index % across * Tile::ROWS, index / across * Tile::COLUMNS"),
    Mutant("join: the last run only", "x += v.x, y += v.y, z += v.z, w += v.w;", "x += v.x, y += v.y, z += v.z, w = v.w;"),
    Mutant("join: what was there", "*to += x;", "*to = x;"),
    Mutant("join: a sum halved", "x += v.x, y += v.y", "x = v.x + x * 0.5f, y += v.y"),
    Mutant("rows and k's of a transposed operand", "k + (lane & 7) + (lane >> 4) * 8, row / 8 + i * 2 + (lane >> 3 & 1)",
           "k + (lane & 7) + (lane >> 3 & 1) * 8, row / 8 + i * 2 + (lane >> 4)"),
    Mutant("warps that do nothing", "works() const { return first_row + row < rows &&",
           "works() const { return first_row + row + 16 < rows &&"),
  ],
  ("rows_bf16", "rows_bf16.cu"): [
    Mutant("eight at a time past the end", "for (; k + 112 < count; k += 128) {", "for (; k < count; k += 128) {"),
    Mutant("eight backwards", "      for (int i = 0; i < 8; i++) sum = fmaf(v[i], v[i], sum);",
           "      for (int i = 7; i >= 0; i--) sum = fmaf(v[i], v[i], sum);"),
    Mutant("the piece before is being read", "if (start) warp_barrier(); /* the piece", "/* the piece"),
    Mutant("a missing wait", "  copy_wait<0>();", ""),
    Mutant("a missing barrier", "  copy_wait<0>();\n  warp_barrier();", "  copy_wait<0>();"),
    Mutant("the tree of lanes", "x += shuffle_xor(x, 8);", "x += shuffle_xor(x, 1);"),
    Mutant("minus zero", "if (K % 16 && lane >= K % 16) sum += 0.0f;", ""),
    Mutant("what was there", "a.accumulate ? old[i] + value : value", "a.accumulate ? old[i] - value : value"),
    Mutant("factors in another order", "v[i] = v[i] * rstd * f[i];", "v[i] = v[i] * f[i] * rstd;"),
    Mutant("dx: what is multiplied", "(d[i] * f[i] - v[i] * share) * rstd", "(d[i] * f[i] - v[i] * share * rstd)"),
    Mutant("whole fours that do not exist", "aligned && count >= N) get", "aligned) get", look=ACCESSES),
    Mutant("rope: the inverse", "is_inverse ? -1.0f", "is_inverse ? 1.0f"),
    Mutant("rope: the last channels", "turn_pairs(x, half, half - i,", "turn_pairs(x, half, 8,"),
    Mutant("take: the stride", "* a.ldx + column;", "* a.K + column;"),
    Mutant("1 - s with its cancellation", "e > 3e38f ? 1.0f : e * s", "1.0f - s"),
    Mutant("gate: factors in another order", "dgate = d[i] * up[i] * s * fmaf", "dgate = d[i] * s * up[i] * fmaf"),
    Mutant("rows longer than a piece", "if (K > NORM_PIECE) {", "if (K > 2 * NORM_PIECE) {"),
    Mutant("the length is not looked at", "&& at_16(a.y) && K % 8 == 0;", "&& at_16(a.y);"),
    Mutant("rows in the same banks", "/ 128 * 128 + 64; }", "/ 128 * 128; }", look=CONFLICTS),
  ],
  ("flash", "flash.cu"): [
    Mutant("forward: two keys more", "if (j0 + n * 8 + (lane & 3) * 2 + (e & 1) > last[e >> 1]) z[0][n][e] = -INFINITY;",
           "if (j0 + n * 8 + (lane & 3) * 2 + (e & 1) >= last[e >> 1] + 2) z[0][n][e] = -INFINITY;"),
    Mutant("forward: no mask where it begins", "if (j0 + KEYS - 1 > common) {", "if (j0 > common) {"),
    Mutant("forward: the order of a part's sum", "(p[2 * h] + p[2 * h + 1]) + (p8[2 * h] + p8[2 * h + 1])",
           "((p[2 * h] + p[2 * h + 1]) + p8[2 * h]) + p8[2 * h + 1]"),
    Mutant("forward: the order of parts", "(sum[h][0] + sum[h][1]) + (sum[h][2] + sum[h][3])",
           "(sum[h][0] + sum[h][2]) + (sum[h][1] + sum[h][3])"),
    Mutant("forward: one half is not rescaled", "out[0][n][2 * h] *= factor, out[0][n][2 * h + 1] *= factor", "out[0][n][2 * h] *= factor"),
    Mutant("forward: values are not waited for", "copy_wait<1>(); /* this block's values */", "/* */"),
    Mutant("forward: keys are not waited for", "copy_wait<1>(); /* this block's keys; at first the queries too */", ""),
    Mutant("forward: no barrier before keys", "    copy_wait<1>(); /* this block's keys; at first the queries too */\n    barrier();",
           "    copy_wait<1>();"),
    Mutant("fetch: a row past the count", "exists = i < r.count;\n    return x", "exists = i <= r.count;\n    return x + 0",
           by_design="a row that does not exist is a copy of the last one then, which is masked, or not stored"),
    Mutant("context: keys past the end", "int j = minimum(j0 + i, end - 1);\n    exists = j0 + i < end;",
           "int j = j0 + i;\n    exists = true;"),
    Mutant("fetch: channels past C", "exists && c < C);", "exists);"),
    Mutant("fetch, element by element: channels past C", "if (exists && c + 2 * e < C) x[e]", "if (exists) x[e]"),
    Mutant("log_sum: without scale", "top[h] * a.scale + log2_fast(total) * LN_2", "top[h] + log2_fast(total) * LN_2"),
    Mutant("store: channels past C", "if (c + 2 * e < C) to[c + 2 * e]", "if (c + 2 * e <= C) to[c + 2 * e]"),
    Mutant("store: the permutation", "uint4 x = *(const uint4 *)(from + at<W>(row0 + i, chunk));",
           "uint4 x = *(const uint4 *)(from + at<W>(row0 + i, chunk ^ 1));"),
    Mutant("queries: dots of half a row", "D[h] += shuffle_xor(D[h], 2);", ""),
    Mutant("queries: without scale", "(dp[0][n][e] - D[e >> 1]) * a.scale;", "(dp[0][n][e] - D[e >> 1]);"),
    Mutant("queries: values overwritten too early", "    barrier(); /* nobody needs this block's values any more */\n", ""),
    Mutant("queries: a key more",
           "          if (j0 + n * 8 + (lane & 3) * 2 + (e & 1) > last[e >> 1]) z[0][n][e] = -INFINITY;\n    }\n#pragma unroll\n"
           "    for (int n = 0; n < 8; n++)\n#pragma unroll\n      for (int e = 0; e < 4; e++)\n        dp",
           "          if (j0 + n * 8 + (lane & 3) * 2 + (e & 1) > last[e >> 1] + 1) z[0][n][e] = -INFINITY;\n    }\n#pragma unroll\n"
           "    for (int n = 0; n < 8; n++)\n#pragma unroll\n      for (int e = 0; e < 4; e++)\n        dp"),
    Mutant("keys: rows past the end are masked but not zero", "exists = i < r.count;", "exists = true;",
           by_design="what is masked counts nothing; see below for both"),
    Mutant("keys: rows past the end are zero but not masked", "bool is_seen = row >= see[e >> 1] && row < step_rows;",
           "bool is_seen = row >= see[e >> 1];", by_design="their slopes and statistics are 0, so what they add is 0; see below for both"),
    Mutant("keys: rows past the end are neither zero nor masked",
           "bool is_seen = row >= see[e >> 1] && row < step_rows;", "bool is_seen = row >= see[e >> 1];",
           "exists = i < r.count;", "exists = true;", "i >= rows.count) return 0.0f;", "rows.count < 0) return 0.0f;",
           "element_of(rows, i, a.heads, 1);\n    return thr", "element_of(rows, minimum(i, rows.count - 1), a.heads, 1);\n    return thr"),
    Mutant("keys: the first own row too late", "w.first = first > w.s.start ? (first - w.s.start) * share : 0;",
           "w.first = first > w.s.start ? (first - w.s.start) * share + 1 : 0;"),
    Mutant("keys: rows of a prefix as one's own", "if (first < prefix_end && first + count > w.s.prefix_start) w.first = 0;", ""),
    Mutant("keys: statistics of another step", "statistics[(turn ^ 1) * 128 + threadIdx.x] = next_statistic;",
           "statistics[turn * 128 + threadIdx.x] = next_statistic;"),
    Mutant("keys: join loses a part", "if (y >= 2) give(warp - 4);", "if (y >= 2) give(x);"),
    Mutant("keys: join without a barrier", "  if (y >= 2) give(warp - 4);\n  barrier();", "  if (y >= 2) give(warp - 4);"),
    Mutant("keys: a step is not waited for", "    copy_wait<0>();\n    barrier();\n    const int step_first",
           "    barrier();\n    const int step_first"),
    Mutant("keys: a single key is left out",
           "if (count <= 0) return;\n  const int C = a.channels, share = a.heads / a.groups, g = blockIdx.y, warp",
           "if (count <= 1) return;\n  const int C = a.channels, share = a.heads / a.groups, g = blockIdx.y, warp"),
    Mutant("decode: a key more", "item.block * KEYS; /* keys seen */", "item.block * KEYS + 1; /* keys seen */"),
    Mutant("decode: rows of others are not kept", "if (2 * i + (e >> 1) >= item.sequence && 2 * i + (e >> 1) < item.end) out[i]", "out[i]"),
    Mutant("decode: a run by its slot alone", "a.prompt_slots[t - 1] != slot || a.prompt_lengths[t - 1] != length",
           "a.prompt_slots[t - 1] != slot"),
    Mutant("decode: a run over other slots", "a.prompt_slots[t0 + end] == slot && a.prompt_lengths[t0 + end] == length",
           "a.prompt_lengths[t0 + end] == length"),
    Mutant("decode: a block that is half prompt", "item.end = (item.block + 1) * KEYS <= s.prompt_length ?",
           "item.end = item.block * KEYS < s.prompt_length ?"),
    Mutant("decode: its own position", "own + (i64)(j - s.prompt_length) * C", "own + (i64)j * C"),
    Mutant("decode: one warp's highest is forgotten", "fmaxf(fmaxf(top[i][h], fmaxf(m.x, m.y)), fmaxf(m.z, m.w))",
           "fmaxf(fmaxf(top[i][h], fmaxf(m.x, m.y)), m.z)"),
    Mutant("decode: the order of parts", "(s[0] + s[ROWS * 4]) + (s[2 * ROWS * 4] + s[3 * ROWS * 4])",
           "((s[0] + s[ROWS * 4]) + s[2 * ROWS * 4]) + s[3 * ROWS * 4]"),
    Mutant("decode: no barrier between the highest",
           "          if ((lane & 3) == 0) highest[(i * 16 + h * 8 + (lane >> 2)) * 4 + warp] = most_of_row;\n"
           "        }\n      }\n    barrier();",
           "          if ((lane & 3) == 0) highest[(i * 16 + h * 8 + (lane >> 2)) * 4 + warp] = most_of_row;\n        }\n      }"),
    Mutant("decode: keys into the block in use", "if (more) fetch_keys(keys + (turn ^ 1) * TILE, next, g);",
           "if (more) fetch_keys(keys + turn * TILE, next, g);"),
    Mutant("write: the position", "+ position * C + c;", "+ (position ^ 1) * C + c;"),
    Mutant("zeros keep their sign", "pack_bf16(fmaf(x[n][0], low, 0.0f), fmaf(x[n][1], low, 0.0f))",
           "pack_bf16(x[n][0] * low, x[n][1] * low)"),
  ],
  ("vocabulary", "vocabulary.cu"): [
    Mutant("a column past the end", "e % 2 >= at.columns", "e % 2 > at.columns"),
    Mutant("a tile that is all -inf", "shift = top == -INFINITY ? 0 : top", "shift = top"),
    Mutant("the order of lanes",
           "sum += shuffle_xor(sum, 1), sum_weighted += shuffle_xor(sum_weighted, 1);\n        sum += shuffle_xor(sum, 2)",
           "sum += shuffle_xor(sum, 2), sum_weighted += shuffle_xor(sum_weighted, 1);\n        sum += shuffle_xor(sum, 1)"),
    Mutant("the order of groups", "((s.x + s.y) + s.z) + s.w", "(s.x + s.y) + (s.z + s.w)"),
    Mutant("no barrier before the tops are read", "      }\n    barrier();\n#pragma unroll", "      }\n#pragma unroll"),
    Mutant("no barrier before the sums are read", "    barrier();\n    if (t >= BM", "    if (t >= BM"),
    Mutant("rows past the end", "if (t >= BM || at.m0 + t >= a.n) return;", "if (t >= BM) return;"),
    Mutant("where a tile's sums go", "* gridDim.y + blockIdx.y", "* gridDim.y + (gridDim.y - 1 - blockIdx.y)"),
    Mutant("another lane's targets", " || (target & 7) > 1", ""),
    Mutant("the second of a pair", "if (pairs && left >= 2)", "if (pairs && left >= 1)"),
    Mutant("the stride of logits is not looked at", " | (u64)(a.ldl & 1)", "", look=ACCESSES),
    Mutant("a top of -0", "top + 0.0f", "top"),
    Mutant("targets after the sums", "    if (a.targets) find_targets(a, z, at);\n    sum_up(a, z, at, memory);",
           "    sum_up(a, z, at, memory);\n    if (a.targets) find_targets(a, z, at);"),
    Mutant("logits of rows past the end", "if (m < a.n)\n#pragma", "if (true)\n#pragma"),
    Mutant("0 times -inf", "d = d < -105.0f ? -105.0f : d;", ""),
    Mutant("a NaN in the top", "top = fmaxf(z[i][j][2 * half + e], top)", "top = larger(top, z[i][j][2 * half + e])"),
    Mutant("another temperature", "z[i][j][e] *= a.inverse_temperature", "z[i][j][e] *= a.inverse_temperature * 1.0000001f"),
    Mutant("backward: the exchange in a quad", "if (lane & mask) y[j] = given;\n          else y[j | mask] = given;",
           "if (lane & mask) y[j | mask] = given;\n          else y[j] = given;"),
    Mutant("backward: the stride is not looked at", " | (u64)(a.ldd & 7)) == 0 && at.columns - first >= 8",
           ") == 0 && at.columns - first >= 8"),
    Mutant("backward: eight that do not exist", " && at.columns - first >= 8", ""),
    Mutant("backward: columns past the end", "if (first + k < at.columns) to[k]", "to[k]"),
    Mutant("backward: the entropy's sign", "(from_entropy == 0 ? scale : fmaf(scale_entropy, log_p + entropy, scale))",
           "fmaf(scale_entropy, log_p - entropy, scale)"),
    Mutant("backward: targets in odd columns", "if (target == 8 * j + e) d[e] +=", "if (target == 8 * j) d[e] +="),
    Mutant("backward: rows past the end", "row = minimum(m, a.n - 1)", "row = m", look=ACCESSES),
    Mutant("the last of D", "0, a.D);\n    if (a.logits)", "0, a.D - 1);\n    if (a.logits)"),
    Mutant("backward: the last column", "a.n, a.w, a.D, at.n0, a.V, 0, a.D);\n    int lane",
           "a.n, a.w, a.D, at.n0, a.V - 1, 0, a.D);\n    int lane"),
    Mutant("join: the entropy", "row_entropy(r);", "row_entropy(r) + 1e-6f;"),
  ],
  ("vocabulary", "vocabulary.cuh"): [
    Mutant("a tile's share", "tile.sum * exponential(tile.top - top)", "tile.sum"),
    Mutant("the order of a run", "for (int mask = 16; mask; mask >>= 1) sum +=", "for (int mask = 1; mask < 32; mask <<= 1) sum +="),
    Mutant("the weighted sum", "running[run] = sum, sum_weighted += weighted[run]", "running[run] = sum, sum_weighted += running[run]"),
    Mutant("no barrier before the runs are read", "if (lane == 0) running[run] = sum, weighted[run] = sum_weighted;\n  }\n  barrier();",
           "if (lane == 0) running[run] = sum, weighted[run] = sum_weighted;\n  }"),
    Mutant("0 times -inf", "d < -1e30f ? -1e30f : d, tile", "d, tile"),
    Mutant("no barrier before the tops are read", "lane == 0) slots[warp] = top;\n  barrier();", "lane == 0) slots[warp] = top;"),
    Mutant("no barrier at the end", "    weighted[0] = sum_weighted;\n  }\n  barrier();", "    weighted[0] = sum_weighted;\n  }",
           look=ACCESSES),
    Mutant("runs backwards", "for (int run = 0; run < runs; run++) sum +=", "for (int run = runs - 1; run >= 0; run--) sum +="),
    Mutant("an addition that is not fused", "fmaf(tile.sum, d < -1e30f ? -1e30f : d, tile.weighted)",
           "(tile.sum * (d < -1e30f ? -1e30f : d) + tile.weighted)"),
  ],
  ("vocabulary", "sampler_tiles.cu"): [
    Mutant("runs before are forgotten", "running = run > 0 ? (double)running_sums[run - 1] : 0;", ""),
    Mutant("tokens on another scale", "running += (double)e[k] * scale;", "running += (double)e[k];"),
    Mutant("a run that falls short", "if (!passes) goal = INFINITY;", ""),
    Mutant("tokens of no probability", "if (!(e[k] > 0)) continue;", ""),
    Mutant("another goal", "running + (double)shares[k] > goal", "running + (double)shares[k] > goal * 1.001"),
    Mutant("the largest, about", "sums[i].top == r.top", "sums[i].top >= r.top * 0.999f"),
    Mutant("not the largest", "if ((u32)t < found && logits[first + t] == r.top) found = (u32)t;",
           "if ((u32)t < found && logits[first + t] != r.top) found = (u32)t;"),
    Mutant("a sum that is no number", "if (!(r.sum > 0)) { /*", "if (r.sum == 0) { /*"),
    Mutant("no barrier before the bins", "  barrier();\n  fill_bins", "  fill_bins"),
    Mutant("no barrier before the tile is read", "    barrier();\n    tile +=", "    tile +=", look=ACCESSES),
    Mutant("tiles of no probability", "if (!(shares[k] > 0)) continue;", ""),
    Mutant("logits past the end", "first + t < a.V ? exponential", "true ? exponential", look=ACCESSES),
    Mutant("another random number", "double goal = random_number(a.streams + 4 * row, (u64)(i64)a.lengths[row])",
           "double goal = random_number(a.streams + 4 * row, (u64)(i64)a.positions[row])"),
    Mutant("log_prob at temperature 1", "row_log_prob(r, logits[token], factor), row_entropy(r));\n}\n\n/*",
           "row_log_prob(r, logits[token], 1), row_entropy(r));\n}\n\n/*"),
    Mutant("tiles past the end", "tile + t < tiles ? share_of", "true ? share_of", look=ACCESSES),
    Mutant("draw: rows at their end go on", "  if (a.outcomes[row]) return;\n  int t = (int)threadIdx.x, tiles",
           "  int t = (int)threadIdx.x, tiles"),
    Mutant("draw_truncated: rows at their end go on", "  if (a.outcomes[row]) return;\n  int t = (int)threadIdx.x, V",
           "  int t = (int)threadIdx.x, V"),
    Mutant("draw_truncated: log_prob among all tokens", "(float)((double)kept.d - log_sum), (float)(log_sum - kept.weighted / kept.sum)",
           "row_log_prob(r, logits[kept.token], factor), row_entropy(r)"),
    Mutant("draw_truncated: the entropy among all tokens", "(float)(log_sum - kept.weighted / kept.sum)", "row_entropy(r)"),
  ],
  ("vocabulary", "sampler.cu"): [
    Mutant("sample: rows at their end go on", "  if (a.outcomes[row]) return;\n  int t = (int)threadIdx.x, blocks",
           "  int t = (int)threadIdx.x, blocks"),
    Mutant("sample_truncated: rows at their end go on", "  if (a.outcomes[row]) return;\n  int t = (int)threadIdx.x, V",
           "  int t = (int)threadIdx.x, V"),
  ],
  ("vocabulary", "sampler.cuh"): [
    Mutant("where top_p ends", "sum >= (double)a.top_p * total) part", "sum >= (double)a.top_p * total * 1.01) part"),
    Mutant("where top_k ends", "members + count_of(all, last) < a.top_k", "members + count_of(all, last) <= a.top_k",
           by_design="a bin that top_k takes whole is taken whole either way, and of the next one nothing"),
    Mutant("the goal among what is kept", "* sum;", "* total;"),
    Mutant("the order of a bin", "work[i] < key || (work[i] == key && i < t)", "work[i] > key || (work[i] == key && i < t)"),
    Mutant("a token more than the limit", "outcome = remaining <= 0 ? 2 : 0", "outcome = remaining < 0 ? 2 : 0"),
    Mutant("rounds of Philox", "round < 10", "round < 9"),
    Mutant("always the first line", "(a.lengths[row] % a.window) * a.width + row", "0 * a.width + row"),
    Mutant("lines as wide as a row has words", "* a.width + row", "* (int)gridDim.x + row"),
    Mutant("the line after", "(i64)(a.lengths[row] % a.window)", "(i64)((a.lengths[row] + 1) % a.window)"),
    Mutant("entropies in the first line", "a.entropy[place] = entropy", "a.entropy[row] = entropy"),
  ],
}


class Bench:
  """Runs harnesses on copies of the kernels."""

  def __init__(self, programs, scratch):
    self.programs, self.scratch, self.cache = programs.resolve(), scratch, scratch / "cache"
    self.cache.mkdir(mode=0o700)

  def run(self, harness, look, file=None, text=None):
    """Whether the harness fails where `file` holds `text`, and the line that tells."""
    with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
      kernels = pathlib.Path(folder) / "kernels"
      shutil.copytree(KERNELS, kernels)
      if file:
        (kernels / file).write_text(text)
      environment = {
        **os.environ, "NR_CUDA_LIBRARIES": str(self.programs / "emulator"), "NREMU_INCLUDE": str(EMULATOR), "NREMU_CACHE": str(self.cache),
        "NREMU_TIMEOUT": "20", "NREMU_CHECK": "0", "NREMU_SCHEDULE": "0", **look}
      try:
        process = subprocess.run(
          [self.programs / harness, "--brief", kernels], env=environment, capture_output=True, text=True, errors="replace", timeout=600)
      except subprocess.TimeoutExpired:
        return True, "it did not end"
    said = (process.stdout + process.stderr).splitlines()
    if process.returncode == 2 or any("NVRTC_ERROR" in line for line in said):
      raise RuntimeError(" ".join(said)[:600])  # it could not begin, or the kernel is no program
    telling = [line.strip() for line in said if re.search(r"FAIL|^nremu: |^line ", line)]
    return process.returncode != 0, telling[0] if telling else f"it ended with {process.returncode}"

  def judge(self, mutant):
    """A word and a line."""
    try:
      failed, line = self.run(mutant.harness, mutant.look, mutant.file, mutant.apply((KERNELS / mutant.file).read_text()))
    except RuntimeError as error:
      return "ERROR", str(error)
    if mutant.by_design:
      return ("WRONG", "it should change nothing: " + line) if failed else ("nothing", mutant.by_design)
    return ("caught", line) if failed else ("MISSED", "")


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--only", metavar="PATTERN", default="", help="mutants whose harness, file or name match")
  parser.add_argument("--jobs", type=int, default=1)
  parser.add_argument("--programs", type=pathlib.Path, default=TREE / ".build/kernels", help="where the harnesses and the emulator are")
  options = parser.parse_args()
  mutants, misfits = [], 0
  for (harness, file), listed in TABLE.items():
    for mutant in listed:
      mutant.harness, mutant.file = harness, file
      if not mutant.fits((KERNELS / file).read_text()):
        print(f"ERROR   {file}: {mutant.what} | its text is no longer there")
        misfits += 1
      if re.search(options.only, f"{harness} {file}: {mutant.what}"):
        mutants.append(mutant)
  if misfits:
    return 1
  words = []
  with tempfile.TemporaryDirectory(prefix="nr-mutants-") as scratch, concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
    bench = Bench(options.programs, pathlib.Path(scratch))
    sound = {(m.harness, tuple(m.look.items())) for m in mutants}
    for (harness, look), (failed, line) in zip(sound, pool.map(lambda s: bench.run(s[0], dict(s[1])), sound)):
      if failed:
        print(f"ERROR   {harness} {dict(look)} fails on kernels that nobody broke | {line}")
        return 1
    for mutant, (word, line) in zip(mutants, pool.map(bench.judge, mutants)):
      print(f"{word:8}{mutant.file}: {mutant.what} | {line[:150]}", flush=True)
      words.append(word)
  print(f"{words.count('caught')} of {len(words) - words.count('nothing')} caught; {words.count('nothing')} change nothing by design")
  return 0 if set(words) <= {"caught", "nothing"} else 1


if __name__ == "__main__":
  sys.exit(main())
