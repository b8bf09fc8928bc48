//! The emulation runs threads, warps, clusters and grids as a device would, and finds what a device would not tell.

use quarterturn_cuda::emulation::Emulation;
use quarterturn_cuda::{Arguments, Card, Error, Launch, Launcher, View};

#[repr(C)]
#[derive(Clone, Copy)]
struct Probe {
    x: View,
    y: View,
    counter: View,
}

// SAFETY: three views.
unsafe impl Arguments for Probe {}

/// y of a kernel whose x is 0, 1, 2, …
fn probe(kernel: &'static str, order: u64, blocks: u32, (cluster, cooperative): (u32, bool)) -> Result<Vec<f32>, Error> {
    let len = 128 * blocks as usize;
    let x: Vec<f32> = (0..len).map(|i| i as f32).collect();
    let (mut y, mut counter) = (vec![f32::NAN; len], vec![0u32; 1]);
    let arguments = Probe {
        x: View { address: x.as_ptr() as u64, len: len as u64 },
        y: View { address: y.as_mut_ptr() as u64, len: len as u64 },
        counter: View { address: counter.as_mut_ptr() as u64, len: 1 },
    };
    let launch = Launch { kernel, grid: blocks, block: 128, cluster, cooperative, shared: 512 };
    let launcher = Emulation { order, ..Emulation::new(Card::H200) };
    // SAFETY: the views are alive.
    unsafe { launcher.launch(&launch, arguments.bytes())? };
    Ok(y)
}

const ALONE: (u32, bool) = (1, false);
const ORDERS: [u64; 4] = [0, 1, 2, 3];

#[test]
fn threads_of_a_block_meet() {
    let want: Vec<f32> = (0..3).flat_map(|block| (0..128).map(move |i| (block * 128 + 127 - i) as f32)).collect();
    for order in ORDERS {
        assert_eq!(probe("probe_reverse", order, 3, ALONE), Ok(want.clone()));
    }
}

#[test]
fn a_missing_barrier_shows_as_a_dependence_on_the_order() {
    let bits = |order| probe("probe_race", order, 1, ALONE).unwrap().into_iter().map(f32::to_bits).collect::<Vec<_>>();
    assert_ne!(bits(0), bits(1));
}

#[test]
fn lanes_of_a_warp_exchange_values() {
    let want: Vec<f32> = (0..128).map(|i| (0..32).map(|lane| (i / 32 * 32 + lane) as f32).sum()).collect();
    for order in ORDERS {
        assert_eq!(probe("probe_warp_sum", order, 1, ALONE), Ok(want.clone()));
    }
}

#[test]
fn blocks_of_a_cluster_write_into_each_other() {
    let want: Vec<f32> = (0..512).map(|i| (i ^ 128) as f32).collect();
    for order in ORDERS {
        assert_eq!(probe("probe_cluster", order, 4, (2, false)), Ok(want.clone()));
    }
}

#[test]
fn blocks_of_a_cooperative_launch_wait_for_a_flag() {
    let want: Vec<f32> = (0..5).flat_map(|block| (0..128).map(move |i| ((4 - block) * 128 + i + 1) as f32)).collect();
    for order in ORDERS {
        assert_eq!(probe("probe_grid", order, 5, (1, true)), Ok(want.clone()));
    }
    let error = probe("probe_grid", 0, 5, ALONE).unwrap_err().to_string();
    assert!(error.contains("waits for ever"), "{error}");
}

#[test]
fn the_matrix_product_of_a_warp_is_one() {
    let len = 192;
    let x: Vec<f32> = (0..len).map(|i| (i % 7) as f32 - 3.0).collect();
    let mut y = vec![f32::NAN; 128];
    let arguments = Probe {
        x: View { address: x.as_ptr() as u64, len },
        y: View { address: y.as_mut_ptr() as u64, len: 128 },
        counter: View::default(),
    };
    let launch = Launch { kernel: "probe_mma", grid: 1, block: 32, cluster: 1, cooperative: false, shared: 0 };
    // SAFETY: the views are alive.
    unsafe { Emulation::new(Card::H200).launch(&launch, arguments.bytes()).unwrap() };
    for row in 0..16 {
        for column in 0..8 {
            let want: f32 = (0..8).map(|k| x[row * 8 + k] * x[128 + column * 8 + k]).sum();
            assert_eq!(y[row * 8 + column], want, "row {row}, column {column}");
        }
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (kernel, part) in [
        ("probe_stuck", "waits for ever"),
        ("probe_outside", "block 0, thread 127: element 128 of a view of 128"),
        ("probe_missing", "no such kernel"),
    ] {
        let error = probe(kernel, 0, 1, ALONE).unwrap_err().to_string();
        assert!(error.starts_with(kernel) && error.contains(part), "{error}");
    }
    assert!(probe("probe_unwritten", 0, 1, ALONE).unwrap().iter().all(|y| y.is_nan()));
}
