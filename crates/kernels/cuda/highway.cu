// A stack of highway layers: the coupled gates of a recurrence, along depth.
//
//   h = φ(W_h x_k + b_h)      t = σ(W_t x_k + b_t)      x_(k+1) = t ⊙ h + (1 - t) ⊙ x_k      k = 0 … K-1
//
// x_0 and x_K [N, D]; weights [K, 2·D, D] and biases [K, 2·D], of each layer first those of h, then those of t; φ is tanh or max(0, ·). float32 or
// bfloat16; sums, and x (backward: its gradient) from layer to layer, float. As crates/kernels/src/highway. Source: Srivastava et al. 2015, equation 3.
//
// Rows are independent, so a group of blocks carries some of them through all layers, each block its own units: every layer's weights are read once per
// group, straight from L2 into the registers of tensor cores. After a layer the blocks of a group meet, and each reads what all have made.
#include "tile.cuh"

namespace highway {

constexpr unsigned THREADS = 256;
constexpr unsigned WARPS = THREADS / WARP;

struct Sizes {
    /// N, D, K.
    uint64_t rows, width, layers;
    /// The plan (src/highway.rs): groups, blocks of a group, units of a block (whole pairs of tiles), warps that share the sums of a tile.
    uint32_t groups, blocks, units, parts;
    uint32_t relu, unused;
};

template <typename T>
struct Forward {
    View<const T> x;       // [N, D]
    View<const T> weight;  // [K, 2·D, D]
    View<const T> bias;    // [K, 2·D]; absent means zeros
    View<T> y;             // [N, D]
    View<T> gates;         // h and t of every layer [K, N, 2·D], where wanted
    View<T> between;       // x_1 … x_(K-1): [K-1, N, D] with gates, otherwise two of them in turn, [2, N, D]
    View<uint32_t> counters;
    Sizes sizes;
};

template <typename T>
struct Backward {
    View<const T> x;
    View<const T> weight_t;  // [K, D, 2·D], each layer's weights transposed
    View<T> gates;           // as forward wrote them; they become the gradients of W x + b, from which the caller has those of the weights
    View<const T> between;
    View<const T> dy;        // [N, D]
    View<T> dx;              // [N, D]
    View<uint32_t> counters;
    Sizes sizes;
};

/// φ, and its slope where it is h.
DEVICE float activate(float a, bool relu) { return !relu ? tanhf(a) : a <= 0 ? 0 : a; }
DEVICE float slope(float h, bool relu) { return !relu ? 1 - h * h : h <= 0 ? 0 : 1; }

/// 16 bytes.
using Words = Stored<uint32_t, 4>;

/// The blocks of a group meet: a cluster by its barrier, any others, all of which then run at once, by a counter in global memory.
template <bool GRID>
struct Meeting {
    unsigned blocks;
    View<uint32_t> counter;
    uint32_t met = 0;

    DEVICE Meeting(const Sizes& sizes, View<uint32_t> counters)
        : blocks(sizes.blocks), counter(GRID ? counters.part(block() / sizes.blocks * LINE, 1) : counters) {}

    DEVICE void operator()() {
        if constexpr (GRID) {
            sync_block();
            if (thread() == 0) {
                met += blocks;
                release_add(counter[0]);
                while (load_acquire(counter[0]) < met) relax();
            }
            sync_block();
        } else {
            sync_cluster();
        }
    }
    /// Words from one counter to the next: a line.
    static constexpr unsigned LINE = 32;
};

/// ROWS rows [K] in shared memory, and their products with rows of a matrix [., K] in global memory: two tiles of 16 at a time.
///
/// The order of K within an mma is free as long as both factors have the same. So a lane takes 4 neighbouring words out of 16, in one transaction each: the
/// first two of them are what the first mma wants as words w and w + 4, the others are for a second one.
template <typename T, int ROWS>
struct Product {
    static constexpr int COLUMNS = ROWS / 8;
    using Sums = float[2][COLUMNS][4];

    /// K in words, and in chunks of 16.
    unsigned words, chunks, stride, parts;
    View<uint32_t> rows;
    View<float> sums;

