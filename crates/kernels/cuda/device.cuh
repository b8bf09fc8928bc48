// The words that kernels are written in. Each means the same to nvcc and, with EMULATED, to the emulation that runs kernels on the CPU
// (emulation/emulation.h); no CUDA header is needed. Kernels use these and nothing of CUDA beside them.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef EMULATED
#include "emulation/emulation.h"
#else
#define DEVICE __device__ __forceinline__
// A kernel has one argument, a plain struct that Rust holds too (#[repr(C)]): `arguments` in the body. The 1 leaves it the registers of a multiprocessor: without
// it ptxas spills some to make room for a second block.
#define KERNEL(name, Arguments, threads) extern "C" __global__ void __launch_bounds__(threads, 1) name(const __grid_constant__ Arguments arguments)
#define CHECK(condition, ...)
#endif

/// bfloat16 as it is stored; arithmetic is in float.
struct alignas(2) bfloat16 {
    uint16_t bits;
};

/// `len` elements of a tensor or of shared memory. The emulation refuses what lies outside; on a device `len` costs nothing where it is not read.
/// An absent tensor has `len` 0.
template <typename T>
struct View {
    T* data;
    uint64_t len;

    DEVICE T& operator[](size_t i) const {
        CHECK(i < len, "element %zu of a view of %zu", i, size_t(len));
        return data[i];
    }
    /// `count` elements from `first` on.
    DEVICE View part(size_t first, size_t count) const {
        CHECK(first + count <= len, "elements %zu to %zu of a view of %zu", first, first + count, size_t(len));
        return {data + first, count};
    }
    /// The elements from `i` on as one V (uint4: 16 bytes in one transaction), whose alignment they must have.
    template <typename V>
    DEVICE V& as(size_t i) const {
        CHECK(i + sizeof(V) / sizeof(T) <= len, "%zu elements at %zu of a view of %zu", sizeof(V) / sizeof(T), i, size_t(len));
        CHECK(uintptr_t(data + i) % alignof(V) == 0, "element %zu is not aligned to %zu bytes", i, alignof(V));
        return *reinterpret_cast<V*>(data + i);
    }
    DEVICE explicit operator bool() const { return len != 0; }
};

/// COUNT elements that move in one transaction: `view.as<Stored<float, 4>>(i)`.
template <typename T, int COUNT>
struct alignas(sizeof(T) * COUNT) Stored {
    T at[COUNT];
};

template <typename To, typename From>
DEVICE To bits_of(From from) {
    static_assert(sizeof(To) == sizeof(From), "of one size");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}

DEVICE float to_float(float x) { return x; }
DEVICE float to_float(bfloat16 x) { return bits_of<float>(uint32_t(x.bits) << 16); }

/// Rounds to nearest, ties to even.
template <typename T>
DEVICE T from_float(float x);
template <>
DEVICE float from_float<float>(float x) { return x; }

constexpr unsigned WARP = 32;

