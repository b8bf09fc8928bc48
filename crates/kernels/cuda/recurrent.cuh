// What the dense recurrences share: the passes over time of persistent kernels. A group of blocks carries some rows of the batch through all steps,
// each block its own units, whose rows of W_hh it keeps in shared memory from the first step to the last. Per step: the product with h on tensor
// cores, then the cell, unit by unit, then what the next step needs is passed on (group.cuh).
//
// The input's share of all steps, x · W_ihᵀ + b_ih + b_hh, is one product made beforehand, and the gradients of weights are products made
// afterwards: these kernels are only what must go step by step. The rounding of T applies to tensors and to the factors of the product; sums, h and c
// between steps are float.
#pragma once

#include "group.cuh"
#include "tile.cuh"

namespace recurrent {

constexpr unsigned THREADS = 256;

struct Sizes {
    /// B, T, H.
    uint64_t batch, time, hidden;
    /// The plan (src/recurrent.rs): groups of blocks, blocks of a group, units of a block, rows of the batch that a group has at a time.
    uint32_t groups, blocks, units, rows;
    /// Warps that share one tile of units.
    uint32_t parts;
    uint32_t reverse;
};

template <typename T>
struct Forward {
    /// [B, T, G·H], the input's share of the gates.
    View<T> pre;
    /// [G·H, H]
    View<T> weight_hh;
    /// [H], added to the hidden share of the last gate where present (the GRU's b_hn, which r multiplies).
    View<T> bias;
    /// [B, H]; absent means zeros.
    View<T> h_0, c_0;
    /// [B], within 0..=T; absent means T. Row b ends, and with `reverse` starts, at its own last step; later steps give y = 0.
    View<int64_t> lengths;
    /// [B, T, H], and [B, H] where wanted.
    View<T> y, h_n, c_n;
    /// For backward, where wanted: the activated gates [B, T, G·H] (may be `pre`), and what the cell keeps beside them [B, T, H].
    View<T> gates;
    View<float> kept;
    View<uint32_t> passed, counters;
    Sizes sizes;
};

template <typename T>
struct Backward {
    /// As forward had or left them.
    View<T> gates;
    View<float> kept;
    View<T> weight_hh, y, h_0, c_0;
    View<int64_t> lengths;
    /// [B, T, H], [B, H]; absent means zeros.
    View<T> dy, dh_n, dc_n;
    /// [B, T, G·H], the gradient of `pre` (may be `gates`), zeros after a row's length; and where wanted [B, T, H], that of the hidden share of the
    /// last gate, for a cell in which the two differ.
    View<T> d_pre, d_hidden;
    /// [B, H] where wanted.
    View<T> dh_0, dc_0;
    View<uint32_t> passed, counters;
    Sizes sizes;
};

/// What the value before a step is that the cell's backward reads.
enum class Before { NOTHING, KEPT, OUTPUT };

template <typename T>
DEVICE float at(View<T> from, size_t i) {
    return from ? to_float(from[i]) : 0.0f;
}

template <typename T>
DEVICE void put(View<T> to, size_t i, float value) {
    if (to) to[i] = from_float<T>(value);
}

/// The rows and units of this block and the order of steps: s counts them as they are computed, t is their place in tensors.
template <typename T>
struct Walk {
    const Sizes& sizes;
    View<int64_t> lengths;
    unsigned group, rank;
    /// The first row, and how many there are.
    uint64_t first = 0;
    unsigned rows = 0;

    DEVICE Walk(const Sizes& sizes, View<int64_t> lengths)
        : sizes(sizes), lengths(lengths), group(block() / sizes.blocks), rank(block() % sizes.blocks) {}

