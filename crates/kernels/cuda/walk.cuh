// The arguments of the passes of recurrent.cuh, and how a block walks through them: its rows, its units, the order of steps.
#pragma once

#include "group.cuh"

namespace recurrent {

constexpr unsigned THREADS = 256;

struct Sizes {
    /// B, T, H.
    uint64_t batch, time, hidden;
    /// The plan (src/recurrent/plan.rs): groups of blocks, blocks of a group, units of a block, rows of the batch that a group has at a time.
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
    /// Whatever is there, within 0..=T.
    DEVICE uint64_t length(unsigned row) const {
        const int64_t length = lengths ? lengths[first + row] : int64_t(sizes.time);
        return length < 0 ? 0 : uint64_t(length) < sizes.time ? uint64_t(length) : sizes.time;
    }
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

}  // namespace recurrent
