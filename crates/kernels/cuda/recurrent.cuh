// What the dense recurrences share: the passes over time of persistent kernels. A group of blocks carries some rows of the batch through all steps,
// each block its own units, whose rows of W_hh it keeps in shared memory from the first step to the last. Per step: the product with h on tensor
// cores, then the cell, unit by unit, then what the next step needs is passed on (group.cuh).
//
// The input's share of all steps, x · W_ihᵀ + b_ih + b_hh, is one product made beforehand, and the gradients of weights are products made
// afterwards: these kernels are only what must go step by step. The rounding of T applies to tensors and to the factors of the product; sums, h and c
// between steps are float.
#pragma once

#include "walk.cuh"

namespace recurrent {

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
