/* nr_cuda.h - the CUDA driver and NVRTC as this program calls them: declared here, found by dlopen, so that no header, package or toolkit
   is needed to build and none to run on a machine without a GPU.

   Names carry the versions that the driver exports them under (cuMemAlloc_v2, ...). Numbers of attributes and errors are those of
   cuda.h. */
#ifndef NR_CUDA_H
#define NR_CUDA_H
#include <stddef.h>
#include <stdint.h>

/* The arguments of kernels: the same files that the kernels read. */
#include "../../Compute/CUDA/Kernels/attention_arguments.h"
#include "../../Compute/CUDA/Kernels/flash_arguments.h"
#include "../../Compute/CUDA/Kernels/head_arguments.h"
#include "../../Compute/CUDA/Kernels/linear_arguments.h"
#include "../../Compute/CUDA/Kernels/optimizer_arguments.h"
#include "../../Compute/CUDA/Kernels/product_arguments.h"
#include "../../Compute/CUDA/Kernels/product_backward_arguments.h"
#include "../../Compute/CUDA/Kernels/rows_arguments.h"
#include "../../Compute/CUDA/Kernels/rows_bf16_arguments.h"
#include "../../Compute/CUDA/Kernels/sampler_arguments.h"
#include "../../Compute/CUDA/Kernels/vocabulary_arguments.h"
#include "../../Compute/CUDA/Kernels/weights_arguments.h"

/* ---- the driver ---------------------------------------------------------------------------------------- */

/* CUresult; 0 is success. */
typedef int32_t nrc_status;
enum {
  NRC_OUT_OF_MEMORY = 2,
  NRC_SHARED_MEMORY_OF_BLOCK = 97, NRC_MULTIPROCESSORS = 16, NRC_CAPABILITY_MAJOR = 75, NRC_CAPABILITY_MINOR = 76, /* attributes of a device */
  NRC_FUNCTION_SHARED_LIMIT = 8, /* attribute of a function */
  NRC_STREAM_NON_BLOCKING = 1, NRC_EVENT_NO_TIMING = 2, NRC_CAPTURE_OF_THREAD = 1
};
typedef uint64_t nrc_address; /* CUdeviceptr */

typedef struct nrc_driver {
  nrc_status (*initialize)(uint32_t flags);
  nrc_status (*version)(int32_t *);
  nrc_status (*device_count)(int32_t *);
  nrc_status (*device)(int32_t *, int32_t ordinal);
  nrc_status (*device_name)(char *, int32_t length, int32_t device);
  nrc_status (*device_memory)(size_t *, int32_t device);
  nrc_status (*device_attribute)(int32_t *, int32_t attribute, int32_t device);
  nrc_status (*retain_context)(void **, int32_t device);
  nrc_status (*release_context)(int32_t device);
  nrc_status (*set_context)(void *);
  nrc_status (*memory_info)(size_t *available, size_t *total);
  nrc_status (*allocate)(nrc_address *, size_t);
  nrc_status (*free)(nrc_address);
  nrc_status (*allocate_host)(void **, size_t, uint32_t flags);
  nrc_status (*free_host)(void *);
  nrc_status (*copy_to_device)(nrc_address, const void *, size_t, void *stream);
  nrc_status (*copy_to_host)(void *, nrc_address, size_t, void *stream);
  nrc_status (*copy_on_device)(nrc_address, nrc_address, size_t, void *stream);
  nrc_status (*fill)(nrc_address, uint8_t, size_t, void *stream);
  nrc_status (*create_stream)(void **, uint32_t flags);
  nrc_status (*destroy_stream)(void *);
  nrc_status (*wait_for_stream)(void *);
  nrc_status (*create_event)(void **, uint32_t flags);
  nrc_status (*destroy_event)(void *);
  nrc_status (*record_event)(void *event, void *stream);
  nrc_status (*wait_for_event)(void *);
  nrc_status (*load_module)(void **, const void *image);
  nrc_status (*unload_module)(void *);
  nrc_status (*function)(void **, void *module, const char *name);
  nrc_status (*set_function_attribute)(void *, int32_t attribute, int32_t value);
  nrc_status (*launch)(void *function, uint32_t grid_x, uint32_t grid_y, uint32_t grid_z, uint32_t block_x, uint32_t block_y, uint32_t block_z,
                       uint32_t shared_bytes, void *stream, void **arguments, void **extra);
  nrc_status (*begin_capture)(void *stream, int32_t mode);
  nrc_status (*end_capture)(void *stream, void **graph);
  nrc_status (*make_executable)(void **executable, void *graph, uint64_t flags);
  nrc_status (*launch_graph)(void *executable, void *stream);
  nrc_status (*destroy_graph)(void *);
  nrc_status (*destroy_executable)(void *);
  nrc_status (*error_name)(nrc_status, const char **);
  nrc_status (*error_text)(nrc_status, const char **);
} nrc_driver;

