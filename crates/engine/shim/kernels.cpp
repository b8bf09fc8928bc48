// Our kernels as libtorch operations with gradients: quarterturn::lstm, gru, rnn, scan, mingru, minlstm, highway, residual_norm, residual_mlp,
// lstm_stack, gru_stack, cross_entropy, batch_norm, delta_rule, paragru, paralstm, slstm; float32 and float64 on the CPU, some on CUDA. The arithmetic is in crates/kernels, reached through
// src/kernels and src/cuda; here are dispatch and one autograd node for all of them.
// The library that holds this also loads into Python: torch.ops.load_library(path), torch.ops.quarterturn.lstm(...).
#include "common.h"
#include "packed.h"
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/GradMode.h>
#include <algorithm>
#include <array>
#include <memory>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

using at::Tensor;
using quarterturn::PackedWeights;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The C face of src/kernels/face.rs. A returned text is an error and the caller's to free.
extern "C" {
// Contiguous; null data: absent, or not wanted.
struct qt_tensor {
  void *data;
  const int64_t *sizes;
  int64_t dims;
};
struct qt_call {
  int64_t kernel;
  bool float64;
  bool bfloat16;
  const double *attributes;
  int64_t attributes_count;
  const qt_tensor *inputs;
  int64_t inputs_count;
  uint64_t version;
  void *packed;
};
struct qt_output {
  int64_t dims; // -1: as the first input
  int64_t sizes[4];
};
struct qt_plan {
  qt_output outputs[3];
  int64_t reserve; // floats that a training pass saves
};
float *qt_pool_take(int64_t len, void **buffer);
void qt_pool_give_back(void *buffer);
char *qt_kernel_plan(const qt_call *call, qt_plan *plan);
char *qt_kernel_forward(const qt_call *call, const qt_tensor *outputs, const qt_tensor *reserve);
char *qt_kernel_backward(const qt_call *call, const qt_tensor *outputs, const qt_tensor *doutputs, const qt_tensor *reserve, const qt_tensor *dinputs);
// The C face of src/cuda/face.rs: tensors, null where absent. `made`: the outputs and after them what a training pass saves; then the gradients.
char *qt_cuda_forward(int64_t kernel, const Tensor *const *inputs, size_t count, const double *attributes, size_t attributes_count, bool training,
                      Tensor **made);
char *qt_cuda_backward(int64_t kernel, const Tensor *const *inputs, size_t count, const double *attributes, size_t attributes_count,
                       const Tensor *const *outputs, const Tensor *const *grads, const Tensor *const *reserve, size_t reserve_count,
                       const bool *wanted, Tensor **made);
}

namespace {

constexpr unsigned bits(std::initializer_list<int> positions) {
  unsigned set = 0;
  for (int position : positions) set |= 1u << position;
  return set;
}

// What dispatch and autograd must know of a kernel. Sets are of positions among its tensors; all of a list, which comes last, share its first.
struct Kernel {
  const char *schema;
  size_t outputs;
  unsigned packed;      // inputs whose packed forms are kept
  unsigned alone;       // inputs whose gradients may be left out one by one; the others are computed together
  unsigned saved;       // inputs that backward reads
  unsigned saved_out;   // outputs that backward reads
  int lengths;          // the input that is int64, or -1
  int twin;             // the input whose gradient is that of the first, or -1
  bool scratch;         // whether backward uses up what forward saved
  bool always;          // whether backward computes the others even where nobody wants them
  int list = -1;        // where a list of tensors begins, or -1
  int constant = -1;    // the input that has no gradient though it is of floats, or -1
  int addend = -1;      // the input that backward does not read and that has the sizes of the first, or -1
  // The gradients of the inputs by operations that have gradients themselves; without it a gradient cannot be differentiated again.
  variable_list (*again)(const variable_list &inputs, const variable_list &grads, const std::vector<double> &attributes) = nullptr;

