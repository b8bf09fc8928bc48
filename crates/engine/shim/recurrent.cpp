// Our recurrences as libtorch operations with gradients: quarterturn::lstm, gru, rnn. One layer, one direction, batch first, float32 on the CPU.
// The arithmetic is in crates/kernels, reached through src/recurrent.rs; here are dispatch, autograd and the cache of packed weights.
// The library that holds this also loads into Python: torch.ops.load_library(path), torch.ops.quarterturn.lstm(...).
#include "common.h"
#include <c10/core/GradMode.h>
#include <c10/util/intrusive_ptr.h>
#include <list>
#include <memory>
#include <mutex>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using OptionalTensor = std::optional<Tensor>;

// The C face of src/recurrent.rs. Null pointers stand for what is absent or not wanted; a returned text is an error and the caller's to free.
extern "C" {
struct qt_layer {
  int64_t cell, batch, time, input, hidden;
  bool reverse;
  const float *weight_ih, *weight_hh, *bias_ih, *bias_hh;
  uint64_t version;
  void *packed;
};
struct qt_forward {
  const float *x, *h_0, *c_0;
  float *y, *h_n, *c_n, *reserve;
};
struct qt_backward {
  const float *x, *h_0, *c_0, *y;
  float *reserve;
  const float *dy, *dh_n, *dc_n;
  float *dx, *dh_0, *dc_0, *dweight_ih, *dweight_hh, *dbias_ih, *dbias_hh;
};
void *qt_packed_new();
void qt_packed_free(void *packed);
int64_t qt_recurrent_reserve(const qt_layer *layer);
char *qt_recurrent_forward(const qt_layer *layer, const qt_forward *buffers);
char *qt_recurrent_backward(const qt_layer *layer, const qt_backward *buffers);
}

namespace {

// As src/recurrent.rs numbers them.
enum Cell : int64_t { lstm = 0, gru = 1, rnn_tanh = 2, rnn_relu = 3 };

const char *name_of(int64_t cell) { return cell == lstm ? "lstm" : cell == gru ? "gru" : "rnn"; }

void raise(char *text) {
  if (text == nullptr) return;
  std::string message(text);
  free(text);
  TORCH_CHECK(false, message);
}

struct Weights {
  Tensor ih, hh, bias_ih, bias_hh; // biases may be undefined

  std::vector<Tensor> defined() const {
    std::vector<Tensor> all{ih, hh};
    for (const Tensor &bias : {bias_ih, bias_hh})
      if (bias.defined()) all.push_back(bias);
    return all;
  }
};

// Packed weights of one layer. They belong to the tensors they were made from, which are watched but not kept alive.
struct Packed {
  void *forms = qt_packed_new();
  std::vector<c10::weak_intrusive_ptr<c10::TensorImpl>> of;
  std::mutex mutex;
  uint64_t trained = 0; // training passes so far

  ~Packed() { qt_packed_free(forms); }

  bool is_of(const std::vector<Tensor> &weights) const {
    if (weights.size() != of.size()) return false;
    for (size_t i = 0; i < of.size(); ++i)
      if (of[i]._unsafe_get_target() != weights[i].unsafeGetTensorImpl()) return false;
    return true;
  }

