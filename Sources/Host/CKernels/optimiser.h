/* optimiser.h - AdamW and the gradient's norm, over flat arrays. */

typedef struct adamw_job {
  int64_t count;
  float *restrict parameter, *restrict m, *restrict v;
  const float *restrict gradient;
  float keep, beta1, beta2, rest1, rest2, root_c2, epsilon, rate, factor;
} adamw_job;

static void adamw_task(void *context, int64_t index, int32_t worker) {
  const adamw_job j = *(const adamw_job *)context;
  (void)worker;
  int64_t end = nrk_min(j.count, (index + 1) * CHUNK);
  for (int64_t i = index * CHUNK; i < end; i++) {
    float g = j.gradient[i] * j.factor;
    float m = j.beta1 * j.m[i] + j.rest1 * g, v = j.beta2 * j.v[i] + j.rest2 * g * g;
    j.m[i] = m, j.v[i] = v;
    j.parameter[i] = j.parameter[i] * j.keep - j.rate * (m / (sqrtf(v) / j.root_c2 + j.epsilon));
  }
}

static void adamw(nrk_pool *pool, int64_t count, float *parameter, const float *gradient, float *m, float *v, double lr, double beta1,
                  double beta2, double epsilon, double decay, int64_t step, float gradient_factor) {
  double c1 = 1 - pow(beta1, (double)step), c2 = 1 - pow(beta2, (double)step);
  adamw_job job = {.count = count, .parameter = parameter, .m = m, .v = v, .gradient = gradient, .keep = (float)(1 - lr * decay),
                   .beta1 = (float)beta1, .beta2 = (float)beta2, .rest1 = (float)(1 - beta1), .rest2 = (float)(1 - beta2),
                   .root_c2 = (float)sqrt(c2), .epsilon = (float)epsilon, .rate = (float)(lr / c1), .factor = gradient_factor};
  nrk_share(pool, count, nrk_ceil(count, CHUNK), adamw_task, &job);
}

/* Blocks are summed in parallel, a group of them at a time, and joined in order. */
enum { GROUP = 512 };
typedef struct squares_job { int64_t count; const float *x; double sums[GROUP]; } squares_job;

static void squares_task(void *context, int64_t index, int32_t worker) {
  squares_job *j = context;
  (void)worker;
  int64_t end = nrk_min(j->count, (index + 1) * CHUNK);
  d16 sum = (d16)(0.0);
  for (int64_t i = index * CHUNK; i < end; i += 16) {
    d16 x = __builtin_convertvector(load_part(j->x + i, end - i, 0), d16);
    sum += x * x;
  }
  double total = 0;
  for (int i = 0; i < 16; i++) total += sum[i];
  j->sums[index] = total;
}

static double sum_squares(nrk_pool *pool, int64_t count, const float *x) {
  double total = 0;
  for (int64_t from = 0; from < count; from += (int64_t)GROUP * CHUNK) {
    squares_job job = {.count = nrk_min((int64_t)GROUP * CHUNK, count - from), .x = x + from};
    int64_t blocks = nrk_ceil(job.count, CHUNK);
    nrk_share(pool, job.count / 8, blocks, squares_task, &job);
    for (int64_t i = 0; i < blocks; i++) total += job.sums[i];
  }
  return total;
}
