use super::*;

/// Words enough like random ones.
fn hash([k0, k1]: [u32; 2], counter: [u32; 4]) -> [u32; 4] {
    let mut state = (u64::from(k0) << 32) | u64::from(k1);
    let mut next = |word: u32| {
        state = (state ^ u64::from(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        state ^= state >> 29;
        state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state ^= state >> 32;
        state as u32
    };
    for word in counter {
        next(word);
    }
    [next(1), next(2), next(3), next(4)]
}

const DRAWS: Draws = Draws { key: [1, 2], epoch: 3, block: hash };

fn layout(channels: usize, channels_last: bool) -> Layout {
    Layout { channels, height: 9, width: 7, channels_last }
}

fn plain(layout: Layout) -> Plan {
    Plan {
        padding: 0,
        crop: [layout.height, layout.width],
        flip: 0.0,
        jitter: [0.0; 3],
        mean: vec![0.3; layout.channels],
        std: (0..layout.channels).map(|c| 0.2 + c as f64).collect(),
        cut: 0,
        erase: None,
        mixup: 0.0,
    }
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|k| hash([k as u32, 9], [0; 4])[0] as u8).collect()
}

fn floats(batch: &Batch) -> Vec<f32> {
    batch.bytes[batch.range.clone()].chunks_exact(4).map(|bytes| f32::from_ne_bytes(bytes.try_into().unwrap())).collect()
}

fn plans(layout: Layout) -> Vec<Plan> {
    let base = plain(layout);
    let erase = Some(Erase { probability: 0.9, area: [0.02, 0.4], ratio: [0.3, 3.3] });
    vec![
        base.clone(),
        Plan { padding: 3, flip: 0.5, ..base.clone() },
        Plan { padding: 20, flip: 0.5, ..base.clone() },
        Plan { padding: 1, crop: [4, 9], flip: 1.0, ..base.clone() },
        Plan { padding: 2, flip: 0.5, jitter: [0.4, 0.3, 1.5], ..base.clone() },
        Plan { jitter: [0.0, 0.0, 0.5], cut: 3, ..base.clone() },
        Plan { padding: 2, flip: 0.5, cut: 4, erase, ..base },
    ]
}

#[test]
fn each_image_equals_the_reference_with_what_was_drawn_for_it() {
    for (channels, channels_last) in [(1, false), (3, false), (3, true), (1, true), (4, true)] {
        let layout = layout(channels, channels_last);
        let size = channels * 63;
        let pixels = bytes(40 * size);
        for plan in plans(layout) {
            if channels == 4 && plan.jitter != [0.0; 3] {
                continue; // refused, see below
            }
            let rows: Vec<u32> = (0..40).rev().chain([5, 5]).collect();
            let images = Images { bytes: &pixels, layout, gathered: false };
            let made = floats(&augment(images, &rows, &plan, &DRAWS).unwrap());
            let expected = rows.iter().flat_map(|row| {
                let at = *row as usize * size;
                reference::image(&pixels[at..at + size], layout, &plan, &Drawn::of(&plan, layout, &DRAWS, *row))
            });
            assert_eq!(made, expected.collect::<Vec<f32>>(), "{layout:?} {plan:?}");
        }
    }
}

#[test]
fn an_image_is_the_same_in_every_batch_and_on_any_number_of_threads() {
    let layout = layout(3, false);
    let size = 189;
    let pixels = bytes(200 * size);
    let plan = Plan { padding: 4, flip: 0.5, cut: 3, ..plain(layout) };
    let rows: Vec<u32> = (0..200).collect();
    let images = Images { bytes: &pixels, layout, gathered: false };
    let whole = floats(&augment(images, &rows, &plan, &DRAWS).unwrap());
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| floats(&augment(images, &rows, &plan, &DRAWS).unwrap())), whole);
    }
    for row in [0, 77, 199] {
        let at = row as usize * size;
        let one = Images { bytes: &pixels[at..at + size], layout, gathered: true };
        assert_eq!(floats(&augment(one, &[row], &plan, &DRAWS).unwrap()), whole[at..at + size]);
    }
    let later = Draws { epoch: 4, ..DRAWS };
    assert_ne!(floats(&augment(images, &rows, &plan, &later).unwrap()), whole);
}

