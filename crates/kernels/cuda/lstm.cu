// The LSTM, exactly PyTorch's; gates in the order i, f, g, o.
//
//   i = σ(p_i + W_hi h)   f = σ(p_f + W_hf h)   g = tanh(p_g + W_hg h)   o = σ(p_o + W_ho h)
//   c' = f ⊙ c + i ⊙ g    h' = o ⊙ tanh(c')
//
// p [B, T, 4·H] is the input's share with both biases. Source: Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000.
#include "recurrent.cuh"

namespace lstm {

/// Keeps the activated gates and c'.
struct Cell {
    static constexpr int GATES = 4;
    static constexpr recurrent::Before BEFORE = recurrent::Before::KEPT;

    /// gate: in p, out the activated gates.
    static DEVICE void forward(float (&gate)[4], const float (&hidden)[4], float& h, float& c, float& kept) {
        const float i = sigmoid(gate[0] + hidden[0]), f = sigmoid(gate[1] + hidden[1]);
        const float g = tanhf(gate[2] + hidden[2]), o = sigmoid(gate[3] + hidden[3]);
        c = f * c + i * g;
        h = o * tanhf(c);
        gate[0] = i, gate[1] = f, gate[2] = g, gate[3] = o;
        kept = c;
    }

    /// gate: in the activated gates, out the gradients of their sums. dh, dc: in after the step, out before it, dh without what goes through W_hh.
    /// Returns the gradient of the hidden share of the last gate.
    static DEVICE float backward(float (&gate)[4], float c, float c_before, float& dh, float& dc) {
        const float i = gate[0], f = gate[1], g = gate[2], o = gate[3], tanh_c = tanhf(c);
        dc += dh * o * (1 - tanh_c * tanh_c);
        gate[0] = dc * g * i * (1 - i);
        gate[1] = dc * c_before * f * (1 - f);
        gate[2] = dc * i * (1 - g * g);
        gate[3] = dh * tanh_c * o * (1 - o);
        dc *= f;
        dh = 0;
        return gate[3];
    }
};

}  // namespace lstm

RECURRENT_KERNELS(lstm, lstm::Cell)
