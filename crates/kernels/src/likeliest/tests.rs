use super::{Forward, NONE, forward, reference};
use crate::testing::{Random, Threads};
use crate::{Context, Isa};

struct Found {
    values: Vec<f32>,
    indices: Vec<u32>,
    log_sums: Vec<f64>,
}

fn run(isa: Isa, threads: usize, x: &[f32], rows: &[usize], width: usize, k: usize) -> Found {
    let executor = Threads(threads);
    let context = Context::new(&executor).with_isa(isa).unwrap();
    let (mut values, mut indices, mut log_sums) = (vec![0.0; rows.len() * k], vec![0; rows.len() * k], vec![0.0; rows.len()]);
    let buffers = Forward { x, rows, values: &mut values, indices: &mut indices, log_sums: &mut log_sums };
    forward(&context, width, k, buffers).unwrap();
    Found { values, indices, log_sums }
}

fn check(found: &Found, at: usize, x: &[f32], k: usize) {
    let row: Vec<f64> = x.iter().copied().map(f64::from).collect();
    let (mut values, mut indices) = (vec![0.0; k], vec![0; k]);
    let log_sum = reference::row(&row, &mut values, &mut indices);
    assert_eq!(found.indices[at * k..][..k], indices);
    assert!(found.values[at * k..][..k].iter().zip(&values).all(|(got, want)| f64::from(*got) == *want));
    assert!((found.log_sums[at] - log_sum).abs() < 1e-5, "{} {log_sum}", found.log_sums[at]);
}

#[test]
fn every_instruction_set_and_split_finds_what_the_definition_says() {
    let mut random = Random::new(1);
    for isa in Isa::supported() {
        for _ in 0..60 {
            let (all, width) = (1 + random.below(9), 1 + random.below(700));
            let k = 1 + random.below(width.min(20));
            let mut x = random.numbers(all * width, 12.0);
            // Ties and impossible symbols are common among logits that a caller has masked.
            for value in &mut x {
                if random.below(4) == 0 {
                    *value = random.pick(&[3.0, f32::NEG_INFINITY, -200.0]);
                }
            }
            let x = [x, vec![0.5; width]].concat();
            let rows: Vec<usize> = (0..=all).rev().filter(|row| *row == all || random.flip()).collect();
            for threads in [1, 3] {
                let found = run(isa, threads, &x, &rows, width, k);
                for (at, row) in rows.iter().enumerate() {
                    if x[row * width..][..width].iter().any(|x| *x > f32::NEG_INFINITY) {
                        check(&found, at, &x[row * width..][..width], k);
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_not_finite_shows_in_the_sum_and_impossible_entries_are_not_found() {
    for isa in Isa::supported() {
        for bad in [f32::NAN, f32::INFINITY] {
            for place in [0, 5, 70] {
                let mut x = vec![1.0; 71];
                x[place] = bad;
                assert!(!run(isa, 1, &x, &[0], 71, 2).log_sums[0].is_finite(), "{isa} {bad} at {place}");
            }
        }
        let mut x = vec![f32::NEG_INFINITY; 71];
        assert!(!run(isa, 1, &x, &[0], 71, 2).log_sums[0].is_finite());
        x[66] = 2.0;
        let found = run(isa, 1, &x, &[0], 71, 2);
        assert_eq!((found.indices, found.log_sums), (vec![66, NONE], vec![2.0]));
    }
}

#[test]
fn wrong_sizes_are_refused() {
    let executor = Threads(1);
    let context = Context::new(&executor);
    let refused = |x: &[f32], rows: &[usize], width: usize, k: usize, held: usize| {
        let (mut values, mut indices, mut log_sums) = (vec![0.0; held], vec![0; held], vec![0.0; rows.len()]);
        let buffers = Forward { x, rows, values: &mut values, indices: &mut indices, log_sums: &mut log_sums };
        forward(&context, width, k, buffers).is_err()
    };
    assert!(!refused(&[0.0; 6], &[1], 3, 2, 2));
    assert!(refused(&[0.0; 6], &[2], 3, 2, 2));
    assert!(refused(&[0.0; 6], &[usize::MAX], 3, 2, 2));
    assert!(refused(&[0.0; 6], &[1], 3, 2, 3));
    assert!(refused(&[0.0; 6], &[1], 3, 0, 0));
    assert!(refused(&[], &[], 0, 1, 0));
}