    DEVICE Product(Shared& shared, uint64_t k, unsigned parts)
        : words(unsigned(k / LANES<T>)), chunks((words + 15) / 16), stride((chunks | 1) * 16), parts(parts),
          rows(shared.take<uint32_t>(ROWS * stride)),
          sums(shared.take<float>(parts > 1 ? THREADS * 2 * COLUMNS * 4 : 0)) {}

    /// Reads `count` rows; the rest is zeros. To be followed by a meeting.
    template <typename From>
    DEVICE void read(View<From> from, unsigned count) const {
        for (unsigned i = thread(); i < ROWS * chunks * 4; i += threads()) {
            const unsigned row = i / (chunks * 4), word = i % (chunks * 4) * 4;
            uint4 value = {0, 0, 0, 0};
            // Past L1: other blocks have written it.
            if (row < count && word < words) value = load_fresh(from.template as<const uint4>((row * words + word) * LANES<T>));
            rows.as<uint4>(row * stride + word) = value;
        }
    }

    /// A lane's words of rows r and r + 8 of both tiles, whose first rows are given and which end before `end`.
    DEVICE void fetch(Words (&to)[2][2], View<const T> matrix, const uint64_t (&tiles)[2], const uint64_t (&ends)[2], unsigned chunk) const {
        const unsigned word = chunk * 16 + lane() % 4 * 4;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const uint64_t row = tiles[i / 2] + lane() / 4 + i % 2 * 8;
            const bool there = row < ends[i / 2] && word < words;
            to[i / 2][i % 2] = there ? matrix.template as<const Words>((row * words + word) * LANES<T>) : Words{{0, 0, 0, 0}};
        }
    }

    /// This warp's part of the products; d as an mma leaves it.
    DEVICE void multiply(Sums& d, View<const T> matrix, const uint64_t (&tiles)[2], const uint64_t (&ends)[2]) const {
        Words ahead[2][2];
        fetch(ahead, matrix, tiles, ends, warp() % parts);
        for (unsigned chunk = warp() % parts; chunk < chunks; chunk += parts) {
            Words now[2][2] = {{ahead[0][0], ahead[0][1]}, {ahead[1][0], ahead[1][1]}};
            fetch(ahead, matrix, tiles, ends, chunk + parts);
            const Words(&a)[2][2] = now;
#pragma unroll
            for (int column = 0; column < COLUMNS; column++) {
                const auto b = rows.as<const Words>((column * 8 + lane() / 4) * stride + chunk * 16 + lane() % 4 * 4);
#pragma unroll
                for (int half = 0; half < 4; half += 2)
#pragma unroll
                    for (int tile = 0; tile < 2; tile++)
                        mma<T>(d[tile][column],
                               {{a[tile][0].at[half], a[tile][1].at[half], a[tile][0].at[half + 1], a[tile][1].at[half + 1]}},
                               {b.at[half], b.at[half + 1]});
            }
        }
    }

    /// All products of `count` pairs of tiles, the i-th of which begin at tiles(i): use(i, which tile, row of it, row here, product). All threads of the block.
    template <typename Tiles, typename Use>
    DEVICE void each(View<const T> matrix, unsigned count, Tiles tiles, Use use) const {
        const unsigned at_once = WARPS / parts;
        for (unsigned first = 0; first < count; first += at_once) {
            const unsigned pair = first + warp() / parts, part = warp() % parts;
            Sums d = {};
            if (pair < count) {
                uint64_t starts[2], ends[2];
                tiles(pair, starts, ends);
                multiply(d, matrix, starts, ends);
            }
            if (parts > 1) add_up(d, part);
            if (pair < count && part == 0) {
#pragma unroll
                for (int column = 0; column < COLUMNS; column++)
#pragma unroll
                    for (int i = 0; i < 4; i++) {
                        const unsigned row = lane() / 4 + i / 2 * 8, here = column * 8 + lane() % 4 * 2 + i % 2;
                        use(pair, row, here, d[0][column][i], d[1][column][i]);
                    }
            }
        }
    }