/* Fills the table from a library that is open; returns the name of the first entry point it lacks, or NULL. */
const char *nrc_load_driver(void *library, nrc_driver *);

/* ---- NVRTC ----------------------------------------------------------------------------------------------- */

typedef struct nrc_compiler {
  int32_t (*version)(int32_t *major, int32_t *minor);
  const char *(*error_text)(int32_t);
  int32_t (*create)(void **program, const char *source, const char *name, int32_t headers, const char *const *texts, const char *const *names);
  int32_t (*compile)(void *program, int32_t count, const char *const *options);
  int32_t (*log_size)(void *program, size_t *);
  int32_t (*log)(void *program, char *);
  int32_t (*image_size)(void *program, size_t *);
  int32_t (*image)(void *program, char *);
  int32_t (*destroy)(void **program);
} nrc_compiler;

const char *nrc_load_compiler(void *library, nrc_compiler *);

/* ---- cuBLASLt --------------------------------------------------------------------------------------------- */

/* cudaDataType, cublasComputeType_t, cublasOperation_t and attributes, of cublasLt.h */
enum {
  NRC_BLAS_FLOAT32 = 0, NRC_BLAS_BFLOAT16 = 14, NRC_BLAS_COMPUTE_FLOAT32 = 68, NRC_BLAS_WORKSPACE_LIMIT = 1,
  NRC_BLAS_ALIGNMENT_A = 5 /* and of B, C, D */
};
/* cublasLtMatmulAlgo_t, cublasLtMatmulHeuristicResult_t */
typedef struct nrc_blas_algorithm { uint64_t data[8]; } nrc_blas_algorithm;
typedef struct nrc_blas_choice {
  nrc_blas_algorithm algorithm;
  size_t workspace_bytes;
  int32_t state;
  float waves;
  int32_t reserved[4];
} nrc_blas_choice;

typedef struct nrc_blas {
  size_t (*version)(void);
  int32_t (*create)(void **handle);
  int32_t (*destroy)(void *handle);
  int32_t (*create_product)(void **, int32_t compute_type, int32_t scale_type);
  int32_t (*destroy_product)(void *);
  int32_t (*create_layout)(void **, int32_t type, uint64_t rows, uint64_t columns, int64_t ld);
  int32_t (*destroy_layout)(void *);
  int32_t (*create_preference)(void **);
  int32_t (*destroy_preference)(void *);
  int32_t (*set_preference)(void *, int32_t attribute, const void *, size_t);
  int32_t (*choose)(void *handle, void *product, void *a, void *b, void *c, void *d, void *preference, int32_t wanted, nrc_blas_choice *, int32_t *found);
  int32_t (*multiply)(void *handle, void *product, const void *alpha, nrc_address a, void *layout_a, nrc_address b, void *layout_b, const void *beta,
                      nrc_address c, void *layout_c, nrc_address d, void *layout_d, const nrc_blas_algorithm *, nrc_address workspace,
                      size_t workspace_bytes, void *stream);
} nrc_blas;

const char *nrc_load_blas(void *library, nrc_blas *);

/* Launches with one argument, a struct of kernels that is `arguments`. */
nrc_status nrc_launch(const nrc_driver *, void *function, uint32_t grid_x, uint32_t grid_y, uint32_t grid_z, uint32_t threads,
                      uint32_t shared_bytes, void *stream, const void *arguments);

#endif
