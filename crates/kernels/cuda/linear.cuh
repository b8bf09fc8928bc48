// Recurrences whose gates do not read the state, along time: y_s = A_s ⊙ y_(s-1) + B_s in every unit. As crates/kernels/src/scan.
// A cell says what A and B are and what its inputs get back; the passes are written once, here.
//
// A block takes 32·VEC channels (a channel is a unit of a row of the batch) through time in tiles of some steps for each of its warps. A thread folds its
// steps into one map y ↦ P y + Q; the maps of a tile meet in shared memory, where every warp applies those before its own to the state; then
// the thread walks its steps once more, in registers, and writes them. So everything is read once and written once, and sums have one
// order whatever the timing. Where channels are too few to fill the device, time is split into parts: `totals` folds each part into its
// map, and a part begins by applying the maps of those before it.
#pragma once
#include "device.cuh"

namespace linear {

/// A number is this, or a float.
struct Complex {
    float re, im;
};

DEVICE float one(float) { return 1; }
DEVICE Complex one(Complex) { return {1, 0}; }
DEVICE float conj(float x) { return x; }
DEVICE Complex conj(Complex x) { return {x.re, -x.im}; }
DEVICE float add(float x, float y) { return x + y; }
DEVICE Complex add(Complex x, Complex y) { return {x.re + y.re, x.im + y.im}; }
DEVICE float mul(float x, float y) { return x * y; }
DEVICE Complex mul(Complex x, Complex y) { return {x.re * y.re - x.im * y.im, x.re * y.im + x.im * y.re}; }
DEVICE float mul_add(float x, float y, float z) { return fmaf(x, y, z); }
DEVICE Complex mul_add(Complex x, Complex y, Complex z) {
    return {fmaf(x.re, y.re, fmaf(-x.im, y.im, z.re)), fmaf(x.re, y.im, fmaf(x.im, y.re, z.im))};
}
DEVICE Complex make(const float (&parts)[2]) { return {parts[0], parts[1]}; }
DEVICE float make(const float (&parts)[1]) { return parts[0]; }
DEVICE float part(float x, int) { return x; }
DEVICE float part(Complex x, int i) { return i == 0 ? x.re : x.im; }

/// Elements of a tensor in one number.
template <typename N>
constexpr int PARTS = sizeof(N) / sizeof(float);

/// VEC numbers side by side, in registers.
template <typename N, int VEC>
struct Numbers {
    N at[VEC];
};

template <typename N, int VEC, typename T>
DEVICE Numbers<N, VEC> load(View<T> from, size_t at) {
    constexpr int P = PARTS<N>;
    auto stored = from.template as<const Stored<T, VEC * P>>(at);
    Numbers<N, VEC> to;
#pragma unroll
    for (int v = 0; v < VEC; v++) {
        float parts[P];
#pragma unroll
        for (int i = 0; i < P; i++) parts[i] = to_float(stored.at[v * P + i]);
        to.at[v] = make(parts);
    }
    return to;
}

template <typename N, int VEC, typename T>
DEVICE void store(View<T> to, size_t at, const Numbers<N, VEC>& from) {
    constexpr int P = PARTS<N>;
    Stored<T, VEC * P> stored;
#pragma unroll
    for (int i = 0; i < VEC * P; i++) stored.at[i] = from_float<T>(part(from.at[i / P], i % P));
    to.template as<Stored<T, VEC * P>>(at) = stored;
}

/// y ↦ p y + q
template <typename N>
struct Map {
    N p, q;

    static DEVICE Map same() { return {one(N()), N()}; }
    DEVICE N operator()(N y) const { return mul_add(p, y, q); }
    /// This one after `first`.
    DEVICE Map after(Map first) const { return {mul(p, first.p), mul_add(p, first.q, q)}; }
};

constexpr unsigned MOST_THREADS = 512;

/// Sizes and order, as Shape and Options of crates/kernels/src/scan.
struct Shape {
    uint64_t batch, time, hidden;
    View<const int64_t> lengths;  // [B], or absent: T each
    uint64_t part;                // steps of a part of time
    uint32_t channel_blocks;      // blocks of a part
    uint16_t reverse;
    uint16_t positive;            // the candidate of a cell that has one
};

/// The channels of a thread: VEC of one row.
template <typename N, int VEC>
struct Lane {
    uint64_t channel, row, unit, time, hidden, length;
    unsigned part;
    bool inside, reverse;

