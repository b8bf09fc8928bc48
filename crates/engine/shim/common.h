// What every file of the shim shares: tensor handles as tch has them (at::Tensor*), and exceptions as text.
#pragma once
#include <ATen/core/Tensor.h>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <vector>

namespace quarterturn {

// Runs a body and returns null, or the text of the exception; the caller frees it.
template <typename Body>
char *guarded(Body &&body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const std::exception &error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}

inline std::vector<at::Tensor> list(const at::Tensor *const *tensors, size_t count) {
  std::vector<at::Tensor> result;
  result.reserve(count);
  for (size_t i = 0; i < count; ++i) result.push_back(*tensors[i]);
  return result;
}

} // namespace quarterturn
