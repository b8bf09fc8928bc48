// The GRU, exactly PyTorch's: the reset gate acts after the hidden map of n; gates in the order r, z, n.
//
//   r = σ(p_r + W_hr h)   z = σ(p_z + W_hz h)   m = W_hn h + b_hn   n = tanh(p_n + r ⊙ m)   h' = (1 - z) ⊙ n + z ⊙ h
//
// p [B, T, 3·H] is the input's share with the biases of the input and b_hr, b_hz. Source: Cho et al. 2014, section 2.3, in the variant of cuDNN.
#include "recurrent.cuh"

namespace gru {

/// Keeps the activated gates and m.
struct Cell {
    static constexpr int GATES = 3;
    static constexpr recurrent::Before BEFORE = recurrent::Before::OUTPUT;

    /// See lstm.cu for what is passed; there is no c.
    static DEVICE void forward(float (&gate)[3], const float (&hidden)[3], float& h, float&, float& m) {
        const float r = sigmoid(gate[0] + hidden[0]), z = sigmoid(gate[1] + hidden[1]);
        m = hidden[2];
        const float n = tanhf(gate[2] + r * m);
        h = n + z * (h - n);
        gate[0] = r, gate[1] = z, gate[2] = n;
    }

    static DEVICE float backward(float (&gate)[3], float m, float h_before, float& dh, float&) {
        const float r = gate[0], z = gate[1], n = gate[2];
        gate[2] = dh * (1 - z) * (1 - n * n);
        gate[1] = dh * (h_before - n) * z * (1 - z);
        gate[0] = gate[2] * m * r * (1 - r);
        dh *= z;
        return gate[2] * r;
    }
};

}  // namespace gru

RECURRENT_KERNELS(gru, gru::Cell)
