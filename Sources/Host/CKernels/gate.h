/* gate.h - the gated unit's derivative, in float32 for whatever kind of numbers it is read from and written to. */
#ifndef NRK_GATE_H
#define NRK_GATE_H

/* Of silu(z) up by z and by up, times d. */
NRK_INLINE void gate_backward(v16 z, v16 up, v16 d, v16 *dgate, v16 *dup) {
  v16 e = exp16(-z), s = splat(1) / (splat(1) + e);
  v16 rest = e > splat(3e38f) ? splat(1) : e * s; /* 1 - s, without its cancellation */
  *dgate = d * up * s * fma16(z, rest, splat(1));
  *dup = d * z * s;
}

#endif
