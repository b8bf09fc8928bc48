//! What our kernels compute, by operations of libtorch, whose graph gives the gradients: for devices and sizes that our kernels do not reach.
//! Slower, and larger in memory: a scan takes log2 T passes over its whole length instead of one. Numbers of 16 bits are summed in float32.
use crate::call::{Outputs, size};
use crate::device::check_range;
use crate::error::Fault;
use tch::{Kind, Tensor};

const TIME: i64 = 1;

/// a, b, `h_0`, lengths; `reverse` → y [B, T, H], h [B, H]. Equation: `crates/kernels/src/scan`.
pub fn scan(inputs: &[Option<&Tensor>], reverse: bool) -> Outputs {
    let [Some(a), Some(b), h_0, lengths] = inputs else { return Err(missing()) };
    scanned(&wide(a)?, &wide(b)?, *h_0, *lengths, reverse, b.f_kind()?)
}

/// p, `h_0`, lengths; `positive`, `reverse`. Equation: `crates/kernels/src/mingru`.
pub fn mingru(inputs: &[Option<&Tensor>], positive: bool, reverse: bool) -> Outputs {
    let [Some(p), h_0, lengths] = inputs else { return Err(missing()) };
    let parts = wide(p)?.f_chunk(2, -1)?;
    let [z, c] = parts.as_slice() else { return Err(missing()) };
    let (a, b) = (z.f_neg()?.f_sigmoid()?, z.f_sigmoid()?.f_mul(&candidate(c, positive)?)?);
    scanned(&a, &b, *h_0, *lengths, reverse, p.f_kind()?)
}

/// p, `h_0`, lengths; `positive`, `reverse`. Equation: `crates/kernels/src/minlstm`.
pub fn minlstm(inputs: &[Option<&Tensor>], positive: bool, reverse: bool) -> Outputs {
    let [Some(p), h_0, lengths] = inputs else { return Err(missing()) };
    let parts = wide(p)?.f_chunk(3, -1)?;
    let [f, i, c] = parts.as_slice() else { return Err(missing()) };
    let (f, i) = (f.f_sigmoid()?, i.f_sigmoid()?);
    let sum = f.f_add(&i)?;
    let (a, b) = (f.f_div(&sum)?, i.f_div(&sum)?.f_mul(&candidate(c, positive)?)?);
    scanned(&a, &b, *h_0, *lengths, reverse, p.f_kind()?)
}

/// g of `crates/kernels/src/mingru`.
fn candidate(x: &Tensor, positive: bool) -> Result<Tensor, Fault> {
    if !positive {
        return Ok(x.shallow_clone());
    }
    Ok(x.f_add_scalar(0.5)?.f_where_self(&x.f_ge(0.0)?, &x.f_sigmoid()?)?)
}

/// y of `y_t = a_t y_(t-1) + b_t`: after the pass with step d, (a, b) at t maps y at t - 2d to y at t.
fn scanned(a: &Tensor, b: &Tensor, h_0: Option<&Tensor>, lengths: Option<&Tensor>, reverse: bool, kind: Kind) -> Outputs {
    let [batch, time, hidden] = [size(b, 0)?, size(b, TIME)?, size(b, 2)?];
    let h_0 = match h_0 {
        Some(h_0) => wide(h_0)?,
        None => Tensor::f_zeros([batch, hidden], (b.f_kind()?, b.device()))?,
    };
    if time == 0 {
        return Ok(vec![b.f_to_kind(kind)?, h_0.f_to_kind(kind)?]);
    }
    let steps = lengths.map(|lengths| within(lengths, time)).transpose()?;
    // A step that is not there keeps the state.
    let (mut a, mut b) = match &steps {
        Some(steps) => (a.f_where_self(steps, &a.f_ones_like()?)?, b.f_where_self(steps, &b.f_zeros_like()?)?),
        None => (a.shallow_clone(), b.shallow_clone()),
    };
    if reverse {
        (a, b) = (a.f_flip([TIME])?, b.f_flip([TIME])?);
    }
    let first = b.f_narrow(TIME, 0, 1)?.f_add(&a.f_narrow(TIME, 0, 1)?.f_mul(&h_0.f_unsqueeze(TIME)?)?)?;
    b = Tensor::f_cat(&[first, b.f_narrow(TIME, 1, time - 1)?], TIME)?;
    let mut step = 1;
    while step < time {
        let (late_a, rest) = (a.f_narrow(TIME, step, time - step)?, time - step);
        let late_b = b.f_narrow(TIME, step, rest)?.f_add(&late_a.f_mul(&b.f_narrow(TIME, 0, rest)?)?)?;
        b = Tensor::f_cat(&[b.f_narrow(TIME, 0, step)?, late_b], TIME)?;
        a = Tensor::f_cat(&[a.f_narrow(TIME, 0, step)?, late_a.f_mul(&a.f_narrow(TIME, 0, rest)?)?], TIME)?;
        step *= 2;
    }
    let h = b.f_select(TIME, time - 1)?;
    let mut y = if reverse { b.f_flip([TIME])? } else { b };
    if let Some(steps) = steps {
        y = y.f_where_self(&steps, &y.f_zeros_like()?)?;
    }
    Ok(vec![y.f_to_kind(kind)?, h.f_to_kind(kind)?])
}