  bool expired() const {
    for (const auto &weight : of)
      if (weight.expired()) return true;
    return false;
  }
};

struct PackedWeights {
  std::shared_ptr<Packed> packed;
  uint64_t version;
};

// The packed forms for these weights, and a number that changes with every update of them. libtorch's versions alone do not say: its fused
// optimizers leave them as they were. So every training pass counts as the forerunner of an update.
PackedWeights packed_for(const Weights &weights, bool training) {
  static std::mutex mutex;
  static auto *cache = new std::list<std::shared_ptr<Packed>>(); // newest first; never destroyed
  constexpr size_t most = 64;
  auto all = weights.defined();
  uint64_t version = 0;
  for (const Tensor &weight : all) {
    // Tensors without a version cannot be told apart from their later selves.
    if (weight.is_inference()) return {std::make_shared<Packed>(), 0};
    version = version * 1000003 + weight._version();
  }
  auto numbered = [&](const std::shared_ptr<Packed> &entry) -> PackedWeights {
    if (training) ++entry->trained;
    return {entry, version * 1000003 + entry->trained};
  };
  std::lock_guard<std::mutex> guard(mutex);
  for (auto entry = cache->begin(); entry != cache->end();) {
    if ((*entry)->expired()) {
      entry = cache->erase(entry);
    } else if ((*entry)->is_of(all)) {
      cache->splice(cache->begin(), *cache, entry);
      return numbered(cache->front());
    } else {
      ++entry;
    }
  }
  auto made = std::make_shared<Packed>();
  for (const Tensor &weight : all) made->of.emplace_back(weight.getIntrusivePtr());
  cache->push_front(made);
  if (cache->size() > most) cache->pop_back();
  return numbered(made);
}

// Null means absent; an empty tensor is there, though it may have no memory.
float nothing;
const float *read(const Tensor &tensor) { return !tensor.defined() ? nullptr : tensor.numel() == 0 ? &nothing : tensor.const_data_ptr<float>(); }
float *written(const Tensor &tensor) { return !tensor.defined() ? nullptr : tensor.numel() == 0 ? &nothing : tensor.mutable_data_ptr<float>(); }

void check(const char *op, const char *what, const Tensor &tensor, at::IntArrayRef expected) {
  if (!tensor.defined()) return;
  TORCH_CHECK(tensor.sizes() == expected, op, ": ", what, " must be ", expected, ", got ", tensor.sizes());
  TORCH_CHECK(tensor.scalar_type() == at::kFloat && tensor.device().is_cpu(), op, ": ", what, " must be float32 on the CPU");
}

// One call: its tensors, contiguous, and what the kernels want to know.
struct Layer {
  int64_t cell;
  bool reverse;
  Tensor x, h_0, c_0;
  Weights weights;
  int64_t batch, time, input, hidden;

  Layer(int64_t cell, bool reverse, const Tensor &x, const Tensor &h_0, const Tensor &c_0, const Weights &w)
      : cell(cell), reverse(reverse), x(x.contiguous()), h_0(h_0.contiguous()), c_0(c_0.defined() ? c_0.contiguous() : c_0),
        weights{w.ih.contiguous(), w.hh.contiguous(), w.bias_ih.defined() ? w.bias_ih.contiguous() : w.bias_ih,
                w.bias_hh.defined() ? w.bias_hh.contiguous() : w.bias_hh} {
    const char *op = name_of(cell);
    TORCH_CHECK(x.dim() == 3 && w.hh.dim() == 2, op, ": input must be [B, T, I] and weight_hh [G*H, H]");
    batch = x.size(0), time = x.size(1), input = x.size(2), hidden = w.hh.size(1);
    int64_t rows = hidden * (cell == lstm ? 4 : cell == gru ? 3 : 1);
    check(op, "input", x, {batch, time, input});
    check(op, "h_0", h_0, {batch, hidden});
    check(op, "c_0", c_0, {batch, hidden});
    check(op, "weight_ih", w.ih, {rows, input});
    check(op, "weight_hh", w.hh, {rows, hidden});
    check(op, "bias_ih", w.bias_ih, {rows});
    check(op, "bias_hh", w.bias_hh, {rows});
  }

  qt_layer described(const PackedWeights &packed) const {
    return {cell,           batch,         time, input, hidden, reverse, read(weights.ih), read(weights.hh), read(weights.bias_ih), read(weights.bias_hh),
            packed.version, packed.packed->forms};
  }

  // y, h_n, c_n (undefined but for the LSTM), and the reserve where one is wanted.
  variable_list forward(bool training) const {
    auto packed = packed_for(weights, training);
    std::lock_guard<std::mutex> guard(packed.packed->mutex);
    auto layer = described(packed);
    Tensor y = at::empty({batch, time, hidden}, x.options()), h_n = at::empty({batch, hidden}, x.options());
    Tensor c_n = cell == lstm ? at::empty({batch, hidden}, x.options()) : Tensor();
    Tensor reserve = training ? at::empty({qt_recurrent_reserve(&layer)}, x.options()) : Tensor();
    qt_forward buffers{read(x), read(h_0), read(c_0), written(y), written(h_n), written(c_n), written(reserve)};
    raise(qt_recurrent_forward(&layer, &buffers));
    return {y, h_n, c_n, reserve};
  }

