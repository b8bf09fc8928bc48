// The Elman network (PyTorch's RNN): h' = φ(p + W_hh h), φ = tanh or max(0, ·). p [B, T, H] is the input's share with both biases. Source: Elman 1990.
#include "recurrent.cuh"

namespace elman {

/// φ; its slope is a function of its value.
struct Tanh {
    static DEVICE float value(float x) { return tanhf(x); }
    static DEVICE float slope(float y) { return 1 - y * y; }
};
struct Relu {
    // NaN stays NaN, unlike with fmaxf.
    static DEVICE float value(float x) { return x <= 0 ? 0 : x; }
    static DEVICE float slope(float y) { return y <= 0 ? 0 : 1; }
};

/// Keeps nothing: its gate is y.
template <typename Activation>
struct Cell {
    static constexpr int GATES = 1;
    static constexpr recurrent::Before BEFORE = recurrent::Before::NOTHING;

    /// See lstm.cu for what is passed; there is no c.
    static DEVICE void forward(float (&gate)[1], const float (&hidden)[1], float& h, float&, float&) {
        gate[0] = h = Activation::value(gate[0] + hidden[0]);
    }

    static DEVICE float backward(float (&gate)[1], float, float, float& dh, float&) {
        gate[0] = dh * Activation::slope(gate[0]);
        dh = 0;
        return gate[0];
    }
};

}  // namespace elman

RECURRENT_KERNELS(elman_tanh, elman::Cell<elman::Tanh>)
RECURRENT_KERNELS(elman_relu, elman::Cell<elman::Relu>)