    /// Takes the group's next rows.
    DEVICE bool next() {
        first = rows == 0 ? uint64_t(group) * sizes.rows : first + uint64_t(sizes.groups) * sizes.rows;
        if (first >= sizes.batch) return false;
        rows = unsigned(sizes.batch - first < sizes.rows ? sizes.batch - first : sizes.rows);
        return true;
    }
    DEVICE uint64_t length(unsigned row) const { return lengths ? uint64_t(lengths[first + row]) : sizes.time; }
    DEVICE uint64_t longest() const {
        uint64_t longest = 0;
        for (unsigned row = 0; row < rows; row++) longest = length(row) > longest ? length(row) : longest;
        return longest;
    }
    /// Row of [B, T, …] of step s; steps past the length stay in their places.
    DEVICE size_t step(unsigned row, uint64_t s) const {
        uint64_t t = sizes.reverse && s < length(row) ? length(row) - 1 - s : s;
        return (first + row) * sizes.time + t;
    }
    DEVICE size_t state(unsigned row, uint64_t unit) const { return (first + row) * sizes.hidden + unit; }

    /// Words of units, per row.
    DEVICE unsigned words() const { return sizes.units / LANES<T>; }
    /// K of one gate: H in whole fragments, in words.
    DEVICE unsigned words_of_gate() const { return unsigned((sizes.hidden + DEPTH<T> - 1) / DEPTH<T>) * 8; }

