#include "nr_cuda.h"
#include <dlfcn.h>

typedef struct symbol { const char *name; size_t offset; } symbol;

static const char *fill(void *library, void *table, const symbol *symbols, size_t count) {
  for (size_t i = 0; i < count; i++) {
    void *found = dlsym(library, symbols[i].name);
    if (!found) return symbols[i].name;
    *(void **)((char *)table + symbols[i].offset) = found;
  }
  return NULL;
}

#define ENTRY(table, field, name) {name, offsetof(table, field)}

const char *nrc_load_driver(void *library, nrc_driver *driver) {
#define CU(field, name) ENTRY(nrc_driver, field, name)
  static const symbol symbols[] = {
      CU(initialize, "cuInit"), CU(version, "cuDriverGetVersion"), CU(device_count, "cuDeviceGetCount"), CU(device, "cuDeviceGet"),
      CU(device_name, "cuDeviceGetName"), CU(device_memory, "cuDeviceTotalMem_v2"), CU(device_attribute, "cuDeviceGetAttribute"),
      CU(retain_context, "cuDevicePrimaryCtxRetain"), CU(release_context, "cuDevicePrimaryCtxRelease_v2"), CU(set_context, "cuCtxSetCurrent"),
      CU(memory_info, "cuMemGetInfo_v2"), CU(allocate, "cuMemAlloc_v2"), CU(free, "cuMemFree_v2"), CU(allocate_host, "cuMemHostAlloc"),
      CU(free_host, "cuMemFreeHost"), CU(copy_to_device, "cuMemcpyHtoDAsync_v2"), CU(copy_to_host, "cuMemcpyDtoHAsync_v2"),
      CU(copy_on_device, "cuMemcpyDtoDAsync_v2"), CU(fill, "cuMemsetD8Async"), CU(create_stream, "cuStreamCreate"),
      CU(destroy_stream, "cuStreamDestroy_v2"), CU(wait_for_stream, "cuStreamSynchronize"), CU(create_event, "cuEventCreate"),
      CU(destroy_event, "cuEventDestroy_v2"), CU(record_event, "cuEventRecord"), CU(wait_for_event, "cuEventSynchronize"),
      CU(load_module, "cuModuleLoadData"), CU(unload_module, "cuModuleUnload"), CU(function, "cuModuleGetFunction"),
      CU(set_function_attribute, "cuFuncSetAttribute"), CU(launch, "cuLaunchKernel"),
      CU(begin_capture, "cuStreamBeginCapture_v2"), CU(end_capture, "cuStreamEndCapture"),
      CU(make_executable, "cuGraphInstantiateWithFlags"), CU(launch_graph, "cuGraphLaunch"), CU(destroy_graph, "cuGraphDestroy"),
      CU(destroy_executable, "cuGraphExecDestroy"), CU(error_name, "cuGetErrorName"), CU(error_text, "cuGetErrorString"),
  };
  return fill(library, driver, symbols, sizeof symbols / sizeof *symbols);
}

const char *nrc_load_compiler(void *library, nrc_compiler *compiler) {
#define RTC(field, name) ENTRY(nrc_compiler, field, name)
  static const symbol symbols[] = {
      RTC(version, "nvrtcVersion"), RTC(error_text, "nvrtcGetErrorString"), RTC(create, "nvrtcCreateProgram"),
      RTC(compile, "nvrtcCompileProgram"), RTC(log_size, "nvrtcGetProgramLogSize"), RTC(log, "nvrtcGetProgramLog"),
      RTC(image_size, "nvrtcGetCUBINSize"), RTC(image, "nvrtcGetCUBIN"), RTC(destroy, "nvrtcDestroyProgram"),
  };
  return fill(library, compiler, symbols, sizeof symbols / sizeof *symbols);
}

const char *nrc_load_blas(void *library, nrc_blas *blas) {
#define LT(field, name) ENTRY(nrc_blas, field, "cublasLt" name)
  static const symbol symbols[] = {
      LT(version, "GetVersion"), LT(create, "Create"), LT(destroy, "Destroy"), LT(create_product, "MatmulDescCreate"),
      LT(destroy_product, "MatmulDescDestroy"), LT(create_layout, "MatrixLayoutCreate"), LT(destroy_layout, "MatrixLayoutDestroy"),
      LT(create_preference, "MatmulPreferenceCreate"), LT(destroy_preference, "MatmulPreferenceDestroy"),
      LT(set_preference, "MatmulPreferenceSetAttribute"), LT(choose, "MatmulAlgoGetHeuristic"), LT(multiply, "Matmul"),
  };
  return fill(library, blas, symbols, sizeof symbols / sizeof *symbols);
}

nrc_status nrc_launch(const nrc_driver *driver, void *function, uint32_t grid_x, uint32_t grid_y, uint32_t grid_z, uint32_t threads,
                      uint32_t shared_bytes, void *stream, const void *arguments) {
  void *list[] = {(void *)arguments};
  return driver->launch(function, grid_x, grid_y, grid_z, threads, 1, 1, shared_bytes, stream, list, NULL);
}
