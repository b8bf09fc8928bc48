// Elementwise operations that tch leaves out or restricts.
#include "common.h"
#include <ATen/ops/clone.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/leaky_relu.h>

using quarterturn::guarded;

extern "C" char *qt_leaky_relu(const at::Tensor *x, double slope, at::Tensor **y) {
  return guarded([&] { *y = new at::Tensor(at::leaky_relu(*x, slope)); });
}

// A contiguous copy with its own storage, differentiable.
extern "C" char *qt_copy(const at::Tensor *x, at::Tensor **y) {
  return guarded([&] { *y = new at::Tensor(x->clone(at::MemoryFormat::Contiguous)); });
}

// The same elements as a tensor that frees their memory, by `drop(owner)`, when nobody has it any more.
extern "C" char *qt_adopt(const at::Tensor *x, void *owner, void (*drop)(void *), at::Tensor **y) {
  return guarded([&] {
    *y = new at::Tensor(at::from_blob(x->data_ptr(), x->sizes(), [owner, drop](void *) { drop(owner); }, x->options()));
  });
}

// Copies a contiguous CPU tensor's bytes out; `size` is checked.
extern "C" char *qt_bytes(const at::Tensor *x, void *bytes, size_t size) {
  return guarded([&] {
    TORCH_CHECK(x->is_contiguous() && x->device().is_cpu() && x->nbytes() == size, "the tensor is not laid out as expected");
    if (size > 0) std::memcpy(bytes, x->const_data_ptr(), size);
  });
}