    DEVICE explicit Lane(const Shape& shape) : time(shape.time), hidden(shape.hidden), reverse(shape.reverse) {
        part = block() / shape.channel_blocks;
        channel = (uint64_t(block() % shape.channel_blocks) * WARP + lane()) * VEC;
        row = channel / hidden;
        unit = channel % hidden;
        inside = row < shape.batch;
        // Lengths that do not fit, which nobody can refuse here, are cut.
        const int64_t given = inside && shape.lengths ? shape.lengths[row] : int64_t(time);
        length = !inside || given < 0 ? 0 : uint64_t(given) < time ? uint64_t(given) : time;
    }
    /// Where a step lies among the rows of a [B, T, …] tensor. From `length` on there are places without a step.
    DEVICE uint64_t place(uint64_t step) const { return row * time + (reverse && step < length ? length - 1 - step : step); }
    /// Its first element in [B, T, H].
    DEVICE uint64_t at(uint64_t step) const { return (place(step) * hidden + unit) * PARTS<N>; }
    /// In inputs of which a step lies `stride` after the one before.
    DEVICE uint64_t at(uint64_t step, uint64_t stride) const { return place(step) * stride + unit * PARTS<N>; }
    /// And in [B, H].
    DEVICE uint64_t state() const { return channel * PARTS<N>; }
};

template <typename T, int INPUTS>
struct Forward {
    Shape shape;
    uint64_t stride;                // elements from a step of the inputs to the next
    View<const T> inputs[INPUTS];   // [B, T, H] each, or columns of one [B, T, G·H]
    View<const T> y_0;              // [B, H], or absent: zeros
    View<T> y;                      // [B, T, H]
    View<T> y_n;                    // [B, H], or absent
    View<float> maps;               // with parts of time the map of each channel for every part but the last, [parts - 1, B·H, 2]
};

template <typename T, int INPUTS>
struct Backward {
    Shape shape;
    uint64_t stride;
    View<const T> inputs[INPUTS];
    View<const T> y_0;
    View<const T> y;                // as forward wrote it
    View<const T> dy;               // [B, T, H], or absent: zeros
    View<const T> dy_n;             // [B, H], or absent: zeros
    View<T> dinputs[INPUTS];        // as inputs
    View<T> dy_0;                   // [B, H], or absent
    View<float> maps;
};

/// The inputs of a step, channel by channel.
template <typename Cell, int VEC, typename T>
DEVICE void read(typename Cell::Number (&to)[VEC][Cell::INPUTS], const View<const T> (&from)[Cell::INPUTS], uint64_t at) {
#pragma unroll
    for (int i = 0; i < Cell::INPUTS; i++) {
        auto input = load<typename Cell::Number, VEC>(from[i], at);
#pragma unroll
        for (int v = 0; v < VEC; v++) to[v][i] = input.at[v];
    }
}

/// The pass forward of a thread. Its state is y.
template <typename Cell, typename T, int VEC>
struct Ahead {
    using Number = typename Cell::Number;
    using Numbers = linear::Numbers<Number, VEC>;
    using Arguments = Forward<T, Cell::INPUTS>;
    struct Step {
        Number inputs[VEC][Cell::INPUTS];
    };
    const Arguments& arguments;
    Lane<Number, VEC> lane;

    DEVICE explicit Ahead(const Arguments& arguments) : arguments(arguments), lane(arguments.shape) {}

    /// The step that comes in that turn.
    DEVICE uint64_t step(uint64_t turn) const { return turn; }
    DEVICE bool is_last(uint64_t step) const { return step == lane.length - 1; }
    DEVICE Numbers start() const { return arguments.y_0 ? load<Number, VEC>(arguments.y_0, lane.state()) : Numbers(); }
    DEVICE void end(const Numbers& y) const {
        if (arguments.y_n) store(arguments.y_n, lane.state(), y);
    }
    DEVICE void read(Step& to, uint64_t step) const { linear::read<Cell>(to.inputs, arguments.inputs, lane.at(step, arguments.stride)); }
    DEVICE Map<Number> map(const Step& step, int v) const { return Cell::map(step.inputs[v], arguments.shape.positive); }
    DEVICE Numbers write(uint64_t step, const Step&, const Map<Number> (&maps)[VEC], const Numbers& before) const {
        Numbers y;
#pragma unroll
        for (int v = 0; v < VEC; v++) y.at[v] = maps[v](before.at[v]);
        store(arguments.y, lane.at(step), y);
        return y;
    }
    DEVICE void write_nothing(uint64_t step) const { store(arguments.y, lane.at(step), Numbers()); }
};

/// The pass backward of a thread. Its state is what y gets from the steps after: A* times all that the y of the next one gets.
template <typename Cell, typename T, int VEC>
struct Back {
    using Number = typename Cell::Number;
    using Numbers = linear::Numbers<Number, VEC>;
    using Arguments = Backward<T, Cell::INPUTS>;
    struct Step {
        Number inputs[VEC][Cell::INPUTS];
        Numbers before, dy;
    };
    const Arguments& arguments;
    Lane<Number, VEC> lane;

