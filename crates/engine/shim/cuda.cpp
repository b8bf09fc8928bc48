// The stream on which libtorch computes now, through its device-neutral interface: nothing of CUDA is linked.
#include "common.h"
#include <c10/core/impl/VirtualGuardImpl.h>

extern "C" char *qt_cuda_stream(const at::Tensor *tensor, void **stream) {
  return quarterturn::guarded([&] { *stream = c10::impl::VirtualGuardImpl(tensor->device().type()).getStream(tensor->device()).native_handle(); });
}
