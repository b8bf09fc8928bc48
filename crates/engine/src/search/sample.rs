//! Symbols drawn by chance.
use crate::philox::{Philox, unit64};

/// How the distribution is changed before a symbol is drawn: temperature, then the k likeliest, then the fewest that hold `top_p`.
pub struct Sampling {
    /// Logits are divided by it.
    pub temperature: f64,
    /// 0: all.
    pub top_k: usize,
    /// 1: all (Holtzman et al. 2020).
    pub top_p: f64,
    pub philox: Philox,
}

/// The symbol that the place in the stream gives; nothing where every symbol is impossible.
pub fn draw(logits: &[f64], banned: &[i64], sampling: &Sampling, place: u64) -> Option<i64> {
    let scaled = logits.iter().zip(0i64..).map(|(logit, id)| (logit / sampling.temperature, id));
    let mut entries: Vec<(f64, i64)> = scaled.filter(|(logit, id)| *logit > f64::NEG_INFINITY && !banned.contains(id)).collect();
    let descending = |a: &(f64, i64), b: &(f64, i64)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    if (1..entries.len()).contains(&sampling.top_k) {
        entries.select_nth_unstable_by(sampling.top_k - 1, descending);
        entries.truncate(sampling.top_k);
    }
    let largest = entries.iter().map(|(logit, _)| *logit).fold(f64::NEG_INFINITY, f64::max);
    for (logit, _) in &mut entries {
        *logit = (*logit - largest).exp();
    }
    if sampling.top_p < 1.0 {
        entries.sort_unstable_by(descending);
        let enough = sampling.top_p * entries.iter().map(|(weight, _)| weight).sum::<f64>();
        let mut held = 0.0;
        let reached = entries.iter().position(|(weight, _)| {
            held += weight;
            held >= enough
        });
        entries.truncate(reached.map_or(entries.len(), |last| last + 1));
    }
    let [a, b, ..] = sampling.philox.at(place);
    let mut left = unit64(a, b) * entries.iter().map(|(weight, _)| weight).sum::<f64>();
    for (weight, id) in &entries {
        left -= weight;
        if left < 0.0 {
            return Some(*id);
        }
    }
    // Rounding may leave a little.
    entries.iter().rev().find(|(weight, _)| *weight > 0.0).map(|(_, id)| *id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: Philox = Philox { key: [1, 2], offset: 0, iteration: [0; 2] };

    fn counts(logits: &[f64], banned: &[i64], temperature: f64, top_k: usize, top_p: f64) -> Vec<usize> {
        let sampling = Sampling { temperature, top_k, top_p, philox: STREAM };
        let mut counts = vec![0; logits.len()];
        (0..20_000).for_each(|place| counts[draw(logits, banned, &sampling, place).unwrap() as usize] += 1);
        counts
    }

    #[test]
    fn shares_follow_the_probabilities_that_are_left() {
        let logits = [0.5f64, 0.1, 0.3, 0.1].map(f64::ln);
        let near = |counts: Vec<usize>, want: [f64; 4]| {
            assert!(counts.iter().zip(want).all(|(count, want)| (*count as f64 / 20_000.0 - want).abs() < 0.015), "{counts:?}");
        };
        near(counts(&logits, &[], 1.0, 0, 1.0), [0.5, 0.1, 0.3, 0.1]);
        near(counts(&logits, &[0], 1.0, 0, 1.0), [0.0, 0.2, 0.6, 0.2]);
        near(counts(&logits, &[], 1.0, 2, 1.0), [0.625, 0.0, 0.375, 0.0]);
        near(counts(&logits, &[], 1.0, 0, 0.7), [0.625, 0.0, 0.375, 0.0]);
        near(counts(&logits, &[], 1.0, 0, 1e-9), [1.0, 0.0, 0.0, 0.0]);
        let squares = 0.25 + 0.01 + 0.09 + 0.01;
        near(counts(&logits, &[], 0.5, 0, 1.0), [0.25 / squares, 0.01 / squares, 0.09 / squares, 0.01 / squares]);
    }

    #[test]
    fn impossible_symbols_are_never_drawn() {
        assert_eq!(counts(&[f64::NEG_INFINITY, 0.0, f64::NEG_INFINITY], &[], 1.0, 0, 1.0), [0, 20_000, 0]);
        let sampling = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, philox: STREAM };
        assert_eq!(draw(&[f64::NEG_INFINITY], &[], &sampling, 0), None);
    }
}