  // The gradients of x, h_0, c_0 and the weights, as far as `wanted`. The reserve is used up.
  variable_list backward(const Tensor &y, const Tensor &reserve, const variable_list &grads, const std::vector<bool> &wanted) const {
    auto packed = packed_for(weights, false);
    std::lock_guard<std::mutex> guard(packed.packed->mutex);
    auto layer = described(packed);
    variable_list incoming;
    for (const Tensor &grad : grads) incoming.push_back(grad.defined() ? grad.contiguous() : grad);
    auto like = [&](const Tensor &tensor, bool want) { return want && tensor.defined() ? at::empty_like(tensor) : Tensor(); };
    bool any_weight = wanted[3] || wanted[4] || wanted[5] || wanted[6];
    variable_list out{like(x, wanted[0]),           like(h_0, wanted[1]),          like(c_0, wanted[2]), like(weights.ih, any_weight),
                      like(weights.hh, any_weight), like(weights.bias_ih, any_weight), like(weights.bias_hh, any_weight)};
    qt_backward buffers{read(x),        read(h_0),      read(c_0),      read(y),        written(reserve), read(incoming[0]), read(incoming[1]), read(incoming[2]),
                        written(out[0]), written(out[1]), written(out[2]), written(out[3]), written(out[4]), written(out[5]), written(out[6])};
    raise(qt_recurrent_backward(&layer, &buffers));
    return out;
  }
};

struct Recurrent : torch::autograd::Function<Recurrent> {
  static variable_list forward(AutogradContext *ctx, int64_t cell, bool reverse, const Tensor &x, const Tensor &h_0, const OptionalTensor &c_0,
                               const Tensor &ih, const Tensor &hh, const OptionalTensor &bias_ih, const OptionalTensor &bias_hh) {
    at::AutoDispatchBelowADInplaceOrView guard;
    ctx->set_materialize_grads(false);
    Layer layer(cell, reverse, x, h_0, c_0.value_or(Tensor()), {ih, hh, bias_ih.value_or(Tensor()), bias_hh.value_or(Tensor())});
    auto out = layer.forward(true);
    ctx->saved_data["cell"] = cell;
    ctx->saved_data["reverse"] = reverse;
    ctx->saved_data["reserve"] = out[3];
    ctx->save_for_backward({layer.x, layer.h_0, layer.c_0, ih, hh, bias_ih.value_or(Tensor()), bias_hh.value_or(Tensor()), out[0]});
    out.pop_back();
    if (cell != lstm) out.pop_back();
    return out;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    int64_t cell = ctx->saved_data["cell"].toInt();
    TORCH_CHECK(!at::GradMode::is_enabled(), name_of(cell),
                ": its gradient cannot be differentiated again; compute this layer with libtorch's own operation (gru and rnn have one that can)");
    grads.resize(3);
    auto saved = ctx->get_saved_variables();
    Layer layer(cell, ctx->saved_data["reverse"].toBool(), saved[0], saved[1], saved[2], {saved[3], saved[4], saved[5], saved[6]});
    Tensor y = saved[7], reserve;
    auto kept = ctx->saved_data.find("reserve");
    if (kept != ctx->saved_data.end()) {
      reserve = kept->second.toTensor();
      ctx->saved_data.erase(kept);
    } else {
      // A second pass over a graph that was kept: what the first one used up is computed again.
      reserve = layer.forward(true)[3];
    }
    std::vector<bool> wanted;
    for (size_t edge = 0, input = 0; input < 7; ++input) {
      bool present = (input != 2 || saved[2].defined()) && (input < 5 || saved[input].defined());
      wanted.push_back(present && ctx->needs_input_grad(edge));
      edge += present;
    }
    auto out = layer.backward(y, reserve, grads, wanted);
    return {Tensor(), Tensor(), out[0], out[1], out[2], out[3], out[4], out[5], out[6]};
  }
};

variable_list run(int64_t cell, bool reverse, const Tensor &x, const Tensor &h_0, const Tensor &c_0, const Tensor &ih, const Tensor &hh,
                  const OptionalTensor &bias_ih, const OptionalTensor &bias_hh) {
  auto given = [](const OptionalTensor &tensor) { return tensor.has_value() && tensor->defined() ? tensor : OptionalTensor(); };
  auto differentiable = [](const OptionalTensor &tensor) { return tensor.has_value() && tensor->defined() && tensor->requires_grad(); };
  bool recorded = at::GradMode::is_enabled();
  bool any = false;
  for (const OptionalTensor &tensor : {OptionalTensor(x), OptionalTensor(h_0), OptionalTensor(c_0), OptionalTensor(ih), OptionalTensor(hh), bias_ih, bias_hh})
    any = any || differentiable(tensor);
  if (recorded && any) return Recurrent::apply(cell, reverse, x, h_0, c_0.defined() ? OptionalTensor(c_0) : OptionalTensor(), ih, hh, given(bias_ih), given(bias_hh));
  at::AutoDispatchBelowADInplaceOrView guard;
  auto out = Layer(cell, reverse, x, h_0, c_0, {ih, hh, given(bias_ih).value_or(Tensor()), given(bias_hh).value_or(Tensor())}).forward(false);
  out.pop_back();
  return out;
}

std::tuple<Tensor, Tensor, Tensor> run_lstm(const Tensor &x, const Tensor &h_0, const Tensor &c_0, const Tensor &ih, const Tensor &hh,
                                            const OptionalTensor &bias_ih, const OptionalTensor &bias_hh, bool reverse) {
  auto out = run(lstm, reverse, x, h_0, c_0, ih, hh, bias_ih, bias_hh);
  return {out[0], out[1], out[2]};
}

std::tuple<Tensor, Tensor> run_gru(const Tensor &x, const Tensor &h_0, const Tensor &ih, const Tensor &hh, const OptionalTensor &bias_ih,
                                   const OptionalTensor &bias_hh, bool reverse) {
  auto out = run(gru, reverse, x, h_0, Tensor(), ih, hh, bias_ih, bias_hh);
  return {out[0], out[1]};
}

std::tuple<Tensor, Tensor> run_rnn(const Tensor &x, const Tensor &h_0, const Tensor &ih, const Tensor &hh, const OptionalTensor &bias_ih,
                                   const OptionalTensor &bias_hh, bool relu, bool reverse) {
  auto out = run(relu ? rnn_relu : rnn_tanh, reverse, x, h_0, Tensor(), ih, hh, bias_ih, bias_hh);
  return {out[0], out[1]};
}

} // namespace

