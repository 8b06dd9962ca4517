/* entries.h - the functions that are compiled once per instruction set: ENTRY(result, name, parameters, arguments). The
   tables, their fillings and the public functions that look into it are all made from this list. */
#define NRK_ENTRIES(ENTRY) \
  ENTRY(void, pack, (nrk_pool *pool, int64_t N, int64_t K, const void *src, nrk_kind src_kind, int64_t ld,            \
          void *panels, nrk_kind dst_kind),                                                                           \
        (pool, N, K, src, src_kind, ld, panels, dst_kind))                                                            \
  ENTRY(void, nf4_quantize, (nrk_pool *pool, int64_t count, const void *source, nrk_kind kind, uint8_t *codes,        \
          float *absmax),                                                                                             \
        (pool, count, source, kind, codes, absmax))                                                                   \
  ENTRY(void, pack_list, (nrk_pool *pool, int64_t count, const nrk_packing *list), (pool, count, list))               \
  ENTRY(void, linear, (nrk_pool *pool, int64_t T, int64_t N, int64_t K, const float *x, int64_t ldx,                  \
          const void *panels, nrk_kind kind, const float *bias, float *y, int64_t ldy, int32_t accumulate),           \
        (pool, T, N, K, x, ldx, panels, kind, bias, y, ldy, accumulate))                                              \
  ENTRY(void, linear_dx, (nrk_pool *pool, int64_t T, int64_t N, int64_t K, const float *dy, int64_t lddy,             \
          const void *panels, nrk_kind kind, float *dx, int64_t lddx, int32_t accumulate),                            \
        (pool, T, N, K, dy, lddy, panels, kind, dx, lddx, accumulate))                                                \
  ENTRY(void, linear_dw, (nrk_pool *pool, int64_t T, int64_t N, int64_t K, const float *dy, int64_t lddy,             \
          const float *x, int64_t ldx, float *dw, int64_t lddw),                                                      \
        (pool, T, N, K, dy, lddy, x, ldx, dw, lddw))                                                                  \
  ENTRY(void, linear_db, (nrk_pool *pool, int64_t T, int64_t N, const float *dy, int64_t lddy, float *db),            \
        (pool, T, N, dy, lddy, db))                                                                                   \
  ENTRY(void, scale, (nrk_pool *pool, int64_t count, float *x, float factor),                                         \
        (pool, count, x, factor))                                                                                     \
  ENTRY(void, add, (nrk_pool *pool, int64_t count, float *x, const float *y),                                         \
        (pool, count, x, y))                                                                                          \
  ENTRY(void, rmsnorm, (nrk_pool *pool, int64_t T, int64_t K, const float *x, const float *w, float epsilon,          \
          float *y, float *rstd),                                                                                     \
        (pool, T, K, x, w, epsilon, y, rstd))                                                                         \
  ENTRY(void, rmsnorm_backward, (nrk_pool *pool, int64_t T, int64_t K, const float *dy, const float *x,               \
          const float *w, const float *rstd, float *dx, int32_t accumulate, float *dw),                               \
        (pool, T, K, dy, x, w, rstd, dx, accumulate, dw))                                                             \
  ENTRY(void, rope, (nrk_pool *pool, int64_t T, int64_t heads, int64_t C, float *x, int64_t ld,                       \
          const int32_t *positions, const float *cos, const float *sin, int32_t inverse),                             \
        (pool, T, heads, C, x, ld, positions, cos, sin, inverse))                                                     \
  ENTRY(void, swiglu, (nrk_pool *pool, int64_t count, const float *gate, const float *up, float *out),                \
        (pool, count, gate, up, out))                                                                                 \
  ENTRY(void, swiglu_backward, (nrk_pool *pool, int64_t count, const float *gate, const float *up, const float *dout, \
          float *dgate, float *dup),                                                                                  \
        (pool, count, gate, up, dout, dgate, dup))                                                                    \
  ENTRY(void, attention, (nrk_pool *pool, const nrk_segment *list, int64_t segments, int64_t H, int64_t G, int64_t C, \
          const float *q, int64_t ldq, const float *k, int64_t ldk, const float *v, int64_t ldv, float scale,         \
          float *o, int64_t ldo, float *lse),                                                                         \
        (pool, list, segments, H, G, C, q, ldq, k, ldk, v, ldv, scale, o, ldo, lse))                                  \
  ENTRY(void, attention_backward, (nrk_pool *pool, const nrk_segment *list, int64_t segments, int64_t H, int64_t G,   \
          int64_t C, const float *q, int64_t ldq, const float *k, int64_t ldk, const float *v, int64_t ldv,           \
          float scale, const float *o, int64_t ldo, const float *lse, const float *d_o, int64_t lddo, float *dq,      \
          int64_t lddq, float *dk, int64_t lddk, float *dv, int64_t lddv),                                            \
        (pool, list, segments, H, G, C, q, ldq, k, ldk, v, ldv, scale, o, ldo, lse, d_o, lddo, dq, lddq, dk, lddk,    \
         dv, lddv))                                                                                                   \
  ENTRY(void, attention_decode, (nrk_pool *pool, int64_t T, int64_t H, int64_t G, int64_t C, const float *q,          \
          int64_t ldq, const float *prompts, int64_t prompt_capacity, const int32_t *prompt_slots,                    \
          const int32_t *prompt_lengths, const float *cache, int64_t capacity, const int32_t *slots,                  \
          const int32_t *lengths, float scale, float *o, int64_t ldo),                                                \
        (pool, T, H, G, C, q, ldq, prompts, prompt_capacity, prompt_slots, prompt_lengths, cache, capacity, slots,    \
         lengths, scale, o, ldo))                                                                                     \
  ENTRY(void, log_softmax, (nrk_pool *pool, int64_t n, int64_t V, const float *logits, int64_t ld,                    \
          float inverse_temperature, const int32_t *targets, float *log_prob, float *entropy, float *log_z),          \
        (pool, n, V, logits, ld, inverse_temperature, targets, log_prob, entropy, log_z))                             \
  ENTRY(void, log_softmax_backward, (nrk_pool *pool, int64_t n, int64_t V, float *logits, int64_t ld,                 \
          float inverse_temperature, const int32_t *targets, const float *log_z, const float *entropy,                \
          const float *d_log_prob, const float *d_entropy),                                                           \
        (pool, n, V, logits, ld, inverse_temperature, targets, log_z, entropy, d_log_prob, d_entropy))                \
  ENTRY(void, sample, (nrk_pool *pool, int64_t n, int64_t V, const float *logits, int64_t ld, float temperature,      \
          int32_t top_k, float top_p, const double *uniforms, int32_t *tokens, float *log_prob, float *entropy),      \
        (pool, n, V, logits, ld, temperature, top_k, top_p, uniforms, tokens, log_prob, entropy))                     \
  ENTRY(void, adamw, (nrk_pool *pool, int64_t count, float *parameter, const float *gradient, float *m, float *v,     \
          double lr, double beta1, double beta2, double epsilon, double decay, int64_t step, float gradient_factor),  \
        (pool, count, parameter, gradient, m, v, lr, beta1, beta2, epsilon, decay, step, gradient_factor))            \
  ENTRY(double, sum_squares, (nrk_pool *pool, int64_t parts, const nrk_part *list, const float *x),                   \
        (pool, parts, list, x))