    DEVICE explicit Back(const Arguments& arguments) : arguments(arguments), lane(arguments.shape) {}

    DEVICE uint64_t step(uint64_t turn) const { return lane.time - 1 - turn; }
    DEVICE bool is_last(uint64_t step) const { return step == 0; }
    DEVICE Numbers start() const { return arguments.dy_n ? load<Number, VEC>(arguments.dy_n, lane.state()) : Numbers(); }
    DEVICE void end(const Numbers& dy) const {
        if (arguments.dy_0) store(arguments.dy_0, lane.state(), dy);
    }
    DEVICE void read(Step& to, uint64_t step) const {
        linear::read<Cell>(to.inputs, arguments.inputs, lane.at(step, arguments.stride));
        to.dy = arguments.dy ? load<Number, VEC>(arguments.dy, lane.at(step)) : Numbers();
        if (step > 0) {
            to.before = load<Number, VEC>(arguments.y, lane.at(step - 1));
        } else {
            to.before = arguments.y_0 ? load<Number, VEC>(arguments.y_0, lane.state()) : Numbers();
        }
    }
    DEVICE Map<Number> map(const Step& step, int v) const {
        Number a = conj(Cell::map(step.inputs[v], arguments.shape.positive).p);
        return {a, mul(a, step.dy.at[v])};
    }
    DEVICE Numbers write(uint64_t s, const Step& step, const Map<Number> (&maps)[VEC], const Numbers& after) const {
        Numbers dinputs[Cell::INPUTS], dbefore;
#pragma unroll
        for (int v = 0; v < VEC; v++) {
            Number dy = add(step.dy.at[v], after.at[v]), d[Cell::INPUTS];
            Cell::back(step.inputs[v], arguments.shape.positive, step.before.at[v], dy, d);
#pragma unroll
            for (int i = 0; i < Cell::INPUTS; i++) dinputs[i].at[v] = d[i];
            dbefore.at[v] = mul(maps[v].p, dy);
        }
#pragma unroll
        for (int i = 0; i < Cell::INPUTS; i++) store(arguments.dinputs[i], lane.at(s, arguments.stride), dinputs[i]);
        return dbefore;
    }
    DEVICE void write_nothing(uint64_t step) const {
#pragma unroll
        for (int i = 0; i < Cell::INPUTS; i++) store(arguments.dinputs[i], lane.at(step, arguments.stride), Numbers());
    }
};

/// Some turns of one thread, one after the other, before `end`.
template <typename Pass, int VEC, int STEPS>
struct Run {
    using Number = typename Pass::Number;
    const Pass& pass;
    uint64_t first, end;
    typename Pass::Step steps[STEPS];
    Map<Number> maps[STEPS][VEC];

    DEVICE Run(const Pass& pass, uint64_t first, uint64_t end) : pass(pass), first(first), end(end) {
        // All that is read is asked for before any of it is used.
#pragma unroll
        for (int i = 0; i < STEPS; i++)
            if (is_step(i)) pass.read(steps[i], pass.step(first + i));
#pragma unroll
        for (int i = 0; i < STEPS; i++)
#pragma unroll
            for (int v = 0; v < VEC; v++) maps[i][v] = is_step(i) ? pass.map(steps[i], v) : Map<Number>::same();
    }
    DEVICE bool is_step(int i) const { return first + i < end && pass.step(first + i) < pass.lane.length; }
    /// All of them after what `whole` is.
    DEVICE void fold(Map<Number> (&whole)[VEC]) const {
#pragma unroll
        for (int i = 0; i < STEPS; i++)
#pragma unroll
            for (int v = 0; v < VEC; v++) whole[v] = maps[i][v].after(whole[v]);
    }
    DEVICE void write(typename Pass::Numbers state) const {
#pragma unroll
        for (int i = 0; i < STEPS; i++) {
            uint64_t step = pass.step(first + i);
            if (is_step(i)) {
                state = pass.write(step, steps[i], maps[i], state);
                if (pass.is_last(step)) pass.end(state);
            } else if (pass.lane.inside && first + i < end) {
                pass.write_nothing(step);
            }
        }
    }
};

DEVICE uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

template <typename Cell, typename T, int VEC>
struct Kernels {
    using Number = typename Cell::Number;
    using Forward = linear::Forward<T, Cell::INPUTS>;
    using Backward = linear::Backward<T, Cell::INPUTS>;
    static constexpr int STEPS = VEC * PARTS<Number> > 1 ? 4 : 8;

    /// Shared memory: a map for every channel and warp of the block.
    struct Tile {
        View<Map<Number>> maps;

        DEVICE Map<Number>& at(unsigned turn, unsigned of, int v) const { return maps[((turn * warps() + of) * WARP + lane()) * VEC + v]; }
    };
    static DEVICE unsigned warps() { return threads() / WARP; }

