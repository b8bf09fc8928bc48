// Blocks that carry the same rows of the batch through time, each some of the units: how every block gets, after each step, what all have computed.
#pragma once

#include "tile.cuh"

/// Which block of which group this is, and the [rows, words] that the group shares.
struct Share {
    unsigned group, rank, blocks, rows, words;
};

/// Within a cluster: each block writes into the shared memory of all. Two buffers in turn, so that one meeting a step is enough: who writes the next
/// values has seen everybody finish with those before.
struct ClusterExchange {
    Share share;
    /// From one row to the next: an odd number of 32 bytes, so that the rows which lanes read together lie in different banks.
    unsigned stride;
    View<uint32_t> buffers;
    unsigned turn = 0;

    DEVICE ClusterExchange(Shared& shared, const Share& share, View<uint32_t>, View<uint32_t>)
        : share(share), stride((share.words / 8 | 1) * 8), buffers(shared.take<uint32_t>(2 * share.rows * stride)) {}

    /// The first word of a row, in this step's buffer (0) or the next one's (1).
    DEVICE unsigned row_of(unsigned ahead, unsigned row) const { return ((turn ^ ahead) * share.rows + row) * stride; }

    /// What the product of this step reads (Resident::multiply).
    DEVICE Pair pair(unsigned row, unsigned k) const { return buffers.as<Pair>(row_of(0, row) + k * 8 + lane() % 4 * 2); }
    /// A word for the next step, to all.
    DEVICE void publish(unsigned row, unsigned word, uint32_t value) const {
        for (unsigned rank = 0; rank < share.blocks; rank++) store_remote(buffers, row_of(1, row) + place_of(word), rank, value);
    }
    /// Ends the step.
    DEVICE void next() {
        sync_cluster();
        turn ^= 1;
    }
    /// Sets what the first step reads: word(row, word).
    template <typename Word>
    DEVICE void begin(Word word) const {
        for (unsigned i = thread(); i < share.rows * share.words; i += threads()) {
            const unsigned row = i / share.words, column = i % share.words;
            buffers[row_of(0, row) + place_of(column)] = word(row, column);
            buffers[row_of(1, row) + column] = 0;
        }
        sync_cluster();
    }
};

/// Over a cooperative launch: by way of global memory, that is L2, from where the product reads. `passed` holds two buffers [rows, words] for each group
/// in turn, `counters` a line for each group; zeros at the start.
struct GridExchange {
    Share share;
    View<uint32_t> buffers, counter;
    unsigned turn = 0;
    uint32_t met = 0;

    static constexpr unsigned LINE = 32;

    DEVICE GridExchange(Shared&, const Share& share, View<uint32_t> passed, View<uint32_t> counters)
        : share(share),
          buffers(passed.part(size_t(share.group) * 2 * share.rows * share.words, size_t(2) * share.rows * share.words)),
          counter(counters.part(size_t(share.group) * LINE, 1)) {}

    DEVICE size_t row_of(unsigned ahead, unsigned row) const { return size_t((turn ^ ahead) * share.rows + row) * share.words; }

    DEVICE Pair pair(unsigned row, unsigned k) const {
        return load_fresh(buffers.as<Pair>(row_of(0, row) + k * 8 + lane() % 4 * 2));
    }
    DEVICE void publish(unsigned row, unsigned word, uint32_t value) const {
        buffers[row_of(1, row) + place_of(word)] = value;
    }
    /// All threads of the group meet.
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
        turn ^= 1;
    }
    template <typename Word>
    DEVICE void begin(Word word) {
        for (unsigned i = share.rank * threads() + thread(); i < share.rows * share.words; i += share.blocks * threads()) {
            const unsigned row = i / share.words, column = i % share.words;
            buffers[row_of(0, row) + place_of(column)] = word(row, column);
        }
        meet();
    }
};
