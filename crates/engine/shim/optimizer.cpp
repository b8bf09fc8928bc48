// Fused optimizer steps and the passes over lists of gradients.
#include "common.h"
#include <ATen/Parallel.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/all.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <atomic>
#include <cmath>

using quarterturn::guarded;
using quarterturn::list;

namespace {

// Whether any of `count` floating-point words of type `Bits` is infinite or NaN: all exponent bits are set.
template <typename Bits>
bool any_not_finite(const Bits *values, int64_t count, Bits exponent) {
  std::atomic<bool> found{false};
  at::parallel_for(0, count, 1 << 16, [&](int64_t begin, int64_t end) {
    Bits bad = 0;
    for (int64_t i = begin; i < end; ++i) bad |= static_cast<Bits>((values[i] & exponent) == exponent);
    if (bad) found.store(true, std::memory_order_relaxed);
  });
  return found.load();
}

bool not_finite(const at::Tensor &x) {
  if (x.device().is_cpu() && x.is_contiguous()) {
    switch (x.scalar_type()) {
    case at::kFloat:
      return any_not_finite<uint32_t>(static_cast<const uint32_t *>(x.const_data_ptr()), x.numel(), 0x7f800000u);
    case at::kDouble:
      return any_not_finite<uint64_t>(static_cast<const uint64_t *>(x.const_data_ptr()), x.numel(), 0x7ff0000000000000ull);
    case at::kBFloat16:
      return any_not_finite<uint16_t>(static_cast<const uint16_t *>(x.const_data_ptr()), x.numel(), 0x7f80u);
    default:
      break;
    }
  }
  return !at::isfinite(x).all().item<bool>();
}

// The fused steps of libtorch leave the versions of what they change as they were; whoever keeps something made from it must know.
void changed(const std::vector<at::Tensor> &tensors) {
  for (const at::Tensor &tensor : tensors) tensor.unsafeGetTensorImpl()->bump_version();
}

} // namespace

// The position of the first tensor with a value that is not finite, or −1.
extern "C" char *qt_first_not_finite(const at::Tensor *const *tensors, size_t count, int64_t *position) {
  return guarded([&] {
    *position = -1;
    for (size_t i = 0; i < count && *position < 0; ++i)
      if (not_finite(*tensors[i])) *position = static_cast<int64_t>(i);
  });
}

extern "C" char *qt_fused_adamw(const at::Tensor *const *parameters, const at::Tensor *const *gradients, const at::Tensor *const *means,
                                const at::Tensor *const *variances, size_t count, const at::Tensor *step, double lr, double beta1, double beta2,
                                double weight_decay, double eps) {
  return guarded([&] {
    auto self = list(parameters, count), grads = list(gradients, count), m = list(means, count), v = list(variances, count);
    std::vector<at::Tensor> steps(count, *step);
    at::_fused_adamw_(self, grads, m, v, {}, steps, lr, beta1, beta2, weight_decay, eps, /*amsgrad=*/false, /*maximize=*/false);
    changed(self);
  });
}

// `buffers` may be null: no momentum.
extern "C" char *qt_fused_sgd(const at::Tensor *const *parameters, const at::Tensor *const *gradients, const at::Tensor *const *buffers, size_t count,
                              double lr, double momentum, double dampening, double weight_decay, bool nesterov, bool first) {
  return guarded([&] {
    auto self = list(parameters, count), grads = list(gradients, count);
    auto momenta = buffers == nullptr ? std::vector<at::Tensor>{} : list(buffers, count);
    at::_fused_sgd_(self, grads, momenta, weight_decay, momentum, lr, dampening, nesterov, /*maximize=*/false, first);
    changed(self);
  });
}

// The 2-norm of all elements of all tensors together, as a tensor without dimensions.
extern "C" char *qt_total_norm(const at::Tensor *const *tensors, size_t count, at::Tensor **norm) {
  return guarded([&] { *norm = new at::Tensor(at::linalg_vector_norm(at::stack(at::_foreach_norm(list(tensors, count), 2)), 2)); });
}