/// Which steps there are: [B, T, 1].
fn within(lengths: &Tensor, time: i64) -> Result<Tensor, Fault> {
    check_range(lengths, time + 1)?;
    let steps = Tensor::f_arange(time, (Kind::Int64, lengths.device()))?;
    Ok(steps.f_unsqueeze(0)?.f_lt_tensor(&lengths.f_unsqueeze(1)?)?.f_unsqueeze(2)?)
}

/// x, weight, bias; `relu`. Equation: `crates/kernels/src/highway`.
pub fn highway(inputs: &[Option<&Tensor>], relu: bool) -> Outputs {
    let [Some(x), Some(weight), bias] = inputs else { return Err(missing()) };
    let mut x = x.shallow_clone();
    for layer in 0..size(weight, 0)? {
        let bias = bias.map(|bias| bias.f_select(0, layer)).transpose()?;
        let parts = x.f_linear(&weight.f_select(0, layer)?, bias.as_ref())?.f_chunk(2, -1)?;
        let [h, t] = parts.as_slice() else { return Err(missing()) };
        let h = if relu { h.f_relu()? } else { h.f_tanh()? };
        // t h + (1 - t) x
        x = x.f_lerp_tensor(&h, &t.f_sigmoid()?)?;
    }
    Ok(vec![x])
}

/// x, residual, weight, bias; `rms`, eps → y, s. Equation: `crates/kernels/src/residual_norm`.
pub fn residual_norm(inputs: &[Option<&Tensor>], rms: bool, eps: f64) -> Outputs {
    let [Some(x), residual, weight, bias] = inputs else { return Err(missing()) };
    let sum = residual.map_or_else(|| Ok(x.shallow_clone()), |residual| x.f_add(residual))?;
    let width = [*x.size().last().ok_or_else(missing)?];
    let y = if rms { sum.f_rms_norm(width, *weight, eps)? } else { sum.f_layer_norm(width, *weight, *bias, eps, true)? };
    let y = match bias {
        Some(bias) if rms => y.f_add(bias)?,
        _ => y,
    };
    Ok(vec![y, sum])
}

/// x, weight and bias of the norm, `weight_1`, `bias_1`, `weight_2`, `bias_2`; eps. Equation: `crates/kernels/src/residual_mlp`.
pub fn residual_mlp(inputs: &[Option<&Tensor>], eps: f64) -> Outputs {
    let [Some(x), norm_weight, norm_bias, Some(weight_1), bias_1, Some(weight_2), bias_2] = inputs else { return Err(missing()) };
    let width = [*x.size().last().ok_or_else(missing)?];
    let normal = x.f_layer_norm(width, *norm_weight, *norm_bias, eps, true)?;
    let hidden = normal.f_linear(weight_1, *bias_1)?.f_gelu("tanh")?;
    Ok(vec![x.f_add(&hidden.f_linear(weight_2, *bias_2)?)?])
}

/// Numbers of 16 bits as float32.
fn wide(x: &Tensor) -> Result<Tensor, Fault> {
    match x.f_kind()? {
        Kind::BFloat16 | Kind::Half => Ok(x.f_to_kind(Kind::Float)?),
        _ => Ok(x.shallow_clone()),
    }
}

