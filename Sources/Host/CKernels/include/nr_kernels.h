/* nr_kernels.h - the CPU kernels of the host: float32 arithmetic over row-major matrices, in C, chosen once for the
   machine's instruction set (AVX-512, AVX2, or portable vectors: NEON and SSE).

   Exactness is the contract. An output element is one fixed sequence of floating-point operations: reductions run in
   index order in one accumulator (matrix products: fused multiply-add for k = 0, 1, 2, ... starting from the initial
   value), or over 16 lanes by position modulo 16 joined in one fixed tree (sums along a row; past 1024 logits the lanes
   are added up in blocks). So a row's result does not depend on how many rows are in the batch, how they are tiled, or
   how many threads run; and a product that accumulates over tokens (nrk_linear_dw, nrk_linear_db) gives the same bits
   when the tokens come in several calls. AVX-512, AVX2 and NEON give the same bits as each other; SSE2, which cannot
   fuse a multiply and an add, does not.

   Shapes: T tokens (rows), K inputs, N outputs, H query heads, G key-value heads, C channels of a head, V vocabulary.
   Every matrix argument is followed by its row stride in elements ("ld"). Sizes may be zero. Nothing here allocates per
   call except scratch inside the pool. No function reads what it has not been given. */
#ifndef NR_KERNELS_H
#define NR_KERNELS_H
#include <stddef.h>
#include <stdint.h>

/* ---- the thread pool ------------------------------------------------------------------------------- */

typedef struct nrk_pool nrk_pool;
nrk_pool *nrk_pool_create(int32_t threads);                     /* NULL when a thread cannot be made; threads >= 1 */
void      nrk_pool_destroy(nrk_pool *);                          /* when no call is in progress                        */
int32_t   nrk_pool_threads(const nrk_pool *);
typedef void (*nrk_task)(void *context, int64_t index, int32_t worker);
void      nrk_parallel(nrk_pool *, int64_t count, nrk_task, void *context);   /* indices handed out dynamically */
/* One pool may be used from several threads: its operations then follow one another. A task that calls an operation of
   its own pool runs that alone. */

const char *nrk_isa(void);                                      /* "avx512", "avx2", "portable"; NR_ISA chooses       */
int32_t     nrk_has_isa(const char *);                          /* whether this machine runs that table            */

/* ---- weights: packed once into panels of 16 outputs: [ceil(N/16)][K][16], zero-padded -------------- */

/* NRK_NF4 and NRK_NF4_BF16 are the same bytes: products read their values as float32, or rounded to bfloat16. */
typedef enum nrk_kind { NRK_F32 = 0, NRK_BF16 = 1, NRK_NF4 = 2, NRK_NF4_BF16 = 3 } nrk_kind;
int64_t nrk_panel_elements(int64_t N, int64_t K);
/* src [N, K] row-major of src_kind -> panels of dst_kind (f32 -> bf16 rounds to nearest even); not of four bits. */
void nrk_pack(nrk_pool *, int64_t N, int64_t K, const void *src, nrk_kind src_kind, int64_t ld, void *panels,
              nrk_kind dst_kind);
/* Weights of four bits, in the order of a file and with its numbers, those of bitsandbytes on a CPU: blocks of 64 weights, two codes a
   byte, the first in the upper half; an odd count is filled up with code 7, which is 0. codes [ceil(count/2)], absmax [ceil(count/64)];
   the source is float32 or bfloat16. */
void nrk_nf4_quantize(nrk_pool *, int64_t count, const void *source, nrk_kind kind, uint8_t *codes, float *absmax);
/* The magnitudes of blocks in a byte each: less their mean, which is returned, in blocks of 256 of one magnitude each, by the map of 256
   numbers. codes [blocks], nested [ceil(blocks/256)]. */
float nrk_nf4_nest(int64_t blocks, const float *absmax, uint8_t *codes, float *nested);
const float *nrk_nf4_map(void);
/* Their values as float32. absmax_codes, map and offset where magnitudes are in a byte; absmax is then [ceil(blocks/256)]. */
void nrk_nf4_expand(int64_t count, const uint8_t *codes, const float *absmax, const uint8_t *absmax_codes, const float *map, float offset,
                    float *out);
/* Panels of them, what they were made of within: nrk_nf4_bytes bytes. */
int64_t nrk_nf4_bytes(int64_t N, int64_t K, int32_t is_nested);
void nrk_nf4_pack(nrk_pool *, int64_t N, int64_t K, const uint8_t *codes, const float *absmax, const uint8_t *absmax_codes,
                  const float *map, float offset, void *panels);
/* The same for several float32 matrices at once: after an optimiser step. */
typedef struct nrk_packing { int64_t N, K, ld; const float *source; void *panels; nrk_kind kind; } nrk_packing;
void nrk_pack_list(nrk_pool *, int64_t count, const nrk_packing *);
/* rows of the packed matrix as float32: out[t, :] = W[ids[t], :]; ids must be within 0..<N (embedding). */
void nrk_gather(nrk_pool *, int64_t T, int64_t N, int64_t K, const void *panels, nrk_kind, const int32_t *ids, float *out, int64_t ld);

