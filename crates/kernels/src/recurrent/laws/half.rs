//! The same laws of passes over bfloat16: a state that is written is rounded, so equal bits are asked for only where nothing is rounded between.

use super::case::{Case, Got};
use super::{on, shape, some_cases};
use crate::recurrent::reference::Definition;
use crate::testing::{HALF_FORWARD, HALF_GRADIENT, Random, Threads, assert_near, assert_same_bits, to_f64};
use crate::{Bf16, Isa, Serial};

/// Whether the slope jumps, as the ReLU's does: rounding moves arguments across the bend, and a gradient is another one there. How exact these gradients
/// are beside PyTorch's is tested in `tests/bfloat16.rs`.
fn is_bent<D: Definition>() -> bool {
    std::any::type_name::<D>().contains("Relu")
}

pub(super) fn all<D: Definition>() {
    fused_is_reference::<D>();
    widened_products_are_those_of_float32::<D>();
    inference_is_training_forward::<D>();
    batch_is_rows::<D>();
    threads_change_nothing::<D>();
    recomputing_changes_little::<D>();
    nothing_beyond_a_length_is_read::<D>();
    empty_sizes_work::<D>();
}

fn assert_reference<D: Definition>(case: &Case, isa: Isa, threads: usize) {
    let got = case.in_half::<D>(&on(isa, &Threads(threads)), true);
    let (want, want_gradients) = case.reference::<D>();
    let what = case.describe(isa, threads);
    for ((name, got), want) in ["y", "h_n", "c_n"].iter().zip(got.forward()).zip(&want) {
        assert_near(got, want, HALF_FORWARD, &(name, &what));
    }
    if is_bent::<D>() {
        return;
    }
    for ((name, got), want) in ["dx", "dh_0", "dc_0", "dW_ih", "dW_hh", "db_ih", "db_hh"].iter().zip(got.gradients()).zip(&want_gradients) {
        assert_near(got, want, HALF_GRADIENT, &(name, &what));
    }
}

fn fused_is_reference<D: Definition>() {
    let mut random = Random::new(21);
    for trial in 0..60 {
        let limit = if trial % 10 == 0 { 150 } else { 40 };
        let shape = shape(random.below(20), random.below(12), random.below(limit), random.below(limit));
        let case = Case::new::<D>(&mut random, shape).rounded();
        for isa in Isa::supported() {
            let threads = 1 + random.below(5);
            assert_reference::<D>(&case, isa, threads);
        }
    }
}

/// Without pairs nothing is rounded before it is written: forward results are the rounded ones of float32.
fn widened_products_are_those_of_float32<D: Definition>() {
    for case in some_cases::<D>(22) {
        let case = case.rounded();
        for isa in Isa::supported().filter(|isa| *isa != Isa::Avx512Bf16) {
            let (half, float) = (case.in_half::<D>(&on(isa, &Serial), true), case.train::<D>(&on(isa, &Serial)));
            for (half, float) in half.forward().into_iter().zip(float.forward()) {
                let rounded: Vec<f32> = float.iter().map(|&x| Bf16::from_f32(x).to_f32()).collect();
                assert_same_bits(half, &rounded, &case.describe(isa, 1));
            }
        }
    }
}

fn inference_is_training_forward<D: Definition>() {
    for case in some_cases::<D>(23) {
        for isa in Isa::supported() {
            let (infer, train) = (case.in_half::<D>(&on(isa, &Serial), false), case.in_half::<D>(&on(isa, &Serial), true));
            for (infer, train) in infer.forward().into_iter().zip(train.forward()) {
                assert_same_bits(infer, train, &case.describe(isa, 1));
            }
        }
    }
}

fn batch_is_rows<D: Definition>() {
    for case in some_cases::<D>(24) {
        for isa in Isa::supported() {
            let context = on(isa, &Serial);
            let whole = case.in_half::<D>(&context, true);
            let rows: Vec<Got> = (0..case.shape.batch).map(|b| case.row(b).in_half::<D>(&context, true)).collect();
            let join = |part: fn(&Got) -> &Vec<f32>| rows.iter().flat_map(|row| part(row).clone()).collect::<Vec<_>>();
            assert_same_bits(&join(|row| &row.y), &whole.y, &case.describe(isa, 1));
            assert_same_bits(&join(|row| &row.dx), &whole.dx, &case.describe(isa, 1));
            assert_same_bits(&join(|row| &row.dh_0), &whole.dh_0, &case.describe(isa, 1));
        }
    }
}

fn threads_change_nothing<D: Definition>() {
    for case in some_cases::<D>(25) {
        for isa in Isa::supported() {
            let one = case.in_half::<D>(&on(isa, &Serial), true);
            for threads in [2, 3, 8] {
                let many = case.in_half::<D>(&on(isa, &Threads(threads)), true);
                for (one, many) in one.forward().into_iter().zip(many.forward()) {
                    assert_same_bits(many, one, &case.describe(isa, threads));
                }
                for (one, many) in one.gradients().into_iter().zip(many.gradients()).take(3) {
                    assert_same_bits(many, one, &case.describe(isa, threads));
                }
                assert_near(&many.dweight_hh, &to_f64(&one.dweight_hh), HALF_GRADIENT, &case.describe(isa, threads));
            }
        }
    }
}

/// A stretch that is run again begins with a rounded state.
fn recomputing_changes_little<D: Definition>() {
    for case in some_cases::<D>(26) {
        let case = case.rounded();
        for isa in Isa::supported() {
            for stretch in [1, 2, 4, 100] {
                let again = Case { recompute: Some(stretch), ..case.clone() };
                assert_reference::<D>(&again, isa, 2);
            }
        }
    }
}

fn nothing_beyond_a_length_is_read<D: Definition>() {
    for mut case in some_cases::<D>(27) {
        case.forget_what_is_beyond_lengths();
        for isa in Isa::supported() {
            let got = case.in_half::<D>(&on(isa, &Threads(2)), true);
            for values in got.forward().into_iter().chain(got.gradients()) {
                assert!(values.iter().all(|value| value.is_finite()), "{}", case.describe(isa, 2));
            }
        }
    }
}

fn empty_sizes_work<D: Definition>() {
    let mut random = Random::new(28);
    for shape in [shape(0, 3, 4, 5), shape(3, 0, 4, 5), shape(3, 4, 0, 5), shape(3, 4, 5, 0), shape(0, 0, 0, 0), shape(1, 0, 0, 3)] {
        let case = Case::new::<D>(&mut random, shape).rounded();
        for isa in Isa::supported() {
            assert_reference::<D>(&case, isa, 2);
        }
    }
}