fn missing() -> Fault {
    Fault::engine("an input is missing")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{self, Kernel};
    use tch::Device;

    const DOUBLE: (Kind, Device) = (Kind::Double, Device::Cpu);

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, DOUBLE).set_requires_grad(true)
    }

    /// Runs both on the same inputs and compares outputs and the gradients of a weighted sum of them.
    fn same(kernel: Kernel, inputs: &[Option<&Tensor>], attributes: &[f64], composed: impl Fn(&[Option<&Tensor>]) -> Outputs) {
        let (ours, theirs) = (kernels::run(kernel, inputs, attributes).unwrap(), composed(inputs).unwrap());
        let variables: Vec<&Tensor> = inputs.iter().flatten().copied().filter(|input| input.requires_grad()).collect();
        let seeds: Vec<Tensor> = ours.iter().map(|output| Tensor::randn(output.size(), DOUBLE)).collect();
        let gradients = |outputs: &[Tensor]| {
            let sums = outputs.iter().zip(&seeds).map(|(output, seed)| (output * seed).sum(None));
            Tensor::run_backward(&[sums.reduce(|a, b| a + b).unwrap()], &variables, false, false)
        };
        let (found, right) = (gradients(&theirs), gradients(&ours));
        for (theirs, ours) in theirs.iter().zip(&ours).chain(found.iter().zip(&right)) {
            assert_eq!(theirs.size(), ours.size());
            assert!(theirs.allclose(ours, 1e-9, 1e-11, false), "{kernel:?}: {theirs} is not {ours}");
        }
    }

    #[test]
    fn scans_equal_our_kernels_forward_and_backward_with_and_without_lengths_and_states() {
        for time in [1, 2, 7, 8] {
            let (a, b, h_0) = (random(&[3, time, 5]), random(&[3, time, 5]), random(&[3, 5]));
            let lengths = Tensor::from_slice(&[time, 0, (time - 1).max(1)]);
            for (state, lengths) in [(None, None), (Some(&h_0), None), (Some(&h_0), Some(&lengths))] {
                for reverse in [false, true] {
                    let flag = f64::from(u8::from(reverse));
                    same(Kernel::Scan, &[Some(&a), Some(&b), state, lengths], &[flag], |inputs| scan(inputs, reverse));
                    for positive in [false, true] {
                        let attributes = [f64::from(u8::from(positive)), flag];
                        let (two, three) = (random(&[3, time, 10]), random(&[3, time, 15]));
                        same(Kernel::MinGru, &[Some(&two), state, lengths], &attributes, |inputs| mingru(inputs, positive, reverse));
                        same(Kernel::MinLstm, &[Some(&three), state, lengths], &attributes, |inputs| minlstm(inputs, positive, reverse));
                    }
                }
            }
        }
    }

    #[test]
    fn blocks_along_depth_equal_our_kernels_forward_and_backward() {
        let (x, r, weight, bias) = (random(&[2, 3, 4]), random(&[2, 3, 4]), random(&[4]), random(&[4]));
        let (weights, biases) = (random(&[3, 8, 4]), random(&[3, 8]));
        for flag in [false, true] {
            let number = f64::from(u8::from(flag));
            for biases in [None, Some(&biases)] {
                same(Kernel::Highway, &[Some(&x), Some(&weights), biases], &[number], |inputs| highway(inputs, flag));
            }
            for [r, weight, bias] in [[None; 3], [Some(&r), Some(&weight), Some(&bias)]] {
                let inputs = [Some(&x), r, weight, bias];
                same(Kernel::ResidualNorm, &inputs, &[number, 1e-5], |inputs| residual_norm(inputs, flag, 1e-5));
            }
        }
        let (weight_1, weight_2, bias_1) = (random(&[6, 4]), random(&[4, 6]), random(&[6]));
        let inputs = [Some(&x), Some(&weight), Some(&bias), Some(&weight_1), Some(&bias_1), Some(&weight_2), None];
        same(Kernel::ResidualMlp, &inputs, &[1e-5], |inputs| residual_mlp(inputs, 1e-5));
    }

    #[test]
    fn no_steps_leave_the_state_and_sixteen_bits_stay_so() {
        let (nothing, h_0) = (Tensor::zeros([2, 0, 3], DOUBLE), random(&[2, 3]));
        let made = scan(&[Some(&nothing), Some(&nothing), Some(&h_0), None], false).unwrap();
        assert_eq!((made[0].size(), &made[1]), (vec![2, 0, 3], &h_0));
        let half = Tensor::rand([2, 300, 3], (Kind::BFloat16, Device::Cpu));
        let made = scan(&[Some(&half), Some(&half), None, None], false).unwrap();
        assert_eq!(made[0].kind(), Kind::BFloat16);
        let exact = scan(&[Some(&half.to_kind(Kind::Double)), Some(&half.to_kind(Kind::Double)), None, None], false).unwrap();
        assert!(made[0].to_kind(Kind::Double).allclose(&exact[0], 5e-3, 0.0, false));
    }
}