#ifdef EMULATED
template <>
DEVICE bfloat16 from_float<bfloat16>(float x) {
    uint32_t bits = bits_of<uint32_t>(x);
    if (x != x) return {0x7fff};
    return {uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

DEVICE void store_remote(View<uint32_t> shared, size_t i, unsigned rank, uint32_t value) {
    *static_cast<uint32_t*>(emulation::remote(&shared[i], rank)) = value;
}
DEVICE Stored<uint32_t, 2> load_fresh(const Stored<uint32_t, 2>& from) { return from; }
#else
template <>
DEVICE bfloat16 from_float<bfloat16>(float x) {
    bfloat16 y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}

// Where this thread is. Grids and blocks have one dimension.
DEVICE unsigned thread() { return threadIdx.x; }
DEVICE unsigned threads() { return blockDim.x; }
DEVICE unsigned block() { return blockIdx.x; }
DEVICE unsigned blocks() { return gridDim.x; }

/// All threads of the block meet; what any wrote before, all see after.
DEVICE void sync_block() { __syncthreads(); }

/// All lanes of the warp meet likewise.
DEVICE void sync_warp() { __syncwarp(); }

/// The value of the lane whose number differs in the bits of `mask`, and of the lane `distance` before (one's own where there is none).
template <typename T>
DEVICE T shuffle_xor(T value, unsigned mask) { return __shfl_xor_sync(~0u, value, mask); }
template <typename T>
DEVICE T shuffle_up(T value, unsigned distance) { return __shfl_up_sync(~0u, value, distance); }
/// The value of `lane`.
template <typename T>
DEVICE T shuffle(T value, unsigned lane) { return __shfl_sync(~0u, value, lane); }

/// The dynamic shared memory of the block, 16 bytes aligned. Take it through Shared.
extern __shared__ uint4 dynamic_shared[];
DEVICE unsigned char* shared_base() { return reinterpret_cast<unsigned char*>(dynamic_shared); }

// Blocks of a cluster (from sm_90 on; before, every block is a cluster of its own).
#if __CUDA_ARCH__ >= 900
DEVICE unsigned cluster_rank() {
    unsigned rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}
/// All threads of the cluster meet; what any wrote to shared or global memory before, all see after.
DEVICE void sync_cluster() {
    __syncwarp();  // "aligned" wants the lanes together
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}
/// Writes the element of the block `rank` of the cluster that has the place of `shared[i]` here.
DEVICE void store_remote(View<uint32_t> shared, size_t i, unsigned rank, uint32_t value) {
    uint32_t here = uint32_t(__cvta_generic_to_shared(&shared[i])), there;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(here), "r"(rank));
    asm volatile("st.shared::cluster.u32 [%0], %1;" ::"r"(there), "r"(value) : "memory");
}
#else
DEVICE unsigned cluster_rank() { return 0; }
DEVICE void sync_cluster() { __syncthreads(); }
DEVICE void store_remote(View<uint32_t> shared, size_t i, unsigned, uint32_t value) { shared[i] = value; }
#endif

// Flags and values in global memory that blocks of a cooperative launch pass to each other.
/// Adds 1; what this thread wrote or saw before, whoever acquires the sum sees.
DEVICE void release_add(uint32_t& to) { asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(&to) : "memory"); }
DEVICE uint32_t load_acquire(const uint32_t& from) {
    uint32_t value;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(&from) : "memory");
    return value;
}
/// Before looking at a flag again.
DEVICE void relax() {}
/// Past L1, which does not see what other blocks write.
DEVICE uint4 load_fresh(const uint4& from) {
    uint4 v;
    asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(&from) : "memory");
    return v;
}

DEVICE Stored<uint32_t, 2> load_fresh(const Stored<uint32_t, 2>& from) {
    Stored<uint32_t, 2> v;
    asm volatile("ld.global.cg.v2.u32 {%0, %1}, [%2];" : "=r"(v.at[0]), "=r"(v.at[1]) : "l"(&from));
    return v;
}

/// Asks for the line to be in L2 by the time it is read.
template <typename T>
DEVICE void prefetch(const T& at) { asm volatile("prefetch.global.L2 [%0];" ::"l"(&at)); }

/// One rounding of a float to TF32, in its upper bits.
DEVICE uint32_t to_tf32(float x) {
    uint32_t y;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
    return y;
}

// d += a · b on tensor cores, a [16, K], b [K, 8], d [16, 8] in float, spread over the lanes of a warp. In words of 32 bits (two bfloat16, one TF32)
// a and b have 8 words along K, and for both types lane l holds, with r = l / 4 and w = l % 4:
//   a: (r, w) (r + 8, w) (r, w + 4) (r + 8, w + 4)     b: (w, r) (w + 4, r)     d: (r, 2w) (r, 2w + 1) (r + 8, 2w) (r + 8, 2w + 1)
DEVICE void mma_bfloat16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
DEVICE void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif

DEVICE unsigned lane() { return thread() % WARP; }
DEVICE unsigned warp() { return thread() / WARP; }

/// Deals out the dynamic shared memory of a block, in the order of the calls, each piece 16 bytes aligned. The plan in Rust adds up the same pieces
/// (`plan::Shared`).
struct Shared {
    size_t used = 0;

    template <typename T>
    DEVICE View<T> take(size_t count) {
        View<T> view{reinterpret_cast<T*>(shared_base() + used), count};
        used += (count * sizeof(T) + 15) / 16 * 16;
        CHECK(used <= shared_bytes(), "%zu bytes of shared memory, where the launch has %zu", used, shared_bytes());
        return view;
    }
};

/// The sum over the warp, in every lane, in a fixed order.
DEVICE float warp_sum(float x) {
    for (unsigned mask = WARP / 2; mask > 0; mask /= 2) x += shuffle_xor(x, mask);
    return x;
}

DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