/* ---- matrix products ------------------------------------------------------------------------------- */

/* y[t,n] = (accumulate ? y[t,n] : 0) + sum_k x[t,k] W[n,k], then + bias[n] when bias is given.         */
void nrk_linear(nrk_pool *, int64_t T, int64_t N, int64_t K, const float *x, int64_t ldx, const void *panels, nrk_kind,
                const float *bias, float *y, int64_t ldy, int32_t accumulate);
/* dx[t,k] = (accumulate ? dx : 0) + sum_n dy[t,n] W[n,k]                                               */
void nrk_linear_dx(nrk_pool *, int64_t T, int64_t N, int64_t K, const float *dy, int64_t lddy, const void *panels, nrk_kind,
                   float *dx, int64_t lddx, int32_t accumulate);
/* dw[n,k] += sum_t dy[t,n] x[t,k], dw [N, K] row-major                                                  */
void nrk_linear_dw(nrk_pool *, int64_t T, int64_t N, int64_t K, const float *dy, int64_t lddy, const float *x, int64_t ldx,
                   float *dw, int64_t lddw);
/* db[n] += sum_t dy[t,n]                                                                                */
void nrk_linear_db(nrk_pool *, int64_t T, int64_t N, const float *dy, int64_t lddy, float *db);

/* ---- rows ------------------------------------------------------------------------------------------- */

void nrk_scale(nrk_pool *, int64_t count, float *x, float factor);                       /* x *= factor            */
void nrk_add(nrk_pool *, int64_t count, float *x, const float *y);                       /* x += y                 */
/* out[i, :] = x[rows[i], :] */
void nrk_take_rows(nrk_pool *, int64_t n, int64_t K, const float *x, int64_t ldx, const int32_t *rows, float *out, int64_t ldo);
/* x[rows[i], :] += y[i, :], i ascending (rows may repeat) */
void nrk_add_rows(nrk_pool *, int64_t n, int64_t K, const float *y, int64_t ldy, const int32_t *rows, float *x, int64_t ldx);

/* y = x * rstd * w, rstd[t] = 1 / sqrt(mean(x^2) + epsilon); rstd may be NULL */
void nrk_rmsnorm(nrk_pool *, int64_t T, int64_t K, const float *x, const float *w, float epsilon, float *y, float *rstd);
/* dx (= or +=), dw += when dw is given */
void nrk_rmsnorm_backward(nrk_pool *, int64_t T, int64_t K, const float *dy, const float *x, const float *w, const float *rstd,
                          float *dx, int32_t accumulate, float *dw);

/* Rotary embedding, half-split as in Llama and Qwen: for i < C/2: (a, b) = (x[i], x[i + C/2]) ->
   (a cos - b sin, b cos + a sin), in place; inverse != 0 rotates back (the backward).
   cos, sin: [positions, C/2]; positions[t] picks the row. x is [T, heads * C] with stride ld. */
void nrk_rope(nrk_pool *, int64_t T, int64_t heads, int64_t C, float *x, int64_t ld, const int32_t *positions,
              const float *cos, const float *sin, int32_t inverse);

/* out = silu(gate) * up; silu(z) = z / (1 + exp(-z)) */
void nrk_swiglu(nrk_pool *, int64_t count, const float *gate, const float *up, float *out);
void nrk_swiglu_backward(nrk_pool *, int64_t count, const float *gate, const float *up, const float *dout, float *dgate, float *dup);

/* ---- attention -------------------------------------------------------------------------------------- */

/* A run of rows [start, start + length) that attends to itself causally and, before that, to all rows of its prefix
   [prefix_start, prefix_start + prefix_length) (a prompt shared by several completions; prefix_length may be 0).
   Segments that share rows stand next to each other in the list, the prefix's own segment first; every prefix row belongs
   to some segment where a backward is wanted. */
typedef struct nrk_segment { int64_t start, length, prefix_start, prefix_length; } nrk_segment;

/* o[t, h, :] = softmax_j(scale q[t,h]·k[j,g]) v[j,g], g = h / (H / G). q, o [T, H*C]; k, v [T, G*C].
   lse [T, H]: log of the sum of exp(scale q·k) (maximum included), for the backward; may be NULL. */
void nrk_attention(nrk_pool *, const nrk_segment *, int64_t segments, int64_t H, int64_t G, int64_t C,
                   const float *q, int64_t ldq, const float *k, int64_t ldk, const float *v, int64_t ldv, float scale,
                   float *o, int64_t ldo, float *lse);
/* dq is overwritten; dk, dv are overwritten for every row of every segment (a prefix row's gradient is the sum over its
   own segment and the segments that continue it, in list order). */
