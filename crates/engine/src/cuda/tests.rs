//! Our CUDA kernels by the emulation, on tensors of the CPU: what is made of a call of `src/kernels` is what the CPU's kernels make of it, outputs and
//! gradients.
use super::{Call, Gradients};
use crate::kernels::{self, Kernel};
use quarterturn_cuda::Card;
use quarterturn_cuda::emulation::Emulation;
use tch::{Device, Kind, Tensor};

const DOUBLE: (Kind, Device) = (Kind::Double, Device::Cpu);

fn random(shape: &[i64]) -> Tensor {
    Tensor::randn(shape, DOUBLE) * 0.5
}

/// Compares both dtypes with the CPU's kernels in float64, but gradients of Elman and Highway with ReLU in float32 alone: rounding to bfloat16 moves arguments
/// across the bend. `saved`: the inputs that backward is given, `saved_out` the outputs, as in `shim/kernels.cpp`.
fn same(kernel: Kernel, inputs: &[Option<Tensor>], attributes: &[f64], saved: &[usize], saved_out: &[usize]) {
    for (kind, tolerance) in [(Kind::Float, 2e-5), (Kind::BFloat16, 5e-2)] {
        // From the same numbers, as the dtype has them.
        let exact: Vec<Option<Tensor>> = inputs
            .iter()
            .map(|input| {
                input.as_ref().map(|x| {
                    if x.kind() == Kind::Double {
                        x.to_kind(kind).to_kind(Kind::Double).detach().set_requires_grad(true)
                    } else {
                        x.shallow_clone()
                    }
                })
            })
            .collect();
        let outputs = kernels::run(kernel, &exact.iter().map(Option::as_ref).collect::<Vec<_>>(), attributes).unwrap();
        let seeds: Vec<Tensor> = outputs.iter().map(|output| random(&output.size()).to_kind(kind).to_kind(Kind::Double)).collect();
        let loss = outputs.iter().zip(&seeds).map(|(output, seed)| (output * seed).sum(None)).reduce(|a, b| a + b).unwrap();
        let variables: Vec<&Tensor> = exact.iter().flatten().filter(|x| x.requires_grad()).collect();
        let right = Tensor::run_backward(&[loss], &variables, false, false);
        let launcher = Emulation::new(Card::H200);
        let to = |x: &Tensor| if x.kind() == Kind::Double { x.detach().to_kind(kind).contiguous() } else { x.contiguous() };
        let given: Vec<Option<Tensor>> = inputs.iter().map(|input| input.as_ref().map(to)).collect();
        let call = Call { launcher: &launcher, kernel, inputs: &given, attributes };
        assert!(call.reaches().unwrap(), "{kernel:?} {kind:?}");
        let close = |found: &Tensor, right: &Tensor, what: &str| {
            assert_eq!((found.size(), found.kind()), (right.size(), kind), "{kernel:?} {what}");
            let norm = |x: &Tensor| x.norm().double_value(&[]);
            let apart = norm(&(found.to_kind(Kind::Double) - right)) / norm(right).max(1e-30);
            assert!(norm(right) == 0.0 || apart < tolerance, "{kernel:?} {kind:?} {attributes:?}: {what} is {apart} apart");
        };
        let alone = call.forward(false).unwrap();
        let made = call.forward(true).unwrap();
        for (place, (found, right)) in made.outputs.iter().zip(&outputs).enumerate() {
            close(found, &right.detach(), &format!("output {place}"));
            assert_eq!(found, &alone.outputs[place]);
        }
        let keep = |all: &[Option<Tensor>], places: &[usize]| -> Vec<Option<Tensor>> {
            all.iter().enumerate().map(|(place, x)| x.as_ref().filter(|_| places.contains(&place)).map(Tensor::shallow_clone)).collect()
        };
        let some = |all: &[Tensor]| -> Vec<Option<Tensor>> { all.iter().map(|x| Some(x.shallow_clone())).collect() };
        let wanted: Vec<bool> = inputs.iter().map(|input| input.as_ref().is_some_and(|x| x.kind() == Kind::Double)).collect();
        let gradients = Gradients {
            outputs: &keep(&some(&made.outputs), saved_out),
            grads: &seeds.iter().map(|seed| Some(seed.to_kind(kind))).collect::<Vec<_>>(),
            reserve: &some(&made.reserve),
            wanted: &wanted,
        };
        let later = keep(&given, saved);
        let found = Call { launcher: &launcher, kernel, inputs: &later, attributes }.backward(&gradients).unwrap();
        assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), wanted);
        if kind == Kind::BFloat16 && matches!(kernel, Kernel::Rnn | Kernel::Highway) && attributes[0] == 1.0 {
            continue;
        }
        for (place, (found, right)) in found.iter().flatten().zip(&right).enumerate() {
            close(found, right, &format!("gradient {place}"));
        }
    }
}

