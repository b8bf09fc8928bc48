// The words of device.cuh for the CPU. Every thread of a block, and every block of a cluster or of a cooperative launch, is a fibre: they run one
// after the other, each until it has to wait for others. So barriers, shuffles and flags are executed as the kernel has them; a barrier that some
// never reach, and an index outside its view, end the launch with a message; shared memory holds NaN until it is written. What depends on the
// order in which threads run (a barrier that is missing) shows as a difference between two orders.
#pragma once

#include <cmath>
#include <cstring>

#define DEVICE inline
#define KERNEL(name, Arguments, threads)                                                                                              \
    static void name##_body(const Arguments& arguments);                                                                              \
    static const emulation::Kernel name##_kernel(                                                                                     \
        #name, threads, sizeof(Arguments), [](const void* from) { name##_body(*static_cast<const Arguments*>(from)); });              \
    static void name##_body([[maybe_unused]] const Arguments& arguments)
#define CHECK(condition, ...)                                                                                                         \
    do {                                                                                                                              \
        if (!(condition)) emulation::fail(__VA_ARGS__);                                                                               \
    } while (false)

struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) uint2 {
    uint32_t x, y;
};
struct alignas(8) float2 {
    float x, y;
};

namespace emulation {

/// An entry of the table of kernels.
struct Kernel {
    const char* name;
    unsigned threads;
    size_t arguments;
    void (*body)(const void*);
    const Kernel* next;

    Kernel(const char* name, unsigned threads, size_t arguments, void (*body)(const void*));
};

/// Where the fibre that runs now is.
struct Place {
    unsigned thread, block, rank;
};
extern __thread const Place* current;
inline const Place& place() { return *current; }
unsigned launched_threads();
unsigned launched_blocks();

/// Ends the launch.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

void sync_warp();
void sync_block();
void sync_cluster();
/// Lets all others run; for loops that wait for a flag.
void relax();
/// Tells that something another may wait for has been written.
void progress();

unsigned char* shared_base();
size_t shared_bytes();
/// The place in the shared memory of another block of the cluster.
void* remote(void* here, unsigned rank);

/// Gives `size` bytes to the warp and meets it; then `of(lane)` is what a lane gave, until the next exchange.
void exchange(const void* mine, size_t size);
const void* of(unsigned lane);

template <typename T>
T shuffle(T value, unsigned lane) {
    exchange(&value, sizeof value);
    memcpy(&value, of(lane), sizeof value);
    return value;
}

}  // namespace emulation

inline unsigned thread() { return emulation::place().thread; }
inline unsigned threads() { return emulation::launched_threads(); }
inline unsigned block() { return emulation::place().block; }
inline unsigned blocks() { return emulation::launched_blocks(); }

inline void sync_block() { emulation::sync_block(); }
inline void sync_warp() { emulation::sync_warp(); }

template <typename T>
T shuffle(T value, unsigned lane) { return emulation::shuffle(value, lane); }
template <typename T>
T shuffle_xor(T value, unsigned mask) { return emulation::shuffle(value, thread() % 32 ^ mask); }
template <typename T>
T shuffle_up(T value, unsigned distance) {
    unsigned lane = thread() % 32;
    return emulation::shuffle(value, lane < distance ? lane : lane - distance);
}

inline unsigned char* shared_base() { return emulation::shared_base(); }
inline size_t shared_bytes() { return emulation::shared_bytes(); }

inline unsigned cluster_rank() { return emulation::place().rank; }
inline void sync_cluster() { emulation::sync_cluster(); }

inline void release_add(uint32_t& to) {
    to += 1;
    emulation::progress();
}
inline uint32_t load_acquire(const uint32_t& from) { return from; }
inline void relax() { emulation::relax(); }
inline uint4 load_fresh(const uint4& from) { return from; }
template <typename T>
void prefetch(const T&) {}

inline uint32_t to_tf32(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return std::isfinite(x) ? (bits + 0x1000) & ~0x1fffu : bits;
}

template <typename T>
struct View;
inline void store_remote(View<uint32_t> shared, size_t i, unsigned rank, uint32_t value);

void mma_bfloat16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