  bool has(unsigned set, size_t position) const {
    size_t last = list < 0 ? position : static_cast<size_t>(list);
    return (set >> std::min(position, last) & 1) != 0;
  }
};

// Of cross_entropy; equation: crates/kernels/src/cross_entropy.
variable_list cross_entropy_again(const variable_list &inputs, const variable_list &grads, const std::vector<double> &attributes) {
  const Tensor &x = inputs[0], &target = inputs[1];
  Tensor counts = target.ne(static_cast<int64_t>(attributes[0]));
  double even = attributes[1] / static_cast<double>(std::max<int64_t>(x.size(1), 1));
  Tensor wanted = at::full_like(x, even).scatter(1, target.where(counts, 0).unsqueeze(1), 1 - attributes[1] + even);
  return {(x.softmax(1) - wanted) * (grads[0] * counts).unsqueeze(1), Tensor()};
}

// In the order of src/kernels/mod.rs. Tensors come before attributes.
const Kernel kernels[] = {
    {"lstm(Tensor x, Tensor h_0, Tensor c_0, Tensor weight_ih, Tensor weight_hh, Tensor? bias_ih=None, Tensor? bias_hh=None, Tensor? lengths=None, "
     "bool reverse=False, int recompute=0) -> (Tensor, Tensor, Tensor)",
     3, bits({3, 4, 5, 6}), bits({0, 1, 2}), bits({0, 1, 2, 3, 4, 5, 6, 7}), bits({0}), 7, -1, true, false},
    {"gru(Tensor x, Tensor h_0, Tensor weight_ih, Tensor weight_hh, Tensor? bias_ih=None, Tensor? bias_hh=None, Tensor? lengths=None, "
     "bool reverse=False, int recompute=0) -> (Tensor, Tensor)",
     2, bits({2, 3, 4, 5}), bits({0, 1}), bits({0, 1, 2, 3, 4, 5, 6}), bits({0}), 6, -1, true, false},
    {"rnn(Tensor x, Tensor h_0, Tensor weight_ih, Tensor weight_hh, Tensor? bias_ih=None, Tensor? bias_hh=None, Tensor? lengths=None, "
     "bool relu=False, bool reverse=False, int recompute=0) -> (Tensor, Tensor)",
     2, bits({2, 3, 4, 5}), bits({0, 1}), bits({0, 1, 2, 3, 4, 5, 6}), bits({0}), 6, -1, true, false},
    {"scan(Tensor a, Tensor b, Tensor? h_0=None, Tensor? lengths=None, bool reverse=False) -> (Tensor, Tensor)",
     2, 0, bits({2}), bits({0, 1, 2, 3}), bits({0}), 3, -1, false, false},
    {"mingru(Tensor p, Tensor? h_0=None, Tensor? lengths=None, bool positive=False, bool reverse=False) -> (Tensor, Tensor)",
     2, 0, bits({1}), bits({0, 1, 2}), bits({0}), 2, -1, false, false},
    {"minlstm(Tensor p, Tensor? h_0=None, Tensor? lengths=None, bool positive=False, bool reverse=False) -> (Tensor, Tensor)",
     2, 0, bits({1}), bits({0, 1, 2}), bits({0}), 2, -1, false, false},
    {"highway(Tensor x, Tensor weight, Tensor? bias=None, bool relu=False) -> Tensor",
     1, 0, 0, bits({0, 1, 2}), 0, -1, -1, true, false},
    {"residual_norm(Tensor x, Tensor? residual=None, Tensor? weight=None, Tensor? bias=None, bool rms=False, float eps=1e-5) -> (Tensor, Tensor)",
     2, 0, bits({2, 3}), bits({2, 3}), bits({1}), -1, 1, false, true},
    {"residual_mlp(Tensor x, Tensor? norm_weight, Tensor? norm_bias, Tensor weight_1, Tensor? bias_1, Tensor weight_2, Tensor? bias_2, "
     "float eps=1e-5) -> Tensor",
     1, bits({3, 5}), bits({1, 2, 4, 6}), bits({0, 1, 2, 3, 4, 5, 6}), 0, -1, -1, true, true},
    // weights: of each layer and, within it, direction weight_ih, weight_hh, bias_ih, bias_hh
    {"lstm_stack(Tensor x, Tensor? h_0, Tensor? c_0, Tensor? lengths, Tensor? masks, Tensor?[] weights, bool bidirectional=False) -> "
     "(Tensor, Tensor, Tensor)",
     3, bits({5}), bits({0, 1, 2, 4}), bits({0, 1, 2, 3, 4, 5}), bits({0}), 3, -1, true, false, 5, 4},
    {"gru_stack(Tensor x, Tensor? h_0, Tensor? lengths, Tensor? masks, Tensor?[] weights, bool bidirectional=False) -> (Tensor, Tensor)",
     2, bits({4}), bits({0, 1, 3}), bits({0, 1, 2, 3, 4}), bits({0}), 2, -1, true, false, 4, 3},
    {"cross_entropy(Tensor x, Tensor target, int ignore=-100, float smoothing=0) -> Tensor",
     1, 0, 0, bits({0, 1}), 0, 1, -1, false, false, -1, -1, -1, &cross_entropy_again},
    // statistics: mean and variance of each channel, as constants
    {"batch_norm(Tensor x, Tensor? residual=None, Tensor? weight=None, Tensor? bias=None, bool relu=False, float eps=1e-5) -> "
     "(Tensor, Tensor statistics)",
     2, 0, bits({1, 2, 3}), bits({0, 2, 3}), bits({0, 1}), -1, -1, false, false, -1, -1, 1},
    {"delta_rule(Tensor query, Tensor key, Tensor value, Tensor beta, Tensor? decay=None, Tensor? state_0=None, Tensor? lengths=None, "
     "bool reverse=False) -> (Tensor, Tensor)",
     2, 0, bits({4, 5}), bits({0, 1, 2, 3, 4, 5, 6}), 0, 6, -1, false, true},
    {"paragru(Tensor p, Tensor weight, Tensor? h_0=None, Tensor? lengths=None, bool newton=False, bool reverse=False) -> (Tensor, Tensor)",
     2, 0, bits({2}), bits({0, 1, 2, 3}), bits({0}), 3, -1, false, true},
    {"paralstm(Tensor p, Tensor weight, Tensor? h_0=None, Tensor? c_0=None, Tensor? lengths=None, bool newton=False, bool reverse=False) -> "
     "(Tensor, Tensor, Tensor)",
     3, 0, bits({2, 3}), bits({0, 1, 2, 3, 4}), bits({0}), 4, -1, false, true},
    {"slstm(Tensor x, Tensor weight, Tensor? state_0=None, Tensor? lengths=None, bool reverse=False) -> (Tensor, Tensor)",
     2, 0, bits({2}), bits({0, 1, 2, 3}), bits({0}), 3, -1, false, true},
};

// The first of them, recurrences of one layer and scans, take bfloat16 too.
constexpr size_t halves = 6;

std::string name_of(const Kernel &kernel) { return std::string(kernel.schema, strchr(kernel.schema, '(')); }

void raise(char *text) {
  if (text == nullptr) return;
  std::string message(text);
  free(text);
  TORCH_CHECK(false, message);
}

// A tensor whose memory is used again and again: ours where libtorch's allocator would ask the system anew each time.
Tensor make(at::IntArrayRef sizes, at::ScalarType type) {
  constexpr int64_t from = 256 << 10;
  auto options = at::TensorOptions(type);
  int64_t bytes = c10::multiply_integers(sizes) * static_cast<int64_t>(c10::elementSize(type));
  if (bytes < from || c10::GetCPUAllocator() != c10::GetDefaultCPUAllocator()) return at::empty(sizes, options);
  void *buffer;
  auto size = static_cast<int64_t>(sizeof(float));
  float *memory = qt_pool_take((bytes + size - 1) / size, &buffer);
  return at::from_blob(memory, sizes, [buffer](void *) { qt_pool_give_back(buffer); }, options);
}

// An empty tensor is there, though it may have no memory.
qt_tensor view(const Tensor &tensor) {
  static double nothing;
  if (!tensor.defined()) return {nullptr, nullptr, 0};
  void *data = tensor.numel() == 0 ? &nothing : const_cast<void *>(tensor.const_data_ptr());
  return {data, tensor.sizes().data(), tensor.dim()};
}

std::vector<const Tensor *> handles(at::TensorList tensors) {
  std::vector<const Tensor *> all;
  for (const Tensor &tensor : tensors) all.push_back(tensor.defined() ? &tensor : nullptr);
  return all;
}

// What src/cuda has made. It makes at most so many outputs and reserves.
constexpr size_t most_made = 8;

Tensor taken(Tensor *made) {
  std::unique_ptr<Tensor> owner(made);
  return made == nullptr ? Tensor() : *made;
}

std::vector<qt_tensor> views(at::TensorList tensors) {
  std::vector<qt_tensor> all;
  for (const Tensor &tensor : tensors) all.push_back(view(tensor));
  return all;
}

// One call: its inputs, contiguous, and the number of its kernel.
struct Call {
  const Kernel &kernel;
  std::vector<Tensor> given, inputs;
  std::vector<double> attributes;

