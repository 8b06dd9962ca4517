/* planted.cu - mistakes that the emulator must find, each a mode of a small kernel; mode 0 is the sound form, which must pass.
   planted.txt lists the cases. x holds 256 floats (its own index each), y 256 floats that nobody wrote, counters 8 zeros. */
#include "device.cuh"
struct Arguments { float *x, *y; u32 *counters; int n, mode; }; /* n is 256 */

/* Sum over neighbours through shared memory. 1: no barrier. */
KERNEL(64, 1) reverse(Arguments a) {
  SHARED(memory);
  float *t = (float *)memory;
  int i = threadIdx.x;
  t[i] = a.x[i];
  if (a.mode != 1) barrier();
  a.y[i] = t[63 - i];
}
/* Shared memory used twice. 1: no barrier before it is written again. */
KERNEL(64, 1) again(Arguments a) {
  SHARED(memory);
  float *t = (float *)memory;
  int i = threadIdx.x;
  t[i] = a.x[i];
  barrier();
  float v = t[63 - i];
  if (a.mode != 1) barrier();
  t[i] = v;
  barrier();
  a.y[i] = t[63 - i];
}
/* By one, in each direction. 1, 2: load after, before; 3, 4: store after, before; 5, 6: shared after, before;
   7: address 0; 8: an address of nobody. */
KERNEL(32, 1) bounds(Arguments a) {
  SHARED(memory);
  float *t = (float *)memory;
  int i = threadIdx.x, last = i == 31;
  t[i] = 0;
  barrier();
  float v = a.x[i];
  if (a.mode == 1 && last) v += a.x[a.n];
  if (a.mode == 2 && last) v += a.x[-1];
  if (a.mode == 5 && last) v += t[32];
  if (a.mode == 6 && last) v += t[-1];
  if (a.mode == 7 && last) v += *(volatile float *)(u64)(a.n - 256);
  if (a.mode == 8 && last) v += *(volatile float *)(u64)(a.n << 12);
  a.y[i] = v;
  if (a.mode == 3 && last) a.y[a.n] = 0;
  if (a.mode == 4 && last) a.y[-1] = 0;
}
/* 1: a vector load that is off its alignment in global, 2: in shared memory, 3: a store of 8 bytes. */
KERNEL(32, 1) vectors(Arguments a) {
  SHARED(memory);
  int i = threadIdx.x, off = a.mode;
  ((float4 *)memory)[i] = *(float4 *)(a.x + i * 4 + (off == 1 && i < 31));
  barrier();
  float4 v = *(float4 *)(memory + i * 16 + (off == 2 && i < 31 ? 4 : 0));
  *(float4 *)(a.y + i * 4) = v;
  if (off == 3) *(u64 *)(a.y + i * 2 + 1) = 0;
}
/* 1: an accumulator that nobody set; 2: ldmatrix off its alignment; 3: shared memory that nobody wrote. */
KERNEL(32, 1) fresh(Arguments a) {
  SHARED(memory);
  int i = threadIdx.x;
  ((float4 *)memory)[i] = make_float4(0, 0, 0, 0);
  barrier();
  u32 r[1][4];
  load_matrices(r, [&](int) { return memory + i % 8 * 16 + (a.mode == 2 ? 8 : 0); });
  float v = a.mode == 3 ? ((float *)memory)[128 + i] : 0;
  a.y[i] = (a.mode == 1 ? a.y[i] : 0) + (float)r[0][0] + v;
}
/* Two warps. 1: they write one word; 2: one reads what the other writes; 3: they write one byte. Halves of a word are no race. */
KERNEL(64, 1) warps(Arguments a) {
  SHARED(memory);
  float *t = (float *)memory;
  u16 *half = (u16 *)(memory + 512);
  int i = threadIdx.x;
  t[a.mode == 1 ? i & 31 : i] = a.x[i];
  half[i] = (u16)i;
  memory[768 + (a.mode == 3 ? i & 31 : i)] = 1;
  float v = a.mode == 2 ? t[i ^ 32] : 0;
  barrier();
  a.y[i] = t[a.mode == 1 ? i & 31 : i] + (float)half[i ^ 1] + (float)memory[768 + (a.mode == 3 ? 0 : i)] + v;
}
/* One warp exchanges through shared memory. 1: no warp_barrier before the read; 2: none before it is written again; 3: a shuffle
   in its place, which orders nothing. */
KERNEL(64, 1) lanes(Arguments a) {
  SHARED(memory);
  float *t = (float *)memory + (threadIdx.x & 32);
  int i = threadIdx.x & 31;
  float v = a.x[threadIdx.x];
  for (int step = 0; step < 2; step++) {
    t[i] = v;
    if (a.mode == 3) v = shuffle_xor(v, 0);
    else if (a.mode != 1) warp_barrier();
    v = t[31 - i];
    if (a.mode != 2) warp_barrier();
  }
  a.y[threadIdx.x] = v;
}
/* 1: no wait before the read; 2: one wait too lax; 3: never waited for; 4: copies into what others read; 5: two copies to one place;
   6: a source past the end; 7: a target past the end. */
