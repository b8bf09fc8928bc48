// libtorch's gradient function, which tch offers without its options.
#include "common.h"
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/autograd.h>

using quarterturn::guarded;
using quarterturn::list;

// Some derivatives that are zero everywhere come without elements, which nothing outside libtorch may touch.
static at::Tensor *owned(const at::Tensor &gradient) {
  if (!gradient.defined()) return nullptr;
  return new at::Tensor(gradient._is_zerotensor() ? at::zeros(gradient.sizes(), gradient.options()) : gradient);
}

// A gradient that does not exist is a null pointer in `gradients`.
extern "C" char *qt_grad(const at::Tensor *loss, const at::Tensor *seed, const at::Tensor *const *variables, size_t count,
                         bool retain, bool create, at::Tensor **gradients) {
  return guarded([&] {
    std::vector<at::Tensor> seeds{seed == nullptr ? at::Tensor() : *seed};
    auto found = torch::autograd::grad({*loss}, list(variables, count), seeds, retain, create, /*allow_unused=*/true);
    for (size_t i = 0; i < count; ++i) gradients[i] = owned(found[i]);
  });
}

// The same for several outputs at once; seeds are given for all of them.
extern "C" char *qt_grad_many(const at::Tensor *const *outputs, const at::Tensor *const *seeds, size_t count, const at::Tensor *const *inputs,
                              size_t inputs_count, bool create, at::Tensor **gradients) {
  return guarded([&] {
    auto found = torch::autograd::grad(list(outputs, count), list(inputs, inputs_count), list(seeds, count), create, create, /*allow_unused=*/true);
    for (size_t i = 0; i < inputs_count; ++i) gradients[i] = owned(found[i]);
  });
}

extern "C" bool qt_grad_enabled() { return at::GradMode::is_enabled(); }

// What is computed until the mode ends never takes part in a gradient, and skips its bookkeeping.
extern "C" void *qt_inference_begin() { return new c10::InferenceMode(true); }
extern "C" void qt_inference_end(void *mode) { delete static_cast<c10::InferenceMode *>(mode); }
