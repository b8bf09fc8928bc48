// The gated linear scan, forward and backward, of real or complex numbers.
//
//   y_t = a_t ⊙ y_(t-1) + b_t
//
// a, b and y [B, T, H]. Complex numbers lie as torch keeps them, the imaginary part behind the real one, and gradients are as torch defines them:
// da = dy ⊙ y_(t-1)*, and y_(t-1) gets a_t* ⊙ dy. float32 or bfloat16, state and sums float32. As crates/kernels/src/scan.
// Source: Martin and Cundy 2018, section 2.2.
#include "linear.cuh"

namespace scan {

/// Inputs a and b.
template <typename N>
struct Scan {
    using Number = N;
    static constexpr int INPUTS = 2;

    static DEVICE linear::Map<N> map(const N (&inputs)[2], bool) { return {inputs[0], inputs[1]}; }
    static DEVICE void back(const N (&)[2], bool, N before, N dy, N (&dinputs)[2]) {
        dinputs[0] = linear::mul(dy, linear::conj(before));
        dinputs[1] = dy;
    }
};

}  // namespace scan

LINEAR_KERNELS(scan, float32, scan::Scan<float>, float, 1)
LINEAR_KERNELS(scan, float32x2, scan::Scan<float>, float, 2)
LINEAR_KERNELS(scan, bfloat16, scan::Scan<float>, bfloat16, 1)
LINEAR_KERNELS(scan, bfloat16x2, scan::Scan<float>, bfloat16, 2)
LINEAR_KERNELS(scan_complex, float32, scan::Scan<linear::Complex>, float, 1)
LINEAR_KERNELS(scan_complex, bfloat16, scan::Scan<linear::Complex>, bfloat16, 1)
