//! Where values lie along an axis, and where its ticks are.
//!
//! Above: `axes`, all charts. Below: nothing. Not here: words beside ticks (`unit`), what is drawn (`axes`).
//! Ticks of a linear axis are 1, 2 or 5 times a power of ten apart; those of a logarithmic one are powers of ten, or of two.

/// How an axis is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Scale {
    /// Evenly.
    #[default]
    Linear,
    /// By powers of ten; for positive values.
    Log10,
    /// By powers of two; for positive values.
    Log2,
}

/// Values beyond this, either way, are taken for none, so that sums and ratios of them are numbers.
const LARGEST: f64 = 1e30;

/// Ticks there are at most.
const MOST_TICKS: usize = 64;

/// An axis on paper.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    scale: Scale,
    /// The first and the last value, as the scale has them: logarithms on a logarithmic axis.
    ends: [f64; 2],
    /// Where those are.
    places: [f64; 2],
    ticks: Vec<f64>,
}

impl Scale {
    /// The value where the scale can show it.
    pub(crate) fn shown(self, value: f64) -> Option<f64> {
        let is_shown = match self {
            Self::Linear => value.abs() <= LARGEST,
            Self::Log10 | Self::Log2 => (1.0 / LARGEST..=LARGEST).contains(&value),
        };
        is_shown.then_some(value)
    }

    fn forth(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log10 => value.log10(),
            Self::Log2 => value.log2(),
        }
    }

    fn back(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log10 => 10f64.powf(value),
            Self::Log2 => value.exp2(),
        }
    }
}

impl Axis {
    /// Around values, from tick to tick, with about so many ticks; on a linear axis zero is one of the ends if `zero` says so.
    pub(crate) fn around(
        scale: Scale,
        values: impl Iterator<Item = f64>,
        zero: Zero,
        places: [f64; 2],
        most: usize,
    ) -> Self {
        let [low, high] = span(scale, values, zero);
        let step = step(scale, high - low, most);
        let first = (low / step + 1e-9).floor();
        let last = (high / step - 1e-9).ceil().max(first + 1.0);
        let mut axis = Self { scale, ends: [first * step, last * step], places, ticks: Vec::new() };
        axis.ticks = axis.even_ticks(step);
        axis
    }

    /// From value to value, with a margin at both sides and ticks only between them.
    pub(crate) fn within(
        scale: Scale,
        values: impl Iterator<Item = f64>,
        places: [f64; 2],
        most: usize,
    ) -> Self {
        let [low, high] = span(scale, values, Zero::IfNear);
        let margin = 0.04 * (high - low);
        let ends = [low - margin, high + margin];
        let mut axis = Self { scale, ends, places, ticks: Vec::new() };
        let step = step(scale, high - low, most);
        axis.ticks = axis.even_ticks(step);
        if scale == Scale::Log10 && axis.ticks.len() < 4 {
            axis.ticks = axis.parts_of_decades();
        }
        axis
    }

    /// From the first to the last of ticks that are given: the values of a sweep.
    pub(crate) fn through(scale: Scale, ticks: Vec<f64>, places: [f64; 2]) -> Self {
        let ends = span(scale, ticks.iter().copied(), Zero::IfNear);
        Self { scale, ends, places, ticks }
    }

    /// Where a value is; nowhere if the axis cannot show it.
    pub(crate) fn at(&self, value: f64) -> Option<f64> {
        let value = self.scale.forth(self.scale.shown(value)?);
        let ([low, high], [first, last]) = (self.ends, self.places);
        Some(first + (last - first) * (value - low) / (high - low))
    }

    /// The first and the last value.
    pub(crate) fn ends(&self) -> [f64; 2] {
        self.ends.map(|end| self.scale.back(end))
    }

    /// Where those are.
    pub(crate) fn places(&self) -> [f64; 2] {
        self.places
    }

    pub(crate) fn ticks(&self) -> &[f64] {
        &self.ticks
    }

    fn even_ticks(&self, step: f64) -> Vec<f64> {
        let first = (self.ends[0] / step - 1e-9).ceil();
        let ticks = (0..MOST_TICKS).map(|i| (first + i as f64) * step);
        let ticks = ticks.take_while(|tick| *tick <= self.ends[1] + 1e-9 * step);
        // Minus zero is zero.
        ticks.map(|tick| self.scale.back(tick + 0.0)).collect()
    }

    /// 1, 2 and 5 times each power of ten.
    fn parts_of_decades(&self) -> Vec<f64> {
        let [low, high] = self.ends();
        let first = self.ends[0].floor();
        let decades = (0..MOST_TICKS / 3).map(|i| 10f64.powf(first + i as f64));
        let ticks = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|part| part * decade));
        ticks.filter(|tick| (low..=high).contains(tick)).collect()
    }
}

/// Whether zero belongs to a linear axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zero {
    /// Always: heights are compared.
    Always,
    /// Only where values are around it.
    IfNear,
}

