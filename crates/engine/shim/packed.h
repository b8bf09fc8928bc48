// Packed forms of weights, kept as long as the weights live and stay the same.
#pragma once
#include <ATen/core/Tensor.h>
#include <c10/util/intrusive_ptr.h>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

// Of src/kernels/face.rs: empty forms of any kernel's weights, filled by it when it first needs them.
extern "C" void *qt_packed_new();
extern "C" void qt_packed_free(void *packed);

namespace quarterturn {

// Packed weights of one layer. They belong to the tensors they were made from, which are watched but not kept alive.
struct Packed {
  void *forms = qt_packed_new();
  std::vector<c10::weak_intrusive_ptr<c10::TensorImpl>> of;
  std::mutex mutex;
  uint64_t trained = 0; // training passes so far
  // Of a convolution: its weight in oneDNN's order, the version that it was made from, and all else that the order depends on.
  at::Tensor reordered;
  uint64_t reordered_version = 0;
  std::vector<int64_t> reordered_for;

  ~Packed() { qt_packed_free(forms); }

  bool is_of(const std::vector<at::Tensor> &weights) const {
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
inline PackedWeights packed_for(const std::vector<at::Tensor> &weights, bool training) {
  static std::mutex mutex;
  static auto *cache = new std::list<std::shared_ptr<Packed>>(); // newest first; never destroyed
  constexpr size_t most = 512; // more than a ResNet-152 has
  uint64_t version = 0;
  for (const at::Tensor &weight : weights) {
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
    } else if ((*entry)->is_of(weights)) {
      cache->splice(cache->begin(), *cache, entry);
      return numbered(cache->front());
    } else {
      ++entry;
    }
  }
  auto made = std::make_shared<Packed>();
  for (const at::Tensor &weight : weights) made->of.emplace_back(weight.getIntrusivePtr());
  cache->push_front(made);
  if (cache->size() > most) cache->pop_back();
  return numbered(made);
}

} // namespace quarterturn
