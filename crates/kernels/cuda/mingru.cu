// The minGRU, forward and backward: a GRU whose gate does not read the state.
//
//   z = σ(p_z)      c = g(p_c)      h' = (1 - z) ⊙ h + z ⊙ c
//
// The pre-activations p [B, T, 2·H], in the order z, c, are a linear map of the input that the caller makes; h [B, T, H]; g: candidate.cuh. Gates are
// activated on the way, forward and backward. float32 or bfloat16, state float32. As crates/kernels/src/mingru. Source: Feng et al. 2024,
// section 3.1.
#include "candidate.cuh"
#include "linear.cuh"

namespace mingru {

struct Cell {
    using Number = float;
    static constexpr int INPUTS = 2;

    static DEVICE linear::Map<float> map(const float (&p)[2], bool positive) {
        float z = sigmoid(p[0]);
        return {1 - z, z * candidate(p[1], positive).value};
    }
    static DEVICE void back(const float (&p)[2], bool positive, float h, float dh, float (&dp)[2]) {
        float z = sigmoid(p[0]);
        Candidate c = candidate(p[1], positive);
        dp[0] = dh * (c.value - h) * z * (1 - z);
        dp[1] = dh * z * c.slope;
    }
};

}  // namespace mingru

LINEAR_KERNELS(mingru, float32, Cell, float, 1)
LINEAR_KERNELS(mingru, float32x2, Cell, float, 2)
LINEAR_KERNELS(mingru, bfloat16, Cell, bfloat16, 1)
LINEAR_KERNELS(mingru, bfloat16x2, Cell, bfloat16, 2)