  Call(const Kernel &kernel, at::TensorList tensors, const std::vector<double> &attributes)
      : kernel(kernel), given(tensors.begin(), tensors.end()), attributes(attributes) {
    for (const Tensor &tensor : given) inputs.push_back(tensor.defined() ? tensor.contiguous() : tensor);
  }

  void check() const {
    auto type = inputs[0].scalar_type();
    bool half = type == at::kBFloat16 && static_cast<size_t>(&kernel - kernels) < halves;
    TORCH_CHECK(type == at::kFloat || type == at::kDouble || half, name_of(kernel), ": must be float32 or float64, got ", type);
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!inputs[i].defined()) continue;
      TORCH_CHECK(inputs[i].device().is_cpu(), name_of(kernel), ": tensors must be on the CPU");
      auto expected = static_cast<int>(i) == kernel.lengths ? at::kLong : type;
      TORCH_CHECK(inputs[i].scalar_type() == expected, name_of(kernel), ": tensors must all be ", type, " (lengths int64), got ", inputs[i].scalar_type());
    }
  }

  // Calls `body` with what the kernels want to know. Nobody else uses the packed weights meanwhile.
  template <typename Body>
  void with(bool training, at::ScalarType type, Body &&body) const {
    std::vector<Tensor> weights;
    for (size_t i = 0; i < given.size(); ++i)
      if (kernel.has(kernel.packed, i) && given[i].defined()) weights.push_back(given[i]);
    PackedWeights packed = weights.empty() ? PackedWeights{nullptr, 0} : quarterturn::packed_for(weights, training);
    std::unique_lock<std::mutex> lock;
    if (packed.packed) lock = std::unique_lock<std::mutex>(packed.packed->mutex);
    auto all = views(inputs);
    body(qt_call{&kernel - kernels, type == at::kDouble, type == at::kBFloat16, attributes.data(), static_cast<int64_t>(attributes.size()), all.data(), static_cast<int64_t>(all.size()),
                 packed.version, packed.packed ? packed.packed->forms : nullptr});
  }

  // The outputs, and after them the reserve if one is wanted.
  variable_list forward(bool training) const {
    if (!inputs[0].device().is_cpu()) return forward_on_device(training);
    check();
    variable_list out;
    auto type = inputs[0].scalar_type();
    with(training, type, [&](const qt_call &call) {
      qt_plan plan{};
      raise(qt_kernel_plan(&call, &plan));
      for (size_t i = 0; i < kernel.outputs; ++i) {
        const qt_output &output = plan.outputs[i];
        out.push_back(make(output.dims < 0 ? inputs[0].sizes() : at::IntArrayRef(output.sizes, static_cast<size_t>(output.dims)), type));
      }
      Tensor reserve = training ? make({plan.reserve}, at::kFloat) : Tensor();
      auto outputs = views(out);
      auto kept = view(reserve);
      raise(qt_kernel_forward(&call, outputs.data(), &kept));
      if (training) out.push_back(reserve);
    });
    return out;
  }

  variable_list forward_on_device(bool training) const {
    std::array<Tensor *, most_made> made{};
    variable_list out;
    auto error = qt_cuda_forward(&kernel - kernels, handles(inputs).data(), inputs.size(), attributes.data(), attributes.size(), training, made.data());
    for (Tensor *tensor : made)
      if (tensor != nullptr) out.push_back(taken(tensor));
    raise(error);
    return out;
  }

  variable_list backward_on_device(const variable_list &outputs, const variable_list &grads, const variable_list &reserve, const std::vector<bool> &wanted) const {
    std::vector<Tensor *> made(inputs.size());
    std::unique_ptr<bool[]> want(new bool[wanted.size()]);
    std::copy(wanted.begin(), wanted.end(), want.get());
    auto error = qt_cuda_backward(&kernel - kernels, handles(inputs).data(), inputs.size(), attributes.data(), attributes.size(), handles(outputs).data(),
                                  handles(grads).data(), handles(reserve).data(), reserve.size(), want.get(), made.data());
    variable_list out;
    for (Tensor *tensor : made) out.push_back(taken(tensor));
    raise(error);
    return out;
  }

  static bool on_device(const variable_list &grads) {
    return std::any_of(grads.begin(), grads.end(), [](const Tensor &grad) { return grad.defined() && !grad.device().is_cpu(); });
  }

  static at::ScalarType type_of(const variable_list &grads) {
    for (const Tensor &grad : grads)
      if (grad.defined()) return grad.scalar_type();
    return at::kFloat;
  }

  // The gradients of the inputs, as far as wanted. May use up the reserve.
  variable_list backward(const variable_list &outputs, const variable_list &grads, const variable_list &reserve, const std::vector<bool> &wanted) const {
    if (on_device(grads)) return backward_on_device(outputs, grads, reserve, wanted);
    variable_list incoming, out(inputs.size());
    for (const Tensor &grad : grads) incoming.push_back(grad.defined() ? grad.contiguous() : grad);
    bool together = kernel.always;
    for (size_t i = 0; i < wanted.size(); ++i) together = together || (wanted[i] && !kernel.has(kernel.alone, i));
    for (size_t i = 0; i < out.size(); ++i) {
      bool twin = static_cast<int>(i) == kernel.twin, differentiable = static_cast<int>(i) != kernel.lengths && static_cast<int>(i) != kernel.constant;
      // The first input may not have been saved; its gradient then has the shape of an output.
      bool added = static_cast<int>(i) == kernel.addend;
      const Tensor &like = added && wanted[i] ? inputs[0] : inputs[i].defined() || i != 0 ? inputs[i] : outputs.back();
      if (differentiable && !twin && like.defined() && (wanted[i] || (together && !kernel.has(kernel.alone, i)))) out[i] = make(like.sizes(), like.scalar_type());
    }
    with(false, type_of(incoming), [&](const qt_call &call) {
      auto results = views(outputs), gradients = views(incoming), dinputs = views(out);
      auto kept = view(reserve.empty() ? Tensor() : reserve[0]);
      raise(qt_kernel_backward(&call, results.data(), gradients.data(), &kept, dinputs.data()));
    });
    if (kernel.twin >= 0) out[static_cast<size_t>(kernel.twin)] = out[0];
    for (size_t i = 0; i < out.size(); ++i)
      if (!wanted[i]) out[i] = Tensor();
    return out;
  }
};

