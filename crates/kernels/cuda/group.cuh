// Blocks that carry the same rows of the batch through time, each some of the units: how every block gets, after each step, what all have computed.
#pragma once

#include "device.cuh"

/// Which block of which group this is, and the [rows, words] that the group shares; rows are `stride` words apart in shared memory.
struct Share {
    unsigned group, rank, blocks, rows, words;

    /// An odd number of 16 bytes, so that the rows which an mma reads lie in different banks.
    DEVICE unsigned stride() const { return words + 4; }
    DEVICE size_t len() const { return size_t(rows) * stride(); }
};

/// Within a cluster: each block writes into the shared memory of all. Two buffers in turn, so that one meeting a step is enough: who writes the next
/// values has seen everybody finish with the values before these.
struct ClusterExchange {
    Share share;
    View<uint32_t> both;
    unsigned turn = 0;

    DEVICE ClusterExchange(Shared& shared, const Share& share, View<uint32_t>, View<uint32_t>)
        : share(share), both(shared.take<uint32_t>(2 * share.len())) {}

    /// What the product of this step reads.
    DEVICE View<uint32_t> now() const { return both.part(turn * share.len(), share.len()); }
    /// A word for the next step, to all.
    DEVICE void publish(unsigned row, unsigned word, uint32_t value) const {
        size_t at = (1 - turn) * share.len() + row * share.stride() + word;
        for (unsigned rank = 0; rank < share.blocks; rank++) store_remote(both, at, rank, value);
    }
    DEVICE void meet() { sync_cluster(); }
    /// Ends the step.
    DEVICE void next() {
        meet();
        turn = 1 - turn;
    }
    /// Sets what the first step reads; every block sets all of its own.
    template <typename Word>
    DEVICE void begin(Word word) {
        turn = 0;
        for (size_t i = thread(); i < both.len; i += threads()) {
            unsigned row = i % share.len() / share.stride(), column = i % share.stride();
            both[i] = i < share.len() && column < share.words ? word(row, column) : 0;
        }
        meet();
    }
};

/// Over a cooperative launch: by way of global memory, that is L2. `passed` holds two buffers [rows, words] for each group in turn, `counters` a word for
/// each group; both zeros at the start.
struct GridExchange {
    Share share;
    View<uint32_t> here, passed, counter;
    unsigned turn = 0;
    uint32_t met = 0;

    /// Words from the counter of one group to that of the next: a line.
    static constexpr unsigned LINE = 32;

    DEVICE GridExchange(Shared& shared, const Share& share, View<uint32_t> passed, View<uint32_t> counters)
        : share(share),
          here(shared.take<uint32_t>(share.len())),
          passed(passed.part(size_t(share.group) * 2 * share.rows * share.words, size_t(2) * share.rows * share.words)),
          counter(counters.part(size_t(share.group) * LINE, 1)) {}

    DEVICE View<uint32_t> now() const { return here; }
    DEVICE void publish(unsigned row, unsigned word, uint32_t value) const {
        passed[(size_t(1 - turn) * share.rows + row) * share.words + word] = value;
    }
    DEVICE void meet() {
        sync_block();
        if (thread() == 0) {
            met += share.blocks;
            release_add(counter[0]);
            while (load_acquire(counter[0]) < met) relax();
        }
        sync_block();
    }
    DEVICE void next() {
        meet();
        turn = 1 - turn;
        for (unsigned i = thread(); i < share.rows * share.words / 4; i += threads()) {
            unsigned row = i / (share.words / 4), word = i % (share.words / 4) * 4;
            here.as<uint4>(row * share.stride() + word) = load_fresh(passed.as<uint4>((size_t(turn) * share.rows + row) * share.words + word));
        }
        sync_block();
    }
    template <typename Word>
    DEVICE void begin(Word word) {
        for (size_t i = thread(); i < here.len; i += threads()) {
            unsigned row = i / share.stride(), column = i % share.stride();
            here[i] = column < share.words ? word(row, column) : 0;
        }
        meet();
    }
};