KERNEL(32, 1) copies(Arguments a) {
  SHARED(memory);
  float *t = (float *)memory;
  int i = threadIdx.x;
  copy_async_16(memory + i * 16, a.x + i * 4, true);
  copy_commit();
  copy_async_16(memory + (a.mode == 5 ? 0 : a.mode == 7 ? 528 : 512) + i * 16, a.x + 128 + i * 4 + (a.mode == 6 ? 4 : 0), true);
  copy_commit();
  if (a.mode == 2) copy_wait<1>();
  else if (a.mode != 1 && a.mode != 3) copy_wait<0>();
  if (a.mode == 3) return;
  barrier();
  float v = 0;
  for (int e = 0; e < 8; e++) v += t[(31 - i) * 8 + e];
  if (a.mode != 4) barrier();
  copy_async_16(memory + i * 16, a.x + i * 4, true);
  copy_commit();
  copy_wait<0>();
  barrier();
  a.y[i] = v + t[i];
}
/* 1: half of a warp shuffles, half loads a matrix; 2: half shuffles with all, half waits at a barrier. */
KERNEL(64, 1) parts(Arguments a) {
  SHARED(memory);
  int i = threadIdx.x;
  ((float *)memory)[i] = 0, ((float *)memory)[64 + i] = 0;
  barrier();
  float v = a.x[i];
  if (a.mode != 1 || i % 32 < 16) v += shuffle_xor(v, 1);
  if (a.mode == 1 && i % 32 >= 16) {
    u32 r[1][4];
    load_matrices(r, [&](int) { return memory; });
  }
  if (a.mode == 2) {
    if (i % 32 < 16) v += shuffle_xor(v, 2);
    else barrier();
  }
  a.y[i] = v;
}
/* Run with 48 threads: a warp of 16 lanes. 0: lanes that are there; 1: asks for one that is not; 2: ldmatrix, which needs 32 lanes. */
KERNEL(64, 1) ragged(Arguments a) {
  SHARED(memory);
  int i = threadIdx.x;
  ((float *)memory)[i] = 0;
  barrier();
  float v = shuffle_xor(a.x[i], a.mode == 1 ? 16 : 8);
  if (a.mode == 2) {
    u32 r[1][4];
    load_matrices(r, [&](int) { return memory; });
    v += (float)r[0][0];
  }
  a.y[i] = v;
}
/* Lanes that have returned are not waited for. 1: one of them is asked. */
KERNEL(64, 1) returned(Arguments a) {
  int i = threadIdx.x;
  if (i % 32 >= 24) return;
  float v = shuffle_xor(a.x[i], a.mode == 1 ? 8 : 4);
  warp_barrier();
  bool all = vote_all(v >= 0);
  barrier();
  a.y[i] = all ? v : -1;
}
/* 1: the sum is read while others may still add; 2: added to memory that nobody wrote; 3: a plain addition among atomic ones. */
KERNEL(64, 1) sums(Arguments a) {
  SHARED(memory);
  u32 *sum = (u32 *)memory;
  int i = threadIdx.x;
  if (!i) *sum = 0;
  barrier();
  if (a.mode == 3 && i == 5) *sum += 1;
  else atomic_add(sum, 1);
  atomic_add(a.counters, (u32)i);
  if (a.mode == 2) atomic_add((u32 *)a.y + i, 1);
  if (a.mode != 1) barrier();
  a.y[i] = (float)*sum;
}
/* One thread waits for another by atomic operations. 1: at a barrier in a loop without end; 2: for a word that nobody writes;
   3: for another block, by atomic operations, without an end. */
KERNEL(64, 1) waits(Arguments a) {
  int i = threadIdx.x;
  if (a.mode == 0) {
    if (i == 40) atomic_add(a.counters, 1);
    else
      while (!atomic_add(a.counters, 0)) {}
  }
  while (a.mode == 1) barrier();
  if (a.mode == 2)
    while (*(volatile u32 *)a.counters == 0) {}
  if (a.mode == 3)
    while (!atomic_add(a.counters, 0)) {}
  a.y[i] = 0;
}
/* Counts of bank conflicts, no errors. 0: every lane its bank; 1: all lanes one bank; 2: two lanes a bank; 3: all one word;
   4: 16 bytes a lane in order; 5: 16 bytes a lane, rows of 128 bytes. */
KERNEL(32, 1) banks(Arguments a) {
  SHARED(memory);
  float *t = (float *)memory;
  int i = threadIdx.x;
  for (int j = 0; j < 32; j++) t[j * 32 + i] = 0;
  barrier();
  float v = 0;
  if (a.mode < 4) v = t[a.mode == 0 ? i : a.mode == 1 ? i * 32 : a.mode == 2 ? i * 2 : 7];
  else {
    float4 w = ((float4 *)memory)[a.mode == 4 ? i : i * 8];
    v = w.x + w.w;
  }
  a.y[i] = v;
}
