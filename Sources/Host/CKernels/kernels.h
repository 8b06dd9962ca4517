/* kernels.h - every kernel, for the instruction set of the file that includes this. */
#include "gemm.h"
#include "linear.h"
#include "rows.h"
#include "attention.h"
#include "attention_backward.h"
#include "softmax.h"
#include "sampler.h"
#include "optimiser.h"
