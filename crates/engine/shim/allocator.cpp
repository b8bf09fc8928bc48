// The CPU memory of tensors: blocks of 64 KB and more are kept for reuse, because a training step allocates the same sizes again
// and faulting fresh pages in costs more than many operations. What is kept stays within a fraction of what was in use.
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <new>
#include <unordered_map>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace {

// Smaller blocks are the C library's. Among blocks of a few hundred KB there, each small object that outlives a step (the
// loss somebody still holds) leaves a gap that the next step does not fit into: the heap grew by 1.4 MB a step.
constexpr size_t large = size_t(1) << 16;
constexpr size_t page = size_t(1) << 12;
constexpr size_t huge_page = size_t(1) << 21;
constexpr size_t slack = size_t(64) << 20;       // kept whatever was in use
constexpr uint64_t window = 4096;                // allocations over which the peak is taken

// Eight sizes per power of two, so that lengths that differ a little share blocks.
size_t rounded(size_t size) {
  size_t step = page;
  while (step * 16 <= size) step *= 2;
  return (size + step - 1) / step * step;
}

void *map_pages(size_t size) {
#if defined(__linux__)
  void *memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  if (size >= 2 * huge_page) madvise(memory, size, MADV_HUGEPAGE);
  return memory;
#else
  return c10::alloc_cpu(size);
#endif
}

void unmap_pages(void *memory, size_t size) {
#if defined(__linux__)
  munmap(memory, size);
#else
  (void)size;
  c10::free_cpu(memory);
#endif
}

struct Cache {
  std::mutex mutex;
  std::unordered_map<void *, size_t> used;                      // large blocks by address
  std::multimap<size_t, std::pair<uint64_t, void *>> idle;      // size to (when it was given back, address)
  std::map<uint64_t, decltype(idle)::iterator> by_age;          // the same, longest idle first
  size_t in_use = 0, kept = 0, peak = 0, earlier_peak = 0;
  uint64_t clock = 0;

  size_t budget() const { return std::max(peak, earlier_peak) / 4 * 5 + slack; }

  void *take(size_t size) {
    size = rounded(size);
    std::lock_guard<std::mutex> guard(mutex);
    if (++clock % window == 0) earlier_peak = peak, peak = in_use;
    auto found = idle.lower_bound(size);
    void *memory = nullptr;
    // Where there is no room for a new block, a larger one is better than fresh pages.
    size_t most = in_use + kept + size > budget() ? size * 4 : size / 4 * 5;
    if (found != idle.end() && found->first <= most) {
      memory = found->second.second;
      size = found->first;
      kept -= size;
      by_age.erase(found->second.first);
      idle.erase(found);
    } else {
      peak = std::max(peak, in_use + size);
      shrink(size);
      memory = map_pages(size);
      if (memory == nullptr) release(SIZE_MAX), memory = map_pages(size);
      if (memory == nullptr) return nullptr;
    }
    in_use += size;
    peak = std::max(peak, in_use);
    used.emplace(memory, size);
    return memory;
  }

  bool give(void *memory) {
    std::lock_guard<std::mutex> guard(mutex);
    auto found = used.find(memory);
    if (found == used.end()) return false;
    size_t size = found->second;
    used.erase(found);
    in_use -= size;
    kept += size;
    by_age.emplace(clock + 1, idle.emplace(size, std::make_pair(clock + 1, memory)));
    clock++;
    shrink(0);
    return true;
  }

  // Makes room for `more` within the budget.
  void shrink(size_t more) {
    if (in_use + kept + more > budget()) release(in_use + kept + more - budget());
  }

  // Unmaps what has been idle longest, until `enough` bytes are back.
  void release(size_t enough) {
    size_t done = 0;
    while (done < enough && !by_age.empty()) {
      auto oldest = by_age.begin()->second;
      unmap_pages(oldest->second.second, oldest->first);
      done += oldest->first;
      kept -= oldest->first;
      by_age.erase(by_age.begin());
      idle.erase(oldest);
    }
  }
};

// Never destroyed: tensors may outlive every static object.
Cache &cache() {
  static Cache *instance = new Cache();
  return *instance;
}

void give_back(void *memory) {
  if (memory != nullptr && !cache().give(memory)) c10::free_cpu(memory);
}

struct Allocator final : c10::Allocator {
  c10::DataPtr allocate(size_t size) override {
    const c10::Device cpu(c10::DeviceType::CPU);
    if (size < large) {
      void *memory = c10::alloc_cpu(size);
      return {memory, memory, &c10::free_cpu, cpu};
    }
    void *memory = cache().take(size);
    // Asked once more, the original says in its own words what is wrong.
    if (memory == nullptr) memory = c10::alloc_cpu(size);
    return {memory, memory, &give_back, cpu};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &give_back; }
  void copy_data(void *target, const void *source, size_t size) const override { default_copy_data(target, source, size); }
};

} // namespace

// Installs the allocator, once per process.
extern "C" void qt_keep_memory() {
  static Allocator *allocator = [] {
    auto *made = new Allocator();
    c10::SetCPUAllocator(made, /*priority=*/1);
    return made;
  }();
  (void)allocator;
}

// Returns everything idle to the system.
extern "C" void qt_trim_memory() {
  std::lock_guard<std::mutex> guard(cache().mutex);
  cache().release(SIZE_MAX);
}
