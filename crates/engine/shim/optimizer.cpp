// Fused optimizer steps and the passes over lists of gradients.
#include "common.h"
#include <ATen/Parallel.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_addcdiv.h>
#include <ATen/ops/_foreach_addcmul.h>
#include <ATen/ops/_foreach_div.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_foreach_sign.h>
#include <ATen/ops/_foreach_sqrt.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/all.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>
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

// `decoupled`: AdamW, otherwise Adam.
extern "C" char *qt_fused_adam(const at::Tensor *const *parameters, const at::Tensor *const *gradients, const at::Tensor *const *means,
                               const at::Tensor *const *variances, size_t count, const at::Tensor *step, double lr, double beta1, double beta2,
                               double weight_decay, double eps, bool decoupled) {
  return guarded([&] {
    auto self = list(parameters, count), grads = list(gradients, count), m = list(means, count), v = list(variances, count);
    std::vector<at::Tensor> steps(count, *step);
    if (decoupled)
      at::_fused_adamw_(self, grads, m, v, {}, steps, lr, beta1, beta2, weight_decay, eps, /*amsgrad=*/false, /*maximize=*/false);
    else
      at::_fused_adam_(self, grads, m, v, {}, steps, lr, beta1, beta2, weight_decay, eps, /*amsgrad=*/false, /*maximize=*/false);
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

// `buffers` may be null: no momentum; `means` may be null: not centred.
extern "C" char *qt_rmsprop(const at::Tensor *const *parameters, const at::Tensor *const *gradients, const at::Tensor *const *squares,
                            const at::Tensor *const *buffers, const at::Tensor *const *means, size_t count, double lr, double alpha, double eps,
                            double weight_decay, double momentum) {
  return guarded([&] {
    auto self = list(parameters, count), grads = list(gradients, count), v = list(squares, count);
    if (weight_decay != 0) grads = at::_foreach_add(grads, self, weight_decay);
    at::_foreach_mul_(v, alpha);
    at::_foreach_addcmul_(v, grads, grads, 1 - alpha);
    std::vector<at::Tensor> scale;
    if (means == nullptr) {
      scale = at::_foreach_sqrt(v);
    } else {
      auto m = list(means, count);
      at::_foreach_lerp_(m, grads, 1 - alpha);
      scale = at::_foreach_addcmul(v, m, m, -1);
      at::_foreach_sqrt_(scale);
    }
    at::_foreach_add_(scale, eps);
    if (buffers == nullptr) {
      at::_foreach_addcdiv_(self, grads, scale, -lr);
    } else {
      auto b = list(buffers, count);
      at::_foreach_mul_(b, momentum);
      at::_foreach_addcdiv_(b, grads, scale);
      at::_foreach_add_(self, b, -lr);
    }
  });
}

extern "C" char *qt_lion(const at::Tensor *const *parameters, const at::Tensor *const *gradients, const at::Tensor *const *means, size_t count,
                         double lr, double beta1, double beta2, double weight_decay) {
  return guarded([&] {
    auto self = list(parameters, count), grads = list(gradients, count), m = list(means, count);
    auto direction = at::_foreach_lerp(m, grads, 1 - beta1);
    at::_foreach_sign_(direction);
    if (weight_decay != 0) at::_foreach_mul_(self, 1 - lr * weight_decay);
    at::_foreach_add_(self, direction, -lr);
    at::_foreach_lerp_(m, grads, 1 - beta2);
  });
}

// `correction` is 1 − β₂ᵗ; the two rates are those of the gradient and of the mean.
extern "C" char *qt_nadam(const at::Tensor *const *parameters, const at::Tensor *const *gradients, const at::Tensor *const *means,
                          const at::Tensor *const *variances, size_t count, double gradient_rate, double mean_rate, double beta1, double beta2,
                          double correction, double weight_decay, double eps) {
  return guarded([&] {
    auto self = list(parameters, count), grads = list(gradients, count), m = list(means, count), v = list(variances, count);
    if (weight_decay != 0) grads = at::_foreach_add(grads, self, weight_decay);
    at::_foreach_lerp_(m, grads, 1 - beta1);
    at::_foreach_mul_(v, beta2);
    at::_foreach_addcmul_(v, grads, grads, 1 - beta2);
    auto scale = at::_foreach_div(v, correction);
    at::_foreach_sqrt_(scale);
    at::_foreach_add_(scale, eps);
    at::_foreach_addcdiv_(self, grads, scale, -gradient_rate);
    at::_foreach_addcdiv_(self, m, scale, -mean_rate);
  });
}

// One parameter. `rows` and `columns` are the factored second moment of matrices, `variance` that of vectors; the other is null.
extern "C" char *qt_adafactor(const at::Tensor *parameter, const at::Tensor *gradient, const at::Tensor *rows, const at::Tensor *columns,
                              const at::Tensor *variance, double rate, double decay_rate, double weight, double eps1, double eps2, double threshold) {
  return guarded([&] {
    at::Tensor self = *parameter, grad = *gradient, second;
    const double root = std::sqrt(static_cast<double>(std::max<int64_t>(self.numel(), 1)));
    at::Tensor step = at::linalg_vector_norm(self, 2).div_(root).clamp_min_(eps2).mul_(rate);
    if (decay_rate != 0) self.mul_(1 - decay_rate);
    if (variance == nullptr) {
      at::Tensor r = *rows, c = *columns;
      const at::Tensor square = grad.square();
      r.lerp_(square.mean(-1, /*keepdim=*/true), weight);
      c.lerp_(square.mean(-2, /*keepdim=*/true), weight);
      second = at::matmul(r, c).div_(r.mean(-2, /*keepdim=*/true).clamp_min_(eps1));
    } else {
      at::Tensor v = *variance;
      v.lerp_(grad.square(), weight);
      second = v.clone();
    }
    at::Tensor update = second.clamp_min_(eps1 * eps1).rsqrt_().mul_(grad);
    step.div_(at::linalg_vector_norm(update, 2).div_(root * threshold).clamp_min_(1));
    self.sub_(update.mul_(step));
  });
}

// targets ← targets + weight · (sources − targets)
extern "C" char *qt_average(const at::Tensor *const *targets, const at::Tensor *const *sources, size_t count, double weight) {
  return guarded([&] { at::_foreach_lerp_(list(targets, count), list(sources, count), weight); });
}

// The 2-norm of all elements of all tensors together, as a tensor without dimensions.
extern "C" char *qt_total_norm(const at::Tensor *const *tensors, size_t count, at::Tensor **norm) {
  return guarded([&] { *norm = new at::Tensor(at::linalg_vector_norm(at::stack(at::_foreach_norm(list(tensors, count), 2)), 2)); });
}
