// One autograd function whose forward and backward pass are programs run by the interpreter.
#include "common.h"
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

using quarterturn::guarded;

// Implemented in Rust (src/closure.rs). Each returns null or the text of an error, which is freed here.
extern "C" {
char *qt_closure_forward(void *closure, const at::Tensor *const *inputs, size_t inputs_count, at::Tensor **outputs, size_t outputs_count);
char *qt_closure_backward(void *closure, const at::Tensor *const *inputs, size_t inputs_count, const at::Tensor *const *outputs, size_t outputs_count,
                          const at::Tensor *const *seeds, at::Tensor **gradients);
bool qt_closure_saves_outputs(void *closure);
void qt_closure_release(void *closure);
}

namespace {

struct Closure : torch::CustomClassHolder {
  void *handle;
  explicit Closure(void *handle) : handle(handle) {}
  ~Closure() override { qt_closure_release(handle); }
};

void raise(char *error) {
  if (error == nullptr) return;
  std::string text(error);
  free(error);
  throw std::runtime_error(text);
}

std::vector<const at::Tensor *> pointers(const std::vector<at::Tensor> &tensors, size_t start, size_t count) {
  std::vector<const at::Tensor *> result(count);
  for (size_t i = 0; i < count; ++i) result[i] = &tensors[start + i];
  return result;
}

std::vector<at::Tensor> owned(std::vector<at::Tensor *> &made) {
  std::vector<at::Tensor> result;
  for (auto *&tensor : made) {
    result.push_back(tensor == nullptr ? at::Tensor() : std::move(*tensor));
    delete tensor;
    tensor = nullptr;
  }
  return result;
}

struct ProgramFunction : torch::autograd::Function<ProgramFunction> {
  static std::vector<at::Tensor> forward(torch::autograd::AutogradContext *context, const c10::intrusive_ptr<Closure> &closure, int64_t outputs_count,
                                         at::TensorList list) {
    std::vector<at::Tensor> inputs = list.vec();
    std::vector<at::Tensor *> made(outputs_count, nullptr);
    auto given = pointers(inputs, 0, inputs.size());
    raise(qt_closure_forward(closure->handle, given.data(), given.size(), made.data(), made.size()));
    auto outputs = owned(made);
    std::vector<at::Tensor> fixed, saved = inputs;
    for (const auto &output : outputs)
      if (!at::isFloatingType(output.scalar_type())) fixed.push_back(output);
    context->mark_non_differentiable(fixed);
    if (qt_closure_saves_outputs(closure->handle)) saved.insert(saved.end(), outputs.begin(), outputs.end());
    context->save_for_backward(saved);
    context->saved_data["closure"] = c10::IValue::make_capsule(closure);
    context->saved_data["inputs"] = static_cast<int64_t>(inputs.size());
    return outputs;
  }

  static std::vector<at::Tensor> backward(torch::autograd::AutogradContext *context, std::vector<at::Tensor> seeds) {
    auto held = context->saved_data["closure"].toCapsule();
    auto *closure = static_cast<Closure *>(held.get());
    auto saved = context->get_saved_variables();
    size_t inputs_count = context->saved_data["inputs"].toInt();
    auto inputs = pointers(saved, 0, inputs_count), outputs = pointers(saved, inputs_count, saved.size() - inputs_count), given = pointers(seeds, 0, seeds.size());
    std::vector<at::Tensor *> made(inputs_count, nullptr);
    raise(qt_closure_backward(closure->handle, inputs.data(), inputs_count, outputs.data(), seeds.size(), given.data(), made.data()));
    auto gradients = owned(made);
    // The closure and the count of outputs come before the list of inputs.
    gradients.insert(gradients.begin(), 2, at::Tensor());
    return gradients;
  }
};

} // namespace

// Takes the closure over, also when it fails.
extern "C" char *qt_program(void *handle, const at::Tensor *const *inputs, size_t inputs_count, at::Tensor **outputs, size_t outputs_count) {
  return guarded([&] {
    auto closure = c10::make_intrusive<Closure>(handle);
    auto list = quarterturn::list(inputs, inputs_count);
    auto made = ProgramFunction::apply(closure, static_cast<int64_t>(outputs_count), at::TensorList(list));
    for (size_t i = 0; i < outputs_count; ++i) outputs[i] = new at::Tensor(made[i]);
  });
}
