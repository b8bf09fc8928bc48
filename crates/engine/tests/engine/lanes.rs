//! Units of lane 1, cancellation, and back pressure.
use crate::client::{CPU, Client, floats};
use quarterturn_engine::Code;
use std::time::{Duration, Instant};

/// Entries of lane 0 that take a while; the last one's output.
fn busy(client: &mut Client, count: usize) -> f64 {
    let mut x = client.op("full", &[], &[1e-3, 0.0, CPU, 2.0, 600.0, 600.0]);
    for _ in 0..count {
        x = client.op("matmul", &[x, x], &[]);
    }
    x
}

#[test]
fn a_unit_overtakes_what_is_queued() {
    let mut client = Client::new();
    let x = client.tensor(&[1.0]);
    busy(&mut client, 60);
    let slow = client.ask("mark", &[], 0);
    let y = client.op("add", &[x, 0.0], &[1.0, 1.0]);
    let fast = client.ask("read", &[y], 1);
    assert_eq!(floats(&client.answer(fast).unwrap()), [2.0]);
    client.answer(slow).unwrap();
    assert_eq!(client.order, [fast, slow]);
}

#[test]
fn a_unit_waits_for_its_slots_and_a_release_waits_for_the_unit() {
    let mut client = Client::new();
    // The unit is handed over before the values it uses are even queued.
    let (a, b) = (client.id(), client.id());
    let sum = client.op("add", &[a, b], &[0.0, 0.0]);
    let unit = client.ask("read", &[sum], 1);
    busy(&mut client, 5);
    client.flush(0);
    // `a` is released before `b` exists.
    for (id, value) in [(a, 3.0), (b, 4.0)] {
        client.many("full", &[], &[id], &[value, 0.0, CPU, 1.0, 1.0]);
        client.many("free", &[id], &[], &[]);
    }
    client.flush(0);
    assert_eq!(floats(&client.answer(unit).unwrap()), [7.0]);
    client.settle();
    let gone = client.op("neg", &[a], &[]);
    assert_eq!(client.try_read(gone).unwrap_err().code, Code::Engine);
}

#[test]
fn a_unit_that_waits_in_vain_fails_instead_of_waiting_for_ever() {
    let mut client = Client::new();
    let y = client.op("neg", &[123_456.0], &[]);
    let unit = client.ask("read", &[y], 1);
    client.settle();
    client.settle();
    let failure = client.answer(unit).unwrap_err();
    assert!(failure.code == Code::Engine && failure.message.contains("123456"), "{}", failure.message);
}

#[test]
fn closing_an_environment_cancels_its_work_and_frees_its_slots_but_no_others() {
    let (mut gone, mut other) = (Client::new(), Client::new());
    let kept = other.tensor(&[5.0]);
    other.settle();
    busy(&mut gone, 4000);
    gone.flush(0);
    let start = Instant::now();
    gone.environment.close();
    assert_eq!(other.read(kept), [5.0]);
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(gone.environment.queued(), 0);
}

#[test]
fn a_caller_that_runs_far_ahead_is_told_to_wait_and_waits_for_half() {
    let mut client = Client::new();
    let mut full = false;
    for _ in 0..70 {
        busy(&mut client, 1);
        let words = client.entry("mark", &[], &[], &[1.0]);
        client.flush(0);
        full = client.environment.submit(0, &words, 1, 0.0).unwrap();
    }
    assert!(full);
    client.environment.wait();
    // Three entries a step.
    let queued = client.environment.queued();
    assert!((1..=3 * 32 + 2).contains(&queued), "{queued}");
}
