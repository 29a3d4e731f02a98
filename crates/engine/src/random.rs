//! Random numbers that depend on a seed and a place, and on nothing else.
//!
//! Above: `train` (dropout). Below: nothing. Not here: shuffling and augmentation (`data`), initialization (`model`).
//! Source: `SplitMix64`, Steele et al. 2014, <https://doi.org/10.1145/2660193.2660195>.

/// A number in `[0, 1)` for element `index` of stream `stream` under `seed`.
pub(crate) fn uniform(seed: u64, stream: u64, index: u64) -> f64 {
    let bits = mix(mix(mix(seed).wrapping_add(stream)).wrapping_add(index));
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::uniform;

    #[test]
    fn neighbors_differ_and_the_mean_is_a_half() {
        let values: Vec<f64> = (0..10_000).map(|i| uniform(1, 2, i)).collect();
        let mean = values.iter().sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        assert!(values.windows(2).all(|w| w[0].to_bits() != w[1].to_bits()));
        assert!(values.iter().all(|v| (0.0..1.0).contains(v)));
    }
}
