// Products of a matrix that stays in shared memory for the whole launch with 16 rows of a batch that change every step, on tensor cores.
#pragma once

#include "device.cuh"

/// Elements in a word of 32 bits, and along K in the 8 words of an mma.
template <typename T>
constexpr unsigned LANES = sizeof(uint32_t) / sizeof(T);
template <typename T>
constexpr unsigned DEPTH = 8 * LANES<T>;

/// The sides of the squares that the resident matrix and the batch are cut into.
constexpr unsigned TILE = 16;

DEVICE uint32_t pack(const float (&x)[1]) { return bits_of<uint32_t>(x[0]); }
DEVICE uint32_t pack(const float (&x)[2]) { return from_float<bfloat16>(x[0]).bits | uint32_t(from_float<bfloat16>(x[1]).bits) << 16; }

/// A lane's words of 16 rows by 8 words of the resident matrix, in mma's order: one load of 16 bytes.
struct alignas(16) Fragment {
    uint32_t words[4];
};

template <typename T>
DEVICE void mma(float (&d)[4], const Fragment& a, const uint32_t (&b)[2]);

template <>
DEVICE void mma<bfloat16>(float (&d)[4], const Fragment& a, const uint32_t (&b)[2]) { mma_bfloat16(d, a.words, b); }

/// float32 on tensor cores: each factor is the sum of two TF32, and the product of the two small parts, 2^-22 of the whole, is left out.
template <>
DEVICE void mma<float>(float (&d)[4], const Fragment& a, const uint32_t (&b)[2]) {
    uint32_t a_large[4], a_small[4], b_large[2], b_small[2];
    for (int i = 0; i < 4; i++) {
        a_large[i] = to_tf32(bits_of<float>(a.words[i]));
        a_small[i] = to_tf32(bits_of<float>(a.words[i]) - bits_of<float>(a_large[i]));
    }
    for (int i = 0; i < 2; i++) {
        b_large[i] = to_tf32(bits_of<float>(b[i]));
        b_small[i] = to_tf32(bits_of<float>(b[i]) - bits_of<float>(b_large[i]));
    }
    mma_tf32(d, a_small, b_large);
    mma_tf32(d, a_large, b_small);
    mma_tf32(d, a_large, b_large);
}

/// The two words of a row that a lane reads for an mma, w and w + 4 of 8, lie side by side: `word` of K is kept at this place of its row.
DEVICE unsigned place_of(unsigned word) { return word / 8 * 8 + word % 4 * 2 + word % 8 / 4; }
using Pair = Stored<uint32_t, 2>;

/// How the product of a block is cut: `tiles` of 16 units, each with `G` rows per unit (gates), `depth` fragments along K, dealt out to `parts` warps, for `rows` of
/// the batch at a time, 8 or 16.
struct Cut {
    unsigned tiles, depth, parts, rows;
};

/// Rows of sums are spread over the banks that the lanes of an mma write to.
constexpr unsigned SUM_ROW = TILE + 4;

template <typename T, int G>
struct Resident {
    Cut cut;
    View<Fragment> weights;
    /// [tiles · parts, G, rows of the batch, SUM_ROW]
    View<float> sums;

    DEVICE Resident(Shared& shared, Cut cut)
        : cut(cut),
          weights(shared.take<Fragment>(size_t(cut.tiles) * cut.depth * G * WARP)),
          sums(shared.take<float>(size_t(cut.tiles) * cut.parts * G * cut.rows * SUM_ROW)) {}

    /// Reads the matrix: element(gate, unit, k), as float, asked once for each.
    template <typename Element>
    DEVICE void load(Element element) {
        for (size_t i = thread(); i < weights.len; i += threads()) {
            unsigned lane = i % WARP, gate = i / WARP % G, fragment = i / (WARP * G);
            unsigned row = fragment / cut.depth * TILE + lane / 4, word = fragment % cut.depth * 8 + lane % 4;
            for (unsigned w = 0; w < 4; w++) {
                float value[LANES<T>];
                for (unsigned l = 0; l < LANES<T>; l++) value[l] = element(gate, row + w % 2 * 8, (word + w / 2 * 4) * LANES<T> + l);
                weights[i].words[w] = pack(value);
            }
        }
    }

    /// sums = the matrix · rows of the batch: pair(row, k) is the lane's pair of words of fragment k. All threads of the block; to be followed by a
    /// meeting before `sum`.
    template <typename PairOf>
    DEVICE void multiply(PairOf pair) const {
        const bool both = cut.rows > 8;
        for (unsigned item = warp(); item < cut.tiles * cut.parts; item += threads() / WARP) {
            float d[G][2][4] = {};
            // Several fragments at once, so that one waits for memory while others are multiplied.
#pragma unroll 4
            for (unsigned k = item % cut.parts; k < cut.depth; k += cut.parts) {
                const Pair first = pair(lane() / 4, k), second = both ? pair(lane() / 4 + 8, k) : Pair{};
                for (int g = 0; g < G; g++) {
                    const Fragment a = weights[((item / cut.parts * cut.depth + k) * G + g) * WARP + lane()];
                    mma<T>(d[g][0], a, first.at);
                    if (both) mma<T>(d[g][1], a, second.at);
                }
            }
            for (int g = 0; g < G; g++)
                for (unsigned i = 0; i < 8; i++) {
                    unsigned row = i / 4 * 8 + lane() % 4 * 2 + i % 2, unit = lane() / 4 + i / 2 % 2 * 8;
                    if (i < 4 || both) sums[((item * G + g) * cut.rows + row) * SUM_ROW + unit] = d[g][i / 4][i % 4];
                }
        }
    }

    /// The product of one gate of a unit with one of the rows, from its parts in their order.
    DEVICE float sum(unsigned gate, unsigned unit, unsigned row) const {
        float sum = 0;
        for (unsigned part = 0; part < cut.parts; part++)
            sum += sums[((size_t(unit / TILE * cut.parts + part) * G + gate) * cut.rows + row) * SUM_ROW + unit % TILE];
        return sum;
    }
};
