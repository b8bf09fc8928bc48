//! Programs: nested, differentiated, and without side effects of the second run.
use crate::client::{CPU, Client};

#[test]
fn programs_run_within_programs_and_are_differentiated() {
    let mut client = Client::new();
    let (inner, outer) = (client.id(), client.id());
    let (a, b, c, d) = (client.id(), client.id(), client.id(), client.id());
    let sin = client.entry("sin", &[a], &[b], &[]);
    let nested = [vec![inner, 1.0, a, 1.0, b], sin].concat();
    let body = [client.entry("define", &[], &[], &nested), client.entry("checkpoint", &[c], &[d], &[inner])].concat();
    let definition = [vec![outer, 1.0, c, 1.0, d], body].concat();
    client.many("define", &[], &[], &definition);
    let x = client.variable(&[0.5, 2.0]);
    let y = client.op("checkpoint", &[x], &[outer]);
    client.many("undefine", &[], &[], &[outer]);
    let loss = client.op("sum", &[y], &[0.0, 0.0]);
    let first = client.op("grad", &[loss, 0.0, x], &[0.0, 1.0, 0.0]);
    let sum = client.op("sum", &[first], &[0.0, 0.0]);
    let second = client.op("grad", &[sum, 0.0, x], &[0.0, 0.0, 0.0]);
    for (id, expected) in [(y, [0.5f32.sin(), 2f32.sin()]), (first, [0.5f32.cos(), 2f32.cos()]), (second, [-0.5f32.sin(), -2f32.sin()])] {
        for (value, expected) in client.read(id).iter().zip(expected) {
            assert!((value - expected).abs() < 1e-6, "{value} {expected}");
        }
    }
}

#[test]
fn running_statistics_are_updated_once_although_a_checkpoint_runs_twice() {
    let mut client = Client::new();
    let program = client.id();
    let (x, mean, variance, y) = (client.id(), client.id(), client.id(), client.id());
    let body = client.entry("batchNorm", &[x, 0.0, 0.0, mean, variance], &[y], &[1.0, 0.5, 1e-5, 0.0]);
    let definition = [vec![program, 3.0, x, mean, variance, 1.0, y], body].concat();
    client.many("define", &[], &[], &definition);
    let input = client.tensor(&[1.0, 3.0, 5.0, 7.0]);
    let input = client.op("reshape", &[input], &[2.0, 4.0, 1.0]);
    let input = client.op("variable", &[input], &[1.0]);
    let (mean, variance) = (client.tensor(&[0.0]), client.op("full", &[], &[1.0, 0.0, CPU, 1.0, 1.0]));
    let output = client.op("checkpoint", &[input, mean, variance], &[program]);
    let square = client.op("square", &[output], &[]);
    let cube = client.op("mul", &[square, output], &[0.0, 0.0]);
    let loss = client.op("sum", &[cube], &[0.0, 0.0]);
    let gradient = client.op("grad", &[loss, 0.0, input], &[0.0, 0.0, 0.0]);
    assert!(client.read(gradient).iter().any(|value| value.abs() > 1e-3));
    assert_eq!(client.read(mean), [2.0]);
}
