//! Philox 4×32-10, a counter-based generator.
//!
//! Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), section 4.3.

const MULTIPLIER: [u32; 2] = [0xd251_1f53, 0xcd9e_8d57];
const WEYL: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];
const ROUNDS: usize = 10;

/// A place in a stream of random blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Philox {
    pub key: [u32; 2],
    pub offset: u64,
    /// The iteration of the enclosing scan, and of the scan around that one.
    pub iteration: [u32; 2],
}

fn wide(a: u32, b: u32) -> (u32, u32) {
    let product = u64::from(a) * u64::from(b);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    let halves = ((product >> 32) as u32, product as u32);
    halves
}

/// The block for a key and a counter.
#[must_use]
#[inline]
pub fn block(mut key: [u32; 2], mut counter: [u32; 4]) -> [u32; 4] {
    for _ in 0..ROUNDS {
        let (high0, low0) = wide(MULTIPLIER[0], counter[0]);
        let (high1, low1) = wide(MULTIPLIER[1], counter[2]);
        counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

impl Philox {
    /// The block `index` places after the offset.
    #[must_use]
    #[inline]
    pub fn at(&self, index: u64) -> [u32; 4] {
        let place = self.offset.wrapping_add(index);
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        let counter = [place as u32, (place >> 32) as u32, self.iteration[0], self.iteration[1]];
        block(self.key, counter)
    }
}

/// 24 bits as a float32 in [0, 1).
#[must_use]
#[inline]
#[expect(clippy::cast_precision_loss, reason = "24 bits fit")]
pub fn unit32(bits: u32) -> f32 {
    (bits >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// 53 bits as a float64 in [0, 1).
#[must_use]
#[inline]
#[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
pub fn unit64(high: u32, low: u32) -> f64 {
    (word64(high, low) >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
}

/// Two words as one.
#[must_use]
#[inline]
pub fn word64(high: u32, low: u32) -> u64 {
    (u64::from(high) << 32) | u64::from(low)
}

/// 64 random bits scaled to [0, range).
#[must_use]
#[inline]
pub fn below(bits: u64, range: u64) -> u64 {
    ((u128::from(bits) * u128::from(range)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that accompany the paper's code.
    #[test]
    fn blocks_equal_the_published_answers() {
        let cases = [
            ([0, 0], [0, 0, 0, 0], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 2], [u32::MAX; 4], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0xa409_3822, 0x299f_31d0],
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (key, counter, answer) in cases {
            assert_eq!(block(key, counter), answer);
        }
    }

    #[test]
    fn the_offset_carries_into_the_second_word_and_iterations_differ() {
        let philox = Philox { key: [1, 2], offset: u64::from(u32::MAX), iteration: [3, 0] };
        assert_eq!(philox.at(1), block([1, 2], [0, 1, 3, 0]));
        assert_ne!(philox.at(1), Philox { iteration: [4, 0], ..philox }.at(1));
    }

    #[test]
    fn scaled_bits_stay_in_range() {
        assert!(unit32(u32::MAX) < 1.0 && unit64(u32::MAX, u32::MAX) < 1.0);
        assert_eq!((unit32(0), unit64(0, 0)), (0.0, 0.0));
        assert_eq!((below(u64::MAX, 6), below(0, 6)), (5, 0));
    }
}
