// The minLSTM, forward and backward: an LSTM whose gates do not read the state and sum to one.
//
//   f = σ(p_f)   i = σ(p_i)   c = g(p_c)   h' = f/(f+i) ⊙ h + i/(f+i) ⊙ c
//
// The pre-activations p [B, T, 3·H], in the order f, i, c, are a linear map of the input that the caller makes; h [B, T, H]; g: candidate.cuh. Gates are
// activated on the way, forward and backward. float32 or bfloat16, state float32. As crates/kernels/src/minlstm. Source: Feng et al.
// 2024, section 3.2.
#include "candidate.cuh"
#include "linear.cuh"

namespace minlstm {

/// f/(f+i) and i/(f+i); 1 - f and 1 - i.
struct Shares {
    float keep, write, not_f, not_i;
};

/// From u = e^-p_f and v = e^-p_i, held where the sum of both stays finite: (1+v)/(2+u+v) and (1+u)/(2+u+v).
DEVICE Shares shares(float p_f, float p_i) {
    float u = expf(p_f < -86 ? 86 : -p_f), v = expf(p_i < -86 ? 86 : -p_i);
    float a = 1 + u, b = 1 + v, inverse = 1 / (a + b);
    return {b * inverse, a * inverse, u / a, v / b};
}

struct Cell {
    using Number = float;
    static constexpr int INPUTS = 3;

    static DEVICE linear::Map<float> map(const float (&p)[3], bool positive) {
        Shares s = shares(p[0], p[1]);
        return {s.keep, s.write * candidate(p[2], positive).value};
    }
    static DEVICE void back(const float (&p)[3], bool positive, float h, float dh, float (&dp)[3]) {
        Shares s = shares(p[0], p[1]);
        Candidate c = candidate(p[2], positive);
        // d keep/d p_f = keep write (1 - f), d keep/d p_i = -keep write (1 - i)
        float common = dh * (h - c.value) * s.keep * s.write;
        dp[0] = common * s.not_f;
        dp[1] = -common * s.not_i;
        dp[2] = dh * s.write * c.slope;
    }
};

}  // namespace minlstm

LINEAR_KERNELS(minlstm, float32, Cell, float, 1)
LINEAR_KERNELS(minlstm, float32x2, Cell, float, 2)
LINEAR_KERNELS(minlstm, bfloat16, Cell, bfloat16, 1)
LINEAR_KERNELS(minlstm, bfloat16x2, Cell, bfloat16, 2)
