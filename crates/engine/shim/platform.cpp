// What libtorch knows about the machine, and its thread pool.
#include "common.h"
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <omp.h>
#include <torch/version.h>

using quarterturn::guarded;

extern "C" char *qt_version() { return strdup(TORCH_VERSION); }

extern "C" char *qt_capability() {
  try {
    return strdup(at::get_cpu_capability().c_str());
  } catch (...) {
    return strdup("unknown");
  }
}

extern "C" int qt_threads() { return at::get_num_threads(); }

// Of MKL within libtorch, where there is one; without it the number of OpenMP counts.
extern "C" __attribute__((weak)) int MKL_Set_Num_Threads_Local(int);

extern "C" void qt_team(int threads) {
  omp_set_num_threads(threads);
  if (MKL_Set_Num_Threads_Local) MKL_Set_Num_Threads_Local(threads);
}

// Splits [0, count) over libtorch's pool. The body must not throw or unwind.
extern "C" char *qt_parallel(int64_t count, int64_t grain, void (*body)(void *, int64_t, int64_t), void *data) {
  return guarded([&] { at::parallel_for(0, count, grain, [&](int64_t begin, int64_t end) { body(data, begin, end); }); });
}