variable_list only(const Kernel &kernel, unsigned set, const variable_list &tensors) {
  variable_list chosen(tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i)
    if (kernel.has(set, i)) chosen[i] = tensors[i];
  return chosen;
}

struct Node : torch::autograd::Function<Node> {
  // libtorch takes no absent tensors here, so `present` are those that are there, of `count`, at `places`.
  static variable_list forward(AutogradContext *ctx, const Kernel *kernel, at::TensorList present, size_t count, const std::vector<int64_t> &places,
                               const std::vector<double> &attributes) {
    at::AutoDispatchBelowADInplaceOrView guard;
    ctx->set_materialize_grads(false);
    variable_list inputs(count);
    for (size_t i = 0; i < places.size(); ++i) inputs[static_cast<size_t>(places[i])] = present[i];
    Call call(*kernel, inputs, attributes);
    ctx->saved_data["places"] = places;
    auto out = call.forward(true);
    ctx->saved_data["kernel"] = static_cast<int64_t>(kernel - kernels);
    ctx->saved_data["attributes"] = attributes;
    ctx->saved_data["reserve"] = variable_list(out.begin() + static_cast<std::ptrdiff_t>(kernel->outputs), out.end());
    out.resize(kernel->outputs);
    // Weights as they were given: their packed forms are found by them.
    auto saved = only(*kernel, kernel->saved & ~kernel->packed, call.inputs);
    for (size_t i = 0; i < saved.size(); ++i)
      if (kernel->has(kernel->packed, i)) saved[i] = call.given[i];
    auto results = only(*kernel, kernel->saved_out, out);
    saved.insert(saved.end(), results.begin(), results.end());
    ctx->save_for_backward(saved);
    return out;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    const Kernel &kernel = kernels[ctx->saved_data["kernel"].toInt()];
    TORCH_CHECK(!at::GradMode::is_enabled() || kernel.again != nullptr, name_of(kernel),
                ": its gradient cannot be differentiated again; compute this layer with libtorch's own operations");
    auto places = ctx->saved_data["places"].toIntVector();
    variable_list out(places.size() + 4); // also those of what is not a tensor: the kernel before, three things after
    if (std::none_of(grads.begin(), grads.end(), [](const Tensor &grad) { return grad.defined(); })) return out;
    auto saved = ctx->get_saved_variables();
    grads.resize(kernel.outputs);
    auto inputs_end = saved.end() - static_cast<std::ptrdiff_t>(kernel.outputs);
    variable_list inputs(saved.begin(), inputs_end);
    auto attributes = ctx->saved_data["attributes"].toDoubleVector();
    if (at::GradMode::is_enabled()) {
      auto gradients = kernel.again(inputs, grads, attributes);
      for (size_t i = 0; i < places.size(); ++i) out[i + 1] = gradients[static_cast<size_t>(places[i])];
      return out;
    }
    Call call(kernel, inputs, attributes);
    variable_list outputs(inputs_end, saved.end());
    variable_list reserve;
    auto kept = ctx->saved_data.find("reserve");
    if (kept != ctx->saved_data.end()) {
      reserve = kept->second.toTensorVector();
      if (kernel.scratch) ctx->saved_data.erase(kept);
    } else {
      // A second pass over a graph that was kept: what the first one used up is computed again.
      reserve = call.forward(true);
      reserve.erase(reserve.begin(), reserve.begin() + static_cast<std::ptrdiff_t>(kernel.outputs));
    }
    std::vector<bool> wanted(call.inputs.size());
    for (size_t i = 0; i < places.size(); ++i) wanted[static_cast<size_t>(places[i])] = ctx->needs_input_grad(i);
    auto gradients = call.backward(outputs, grads, reserve, wanted);
    for (size_t i = 0; i < places.size(); ++i) out[i + 1] = gradients[static_cast<size_t>(places[i])];
    return out;
  }
};

