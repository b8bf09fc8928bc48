//! The activations over vectors: exponential by a polynomial, tanh by a quotient of two, sigmoid and GELU from these.
//! Coefficients are minimax fits to the relative error. Infinities saturate, NaN stays NaN.

use crate::vector::Vector;

/// `c[0] + c[1] x + c[2] x^2 + …`
#[inline(always)]
unsafe fn polynomial<V: Vector, const N: usize>(x: V, c: [f32; N]) -> V {
    unsafe {
        let mut sum = V::splat(c[N - 1]);
        for i in (0..N - 1).rev() {
            sum = sum.mul_add(x, V::splat(c[i]));
        }
        sum
    }
}

/// `e^x` for x within ±87; relative error below 3e-7 within ±10, growing with |x| to 2e-6.
#[inline(always)]
pub(crate) unsafe fn exp<V: Vector>(x: V) -> V {
    unsafe {
        let log2_e = V::splat(std::f32::consts::LOG2_E);
        let whole = x.mul(log2_e).round();
        let rest = x.mul_sub(log2_e, whole);
        let power =
            polynomial(rest, [1.0, std::f32::consts::LN_2, 0.240_226_48, 0.055_503_324, 0.009_618_437, 0.001_339_887_5, 0.000_153_533_62]);
        power.scale(whole)
    }
}

/// `1 / (1 + e^-x)`; zero below -87.
#[inline(always)]
pub(crate) unsafe fn sigmoid<V: Vector>(x: V) -> V {
    unsafe {
        let held = x.clamp(V::splat(-87.0), V::splat(87.0));
        let e = exp(V::zero().sub(held));
        V::splat(1.0).add(e).recip().zero_where_at_most(x, V::splat(-87.0))
    }
}

/// `tanh(x)`, relative error below 4e-7 also near zero.
#[inline(always)]
pub(crate) unsafe fn tanh<V: Vector>(x: V) -> V {
    unsafe {
        // The quotient is fitted up to 8.2 and passes 1 soon after; from there it is held.
        let x = x.clamp(V::splat(-9.0), V::splat(9.0));
        let u = x.mul(x);
        let above = polynomial(u, [0.999_999_98, 0.129_676_54, 0.002_973_210_7, 9.756_963e-6, -1.430_465_1e-8, 2.235_483_6e-11]);
        let below = polynomial(u, [1.0, 0.463_009_65, 0.023_976_754, 0.000_235_416_88]);
        x.mul(above).mul(below.recip()).clamp(V::splat(-1.0), V::splat(1.0))
    }
}

const GELU_LINEAR: f32 = 0.797_884_6; // sqrt(2 / pi)
const GELU_CUBIC: f32 = 0.044_715;

/// `tanh(sqrt(2/pi) (x + 0.044715 x^3))`, the inner part of GELU.
#[inline(always)]
unsafe fn gelu_inner<V: Vector>(x: V) -> V {
    unsafe {
        let cubic = x.mul(x).mul_add(V::splat(GELU_LINEAR * GELU_CUBIC), V::splat(GELU_LINEAR));
        tanh(x.mul(cubic))
    }
}

/// GELU in its tanh form: `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`.
#[inline(always)]
pub(crate) unsafe fn gelu_tanh<V: Vector>(x: V) -> V {
    unsafe {
        let half = x.mul(V::splat(0.5));
        half.mul_add(gelu_inner(x), half)
    }
}

/// `d gelu_tanh(x) / dx`
#[inline(always)]
pub(crate) unsafe fn gelu_tanh_slope<V: Vector>(x: V) -> V {
    unsafe {
        let (one, half) = (V::splat(1.0), V::splat(0.5));
        let inner = gelu_inner(x);
        let slope = x.mul(x).mul_add(V::splat(3.0 * GELU_LINEAR * GELU_CUBIC), V::splat(GELU_LINEAR));
        let curved = inner.neg_mul_add(inner, one).mul(slope).mul(x);
        half.mul(one.add(inner).add(curved))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;
    use crate::vector::Kernel;

    struct All<'a> {
        x: &'a [f32; 16],
        y: &'a mut [[f32; 16]; 4],
    }

    impl Kernel for All<'_> {
        type Output = ();

        #[inline(always)]
        unsafe fn run<V: Vector>(self) {
            for i in (0..16).step_by(V::LANES) {
                unsafe {
                    let x = V::load(self.x.as_ptr().add(i));
                    sigmoid(x).store(self.y[0].as_mut_ptr().add(i));
                    tanh(x).store(self.y[1].as_mut_ptr().add(i));
                    gelu_tanh(x).store(self.y[2].as_mut_ptr().add(i));
                    gelu_tanh_slope(x).store(self.y[3].as_mut_ptr().add(i));
                }
            }
        }
    }

    fn all(isa: Isa, x: f32) -> [f32; 4] {
        let mut y = [[0.0; 16]; 4];
        unsafe { isa.run(All { x: &[x; 16], y: &mut y }) };
        assert!(y.iter().all(|lanes| lanes.iter().all(|lane| lane.to_bits() == lanes[0].to_bits())));
        y.map(|lanes| lanes[0])
    }

    fn exact(x: f64) -> [f64; 4] {
        let root = (2.0 / std::f64::consts::PI).sqrt();
        let inner = (root * (x + 0.044_715 * x.powi(3))).tanh();
        let slope = 0.5 * (1.0 + inner) + 0.5 * x * (1.0 - inner * inner) * root * (1.0 + 3.0 * 0.044_715 * x * x);
        [1.0 / (1.0 + (-x).exp()), x.tanh(), 0.5 * x * (1.0 + inner), slope]
    }

    #[test]
    fn activations_follow_the_exact_ones() {
        for isa in Isa::supported() {
            for i in -4000..=4000 {
                let x = i as f32 * 0.005 + 1e-5;
                let (got, want) = (all(isa, x), exact(f64::from(x)));
                let relative = |k: usize| (f64::from(got[k]) / want[k] - 1.0).abs();
                assert!(relative(0) < 3e-7 + 1e-7 * f64::from(x.abs()) && relative(1) < 5e-7, "{isa} {x}: {got:?} {want:?}");
                for k in [2, 3] {
                    assert!((f64::from(got[k]) - want[k]).abs() < 1e-6 * (1.0 + f64::from(x.abs())), "{isa} {x}: {got:?} {want:?}");
                }
            }
        }
    }

    #[test]
    fn infinities_saturate_and_nan_stays() {
        for isa in Isa::supported() {
            assert_eq!(all(isa, f32::INFINITY)[..2], [1.0, 1.0]);
            assert_eq!(all(isa, f32::NEG_INFINITY)[..2], [0.0, -1.0]);
            assert_eq!(all(isa, 30.0)[..2], [1.0, 1.0]);
            assert!(all(isa, f32::NAN).iter().all(|y| y.is_nan()), "{isa}");
        }
    }
}
