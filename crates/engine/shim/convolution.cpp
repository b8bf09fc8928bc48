// Convolutions of images in inference, by oneDNN: weights are reordered once, and residual and ReLU are applied before results go to memory.
#include "common.h"
#include "packed.h"
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>
#include <c10/core/GradMode.h>

using at::Tensor;

namespace {

// What libtorch has for its own compiler; absent where it was built without oneDNN.
struct Operations {
  std::optional<c10::OperatorHandle> reorder = find("mkldnn::_reorder_convolution_weight", "");
  std::optional<c10::OperatorHandle> unary = find("mkldnn::_convolution_pointwise", "");
  std::optional<c10::OperatorHandle> binary = find("mkldnn::_convolution_pointwise", "binary");

  static std::optional<c10::OperatorHandle> find(const char *name, const char *overload) {
    return c10::Dispatcher::singleton().findSchema({name, overload});
  }

  bool are_there() const { return reorder && unary && binary; }
};

const Operations &operations() {
  static const Operations found;
  return found;
}

Tensor run(const c10::OperatorHandle &operation, torch::jit::Stack stack) {
  operation.callBoxed(stack);
  return stack.back().toTensor();
}

struct Sizes {
  std::vector<int64_t> stride, padding, dilation;
  int64_t groups;

  // Stride, padding, dilation, two each, and groups.
  explicit Sizes(const int64_t *s) : stride(s, s + 2), padding(s + 2, s + 4), dilation(s + 4, s + 6), groups(s[6]) {}
};

bool fits(const Tensor &x, const Tensor *other) {
  return other == nullptr || (other->device().is_cpu() && other->scalar_type() == x.scalar_type() && !other->is_mkldnn());
}

// Whether oneDNN's fused forms take these, and nobody wants gradients of them.
bool applies(const Tensor &x, const Tensor &weight, const Tensor *bias, const Tensor *residual) {
  static const bool half = at::get_cpu_capability() == "AVX512";
  auto recorded = [](const Tensor *t) { return t != nullptr && t->requires_grad(); };
  if (at::GradMode::is_enabled() && (recorded(&x) || recorded(&weight) || recorded(bias) || recorded(residual))) return false;
  bool type = x.scalar_type() == at::kFloat || (half && x.scalar_type() == at::kBFloat16);
  return x.device().is_cpu() && type && x.dim() == 4 && x.numel() > 0 && weight.numel() > 0 && x.is_contiguous(at::MemoryFormat::ChannelsLast) &&
         fits(x, &weight) && fits(x, bias) && fits(x, residual) && at::globalContext().userEnabledMkldnn() && operations().are_there();
}

// The weight in oneDNN's order for such an input, kept until the weight changes or an input of other sizes comes.
Tensor reordered(const Tensor &x, const Tensor &weight, const Sizes &sizes) {
  auto [packed, version] = quarterturn::packed_for({weight}, false);
  std::vector<int64_t> wanted = x.sizes().vec();
  for (const auto &more : {sizes.stride, sizes.padding, sizes.dilation}) wanted.insert(wanted.end(), more.begin(), more.end());
  wanted.push_back(sizes.groups);
  wanted.push_back(at::get_num_threads());
  std::lock_guard<std::mutex> guard(packed->mutex);
  if (!packed->reordered.defined() || packed->reordered_version != version || packed->reordered_for != wanted) {
    packed->reordered = Tensor(); // not both at once
    packed->reordered = run(*operations().reorder, {weight, sizes.padding, sizes.stride, sizes.dilation, sizes.groups, x.sizes().vec()});
    packed->reordered_version = version;
    packed->reordered_for = std::move(wanted);
  }
  return packed->reordered;
}

} // namespace

// y = relu(conv2d(x, weight) + bias + residual); bias and residual may be null, and `relu` false. y stays null where this does not apply.
extern "C" char *qt_conv2d(const Tensor *x, const Tensor *weight, const Tensor *bias, const Tensor *residual, const int64_t *sizes, bool relu, Tensor **y) {
  return quarterturn::guarded([&] {
    if (!applies(*x, *weight, bias, residual)) return;
    at::AutoDispatchBelowADInplaceOrView below;
    const Sizes s(sizes);
    Tensor w = reordered(*x, *weight, s);
    c10::IValue b = bias == nullptr ? c10::IValue() : c10::IValue(*bias);
    c10::List<std::optional<at::Scalar>> none;
    Tensor made = residual == nullptr
        ? run(*operations().unary, {*x, w, b, s.padding, s.stride, s.dilation, s.groups, relu ? "relu" : "none", none, c10::IValue()})
        : run(*operations().binary, {*x, *residual, w, b, s.padding, s.stride, s.dilation, s.groups, "add", c10::IValue(),
                                     relu ? c10::IValue("relu") : c10::IValue(), none, c10::IValue()});
    *y = new Tensor(std::move(made));
  });
}