#[test]
fn every_offset_is_drawn_equally_often_and_half_are_mirrored() {
    let layout = layout(1, false);
    let plan = Plan { padding: 1, flip: 0.5, cut: 1, ..plain(layout) };
    let mut places = [0; 9];
    let mut mirrored = 0;
    for row in 0..9000 {
        let drawn = Drawn::of(&plan, layout, &DRAWS, row);
        places[drawn.top * 3 + drawn.left] += 1;
        mirrored += i32::from(drawn.mirrored);
    }
    assert!(places.iter().all(|count| (850..1150).contains(count)), "{places:?}");
    assert!((4300..4700).contains(&mirrored), "{mirrored}");
}

#[test]
fn shares_have_the_moments_of_their_distribution() {
    for alpha in [0.05, 0.2, 0.5, 0.51, 1.0, 2.0, 8.0] {
        let shares: Vec<f64> = (0..40_000).map(|row| DRAWS.share(alpha, row)).collect();
        assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
        let moment = |power: i32| shares.iter().map(|share| (share - 0.5).powi(power)).sum::<f64>() / 40_000.0;
        let variance = 1.0 / (4.0 * (2.0 * alpha + 1.0));
        // The fourth central moment of a Beta(α, α), by its kurtosis 3 − 6/(2α + 3).
        let fourth = (3.0 - 6.0 / (2.0 * alpha + 3.0)) * variance * variance;
        assert!(moment(1).abs() < 0.01, "{alpha}: mean {}", moment(1));
        assert!((moment(2) / variance - 1.0).abs() < 0.03, "{alpha}: {} for {variance}", moment(2));
        assert!((moment(4) / fourth - 1.0).abs() < 0.06, "{alpha}: {} for {fourth}", moment(4));
    }
}

#[test]
fn mixtures_are_of_each_image_and_the_one_before_it() {
    let layout = layout(1, false);
    let pixels = bytes(5 * 63);
    let images = Images { bytes: &pixels, layout, gathered: false };
    let rows = [4, 0, 2];
    let alone = floats(&augment(images, &rows, &plain(layout), &DRAWS).unwrap());
    let batch = augment(images, &rows, &Plan { mixup: 0.7, ..plain(layout) }, &DRAWS).unwrap();
    let mixed = floats(&batch);
    assert_eq!(batch.shares, rows.map(|row| DRAWS.share(0.7, row)));
    for (i, other) in [(0, 2), (1, 0), (2, 1)] {
        for k in 0..63 {
            let [x, y] = [i, other].map(|row: usize| f64::from(alone[row * 63 + k]));
            assert_eq!(mixed[i * 63 + k], (batch.shares[i] * x + (1.0 - batch.shares[i]) * y) as f32);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let layout = layout(1, false);
    let pixels = bytes(63);
    let images = Images { bytes: &pixels, layout, gathered: false };
    let wide = Plan { crop: [9, 8], ..plain(layout) };
    let other = Plan { mean: vec![0.0; 3], ..plain(layout) };
    for (rows, plan) in [([1], &plain(layout)), ([u32::MAX], &plain(layout)), ([0], &wide), ([0], &other)] {
        assert!(augment(images, &rows, plan, &DRAWS).is_err());
    }
    let layout = super::Layout { channels: 4, height: 1, width: 1, channels_last: true };
    let coloured = Plan { jitter: [0.1; 3], ..plain(layout) };
    assert!(augment(Images { bytes: &pixels, layout, gathered: false }, &[0], &coloured, &DRAWS).is_err());
}