#[test]
fn dense_recurrences_equal_the_cpu_both_ways_through_time_with_and_without_lengths_and_biases() {
    let [batch, time, input] = [3, 4, 5];
    for (kernel, gates, states) in [(Kernel::Lstm, 4, 2), (Kernel::Gru, 3, 1), (Kernel::Rnn, 1, 1)] {
        for (hidden, biased, lengths) in [(17, true, true), (16, false, false), (33, true, false)] {
            for flag in [0.0, 1.0] {
                let state = || Some(random(&[batch, hidden]));
                let bias = || biased.then(|| random(&[gates * hidden]));
                let lengths = lengths.then(|| Tensor::from_slice(&[time, 0, time - 1]));
                let mut inputs = vec![Some(random(&[batch, time, input]))];
                inputs.extend((0..states).map(|_| state()));
                // Small, so that no unit of a ReLU is so large that the rounding of others moves it across zero.
                let weight = |columns: i64| Some(random(&[gates * hidden, columns]) * 0.3);
                inputs.extend([weight(input), weight(hidden), bias(), bias(), lengths]);
                let attributes = if kernel == Kernel::Rnn { vec![flag, flag, 0.0] } else { vec![flag, 0.0] };
                same(kernel, &inputs, &attributes, &[0, 1, 2, 3, 4, 5, 6, 7], &[0]);
            }
        }
    }
}

#[test]
fn scans_equal_the_cpu_both_ways_through_time_with_and_without_lengths_and_states() {
    let [batch, time, hidden] = [3, 5, 6];
    let lengths = Tensor::from_slice(&[time, 0, time - 1]);
    for (kernel, columns) in [(Kernel::Scan, 1), (Kernel::MinGru, 2), (Kernel::MinLstm, 3)] {
        for (state, lengths) in [(false, None), (true, None), (true, Some(&lengths))] {
            for flags in [[0.0, 0.0], [1.0, 1.0]] {
                let mut inputs = vec![Some(random(&[batch, time, columns * hidden]))];
                if kernel == Kernel::Scan {
                    inputs.push(Some(random(&[batch, time, hidden])));
                }
                inputs.extend([state.then(|| random(&[batch, hidden])), lengths.map(Tensor::shallow_clone)]);
                let attributes = if kernel == Kernel::Scan { &flags[..1] } else { &flags[..] };
                same(kernel, &inputs, attributes, &[0, 1, 2, 3], &[0]);
            }
        }
    }
}

#[test]
fn highway_stacks_equal_the_cpu() {
    for (relu, layers, width, biased) in [(0.0, 3, 24, true), (1.0, 1, 16, true), (1.0, 2, 40, false)] {
        let inputs =
            [Some(random(&[2, 9, width])), Some(random(&[layers, 2 * width, width]) * 0.3), biased.then(|| random(&[layers, 2 * width]))];
        same(Kernel::Highway, &inputs, &[relu], &[0, 1, 2], &[]);
    }
}

#[test]
fn residual_norms_equal_the_cpu() {
    for (rms, whole) in [(0.0, true), (1.0, true), (0.0, false)] {
        let optional = |shape: &[i64]| whole.then(|| random(shape));
        let inputs = [Some(random(&[2, 3, 20])), optional(&[2, 3, 20]), optional(&[20]), optional(&[20])];
        same(Kernel::ResidualNorm, &inputs, &[rms, 1e-5], &[2, 3], &[1]);
    }
}

#[test]
fn layers_that_are_too_large_or_of_another_dtype_are_not_reached() {
    let launcher = Emulation::new(Card::A100);
    let reaches = |hidden: i64, kind: Kind| {
        let make = |shape: &[i64]| Some(Tensor::zeros(shape, (kind, Device::Cpu)));
        let inputs = [make(&[2, 3, 4]), make(&[2, hidden]), make(&[3 * hidden, 4]), make(&[3 * hidden, hidden]), None, None, None];
        Call { launcher: &launcher, kernel: Kernel::Gru, inputs: &inputs, attributes: &[0.0, 0.0] }.reaches().unwrap_or(false)
    };
    assert!(reaches(64, Kind::BFloat16));
    assert!(!reaches(64, Kind::Half));
    assert!(!reaches(64, Kind::Double));
    assert!(!reaches(4096, Kind::Float));
}
