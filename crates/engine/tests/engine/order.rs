//! Order, errors and optimizer steps, through the engine's thread.
use crate::client::{CPU, Client, floats};
use quarterturn_engine::Code;

#[test]
fn a_read_sees_the_value_at_its_place_before_and_after_an_update_in_place() {
    let mut client = Client::new();
    let v = client.variable(&[1.0, 2.0]);
    let before = client.ask("read", &[v], 0);
    let twice = client.op("mul", &[v, 0.0], &[2.0, 1.0]);
    client.many("assign", &[v, twice], &[], &[]);
    assert_eq!(client.read(v), [2.0, 4.0]);
    assert_eq!(floats(&client.answer(before).unwrap()), [1.0, 2.0]);
}

#[test]
fn an_error_marks_what_uses_it_is_reported_once_and_leaves_the_rest_alone() {
    let mut client = Client::new();
    let weight = client.op("full", &[], &[1.0, 0.0, CPU, 2.0, 4.0, 2.0]);
    let index = client.op("full", &[], &[9.0, 3.0, CPU, 1.0, 1.0]);
    let bad = client.op("embedding", &[weight, index], &[-1.0]);
    let later = client.op("neg", &[bad], &[]);
    let target = client.variable(&[5.0]);
    client.many("assign", &[target, later], &[], &[]);
    let failure = client.try_read(later).unwrap_err();
    assert_eq!((failure.code, failure.op.as_str(), failure.sequence), (Code::Range, "embedding", 3));
    assert!(!failure.message.contains('\n'), "{}", failure.message);
    assert_eq!(client.read(target), [5.0]);
    assert_eq!(client.failures.len(), 1);
    assert_eq!(client.failures[0].id, failure.id);
}

#[test]
fn what_is_malformed_or_unknown_is_an_error_and_the_engine_lives_on() {
    let mut client = Client::new();
    assert!(client.environment.submit(0, &[4000.0, 0.0, 0.0, 0.0], 0, 0.0).is_err());
    let ghost = client.op("neg", &[77.0], &[]);
    assert_eq!(client.try_read(ghost).unwrap_err().code, Code::Engine);
    let x = client.tensor(&[1.0, 2.0]);
    let extra = client.op("neg", &[x], &[1.0]);
    assert_eq!(client.try_read(extra).unwrap_err().code, Code::Engine);
    let odd = client.op("reshape", &[x], &[1.0, 3.0]);
    assert_eq!(client.try_read(odd).unwrap_err().code, Code::Shape);
    assert_eq!(client.read(x), [1.0, 2.0]);
}

struct Step {
    count: f64,
    weight: f64,
    mean: f64,
    variance: f64,
}

impl Step {
    fn new(client: &mut Client) -> Self {
        Self {
            count: client.scalar(0.0),
            weight: client.variable(&[1.0, -2.0]),
            mean: client.tensor(&[0.0; 2]),
            variance: client.tensor(&[0.0; 2]),
        }
    }

    fn adamw(&self, client: &mut Client, gradient: f64, policy: f64, base: f64, rates: &[f64]) {
        let mut attributes = vec![1.0, policy, base, f64::from(u32::try_from(rates.len()).unwrap())];
        attributes.extend(rates);
        attributes.extend([0.0, 0.9, 0.999, 1e-8, 0.01]);
        client.many("adamw", &[self.count, self.weight, gradient, self.mean, self.variance], &[], &attributes);
    }

    fn all(&self, client: &mut Client) -> [Vec<f32>; 4] {
        [self.count, self.weight, self.mean, self.variance].map(|id| client.read(id))
    }
}

#[test]
fn a_step_that_fails_or_is_skipped_changes_nothing_and_the_rate_follows_the_count() {
    let mut client = Client::new();
    let step = Step::new(&mut client);
    let start = step.all(&mut client);
    let bad = client.tensor(&[1.0, f32::NAN]);
    step.adamw(&mut client, bad, 1.0, 0.0, &[0.1]);
    step.adamw(&mut client, bad, 2.0, 0.0, &[0.1]);
    let long = client.tensor(&[1.0, 2.0, 3.0]);
    step.adamw(&mut client, long, 0.0, 0.0, &[0.1]);
    let good = client.tensor(&[0.5, -0.5]);
    // No rate was sent for the number of steps that are done.
    step.adamw(&mut client, good, 1.0, 1.0, &[0.1, 0.2]);
    assert_eq!(step.all(&mut client), start);
    let codes: Vec<_> = client.failures.iter().map(|failure| failure.code).collect();
    assert_eq!(codes, [Code::NotFinite, Code::Shape, Code::Engine]);
    assert_eq!(client.failures[0].slot, Some(step.weight as u64));
    step.adamw(&mut client, good, 1.0, 0.0, &[0.1, 1e9]);
    let [count, weight, ..] = step.all(&mut client);
    assert_eq!(count, [1.0]);
    // The first step of AdamW: w − lr · wd · w − lr · sign(g).
    for (value, expected) in weight.iter().zip([1.0 - 0.001 - 0.1, -2.0 + 0.002 + 0.1]) {
        assert!((value - expected).abs() < 1e-5, "{value} {expected}");
    }
    assert_eq!(client.read(good), [0.5, -0.5]);
}

#[test]
fn sgd_with_momentum_follows_its_formula_for_three_steps() {
    let mut client = Client::new();
    let (count, weight, buffer) = (client.scalar(0.0), client.variable(&[1.0]), client.tensor(&[0.0]));
    let (mut w, mut b) = (1.0f64, 0.0f64);
    for step in 0..3 {
        let gradient = client.op("mul", &[weight, 0.0], &[3.0, 1.0]);
        client.many("sgd", &[count, weight, gradient, buffer], &[], &[1.0, 0.0, 0.0, 3.0, 0.1, 0.05, 0.01, 0.0, 0.9, 0.2, 0.001, 0.0]);
        let g = 3.0 * w + 0.001 * w;
        b = if step == 0 { g } else { 0.9 * b + 0.8 * g };
        w -= [0.1, 0.05, 0.01][step] * b;
    }
    assert!((f64::from(client.read(weight)[0]) - w).abs() < 1e-6);
    assert!((f64::from(client.read(buffer)[0]) - b).abs() < 1e-6);
    assert!(client.failures.is_empty());
}

#[test]
fn a_loss_that_does_not_depend_on_a_variable_names_it_or_gives_zeros() {
    let mut client = Client::new();
    let (used, idle) = (client.variable(&[1.0, 2.0]), client.variable(&[3.0]));
    let square = client.op("square", &[used], &[]);
    let loss = client.op("sum", &[square], &[0.0, 0.0]);
    let (a, b) = (client.id(), client.id());
    client.many("grad", &[loss, 0.0, used, idle], &[a, b], &[1.0, 0.0, 1.0]);
    assert_eq!((client.read(a), client.read(b)), (vec![2.0, 4.0], vec![0.0]));
    client.many("grad", &[loss, 0.0, used, idle], &[a, b], &[0.0, 0.0, 0.0]);
    let failure = client.try_read(a).unwrap_err();
    assert_eq!((failure.code, failure.slot), (Code::Unused, Some(idle as u64)));
}