TORCH_LIBRARY(quarterturn, m) {
  m.def("lstm(Tensor x, Tensor h_0, Tensor c_0, Tensor weight_ih, Tensor weight_hh, Tensor? bias_ih=None, Tensor? bias_hh=None, bool reverse=False) -> (Tensor, Tensor, Tensor)");
  m.def("gru(Tensor x, Tensor h_0, Tensor weight_ih, Tensor weight_hh, Tensor? bias_ih=None, Tensor? bias_hh=None, bool reverse=False) -> (Tensor, Tensor)");
  m.def("rnn(Tensor x, Tensor h_0, Tensor weight_ih, Tensor weight_hh, Tensor? bias_ih=None, Tensor? bias_hh=None, bool relu=False, bool reverse=False) -> (Tensor, Tensor)");
}

// One function serves both keys: it looks at the gradient mode itself.
TORCH_LIBRARY_IMPL(quarterturn, CPU, m) {
  m.impl("lstm", &run_lstm);
  m.impl("gru", &run_gru);
  m.impl("rnn", &run_rnn);
}

TORCH_LIBRARY_IMPL(quarterturn, Autograd, m) {
  m.impl("lstm", &run_lstm);
  m.impl("gru", &run_gru);
  m.impl("rnn", &run_rnn);
}

// The engine's way in: inputs are x, h_0, c_0 (null but for the LSTM), weight_ih, weight_hh, bias_ih, bias_hh (may be null).
extern "C" char *qt_recurrent(int64_t cell, bool reverse, const Tensor *const *inputs, Tensor **outputs) {
  return quarterturn::guarded([&] {
    auto optional = [](const Tensor *tensor) { return tensor == nullptr ? OptionalTensor() : OptionalTensor(*tensor); };
    auto out = run(cell, reverse, *inputs[0], *inputs[1], inputs[2] == nullptr ? Tensor() : *inputs[2], *inputs[3], *inputs[4], optional(inputs[5]), optional(inputs[6]));
    for (size_t i = 0; i < (cell == lstm ? 3 : 2); ++i) outputs[i] = new Tensor(out[i]);
  });
}
