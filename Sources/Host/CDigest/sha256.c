/* sha256.c - SHA-256 (FIPS 180-4): plain C, and the SHA instructions of x86 chosen once at run time. */
#include "nr_sha256.h"
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static inline uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

static inline uint32_t big_endian(const uint8_t *b) {
  return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

void nr_sha256_compress_portable(uint32_t state[8], const uint8_t *bytes, size_t blocks) {
  uint32_t w[64];
  for (; blocks > 0; blocks--, bytes += 64) {
    for (int i = 0; i < 16; i++) w[i] = big_endian(bytes + 4 * i);
    for (int i = 16; i < 64; i++) {
      uint32_t x = w[i - 15], y = w[i - 2];
      w[i] = w[i - 16] + (rotate(x, 7) ^ rotate(x, 18) ^ x >> 3) + w[i - 7] + (rotate(y, 17) ^ rotate(y, 19) ^ y >> 10);
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6], h = state[7];
    for (int i = 0; i < 64; i++) {
      uint32_t t = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + (g ^ (e & (f ^ g))) + constants[i] + w[i];
      uint32_t u = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) | (c & (a | b)));
      h = g, g = f, f = e, e = d + t, d = c, c = b, b = a, a = t + u;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e, state[5] += f, state[6] += g, state[7] += h;
  }
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

/* Intel's SHA extensions: four rounds a group, the schedule of the words to come beside them. The state is kept as ABEF and CDGH. */
__attribute__((target("sha,sse4.1,ssse3"))) static void compress_sha(uint32_t state[8], const uint8_t *bytes, size_t blocks) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i dcba = _mm_loadu_si128((const __m128i *)state), hgfe = _mm_loadu_si128((const __m128i *)(state + 4));
  __m128i badc = _mm_shuffle_epi32(dcba, 0xB1), efgh = _mm_shuffle_epi32(hgfe, 0x1B);
  __m128i abef = _mm_alignr_epi8(badc, efgh, 8), cdgh = _mm_blend_epi16(efgh, badc, 0xF0);
  for (; blocks > 0; blocks--, bytes += 64) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i w[4];
    for (int i = 0; i < 4; i++) w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(bytes + 16 * i)), swap);
#pragma clang loop unroll(full)
    for (int group = 0; group < 16; group++) {
      __m128i words = w[group & 3];
      __m128i sum = _mm_add_epi32(words, _mm_loadu_si128((const __m128i *)(constants + 4 * group)));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0E));
      if (group < 12) {
        __m128i next = _mm_sha256msg1_epu32(words, w[(group + 1) & 3]);
        next = _mm_add_epi32(next, _mm_alignr_epi8(w[(group + 3) & 3], w[(group + 2) & 3], 4));
        w[group & 3] = _mm_sha256msg2_epu32(next, w[(group + 3) & 3]);
      }
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  __m128i feba = _mm_shuffle_epi32(abef, 0x1B), dchg = _mm_shuffle_epi32(cdgh, 0xB1);
  _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xF0));
  _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

/* Two streams side by side: the instructions of one wait for each other, and the other's fill the gaps. */
__attribute__((target("sha,sse4.1,ssse3"))) static void compress_two(uint32_t *const states[2], const uint8_t *const bytes[2], size_t blocks) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i abef[2], cdgh[2], w[2][4];
#pragma clang loop unroll(full)
  for (int s = 0; s < 2; s++) {
    __m128i badc = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)states[s]), 0xB1);
    __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(states[s] + 4)), 0x1B);
    abef[s] = _mm_alignr_epi8(badc, efgh, 8), cdgh[s] = _mm_blend_epi16(efgh, badc, 0xF0);
  }
  for (size_t block = 0; block < blocks; block++) {
    const __m128i abef_before[2] = {abef[0], abef[1]}, cdgh_before[2] = {cdgh[0], cdgh[1]};
#pragma clang loop unroll(full)
    for (int s = 0; s < 2; s++)
#pragma clang loop unroll(full)
      for (int i = 0; i < 4; i++) w[s][i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(bytes[s] + 64 * block + 16 * i)), swap);
#pragma clang loop unroll(full)
    for (int group = 0; group < 16; group++) {
      const __m128i k = _mm_loadu_si128((const __m128i *)(constants + 4 * group));
#pragma clang loop unroll(full)
      for (int s = 0; s < 2; s++) {
        __m128i words = w[s][group & 3], sum = _mm_add_epi32(words, k);
        cdgh[s] = _mm_sha256rnds2_epu32(cdgh[s], abef[s], sum);
        abef[s] = _mm_sha256rnds2_epu32(abef[s], cdgh[s], _mm_shuffle_epi32(sum, 0x0E));
        if (group < 12) {
          __m128i next = _mm_sha256msg1_epu32(words, w[s][(group + 1) & 3]);
          next = _mm_add_epi32(next, _mm_alignr_epi8(w[s][(group + 3) & 3], w[s][(group + 2) & 3], 4));
          w[s][group & 3] = _mm_sha256msg2_epu32(next, w[s][(group + 3) & 3]);
        }
      }
    }
