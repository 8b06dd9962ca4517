/* nr_sha256.h - the compression function of SHA-256 (FIPS 180-4), by the processor's own instructions where it has them. */
#ifndef NR_SHA256_H
#define NR_SHA256_H

#include <stddef.h>
#include <stdint.h>

/* Takes whole blocks of 64 bytes into the state. */
void nr_sha256_compress(uint32_t state[8], const uint8_t *bytes, size_t blocks);

/* The same in plain C, which nr_sha256_compress falls back to. */
void nr_sha256_compress_portable(uint32_t state[8], const uint8_t *bytes, size_t blocks);

/* Whether the processor has instructions for it. */
int nr_sha256_is_fast(void);

/* The digests of `count` pieces of memory, 32 bytes each one after another, on as many threads as that pays for, at most
   `threads`. Which threads there are changes no digest. */
void nr_sha256_pieces(const uint8_t *const *starts, const size_t *sizes, size_t count, uint8_t *digests, int threads);

#endif