    /// Adds the parts of a tile to its first, in their order.
    DEVICE void add_up(Sums& d, unsigned part) const {
        constexpr unsigned OF_WARP = 2 * COLUMNS * 4 * WARP;
#pragma unroll
        for (int i = 0; i < 2 * COLUMNS * 4; i++) sums[warp() * OF_WARP + i * WARP + lane()] = d[i / 4 / COLUMNS][i / 4 % COLUMNS][i % 4];
        sync_block();
        for (unsigned other = 1; part == 0 && other < parts; other++)
#pragma unroll
            for (int i = 0; i < 2 * COLUMNS * 4; i++)
                d[i / 4 / COLUMNS][i / 4 % COLUMNS][i % 4] += sums[(warp() + other) * OF_WARP + i * WARP + lane()];
        sync_block();
    }
};

/// What a block keeps in float from layer to layer: its units of ROWS rows.
template <int ROWS>
struct State {
    View<float> values;
    uint64_t first = 0;
    unsigned width, count = 0, from, units;

    DEVICE State(Shared& shared, const Sizes& sizes)
        : values(shared.take<float>(ROWS * (sizes.units + 4))), width(unsigned(sizes.width)), units(sizes.units) {
        from = block() % sizes.blocks * units;
    }
    DEVICE float& at(unsigned row, unsigned unit) const { return values[row * (units + 4) + unit]; }
    /// Whether that row and that unit of the block are any of the tensor's.
    DEVICE bool has(unsigned row, unsigned unit) const { return row < count && from + unit < width; }
    /// Takes the group's next rows, from `first` on.
    DEVICE bool next(const Sizes& sizes) {
        const uint64_t group = block() / sizes.blocks;
        first = count == 0 ? group * ROWS : first + uint64_t(sizes.groups) * ROWS;
        if (first >= sizes.rows) return false;
        count = sizes.rows - first < ROWS ? unsigned(sizes.rows - first) : ROWS;
        return true;
    }
    /// Every row and unit: body(row, unit of D, its value).
    template <typename Body>
    DEVICE void each(Body body) const {
        for (unsigned i = thread(); i < ROWS * units; i += threads()) {
            const unsigned row = i / units, unit = i % units;
            if (has(row, unit)) body(row, from + unit, at(row, unit));
        }
    }
};

/// The rows from `first` on of the layer-th [N, `width`] of a tensor.
template <typename T>
DEVICE View<T> layer_of(View<T> from, uint64_t layer, const Sizes& sizes, uint64_t width, uint64_t first) {
    return from.part((layer * sizes.rows + first) * width, (sizes.rows - first) * width);
}

template <typename T, int ROWS, bool GRID>
DEVICE void forward(const Forward<T>& p) {
    const Sizes& sizes = p.sizes;
    const unsigned D = unsigned(sizes.width);
    // Those that backward will want are all kept; otherwise two take turns.
    const bool all = bool(p.gates);
    Shared shared;
    Product<T, ROWS> product(shared, D, sizes.parts);
    State<ROWS> x(shared, sizes);
    Meeting<GRID> meet(sizes, p.counters);
    while (x.next(sizes)) {
        const auto between = [&](uint64_t layer) { return layer_of(p.between, all ? layer - 1 : layer % 2, sizes, D, x.first); };
        const auto given = layer_of(p.x, 0, sizes, D, x.first);
        x.each([&](unsigned row, unsigned unit, float& value) { value = to_float(given[row * D + unit]); });
        for (uint64_t layer = 0; layer < sizes.layers; layer++) {
            if (layer == 0) product.read(given, x.count);
            else product.read(between(layer), x.count);
            sync_block();
            const bool last = layer + 1 == sizes.layers;
            const auto after = last ? View<T>{nullptr, 0} : between(layer + 1);
            const auto gates = all ? layer_of(p.gates, layer, sizes, 2 * D, x.first) : p.gates;
            product.each(
                p.weight, sizes.units / TILE,
                [&](unsigned tile, uint64_t (&starts)[2], uint64_t (&ends)[2]) {
                    for (int gate = 0; gate < 2; gate++) {
                        ends[gate] = (2 * layer + gate + 1) * D;
                        starts[gate] = ends[gate] - D + x.from + tile * TILE;
                    }
                },
                [&](unsigned tile, unsigned row_of_tile, unsigned row, float a_h, float a_t) {
                    const unsigned here = tile * TILE + row_of_tile, unit = x.from + here;
                    if (!x.has(row, here)) return;
                    if (p.bias) {
                        a_h += to_float(p.bias[2 * layer * D + unit]);
                        a_t += to_float(p.bias[(2 * layer + 1) * D + unit]);
                    }
                    const float h = activate(a_h, sizes.relu), t = sigmoid(a_t);
                    float& value = x.at(row, here);
                    value = t * h + (1 - t) * value;
                    if (all) {
                        gates[row * 2 * D + unit] = from_float<T>(h);
                        gates[(row * 2 + 1) * D + unit] = from_float<T>(t);
                    }
                    if (!last) after[row * D + unit] = from_float<T>(value);
                });
            if (last) sync_block();
            else meet();
        }
        const auto y = layer_of(p.y, 0, sizes, D, x.first);
        x.each([&](unsigned row, unsigned unit, float& value) { y[row * D + unit] = from_float<T>(value); });
    }
}

