// A residual addition and the norm that follows it, forward and backward.
//
//   s = x + r
//   layer:  y = (s - mean(s)) ρ ⊙ weight + bias     ρ = 1 / sqrt(var(s) + eps), the variance divided by D
//   rms:    y = s ρ ⊙ weight + bias                 ρ = 1 / sqrt(mean(s²) + eps)
//
// x, r, s and y [N, D], weight and bias [D]; float32 or bfloat16, sums float32. In bfloat16 it is s as written that is normalised. As
// crates/kernels/src/residual_norm. Sources: Ba et al. 2016, Zhang and Sennrich 2019.
//
// Bound by memory: a block takes rows one after another, reads each once and keeps it in shared memory. A thread has the same columns in every row, VEC
// neighbours out of every VEC · threads, so that what it keeps there, and what it sums over rows, is nobody else's.
#include "device.cuh"

namespace residual_norm {

constexpr unsigned MOST_THREADS = 512;

struct Norm {
    uint64_t rows, width;
    float eps;
    uint32_t rms;
};

template <typename T>
struct Forward {
    Norm norm;
    View<const T> x;
    View<const T> residual;      // [N, D], or absent: zeros
    View<const T> weight, bias;  // [D], or absent: ones and zeros
    View<T> sum;                 // [N, D], or absent: s
    View<T> y;                   // [N, D]
    View<float> statistics;      // [N, 2], or absent: mean (0 for rms) and ρ
};

template <typename T>
struct Backward {
    Norm norm;
    View<const T> sum;               // [N, D] as forward wrote it
    View<const T> weight;            // [D], or absent: ones
    View<const float> statistics;    // [N, 2] as forward wrote them
    View<const T> dy, dsum;          // [N, D], or absent: zeros; dsum is what comes to s from the stream
    View<T> dx;                      // [N, D]: of x, and of the residual
    View<float> parts;               // [blocks, 2, D], or absent: what each block has of dweight and dbias
};

template <typename T>
struct Columns {
    uint64_t width, parts_count;
    View<const float> parts;   // [parts, 2, D] of the pass backward
    View<T> dweight, dbias;    // [D], or absent
};

template <int VEC>
struct Vector {
    float at[VEC];

    /// Where there is nothing, `otherwise`.
    template <typename T>
    static DEVICE Vector load(View<T> from, size_t i, float otherwise = 0) {
        Vector to;
        if (from) {
            auto stored = from.template as<const Stored<T, VEC>>(i);
#pragma unroll
            for (int v = 0; v < VEC; v++) to.at[v] = to_float(stored.at[v]);
        } else {
#pragma unroll
            for (int v = 0; v < VEC; v++) to.at[v] = otherwise;
        }
        return to;
    }
    template <typename T>
    DEVICE void store(View<T> to, size_t i) const {
        Stored<T, VEC> stored;
#pragma unroll
        for (int v = 0; v < VEC; v++) stored.at[v] = from_float<T>(at[v]);
        to.template as<Stored<T, VEC>>(i) = stored;
    }
    /// As T will keep it.
    template <typename T>
    DEVICE void round() {
#pragma unroll
        for (int v = 0; v < VEC; v++) at[v] = to_float(from_float<T>(at[v]));
    }
};

/// Two sums over a block at once, in a fixed order.
struct Sums {
    float a, b;
};

/// The shared memory of sums: two places of 2 · 32 numbers, in turn, so that one meeting is enough.
struct BlockSum {
    View<float> places;
    unsigned turn = 0;

    DEVICE explicit BlockSum(Shared& shared) : places(shared.take<float>(2 * 2 * WARP)) {}