#pragma clang loop unroll(full)
    for (int s = 0; s < 2; s++) abef[s] = _mm_add_epi32(abef[s], abef_before[s]), cdgh[s] = _mm_add_epi32(cdgh[s], cdgh_before[s]);
  }
#pragma clang loop unroll(full)
  for (int s = 0; s < 2; s++) {
    __m128i feba = _mm_shuffle_epi32(abef[s], 0x1B), dchg = _mm_shuffle_epi32(cdgh[s], 0xB1);
    _mm_storeu_si128((__m128i *)states[s], _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128((__m128i *)(states[s] + 4), _mm_alignr_epi8(dchg, feba, 8));
  }
}

static int has_sha(void) {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 9) || !(c & 1u << 19)) return 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & 1u << 29);
}
#else
static void compress_sha(uint32_t state[8], const uint8_t *bytes, size_t blocks) { nr_sha256_compress_portable(state, bytes, blocks); }
static void compress_two(uint32_t *const states[2], const uint8_t *const bytes[2], size_t blocks) {
  for (int s = 0; s < 2; s++) nr_sha256_compress_portable(states[s], bytes[s], blocks);
}
static int has_sha(void) { return 0; }
#endif

/* 0: not asked yet; every thread that asks finds the same. */
static _Atomic int answer;

int nr_sha256_is_fast(void) {
  int known = atomic_load_explicit(&answer, memory_order_relaxed);
  if (!known) atomic_store_explicit(&answer, known = has_sha() ? 1 : 2, memory_order_relaxed);
  return known == 1;
}

void nr_sha256_compress(uint32_t state[8], const uint8_t *bytes, size_t blocks) {
  if (nr_sha256_is_fast()) compress_sha(state, bytes, blocks);
  else nr_sha256_compress_portable(state, bytes, blocks);
}

static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

/* What is left of `size` bytes behind `done` blocks, the padding, and the digest. */
static void finish(uint32_t state[8], const uint8_t *bytes, size_t size, size_t done, uint8_t out[32]) {
  uint8_t tail[128] = {0};
  size_t whole = size / 64, rest = size % 64, end = rest < 56 ? 64 : 128;
  if (whole > done) nr_sha256_compress(state, bytes + 64 * done, whole - done);
  if (rest) memcpy(tail, bytes + 64 * whole, rest);
  tail[rest] = 0x80;
  for (int i = 0; i < 8; i++) tail[end - 1 - i] = (uint8_t)((uint64_t)size * 8 >> 8 * i);
  nr_sha256_compress(state, tail, end / 64);
  for (int i = 0; i < 32; i++) out[i] = (uint8_t)(state[i / 4] >> (24 - i % 4 * 8));
}

/* Pieces that threads take two by two. */
typedef struct pieces {
  const uint8_t *const *starts;
  const size_t *sizes;
  size_t count;
  uint8_t *digests;
  _Atomic size_t next;
} pieces;

static void *work(void *argument) {
  pieces *p = argument;
  for (size_t i; (i = atomic_fetch_add_explicit(&p->next, 2, memory_order_relaxed)) < p->count;) {
    uint32_t a[8], b[8];
    memcpy(a, start, sizeof a);
    memcpy(b, start, sizeof b);
    size_t both = 0;
    if (i + 1 < p->count && nr_sha256_is_fast()) {
      both = (p->sizes[i] < p->sizes[i + 1] ? p->sizes[i] : p->sizes[i + 1]) / 64;
      compress_two((uint32_t *const[2]){a, b}, p->starts + i, both);
    }
    finish(a, p->starts[i], p->sizes[i], both, p->digests + 32 * i);
    if (i + 1 < p->count) finish(b, p->starts[i + 1], p->sizes[i + 1], both, p->digests + 32 * (i + 1));
  }
  return NULL;
}

/* A thread more has to be worth its beginning, and the wait for it on a machine that is busy. */
enum { bytes_of_a_thread = 2 << 20, most_threads = 64 };

void nr_sha256_pieces(const uint8_t *const *starts, const size_t *sizes, size_t count, uint8_t *digests, int threads) {
  pieces p = {starts, sizes, count, digests, 0};
  size_t total = 0;
  for (size_t i = 0; i < count; i++) total += sizes[i];
  pthread_t helpers[most_threads];
  int begun = 0;
  int wanted = threads < most_threads ? threads : most_threads;
  /* Where no more threads are to be had, those that there are do it. */
  while (begun + 1 < wanted && total / bytes_of_a_thread > (size_t)begun + 1 && !pthread_create(&helpers[begun], NULL, work, &p)) begun++;
  work(&p);
  for (int i = 0; i < begun; i++) pthread_join(helpers[i], NULL);
}