void nrk_attention_backward(nrk_pool *, const nrk_segment *, int64_t segments, int64_t H, int64_t G, int64_t C,
                            const float *q, int64_t ldq, const float *k, int64_t ldk, const float *v, int64_t ldv, float scale,
                            const float *o, int64_t ldo, const float *lse, const float *d_o, int64_t lddo,
                            float *dq, int64_t lddq, float *dk, int64_t lddk, float *dv, int64_t lddv);

/* The KV cache of one layer: per slot, keys [G][capacity/16][C][16] (panels, as above) then values
   [G][ceil(C/16)][capacity][16] (panels along the channels, zero-padded): what each product reads as it stands. capacity is a
   multiple of 16. A slot takes nrk_kv_slot_elements floats; slots follow one another. */
int64_t nrk_kv_slot_elements(int64_t G, int64_t C, int64_t capacity);
/* row t of k, v goes to position positions[t] of slot slots[t] */
void nrk_kv_write(nrk_pool *, int64_t T, int64_t G, int64_t C, const float *k, int64_t ldk, const float *v, int64_t ldv,
                  float *cache, int64_t capacity, const int32_t *slots, const int32_t *positions);
/* One query row per sequence: row t attends to its prompt, positions 0..<prompt_lengths[t] of slot prompt_slots[t] of the cache
   `prompts`, and then to positions 0..<lengths[t] of slot slots[t] of `cache`, its own. Several sequences may share a prompt; those that
   stand next to each other read it together. prompt_lengths may be NULL: no prompts apart. Bit for bit what nrk_attention gives for
   that row. */
void nrk_attention_decode(nrk_pool *, int64_t T, int64_t H, int64_t G, int64_t C, const float *q, int64_t ldq, const float *prompts,
                          int64_t prompt_capacity, const int32_t *prompt_slots, const int32_t *prompt_lengths, const float *cache,
                          int64_t capacity, const int32_t *slots, const int32_t *lengths, float scale, float *o, int64_t ldo);

/* ---- the loss head and the sampler: rows of logits -------------------------------------------------- */

/* z = logits[i, :] * inverse_temperature; log_z = log sum exp z; log_prob = z[target] - log_z;
   entropy = log_z - sum softmax(z) z. entropy and log_z may be NULL; targets may be NULL (then log_prob is not written). */
void nrk_log_softmax(nrk_pool *, int64_t n, int64_t V, const float *logits, int64_t ld, float inverse_temperature,
                     const int32_t *targets, float *log_prob, float *entropy, float *log_z);
/* logits become their own derivative: inverse_temperature * (d_log_prob (onehot - p) - d_entropy p (log p + entropy)) */
void nrk_log_softmax_backward(nrk_pool *, int64_t n, int64_t V, float *logits, int64_t ld, float inverse_temperature,
                              const int32_t *targets, const float *log_z, const float *entropy, const float *d_log_prob,
                              const float *d_entropy);
/* One token per row. temperature 0: the largest logit (lowest index on ties), log_prob at temperature 1. Otherwise the
   inverse of the cumulative distribution at uniforms[i] in [0,1): over all tokens in index order, or where top_k > 0 or
   top_p < 1 over the tokens kept, most likely first (ties by index), renormalised: top_k first, then the smallest set whose
   probability reaches top_p. log_prob is under the distribution sampled from; with neither truncation it equals
   nrk_log_softmax at 1.0f / temperature bit for bit. entropy is that same distribution's and may be NULL. Rows with a NaN,
   with +inf or with nothing but -inf give token -1 and a log_prob of NaN. */
void nrk_sample(nrk_pool *, int64_t n, int64_t V, const float *logits, int64_t ld, float temperature, int32_t top_k, float top_p,
                const double *uniforms, int32_t *tokens, float *log_prob, float *entropy);

/* ---- the optimiser ----------------------------------------------------------------------------------- */

/* AdamW with decoupled decay, as torch.optim.AdamW: g = gradient * gradient_factor; p *= 1 - lr*decay;
   m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; p -= (lr / c1) m / (sqrt(v) / sqrt(c2) + epsilon), c1 = 1 - b1^step, c2 = 1 - b2^step. */
void nrk_adamw(nrk_pool *, int64_t count, float *parameter, const float *gradient, float *m, float *v, double lr, double beta1,
               double beta2, double epsilon, double decay, int64_t step, float gradient_factor);
/* Sum of squares in double over the parts of a flat array: fixed blocks joined in order to parts, parts joined in order; not finite when
   an element is not. What lies between parts is not read. */
typedef struct nrk_part { int64_t start, count; } nrk_part;
double nrk_sum_squares(nrk_pool *, int64_t parts, const nrk_part *, const float *x);
/* table[ids[t], :] += dx[t, :], t ascending */
void nrk_embedding_backward(nrk_pool *, int64_t T, int64_t K, const int32_t *ids, const float *dx, int64_t ld, float *dtable);

#endif