    DEVICE Sums operator()(Sums mine) {
        Sums sums = {warp_sum(mine.a), warp_sum(mine.b)};
        if (threads() == WARP) return sums;
        auto place = places.part(turn * 2 * WARP, 2 * WARP);
        turn ^= 1;
        if (lane() == 0) {
            place[2 * warp()] = sums.a;
            place[2 * warp() + 1] = sums.b;
        }
        sync_block();
        bool there = lane() < threads() / WARP;
        return {warp_sum(there ? place[2 * lane()] : 0), warp_sum(there ? place[2 * lane() + 1] : 0)};
    }
};

template <typename T, int VEC>
DEVICE void forward(const Forward<T>& arguments) {
    const Norm& norm = arguments.norm;
    const float width = float(norm.width);
    Shared shared;
    BlockSum block_sum(shared);
    auto row = shared.take<float>(norm.width);
    const size_t first = size_t(thread()) * VEC, step = size_t(threads()) * VEC;
    for (uint64_t n = block(); n < norm.rows; n += blocks()) {
        const size_t at = n * norm.width;
        float total = 0;
        for (size_t d = first; d < norm.width; d += step) {
            auto s = Vector<VEC>::load(arguments.x, at + d), r = Vector<VEC>::load(arguments.residual, at + d);
#pragma unroll
            for (int v = 0; v < VEC; v++) s.at[v] += r.at[v];
            s.template round<T>();
            if (arguments.sum) s.store(arguments.sum, at + d);
            s.store(row, d);
#pragma unroll
            for (int v = 0; v < VEC; v++) total += s.at[v];
        }
        const float mean = norm.rms ? 0 : block_sum({total, 0}).a / width;
        float square = 0;
        for (size_t d = first; d < norm.width; d += step) {
            auto s = Vector<VEC>::load(row, d);
#pragma unroll
            for (int v = 0; v < VEC; v++) square += (s.at[v] - mean) * (s.at[v] - mean);
        }
        const float scale = 1 / sqrtf(block_sum({square, 0}).a / width + norm.eps);
        for (size_t d = first; d < norm.width; d += step) {
            auto s = Vector<VEC>::load(row, d);
            auto weight = Vector<VEC>::load(arguments.weight, d, 1), bias = Vector<VEC>::load(arguments.bias, d);
#pragma unroll
            for (int v = 0; v < VEC; v++) s.at[v] = (s.at[v] - mean) * scale * weight.at[v] + bias.at[v];
            s.store(arguments.y, at + d);
        }
        if (arguments.statistics && thread() == 0) {
            arguments.statistics[2 * n] = mean;
            arguments.statistics[2 * n + 1] = scale;
        }
    }
}

/// With n = (s - mean) ρ and g = dy ⊙ weight: dx = ρ (g - mean(g) - n mean(g ⊙ n)) + dsum; the rms norm has no mean(g).
template <typename T, int VEC>
DEVICE void backward(const Backward<T>& arguments) {
    const Norm& norm = arguments.norm;
    const float width = float(norm.width);
    Shared shared;
    BlockSum block_sum(shared);
    auto kept_n = shared.take<float>(norm.width), kept_g = shared.take<float>(norm.width);
    const bool columns = bool(arguments.parts);
    auto dweight = shared.take<float>(columns ? norm.width : 0), dbias = shared.take<float>(columns ? norm.width : 0);
    const size_t first = size_t(thread()) * VEC, step = size_t(threads()) * VEC;
    auto zeros = Vector<VEC>();
    for (size_t d = first; columns && d < norm.width; d += step) zeros.store(dweight, d), zeros.store(dbias, d);
    for (uint64_t row = block(); row < norm.rows; row += blocks()) {
        const size_t at = row * norm.width;
        const float mean = arguments.statistics[2 * row], scale = arguments.statistics[2 * row + 1];
        Sums sums = {0, 0};
        for (size_t d = first; d < norm.width; d += step) {
            auto n = Vector<VEC>::load(arguments.sum, at + d), dy = Vector<VEC>::load(arguments.dy, at + d);
            auto weight = Vector<VEC>::load(arguments.weight, d, 1);
            Vector<VEC> g;
#pragma unroll
            for (int v = 0; v < VEC; v++) {
                n.at[v] = (n.at[v] - mean) * scale;
                g.at[v] = dy.at[v] * weight.at[v];
                sums.a += g.at[v];
                sums.b += g.at[v] * n.at[v];
            }
            n.store(kept_n, d);
            g.store(kept_g, d);
            if (!columns) continue;
            auto w = Vector<VEC>::load(dweight, d), b = Vector<VEC>::load(dbias, d);
#pragma unroll
            for (int v = 0; v < VEC; v++) {
                w.at[v] += dy.at[v] * n.at[v];
                b.at[v] += dy.at[v];
            }
            w.store(dweight, d);
            b.store(dbias, d);
        }
        sums = block_sum(sums);
        const float mean_g = norm.rms ? 0 : sums.a / width, mean_gn = sums.b / width;
        for (size_t d = first; d < norm.width; d += step) {
            auto n = Vector<VEC>::load(kept_n, d), g = Vector<VEC>::load(kept_g, d);
            auto dx = Vector<VEC>::load(arguments.dsum, at + d);
#pragma unroll
            for (int v = 0; v < VEC; v++) dx.at[v] += (g.at[v] - mean_g - n.at[v] * mean_gn) * scale;
            dx.store(arguments.dx, at + d);
        }
    }
    for (size_t d = first; columns && d < norm.width; d += step) {
        Vector<VEC>::load(dweight, d).store(arguments.parts, 2 * block() * norm.width + d);
        Vector<VEC>::load(dbias, d).store(arguments.parts, (2 * block() + 1) * norm.width + d);
    }
}

/// dweight and dbias of 32 columns a block, from the parts of all blocks: warps take parts in turn, the first warp adds up.
template <typename T>
DEVICE void columns(const Columns<T>& arguments) {
    const unsigned warps = threads() / WARP;
    auto sums = Shared().take<float>(2 * threads());
    const size_t width = arguments.width, d = size_t(block()) * WARP + lane();
    float dweight = 0, dbias = 0;
    for (uint64_t part = warp(); d < width && part < arguments.parts_count; part += warps) {
        dweight += arguments.parts[2 * part * width + d];
        dbias += arguments.parts[(2 * part + 1) * width + d];
    }
    sums[2 * thread()] = dweight;
    sums[2 * thread() + 1] = dbias;
    sync_block();
    if (warp() > 0 || d >= width) return;
    for (unsigned of = 1; of < warps; of++) {
        dweight += sums[2 * (of * WARP + lane())];
        dbias += sums[2 * (of * WARP + lane()) + 1];
    }
    if (arguments.dweight) arguments.dweight[d] = from_float<T>(dweight);
    if (arguments.dbias) arguments.dbias[d] = from_float<T>(dbias);
}

KERNEL(residual_norm_forward_float32, Forward<float>, MOST_THREADS) { forward<float, 1>(arguments); }
KERNEL(residual_norm_forward_float32x4, Forward<float>, MOST_THREADS) { forward<float, 4>(arguments); }
KERNEL(residual_norm_forward_bfloat16, Forward<bfloat16>, MOST_THREADS) { forward<bfloat16, 1>(arguments); }
KERNEL(residual_norm_forward_bfloat16x4, Forward<bfloat16>, MOST_THREADS) { forward<bfloat16, 4>(arguments); }
KERNEL(residual_norm_backward_float32, Backward<float>, MOST_THREADS) { backward<float, 1>(arguments); }
KERNEL(residual_norm_backward_float32x4, Backward<float>, MOST_THREADS) { backward<float, 4>(arguments); }
KERNEL(residual_norm_backward_bfloat16, Backward<bfloat16>, MOST_THREADS) { backward<bfloat16, 1>(arguments); }
KERNEL(residual_norm_backward_bfloat16x4, Backward<bfloat16>, MOST_THREADS) { backward<bfloat16, 4>(arguments); }
KERNEL(residual_norm_columns_float32, Columns<float>, MOST_THREADS) { columns(arguments); }
KERNEL(residual_norm_columns_bfloat16, Columns<bfloat16>, MOST_THREADS) { columns(arguments); }

}  // namespace residual_norm