/// The least and the greatest value, as the scale has them; never the same.
fn span(scale: Scale, values: impl Iterator<Item = f64>, zero: Zero) -> [f64; 2] {
    let shown = values.filter_map(|value| scale.shown(value)).map(|value| scale.forth(value));
    let ends = shown.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| {
        [low.min(value), high.max(value)]
    });
    let [mut low, mut high] = if ends[0] <= ends[1] { ends } else { [0.0, 1.0] };
    if scale == Scale::Linear && zero == Zero::Always {
        [low, high] = [low.min(0.0), high.max(0.0)];
    }
    // Differences that an `f64` hardly sees are none.
    if high - low <= 1e-12 * low.abs().max(high.abs()) {
        match (scale, zero) {
            (Scale::Linear, Zero::Always) => high = low + 1.0,
            (Scale::Linear, Zero::IfNear) => {
                let half = if low == 0.0 { 0.5 } else { 0.1 * low.abs() };
                [low, high] = [low - half, high + half];
            }
            _ => [low, high] = [low - 0.5, high + 0.5],
        }
    }
    [low, high]
}

/// 1, 2 or 5 times a power of ten, so that there are about as many steps as wanted; on a logarithmic axis whole powers.
fn step(scale: Scale, range: f64, most: usize) -> f64 {
    let wanted = range / most.clamp(1, MOST_TICKS / 2) as f64;
    let power = 10f64.powf(wanted.log10().floor());
    let nice = [1.0, 2.0, 5.0, 10.0].into_iter().find(|part| part * power >= wanted * (1.0 - 1e-9));
    let step = nice.unwrap_or(10.0) * power;
    if scale == Scale::Linear { step } else { step.ceil().max(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(scale: Scale, values: &[f64], zero: Zero) -> Axis {
        Axis::around(scale, values.iter().copied(), zero, [0.0, 100.0], 5)
    }

    #[test]
    fn linear_ticks_are_one_two_or_five_apart() {
        let axis = around(Scale::Linear, &[3.0, 47.0], Zero::Always);
        assert_eq!(axis.ticks(), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        assert_eq!(axis.at(25.0), Some(50.0));
        let axis = around(Scale::Linear, &[71.0, 73.0], Zero::IfNear);
        assert_eq!(axis.ticks(), [71.0, 71.5, 72.0, 72.5, 73.0]);
        let axis = around(Scale::Linear, &[-3.0, 7.0], Zero::Always);
        assert_eq!(axis.ticks(), [-4.0, -2.0, 0.0, 2.0, 4.0, 6.0, 8.0]);
    }

    #[test]
    fn logarithmic_ticks_are_powers_and_short_axes_have_parts_of_them() {
        let near = |axis: &Axis, ticks: &[f64]| {
            assert_eq!(axis.ticks().len(), ticks.len(), "{axis:?}");
            let pairs = axis.ticks().iter().zip(ticks);
            assert!(pairs.into_iter().all(|(a, b)| (a / b - 1.0).abs() < 1e-9), "{axis:?}");
        };
        near(&around(Scale::Log10, &[0.3, 700.0], Zero::IfNear), &[0.1, 1.0, 10.0, 100.0, 1000.0]);
        near(&around(Scale::Log2, &[1.0, 8.0], Zero::IfNear), &[1.0, 2.0, 4.0, 8.0]);
        let axis = Axis::within(Scale::Log10, [3.0, 30.0].into_iter(), [0.0, 1.0], 5);
        near(&axis, &[5.0, 10.0, 20.0]);
    }

    #[test]
    fn an_axis_of_anything_has_different_ends_and_few_ticks() {
        let values: [&[f64]; 9] = [
            &[],
            &[0.0],
            &[5.0],
            &[-5.0],
            &[f64::NAN, f64::INFINITY],
            &[1e30, -1e30],
            &[1e-300, 1e300],
            &[1e15, 1e15 + 1.0],
            &[1e-30, 1e30],
        ];
        for values in values {
            for scale in [Scale::Linear, Scale::Log10, Scale::Log2] {
                for zero in [Zero::Always, Zero::IfNear] {
                    let axis = around(scale, values, zero);
                    let [low, high] = axis.ends();
                    assert!(low < high && high.is_finite(), "{values:?} {axis:?}");
                    assert!((1..=MOST_TICKS).contains(&axis.ticks().len()), "{values:?} {axis:?}");
                    let seen = values.iter().filter_map(|value| axis.at(*value));
                    seen.for_each(|at| {
                        assert!((-1e-6..100.0 + 1e-6).contains(&at), "{at} {axis:?}");
                    });
                }
                let axis = Axis::within(scale, values.iter().copied(), [0.0, 1.0], 5);
                assert!(axis.ticks().len() <= MOST_TICKS);
            }
        }
    }
}
