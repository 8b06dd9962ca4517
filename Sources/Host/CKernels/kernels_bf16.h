/* kernels_bf16.h - what computes in bfloat16, for the instruction set of the file that includes this. */
#include "gemm_bf16.h"
#include "products.h"
#include "rows_bf16.h"
#include "attention_bf16.h"
#include "head_bf16.h"