variable_list run(const Kernel &kernel, at::TensorList inputs, const std::vector<double> &attributes) {
  bool differentiable = false;
  variable_list present;
  std::vector<int64_t> places;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].defined()) continue;
    TORCH_CHECK(static_cast<int>(i) != kernel.constant || !inputs[i].requires_grad(), name_of(kernel), ": its masks have no gradient");
    differentiable = differentiable || inputs[i].requires_grad();
    present.push_back(inputs[i]);
    places.push_back(static_cast<int64_t>(i));
  }
  if (at::GradMode::is_enabled() && differentiable) return Node::apply(&kernel, at::TensorList(present), inputs.size(), places, attributes);
  at::AutoDispatchBelowADInplaceOrView guard;
  return Call(kernel, inputs, attributes).forward(false);
}

// The operation of a kernel, for both keys: it looks at the gradient mode itself.
struct Operation : c10::OperatorKernel {
  const Kernel &kernel;

  explicit Operation(const Kernel &kernel) : kernel(kernel) {}

  void operator()(const c10::OperatorHandle &op, c10::DispatchKeySet, torch::jit::Stack *stack) {
    size_t count = op.schema().arguments().size();
    variable_list inputs;
    std::vector<double> attributes;
    for (const c10::IValue &value : torch::jit::last(*stack, count)) {
      if (value.isTensor()) inputs.push_back(value.toTensor());
      else if (value.isNone()) inputs.emplace_back();
      else if (value.isList())
        for (const c10::IValue &item : value.toListRef()) inputs.push_back(item.isNone() ? Tensor() : item.toTensor());
      else attributes.push_back(value.isBool() ? static_cast<double>(value.toBool()) : value.toScalar().toDouble());
    }
    torch::jit::drop(*stack, count);
    for (Tensor &output : run(kernel, inputs, attributes)) stack->emplace_back(std::move(output));
  }
};

