/* nr_kernels.h - the CPU kernels of the host over row-major matrices, in float32 and (last part) in bfloat16, in C, chosen
   once for the machine's instruction set (AVX-512 with or without BF16, AVX2, or portable vectors: NEON and SSE).

   Exactness is the contract. An output element is one fixed sequence of floating-point operations: reductions run in
   index order in one accumulator (matrix products: fused multiply-add for k = 0, 1, 2, ... starting from the initial
   value), or over 16 lanes by position modulo 16 joined in one fixed tree (sums along a row; past 1024 logits the lanes
   are added up in blocks). So a row's result does not depend on how many rows are in the batch, how they are tiled, or
   how many threads run; and a product that accumulates over tokens (nrk_linear_dw, nrk_linear_db) gives the same bits
   when the tokens come in several calls. AVX-512, AVX2 and NEON give the same bits as each other; SSE2, which cannot
   fuse a multiply and an add, does not.

   Shapes: T tokens (rows), K inputs, N outputs, H query heads, G key-value heads, C channels of a head, V vocabulary.
   Every matrix argument is followed by its row stride in elements ("ld"). Sizes may be zero. Nothing here allocates per
   call except scratch inside the pool, and the loss head and the sampler in bfloat16 sums of a row's parts. No function
   reads what it has not been given. */
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

const char *nrk_isa(void);                     /* "avx512-bf16", "avx512", "avx2", "portable"; NR_ISA chooses         */
int32_t     nrk_has_isa(const char *);                          /* whether this machine runs that table            */

/* ---- weights: packed once into panels of 16 outputs: [ceil(N/16)][K][16], zero-padded -------------- */

/* NRK_NF4 and NRK_NF4_BF16 are the same bytes: products read their values as float32, or rounded to bfloat16. NRK_BF16_PAIRS is what
   products in bfloat16 read (below): [ceil(N/16)][ceil(K/2)][16] words, element k in the upper half of a word, k + 1 in the lower. */
typedef enum nrk_kind { NRK_F32 = 0, NRK_BF16 = 1, NRK_BF16_PAIRS = 2, NRK_NF4 = 3, NRK_NF4_BF16 = 4 } nrk_kind;
/* Elements of the panels of a matrix that is not of four bits. */
int64_t nrk_panel_elements(int64_t N, int64_t K, nrk_kind);
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

/* ---- in bfloat16 --------------------------------------------------------------------------------------

   What products read and what lies between operations is bfloat16, rounded to the nearest, ties to even, where it is stored; sums are
   float32 (docs/precision.md says which is which, for CPU and GPU alike). Numbers below the normal ones are zeros, as operands
   and as results, in products. Matrices that may be either say so: x_is_float.

   A product is a chain of fused multiply-adds, ascending, as the instruction for it (vdpbf16ps) computes it and as two float32 operations
   compute it elsewhere: the same bits on AVX-512 with and without BF16, AVX2 and NEON. A sum over inputs is cut at multiples of 2304, a sum
   over tokens at multiples of 512; a part is a chain from zero, parts are added in order. */
typedef uint16_t nrk_bf16;

/* Elements of one kind to the other, or copied. ld in elements. */
void nrk_convert(nrk_pool *, int64_t T, int64_t K, const void *x, int64_t ldx, int32_t x_is_float, void *out, int64_t ldo,
                 int32_t out_is_float);
/* out[i, :] = x[rows[i], :] */
void nrk_take_rows_bf16(nrk_pool *, int64_t n, int64_t K, const nrk_bf16 *x, int64_t ldx, const int32_t *rows, nrk_bf16 *out, int64_t ldo);

/* One of several layers that read the same rows: y[T, N] = scale (x W^T + low up^T) + bias + residual. The low-rank part goes on in the
   chain of the sum. panels: NRK_BF16_PAIRS, or four bits whose values are rounded. low [T, R], up [N, R] NRK_BF16_PAIRS; R = 0: none. */
typedef struct nrk_product_part {
  const void *panels;
  nrk_kind kind;
  int32_t y_is_float;
  int64_t N, R;
  const nrk_bf16 *low;
  const void *up;
  int64_t ldlow;
  float scale;
  const float *bias, *residual; /* [N], [T, N]; NULL: none */
  int64_t ldr;
  void *y;
  int64_t ldy;
} nrk_product_part;
void nrk_products(nrk_pool *, int64_t T, int64_t K, const void *x, int64_t ldx, int32_t x_is_float, int64_t parts,
                  const nrk_product_part *);

/* dx[T, K] = (accumulate ? dx : 0) + scale (sum over the terms of dy W), terms in order. W [N, K]. */
typedef struct nrk_product_term {
  const void *dy, *panels;
  nrk_kind kind;
  int32_t dy_is_float;
  int64_t lddy, N;
} nrk_product_term;
void nrk_products_dx(nrk_pool *, int64_t T, int64_t K, int64_t terms, const nrk_product_term *, float scale, void *dx, int64_t lddx,
                     int32_t dx_is_float, int32_t accumulate);

/* dw[n,k] += sum_t dy[t,n] x[t,k] of several layers over the same tokens; dw [N, K] float32, row-major. */
typedef struct nrk_product_dw {
  const void *dy, *x;
  int32_t dy_is_float, x_is_float;
  int64_t lddy, ldx, N, K;
  float *dw;
  int64_t lddw;
} nrk_product_dw;
void nrk_products_dw(nrk_pool *, int64_t T, int64_t count, const nrk_product_dw *);

