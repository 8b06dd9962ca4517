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

/* Blocks are summed in parallel, a group of them at a time, and joined in order: first those of a part, then the parts. */
enum { GROUP = 512 };
typedef struct squares_job {
  const float *x;
  int64_t blocks;
  struct { int64_t start, count, part; double sum; } block[GROUP];
} squares_job;

static void squares_task(void *context, int64_t index, int32_t worker) {
  squares_job *j = context;
  (void)worker;
  const float *x = j->x + j->block[index].start;
  int64_t count = j->block[index].count;
  d16 sum = (d16)(0.0);
  for (int64_t i = 0; i < count; i += 16) {
    d16 y = __builtin_convertvector(load_part(x + i, count - i, 0), d16);
    sum += y * y;
  }
  double total = 0;
  for (int i = 0; i < 16; i++) total += sum[i];
  j->block[index].sum = total;
}

static double sum_squares(nrk_pool *pool, int64_t parts, const nrk_part *list, const float *x) {
  squares_job job = {.x = x};
  double total = 0, of_part = 0;
  int64_t part = 0, done = 0, summed = 0;
  while (part < parts) {
    int64_t cost = 0;
    for (job.blocks = 0; job.blocks < GROUP && part < parts;) {
      int64_t count = nrk_min(CHUNK, list[part].count - done);
      if (count > 0) {
        job.block[job.blocks].start = list[part].start + done, job.block[job.blocks].count = count, job.block[job.blocks++].part = part;
        done += count, cost += count;
      }
      if (done >= list[part].count) part++, done = 0;
    }
    nrk_share(pool, cost / 8, job.blocks, squares_task, &job);
    for (int64_t i = 0; i < job.blocks; i++) {
      if (job.block[i].part != summed) total += of_part, of_part = 0, summed = job.block[i].part;
      of_part += job.block[i].sum;
    }
  }
  return total + of_part;
}