/* The same of what computes in bfloat16: these have a filling more, for AVX-512 with BF16. */
#define NRK_BF16_ENTRIES(ENTRY) \
  ENTRY(void, convert, (nrk_pool *pool, int64_t T, int64_t K, const void *x, int64_t ldx, int32_t x_is_float,          \
          void *out, int64_t ldo, int32_t out_is_float),                                                               \
        (pool, T, K, x, ldx, x_is_float, out, ldo, out_is_float))                                                      \
  ENTRY(void, take_rows_bf16, (nrk_pool *pool, int64_t n, int64_t K, const nrk_bf16 *x, int64_t ldx,                   \
          const int32_t *rows, nrk_bf16 *out, int64_t ldo),                                                            \
        (pool, n, K, x, ldx, rows, out, ldo))                                                                          \
  ENTRY(void, products, (nrk_pool *pool, int64_t T, int64_t K, const void *x, int64_t ldx, int32_t x_is_float,         \
          int64_t parts, const nrk_product_part *list),                                                                \
        (pool, T, K, x, ldx, x_is_float, parts, list))                                                                 \
  ENTRY(void, products_dx, (nrk_pool *pool, int64_t T, int64_t K, int64_t terms, const nrk_product_term *list,         \
          float scale, void *dx, int64_t lddx, int32_t dx_is_float, int32_t accumulate),                               \
        (pool, T, K, terms, list, scale, dx, lddx, dx_is_float, accumulate))                                           \
  ENTRY(void, products_dw, (nrk_pool *pool, int64_t T, int64_t count, const nrk_product_dw *list),                     \
        (pool, T, count, list))                                                                                        \
  ENTRY(void, rmsnorm_bf16, (nrk_pool *pool, int64_t T, int64_t K, const void *x, int32_t x_is_float, const float *w,  \
          float epsilon, nrk_bf16 *y, float *rstd),                                                                    \
        (pool, T, K, x, x_is_float, w, epsilon, y, rstd))                                                              \
  ENTRY(void, rmsnorm_backward_bf16, (nrk_pool *pool, int64_t T, int64_t K, const nrk_bf16 *dy, const nrk_bf16 *x,     \
          const float *w, const float *rstd, nrk_bf16 *dx, int32_t accumulate, float *dw),                             \
        (pool, T, K, dy, x, w, rstd, dx, accumulate, dw))                                                              \
  ENTRY(void, rope_bf16, (nrk_pool *pool, int64_t T, int64_t heads, int64_t C, nrk_bf16 *x, int64_t ld,                \
          const int32_t *positions, const float *cos, const float *sin, int32_t inverse),                              \
        (pool, T, heads, C, x, ld, positions, cos, sin, inverse))                                                      \
  ENTRY(void, swiglu_bf16, (nrk_pool *pool, int64_t count, const nrk_bf16 *gate, const nrk_bf16 *up, nrk_bf16 *out),   \
        (pool, count, gate, up, out))                                                                                  \
  ENTRY(void, swiglu_backward_bf16, (nrk_pool *pool, int64_t count, const nrk_bf16 *gate, const nrk_bf16 *up,          \
          const nrk_bf16 *dout, nrk_bf16 *dgate, nrk_bf16 *dup),                                                       \
        (pool, count, gate, up, dout, dgate, dup))                                                                     \
  ENTRY(void, attention_bf16, (nrk_pool *pool, const nrk_segment *list, int64_t segments, int64_t H, int64_t G,        \
          int64_t C, const nrk_bf16 *q, int64_t ldq, const nrk_bf16 *k, int64_t ldk, const nrk_bf16 *v, int64_t ldv,   \
          float scale, nrk_bf16 *o, int64_t ldo, float *lse),                                                          \
        (pool, list, segments, H, G, C, q, ldq, k, ldk, v, ldv, scale, o, ldo, lse))                                   \
  ENTRY(void, attention_backward_bf16, (nrk_pool *pool, const nrk_segment *list, int64_t segments, int64_t H,          \
          int64_t G, int64_t C, const nrk_bf16 *q, int64_t ldq, const nrk_bf16 *k, int64_t ldk, const nrk_bf16 *v,     \
          int64_t ldv, float scale, const nrk_bf16 *o, int64_t ldo, const float *lse, const nrk_bf16 *d_o,             \
          int64_t lddo, nrk_bf16 *dq, int64_t lddq, nrk_bf16 *dk, int64_t lddk, nrk_bf16 *dv, int64_t lddv),           \
        (pool, list, segments, H, G, C, q, ldq, k, ldk, v, ldv, scale, o, ldo, lse, d_o, lddo, dq, lddq, dk, lddk, dv, \
         lddv))                                                                                                        \
  ENTRY(void, kv_write_bf16, (nrk_pool *pool, int64_t T, int64_t G, int64_t C, const nrk_bf16 *k, int64_t ldk,         \
          const nrk_bf16 *v, int64_t ldv, nrk_bf16 *cache, int64_t capacity, const int32_t *slots,                     \
          const int32_t *positions),                                                                                   \
        (pool, T, G, C, k, ldk, v, ldv, cache, capacity, slots, positions))                                            \
  ENTRY(void, attention_decode_bf16, (nrk_pool *pool, int64_t T, int64_t H, int64_t G, int64_t C, const nrk_bf16 *q,   \
          int64_t ldq, const nrk_bf16 *prompts, int64_t prompt_capacity, const int32_t *prompt_slots,                  \
          const int32_t *prompt_lengths, const nrk_bf16 *cache, int64_t capacity, const int32_t *slots,                \
          const int32_t *lengths, float scale, nrk_bf16 *o, int64_t ldo),                                              \
        (pool, T, H, G, C, q, ldq, prompts, prompt_capacity, prompt_slots, prompt_lengths, cache, capacity, slots,     \
         lengths, scale, o, ldo))                                                                                      \
  ENTRY(void, head_bf16, (nrk_pool *pool, int64_t n, int64_t V, int64_t D, const nrk_bf16 *hidden, int64_t ldh,        \
          const void *panels, float inverse_temperature, const int32_t *targets, float *log_prob, float *entropy,      \
          float *log_z, float *mean, int64_t ldm),                                                                     \
        (pool, n, V, D, hidden, ldh, panels, inverse_temperature, targets, log_prob, entropy, log_z, mean, ldm))       \
  ENTRY(void, head_backward_bf16, (nrk_pool *pool, int64_t n, int64_t V, int64_t D, const nrk_bf16 *hidden,            \
          int64_t ldh, const void *panels, float inverse_temperature, const int32_t *targets, const float *log_z,      \
          const float *entropy, const float *d_log_prob, const float *d_entropy, const float *mean, int64_t ldm,       \
          float *d_hidden, int64_t ldd, float *dw, int64_t lddw),                                                      \
        (pool, n, V, D, hidden, ldh, panels, inverse_temperature, targets, log_z, entropy, d_log_prob, d_entropy,      \
         mean, ldm, d_hidden, ldd, dw, lddw))                                                                          \
  ENTRY(void, sample_bf16, (nrk_pool *pool, int64_t n, int64_t V, const float *logits, int64_t ld, float temperature,  \
          int32_t top_k, float top_p, const double *uniforms, int32_t *tokens, float *log_prob, float *entropy),       \
        (pool, n, V, logits, ld, temperature, top_k, top_p, uniforms, tokens, log_prob, entropy))

#define NRK_FIELD(result, name, parameters, arguments) result(*name) parameters;
typedef struct nrk_table {
  NRK_ENTRIES(NRK_FIELD)
} nrk_table;

typedef struct nrk_bf16_table {
  NRK_BF16_ENTRIES(NRK_FIELD)
} nrk_bf16_table;

#define NRK_FILL(result, name, parameters, arguments) .name = name,