/* As nrk_rmsnorm and nrk_rmsnorm_backward; x of the first may be float32 (a residual stream) or bfloat16 (heads), w, rstd and dw are
   float32. The backward is of bfloat16 only: where dy and x are float32, nrk_rmsnorm_backward. */
void nrk_rmsnorm_bf16(nrk_pool *, int64_t T, int64_t K, const void *x, int32_t x_is_float, const float *w, float epsilon, nrk_bf16 *y,
                      float *rstd);
void nrk_rmsnorm_backward_bf16(nrk_pool *, int64_t T, int64_t K, const nrk_bf16 *dy, const nrk_bf16 *x, const float *w, const float *rstd,
                               nrk_bf16 *dx, int32_t accumulate, float *dw);
void nrk_rope_bf16(nrk_pool *, int64_t T, int64_t heads, int64_t C, nrk_bf16 *x, int64_t ld, const int32_t *positions, const float *cos,
                   const float *sin, int32_t inverse);
void nrk_swiglu_bf16(nrk_pool *, int64_t count, const nrk_bf16 *gate, const nrk_bf16 *up, nrk_bf16 *out);
void nrk_swiglu_backward_bf16(nrk_pool *, int64_t count, const nrk_bf16 *gate, const nrk_bf16 *up, const nrk_bf16 *dout, nrk_bf16 *dgate,
                              nrk_bf16 *dup);

/* As nrk_attention and its like. Scores, their maximum and the sum of the weights are float32; weights exp(score - maximum) are rounded
   to bfloat16 as they multiply v, not in their sum. The backward forms scores and weights again; weights, and the slopes of scores, are
   rounded as they multiply. */
void nrk_attention_bf16(nrk_pool *, const nrk_segment *, int64_t segments, int64_t H, int64_t G, int64_t C, const nrk_bf16 *q, int64_t ldq,
                        const nrk_bf16 *k, int64_t ldk, const nrk_bf16 *v, int64_t ldv, float scale, nrk_bf16 *o, int64_t ldo, float *lse);
void nrk_attention_backward_bf16(nrk_pool *, const nrk_segment *, int64_t segments, int64_t H, int64_t G, int64_t C, const nrk_bf16 *q,
                                 int64_t ldq, const nrk_bf16 *k, int64_t ldk, const nrk_bf16 *v, int64_t ldv, float scale,
                                 const nrk_bf16 *o, int64_t ldo, const float *lse, const nrk_bf16 *d_o, int64_t lddo, nrk_bf16 *dq,
                                 int64_t lddq, nrk_bf16 *dk, int64_t lddk, nrk_bf16 *dv, int64_t lddv);
/* Elements of a slot of the cache of one layer in bfloat16, capacity a multiple of 16. */
int64_t nrk_kv_slot_elements_bf16(int64_t G, int64_t C, int64_t capacity);
void nrk_kv_write_bf16(nrk_pool *, int64_t T, int64_t G, int64_t C, const nrk_bf16 *k, int64_t ldk, const nrk_bf16 *v, int64_t ldv,
                       nrk_bf16 *cache, int64_t capacity, const int32_t *slots, const int32_t *positions);
void nrk_attention_decode_bf16(nrk_pool *, int64_t T, int64_t H, int64_t G, int64_t C, const nrk_bf16 *q, int64_t ldq,
                               const nrk_bf16 *prompts, int64_t prompt_capacity, const int32_t *prompt_slots,
                               const int32_t *prompt_lengths, const nrk_bf16 *cache, int64_t capacity, const int32_t *slots,
                               const int32_t *lengths, float scale, nrk_bf16 *o, int64_t ldo);

/* The loss head from hidden states: logits z = hidden W^T inverse_temperature exist for some rows and some words at a time. Of each row
   and each 128 words a maximum and two sums are kept, and joined by one tree. log_prob, entropy, log_z [n] as nrk_log_softmax. `mean`
   [n, D], where it is given, becomes sum_v p_v W[v, :], of which a gradient by log-probabilities alone is made without another product.
   panels: NRK_BF16_PAIRS of W [V, D]. */
void nrk_head_bf16(nrk_pool *, int64_t n, int64_t V, int64_t D, const nrk_bf16 *hidden, int64_t ldh, const void *panels,
                   float inverse_temperature, const int32_t *targets, float *log_prob, float *entropy, float *log_z, float *mean,
                   int64_t ldm);
/* d_hidden [n, D] = sum_v dz_v W[v, :], dz = inverse_temperature (d_log_prob (onehot - p) - d_entropy p (log p + entropy)); where dw is
   given, dw [V, D] += dz^T hidden. With `mean`, and no d_entropy, d_hidden is inverse_temperature d_log_prob (W[target] - mean);
   otherwise, and for dw, dz is formed again, rounded to bfloat16. */
void nrk_head_backward_bf16(nrk_pool *, int64_t n, int64_t V, int64_t D, const nrk_bf16 *hidden, int64_t ldh, const void *panels,
                            float inverse_temperature, const int32_t *targets, const float *log_z, const float *entropy,
                            const float *d_log_prob, const float *d_entropy, const float *mean, int64_t ldm, float *d_hidden, int64_t ldd,
                            float *dw, int64_t lddw);
/* nrk_sample from logits that nrk_products made, in the sums of nrk_head_bf16: log_prob and entropy are its bits. */
void nrk_sample_bf16(nrk_pool *, int64_t n, int64_t V, const float *logits, int64_t ld, float temperature, int32_t top_k, float top_p,
                     const double *uniforms, int32_t *tokens, float *log_prob, float *entropy);

#endif