    template <typename Pass>
    static DEVICE Map<Number>& of_part(const Pass& pass, unsigned part, int v) {
        uint64_t channels = pass.arguments.shape.batch * pass.arguments.shape.hidden;
        return pass.arguments.maps.template as<Map<Number>>((part * channels + pass.lane.channel + v) * 2 * PARTS<Number>);
    }

    template <typename Pass>
    static DEVICE void walk(const Pass& pass) {
        Tile tile{Shared().take<Map<Number>>(size_t(2) * threads() * VEC)};
        const auto& mine = pass.lane;
        typename Pass::Numbers state = {};
        if (mine.inside) {
            state = pass.start();
            if (mine.length == 0 && mine.part == 0 && warp() == 0) pass.end(state);
            for (unsigned part = 0; part < mine.part; part++)
                for (int v = 0; v < VEC; v++) state.at[v] = of_part(pass, part, v)(state.at[v]);
        }
        const uint64_t start = mine.part * pass.arguments.shape.part, end = least(start + pass.arguments.shape.part, mine.time);
        unsigned turn = 0;
        for (uint64_t first = start; first < end; first += warps() * STEPS, turn ^= 1) {
            Run<Pass, VEC, STEPS> run(pass, first + warp() * STEPS, end);
            Map<Number> whole[VEC];
            for (int v = 0; v < VEC; v++) whole[v] = Map<Number>::same();
            run.fold(whole);
            for (int v = 0; v < VEC; v++) tile.at(turn, warp(), v) = whole[v];
            // One meeting a tile: the maps of the next one lie elsewhere.
            sync_block();
            auto before = state;
            for (unsigned of = 0; of < warps(); of++) {
                if (of == warp()) before = state;
                for (int v = 0; v < VEC; v++) state.at[v] = tile.at(turn, of, v)(state.at[v]);
            }
            run.write(before);
        }
    }

    /// The map of a part, one of all but the last; every warp folds a stretch of it.
    template <typename Pass>
    static DEVICE void totals(const Pass& pass) {
        Tile tile{Shared().take<Map<Number>>(size_t(threads()) * VEC)};
        const auto& mine = pass.lane;
        const uint64_t part = pass.arguments.shape.part, stretch = (part + warps() - 1) / warps();
        const uint64_t start = mine.part * part + warp() * stretch, end = least(start + stretch, (mine.part + 1) * part);
        Map<Number> whole[VEC];
        for (int v = 0; v < VEC; v++) whole[v] = Map<Number>::same();
        for (uint64_t first = start; first < end; first += STEPS) Run<Pass, VEC, STEPS>(pass, first, end).fold(whole);
        for (int v = 0; v < VEC; v++) tile.at(0, warp(), v) = whole[v];
        sync_block();
        if (warp() > 0 || !mine.inside) return;
        for (unsigned of = 1; of < warps(); of++)
            for (int v = 0; v < VEC; v++) whole[v] = tile.at(0, of, v).after(whole[v]);
        for (int v = 0; v < VEC; v++) of_part(pass, mine.part, v) = whole[v];
    }

    static DEVICE void forward(const Forward& arguments) { walk(Ahead<Cell, T, VEC>(arguments)); }
    static DEVICE void forward_totals(const Forward& arguments) { totals(Ahead<Cell, T, VEC>(arguments)); }
    static DEVICE void backward(const Backward& arguments) { walk(Back<Cell, T, VEC>(arguments)); }
    static DEVICE void backward_totals(const Backward& arguments) { totals(Back<Cell, T, VEC>(arguments)); }
};

}  // namespace linear

/// The kernels of a cell for tensors of T with VEC channels a thread.
#define LINEAR_KERNELS(NAME, SUFFIX, CELL, T, VEC)                                                                                    \
    namespace NAME {                                                                                                                  \
    using Of_##SUFFIX = linear::Kernels<CELL, T, VEC>;                                                                                \
    KERNEL(NAME##_forward_##SUFFIX, Of_##SUFFIX::Forward, linear::MOST_THREADS) { Of_##SUFFIX::forward(arguments); }                  \
    KERNEL(NAME##_forward_totals_##SUFFIX, Of_##SUFFIX::Forward, linear::MOST_THREADS) { Of_##SUFFIX::forward_totals(arguments); }    \
    KERNEL(NAME##_backward_##SUFFIX, Of_##SUFFIX::Backward, linear::MOST_THREADS) { Of_##SUFFIX::backward(arguments); }               \
    KERNEL(NAME##_backward_totals_##SUFFIX, Of_##SUFFIX::Backward, linear::MOST_THREADS) { Of_##SUFFIX::backward_totals(arguments); } \
    }
