//! The product of a few rows with a weight, as a step of a stream needs it.
//!
//! ```text
//! y = x · Wᵀ + b
//! ```
//! x [M, I] with M up to [`MOST`], W [O, I], b [O], y [M, O]; float32, sums in float32. Such a product is bound by the memory that the weight
//! is read from, once and in order, whatever M; nothing is packed. Every element is one sum over I in the order of the vectors of an
//! instruction set, so that it depends neither on M nor on the number of threads. [`reference`] is the same in float64.

mod forward;

pub use forward::{Forward, forward};

/// Rows that are "a few": from here on a product with packed blocks reads its weight less often.
pub const MOST: usize = 4;

/// The sizes. Any of them may be 0; `rows` is at most [`MOST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// M
    pub rows: usize,
    /// I
    pub input: usize,
    /// O
    pub output: usize,
}

const NAME: &str = "few_rows";

/// The product as it is defined.
#[must_use]
pub fn reference(shape: &Shape, x: &[f64], weight: &[f64], bias: Option<&[f64]>) -> Vec<f64> {
    let Shape { rows, input, output } = *shape;
    let element = |row: usize, unit: usize| {
        let (x, w) = (&x[row * input..][..input], &weight[unit * input..][..input]);
        x.iter().zip(w).map(|(x, w)| x * w).sum::<f64>() + bias.map_or(0.0, |bias| bias[unit])
    };
    (0..rows * output).map(|at| element(at / output, at % output)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FORWARD, Random, Threads, assert_close, assert_same_bits, to_f64};
    use crate::{Context, Isa};

    #[test]
    fn the_product_is_that_of_the_reference_whatever_the_sizes_and_the_instruction_set() {
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let shape = Shape { rows: random.below(MOST + 1), input: random.below(70), output: random.below(40) };
            let (x, weight) = (random.numbers(shape.rows * shape.input, 1.0), random.numbers(shape.output * shape.input, 1.0));
            let bias = random.flip().then(|| random.numbers(shape.output, 1.0));
            let want = reference(&shape, &to_f64(&x), &to_f64(&weight), bias.as_deref().map(to_f64).as_deref());
            for isa in Isa::supported() {
                let context = Context::new(&Threads(1)).with_isa(isa).unwrap();
                let mut y = vec![f32::NAN; want.len()];
                forward(&context, &shape, Forward { x: &x, weight: &weight, bias: bias.as_deref(), y: &mut y }).unwrap();
                assert_close(&y, &want, FORWARD, &(seed, isa, shape));
            }
        }
    }

    #[test]
    fn a_row_and_a_unit_have_the_same_bits_beside_others_and_on_any_number_of_threads() {
        let mut random = Random::new(1);
        let shape = Shape { rows: MOST, input: 300, output: 1013 };
        let (x, weight) = (random.numbers(MOST * 300, 1.0), random.numbers(1013 * 300, 1.0));
        for isa in Isa::supported() {
            let of = |threads: usize, rows: usize, x: &[f32]| {
                let executor = Threads(threads);
                let context = Context::new(&executor).with_isa(isa).unwrap();
                let mut y = vec![f32::NAN; rows * shape.output];
                let buffers = Forward { x, weight: &weight, bias: None, y: &mut y };
                forward(&context, &Shape { rows, ..shape }, buffers).unwrap();
                y
            };
            let whole = of(1, MOST, &x);
            for threads in [2, 3, 16] {
                assert_same_bits(&of(threads, MOST, &x), &whole, &(isa, threads));
            }
            for (row, want) in whole.chunks(shape.output).enumerate() {
                assert_same_bits(&of(1, 1, &x[row * 300..][..300]), want, &(isa, row));
            }
        }
    }

    #[test]
    fn what_is_not_a_number_spreads_to_its_row_alone_and_wrong_buffers_are_refused() {
        let context = Context::new(&crate::Serial);
        let shape = Shape { rows: 2, input: 3, output: 2 };
        let (weight, mut y) = ([1.0; 6], [0.0; 4]);
        let mut run =
            |x: &[f32], shape: &Shape| forward(&context, shape, Forward { x, weight: &weight, bias: None, y: &mut y }).map(|()| y);
        let y = run(&[1.0, f32::NAN, 1.0, 1.0, 2.0, 3.0], &shape).unwrap();
        assert!(y[0].is_nan() && y[1].is_nan() && y[2..] == [6.0, 6.0]);
        assert!(run(&[0.0; 5], &shape).unwrap_err().to_string().contains("few_rows: x must hold"));
        let many = Shape { rows: MOST + 1, input: 0, output: 0 };
        assert!(run(&[], &many).unwrap_err().to_string().contains("at most 4 rows"));
    }
}