void implement(torch::Library &m) {
  for (const Kernel &kernel : kernels)
    m.impl(name_of(kernel).c_str(), torch::CppFunction::makeFromBoxedKernel(c10::BoxedKernel::makeFromFunctor(std::make_unique<Operation>(kernel))));
}

} // namespace

TORCH_LIBRARY(quarterturn, m) {
  for (const Kernel &kernel : kernels) m.def(kernel.schema);
}

TORCH_LIBRARY_IMPL(quarterturn, CPU, m) { implement(m); }

TORCH_LIBRARY_IMPL(quarterturn, CUDA, m) { implement(m); }

TORCH_LIBRARY_IMPL(quarterturn, Autograd, m) { implement(m); }

// The engine's way in: null inputs are absent.
extern "C" char *qt_kernel(int64_t kernel, const Tensor *const *inputs, size_t inputs_count, const double *attributes, size_t attributes_count,
                           Tensor **outputs) {
  return quarterturn::guarded([&] {
    variable_list tensors;
    for (size_t i = 0; i < inputs_count; ++i) tensors.push_back(inputs[i] == nullptr ? Tensor() : *inputs[i]);
    auto out = run(kernels[kernel], tensors, std::vector<double>(attributes, attributes + attributes_count));
    for (size_t i = 0; i < out.size(); ++i) outputs[i] = new Tensor(std::move(out[i]));
  });
}
