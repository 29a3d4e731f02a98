//! Parameters and images that follow from their names, so that a fixture of a whole network holds none of them.
//!
//! Above: the golden tests of networks. Below: `graph`, `fixture`. Not here: running statistics, which are the fixture's; PyTorch's side
//! (`tests/generators/peer.py`, where the formula stands in words).

use taper_graph::{ParamRole, ParamSpec};

use crate::fixture::Golden;

/// `count` numbers from `low` to `high`, computed in f64 and rounded to f32.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is part of the formula")]
pub fn drawn(name: &str, count: usize, low: f64, high: f64) -> Vec<f32> {
    uniform(name).take(count).map(|u| (low + (high - low) * u) as f32).collect()
}

/// Multiples of 2⁻²⁴ in `[0, 1)`: splitmix64, begun by the FNV-1a hash of the name.
fn uniform(name: &str) -> impl Iterator<Item = f64> {
    let absorb = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325, absorb);
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        #[expect(clippy::cast_precision_loss, reason = "24 bits")]
        let high = ((z ^ (z >> 31)) >> 40) as f64;
        high / f64::from(1 << 24)
    })
}

/// The value of a trained parameter; `None` for a buffer.
#[must_use]
pub fn parameter(spec: &ParamSpec) -> Option<Vec<f32>> {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let fan_in = || spec.shape[1..].iter().product::<usize>() as f64;
    let reach = match spec.role {
        // Sharp attention would turn rounding into differences.
        ParamRole::Weight if spec.name.contains(".query.") => (6.0 / fan_in()).sqrt() / 32.0,
        ParamRole::Weight => (6.0 / fan_in()).sqrt(),
        ParamRole::NormScale => return Some(drawn(&spec.name, spec.len(), 0.8, 1.2)),
        ParamRole::LayerScale => return Some(drawn(&spec.name, spec.len(), 0.3, 0.5)),
        ParamRole::Bias | ParamRole::NormShift => 0.2,
        _ => return None,
    };
    Some(drawn(&spec.name, spec.len(), -reach, reach))
}

/// Images `(n, 3, h, w)` of that name: noise on squares of 8 x 8 pixels, whose colors are drawn too.
#[must_use]
pub fn images(name: &str, [n, h, w]: [usize; 3]) -> Golden {
    let squares = [n * 3, h.div_ceil(8), w.div_ceil(8)];
    let colors = drawn(&format!("{name}.squares"), squares.iter().product(), -1.5, 1.5);
    let noise = drawn(&format!("{name}.noise"), n * 3 * h * w, -0.75, 0.75);
    let color = |i: usize| {
        let (plane, y, x) = (i / (h * w), i / w % h, i % w);
        colors[(plane * squares[1] + y / 8) * squares[2] + x / 8]
    };
    let pixel = |(i, noise): (usize, &f32)| f64::from(color(i) + noise);
    Golden { shape: vec![n, 3, h, w], data: noise.iter().enumerate().map(pixel).collect() }
}

#[cfg(test)]
mod tests {
    use super::drawn;

    #[test]
    fn numbers_depend_on_the_name_and_fill_their_range() {
        let (a, b) = (drawn("a", 4096, -1.0, 3.0), drawn("b", 4096, -1.0, 3.0));
        assert_ne!(a, b);
        assert_eq!(a[..7], drawn("a", 7, -1.0, 3.0));
        for values in [a, b] {
            let mean = values.iter().sum::<f32>() / 4096.0;
            assert!((mean - 1.0).abs() < 0.1, "{mean}");
            assert!(values.iter().all(|v| (-1.0..3.0).contains(v)));
            assert!(values.iter().any(|v| *v < -0.99) && values.iter().any(|v| *v > 2.99));
        }
    }
}