    /// Deals the words of units of the rows `from..to` out to the threads: work(row, word, its first unit here, that unit of H), where there is one.
    template <typename Work>
    DEVICE void each(unsigned from, unsigned to, Work work) const {
        for (unsigned i = thread(); i < (to - from) * words(); i += threads()) {
            unsigned row = from + i / words(), word = i % words();
            uint64_t unit = uint64_t(rank) * sizes.units + word * LANES<T>;
            if (row < rows && unit < sizes.hidden) work(row, word, word * LANES<T>, unit);
        }
    }
    DEVICE Cut cut(unsigned gates) const { return {sizes.units / TILE, gates * words_of_gate() / 8, sizes.parts, rows_at_once()}; }
    /// Rows that one product takes.
    DEVICE unsigned rows_at_once() const { return sizes.rows < TILE ? sizes.rows : TILE; }
    DEVICE Share share(unsigned gates) const { return {group, rank, sizes.blocks, sizes.rows, gates * words_of_gate()}; }
};

template <typename Cell, typename Exchange, typename T>
DEVICE void forward(const Forward<T>& p) {
    constexpr int G = Cell::GATES;
    constexpr unsigned L = LANES<T>;
    const uint64_t H = p.sizes.hidden;
    Walk<T> walk(p.sizes, p.lengths);
    Shared shared;
    Resident<T, G> resident(shared, walk.cut(1));
    auto h = shared.take<float>(p.sizes.rows * p.sizes.units), c = shared.take<float>(p.sizes.rows * p.sizes.units);
    Exchange exchange(shared, walk.share(1), p.passed, p.counters);
    resident.load([&](unsigned gate, unsigned row, uint64_t k) {
        uint64_t unit = uint64_t(walk.rank) * p.sizes.units + row;
        return unit < H && k < H ? to_float(p.weight_hh[(gate * H + unit) * H + k]) : 0.0f;
    });

    while (walk.next()) {
        walk.each(0, walk.rows, [&](unsigned row, unsigned, unsigned here, uint64_t unit) {
            for (unsigned l = 0; l < L && unit + l < H; l++) {
                h[row * p.sizes.units + here + l] = at(p.h_0, walk.state(row, unit + l));
                c[row * p.sizes.units + here + l] = at(p.c_0, walk.state(row, unit + l));
            }
        });
        exchange.begin([&](unsigned row, unsigned word) {
            float value[L];
            for (unsigned l = 0; l < L; l++)
                value[l] = row < walk.rows && word * L + l < H ? at(p.h_0, walk.state(row, word * L + l)) : 0.0f;
            return pack(value);
        });

        const uint64_t longest = walk.longest();
        for (uint64_t s = 0; s < longest; s++) {
            for (unsigned from = 0; from < walk.rows; from += TILE) {
                resident.multiply([&](unsigned row, unsigned k) { return exchange.pair(from + row, k); });
                sync_block();
                walk.each(from, from + TILE, [&](unsigned row, unsigned word, unsigned here, uint64_t unit) {
                    const bool real = s < walk.length(row);
                    const size_t step = walk.step(row, s);
                    float values[L] = {};
#pragma unroll
                    for (unsigned l = 0; l < L; l++) {
                        if (unit + l >= H) continue;
                        if (!real) {
                            put(p.y, step * H + unit + l, 0);
                            continue;
                        }
                        float gate[G], hidden[G], kept = 0;
                        for (int g = 0; g < G; g++) {
                            gate[g] = to_float(p.pre[(step * G + g) * H + unit + l]);
                            hidden[g] = resident.sum(g, here + l, row - from);
                        }
                        hidden[G - 1] += at(p.bias, unit + l);
                        const size_t state = row * p.sizes.units + here + l;
                        Cell::forward(gate, hidden, h[state], c[state], kept);
                        values[l] = h[state];
                        put(p.y, step * H + unit + l, values[l]);
                        if (p.gates)
                            for (int g = 0; g < G; g++) p.gates[(step * G + g) * H + unit + l] = from_float<T>(gate[g]);
                        put(p.kept, step * H + unit + l, kept);
                    }
                    exchange.publish(row, walk.rank * walk.words() + word, pack(values));
                    if (s + 1 < walk.length(row))
                        for (int g = 0; g < G; g++) prefetch(p.pre[(walk.step(row, s + 1) * G + g) * H + unit]);
                });
                if (from + TILE < walk.rows) sync_block();
            }
            exchange.next();
        }

        walk.each(0, walk.rows, [&](unsigned row, unsigned, unsigned here, uint64_t unit) {
            for (unsigned l = 0; l < L && unit + l < H; l++) {
                put(p.h_n, walk.state(row, unit + l), h[row * p.sizes.units + here + l]);
                put(p.c_n, walk.state(row, unit + l), c[row * p.sizes.units + here + l]);
                for (uint64_t s = longest; s < p.sizes.time; s++) put(p.y, walk.step(row, s) * H + unit + l, 0);
            }
        });
    }
}

template <typename Cell, typename Exchange, typename T>
DEVICE void backward(const Backward<T>& p) {
    constexpr int G = Cell::GATES;
    constexpr unsigned L = LANES<T>;
    const uint64_t H = p.sizes.hidden;
    Walk<T> walk(p.sizes, p.lengths);
    Shared shared;
    Resident<T, 1> resident(shared, walk.cut(G));
    // The gradients of h, without what goes through W_hh, and of c after the step.
    auto dh = shared.take<float>(p.sizes.rows * p.sizes.units), dc = shared.take<float>(p.sizes.rows * p.sizes.units);
    Exchange exchange(shared, walk.share(G), p.passed, p.counters);
    resident.load([&](unsigned, unsigned row, uint64_t k) {
        const uint64_t unit = uint64_t(walk.rank) * p.sizes.units + row, gate_len = walk.words_of_gate() * L;
        const uint64_t gate = k / gate_len, from = k % gate_len;
        return unit < H && from < H ? to_float(p.weight_hh[(gate * H + from) * H + unit]) : 0.0f;
    });

    while (walk.next()) {
        walk.each(0, walk.rows, [&](unsigned row, unsigned, unsigned here, uint64_t unit) {
            for (unsigned l = 0; l < L && unit + l < H; l++) {
                dh[row * p.sizes.units + here + l] = at(p.dh_n, walk.state(row, unit + l));
                dc[row * p.sizes.units + here + l] = at(p.dc_n, walk.state(row, unit + l));
            }
        });
        exchange.begin([](unsigned, unsigned) { return 0u; });

        // The product at step s is with the gradients of step s + 1; the last one, s = -1, gives the gradient of h_0.
        const uint64_t longest = walk.longest();
        for (uint64_t left = longest + 1; left-- > 0;) {
            const uint64_t s = left - 1;
            for (unsigned from = 0; from < walk.rows; from += TILE) {
                resident.multiply([&](unsigned row, unsigned k) { return exchange.pair(from + row, k); });
                sync_block();
                walk.each(from, from + TILE, [&](unsigned row, unsigned word, unsigned here, uint64_t unit) {
                    const bool real = left > 0 && s < walk.length(row);
                    float hidden[G][L] = {};
#pragma unroll
                    for (unsigned l = 0; l < L; l++) {
                        if (unit + l >= H) continue;
                        const size_t state = row * p.sizes.units + here + l;
                        dh[state] += resident.sum(0, here + l, row - from);
                        if (left == 0) continue;
                        const size_t step = walk.step(row, s);
                        float gate[G] = {}, d_hidden = 0;
                        if (real) {
                            for (int g = 0; g < G; g++) gate[g] = to_float(p.gates[(step * G + g) * H + unit + l]);
                            float before = 0;
                            if (Cell::BEFORE == Before::KEPT)
                                before = s > 0 ? p.kept[walk.step(row, s - 1) * H + unit + l] : at(p.c_0, walk.state(row, unit + l));
                            if (Cell::BEFORE == Before::OUTPUT)
                                before = s > 0 ? to_float(p.y[walk.step(row, s - 1) * H + unit + l]) : at(p.h_0, walk.state(row, unit + l));
                            dh[state] += at(p.dy, step * H + unit + l);
                            d_hidden = Cell::backward(gate, at(p.kept, step * H + unit + l), before, dh[state], dc[state]);
                        }
                        for (int g = 0; g < G; g++) {
                            p.d_pre[(step * G + g) * H + unit + l] = from_float<T>(gate[g]);
                            hidden[g][l] = g == G - 1 ? d_hidden : gate[g];
                        }
                        put(p.d_hidden, step * H + unit + l, d_hidden);
                    }
                    if (left > 0)
                        for (int g = 0; g < G; g++)
                            exchange.publish(row, g * walk.words_of_gate() + walk.rank * walk.words() + word, pack(hidden[g]));
                    if (left > 1 && s - 1 < walk.length(row)) {
                        const size_t next = walk.step(row, s - 1);
                        for (int g = 0; g < G; g++) prefetch(p.gates[(next * G + g) * H + unit]);
                        if (p.dy) prefetch(p.dy[next * H + unit]);
                    }
                });
                if (from + TILE < walk.rows) sync_block();
            }
            exchange.next();
        }

        walk.each(0, walk.rows, [&](unsigned row, unsigned, unsigned here, uint64_t unit) {
            for (unsigned l = 0; l < L && unit + l < H; l++) {
                put(p.dh_0, walk.state(row, unit + l), dh[row * p.sizes.units + here + l]);
                put(p.dc_0, walk.state(row, unit + l), dc[row * p.sizes.units + here + l]);
                for (uint64_t s = longest; s < p.sizes.time; s++) {
                    for (int g = 0; g < G; g++) put(p.d_pre, (walk.step(row, s) * G + g) * H + unit + l, 0);
                    put(p.d_hidden, walk.step(row, s) * H + unit + l, 0);
                }
            }
        });
    }
}

}  // namespace recurrent

// The entries of one cell: both passes, both types, both ways of passing values on.
#define RECURRENT_KERNELS_OF(name, Cell, Exchange, way, T, dtype)                                                                      \
    KERNEL(name##_forward_##way##_##dtype, recurrent::Forward<T>, recurrent::THREADS) {                                                \
        recurrent::forward<Cell, Exchange>(arguments);                                                                                 \
    }                                                                                                                                  \
    KERNEL(name##_backward_##way##_##dtype, recurrent::Backward<T>, recurrent::THREADS) {                                              \
        recurrent::backward<Cell, Exchange>(arguments);                                                                                \
    }
#define RECURRENT_KERNELS(name, Cell)                                           \
    RECURRENT_KERNELS_OF(name, Cell, ClusterExchange, cluster, float, float32)  \
    RECURRENT_KERNELS_OF(name, Cell, ClusterExchange, cluster, bfloat16, bfloat16) \
    RECURRENT_KERNELS_OF(name, Cell, GridExchange, grid, float, float32)        \
    RECURRENT_KERNELS_OF(name, Cell, GridExchange, grid, bfloat16, bfloat16)