template <typename T, int ROWS, bool GRID>
DEVICE void backward(const Backward<T>& p) {
    const Sizes& sizes = p.sizes;
    const unsigned D = unsigned(sizes.width);
    Shared shared;
    Product<T, ROWS> product(shared, 2 * D, sizes.parts);
    State<ROWS> d(shared, sizes);
    Meeting<GRID> meet(sizes, p.counters);
    while (d.next(sizes)) {
        const auto dy = layer_of(p.dy, 0, sizes, D, d.first);
        d.each([&](unsigned row, unsigned unit, float& value) { value = to_float(dy[row * D + unit]); });
        for (uint64_t left = sizes.layers; left-- > 0;) {
            const auto gates = layer_of(p.gates, left, sizes, 2 * D, d.first);
            const auto x = left == 0 ? layer_of(p.x, 0, sizes, D, d.first) : layer_of(p.between, left - 1, sizes, D, d.first);
            d.each([&](unsigned row, unsigned unit, float& value) {
                T &of_h = gates[row * 2 * D + unit], &of_t = gates[(row * 2 + 1) * D + unit];
                const float h = to_float(of_h), t = to_float(of_t), before = to_float(x[row * D + unit]);
                of_h = from_float<T>(value * t * slope(h, sizes.relu));
                of_t = from_float<T>(value * (h - before) * t * (1 - t));
                value *= 1 - t;
            });
            meet();
            product.read(gates, d.count);
            sync_block();
            product.each(
                p.weight_t, sizes.units / (2 * TILE),
                [&](unsigned pair, uint64_t (&starts)[2], uint64_t (&ends)[2]) {
                    for (int tile = 0; tile < 2; tile++) {
                        ends[tile] = (left + 1) * D;
                        starts[tile] = ends[tile] - D + d.from + (2 * pair + tile) * TILE;
                    }
                },
                [&](unsigned pair, unsigned row_of_tile, unsigned row, float first, float second) {
                    const unsigned here = pair * 2 * TILE + row_of_tile;
                    if (d.has(row, here)) d.at(row, here) += first;
                    if (d.has(row, here + TILE)) d.at(row, here + TILE) += second;
                });
            sync_block();
        }
        const auto dx = layer_of(p.dx, 0, sizes, D, d.first);
        d.each([&](unsigned row, unsigned unit, float& value) { dx[row * D + unit] = from_float<T>(value); });
    }
}

#define HIGHWAY_KERNELS(T, dtype, ROWS, way, GRID)                                                                                \
    KERNEL(highway_forward_##way##ROWS##_##dtype, Forward<T>, THREADS) { forward<T, ROWS, GRID>(arguments); }                     \
    KERNEL(highway_backward_##way##ROWS##_##dtype, Backward<T>, THREADS) { backward<T, ROWS, GRID>(arguments); }

HIGHWAY_KERNELS(float, float32, 16, cluster, false)
HIGHWAY_KERNELS(float, float32, 64, cluster, false)
HIGHWAY_KERNELS(float, float32, 16, grid, true)
HIGHWAY_KERNELS(float, float32, 64, grid, true)
HIGHWAY_KERNELS(bfloat16, bfloat16, 16, cluster, false)
HIGHWAY_KERNELS(bfloat16, bfloat16, 64, cluster, false)
HIGHWAY_KERNELS(bfloat16, bfloat16, 16, grid, true)
HIGHWAY_KERNELS(bfloat16, bfloat16, 64, grid, true)

}  // namespace highway
