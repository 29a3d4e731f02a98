//! What a drawing is made of: lines, words, logarithmic axes.
//!
//! Above: `bench::roofline`, `pictures`. Below: nothing. Not here: what is drawn.
//! Places are `[x, y]` from the upper left corner.

/// A logarithmic axis: powers of two, and where on the paper the first and the last of them are.
#[derive(Debug)]
pub(crate) struct Axis {
    powers: [f64; 2],
    places: [f64; 2],
}

impl Axis {
    /// The whole powers around all values.
    pub(crate) fn around(values: impl Iterator<Item = f64>, places: [f64; 2]) -> Self {
        let ends = values
            .map(f64::log2)
            .fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], v| [low.min(v), high.max(v)]);
        let low = ends[0].floor();
        Self { powers: [low, ends[1].ceil().max(low + 1.0)], places }
    }

    /// Where a value is.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let ([low, high], [first, last]) = (self.powers, self.places);
        first + (last - first) * (value.log2() - low) / (high - low)
    }

    /// The first and the last power.
    pub(crate) fn ends(&self) -> [f64; 2] {
        self.powers.map(f64::exp2)
    }

    /// All powers.
    pub(crate) fn ticks(&self) -> impl Iterator<Item = f64> {
        let [low, high] = self.powers;
        std::iter::successors(Some(low), |power| Some(power + 1.0))
            .take_while(move |&power| power <= high)
            .map(f64::exp2)
    }
}

/// A line; `more` are attributes beside its color.
pub(crate) fn line([x1, y1]: [f64; 2], [x2, y2]: [f64; 2], color: &str, more: &str) -> String {
    format!("<path d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\" stroke=\"{color}\"{more}/>")
}

/// Words beside a point.
pub(crate) fn text([x, y]: [f64; 2], anchor: &str, size: f64, words: &str) -> String {
    let words = escaped(words);
    format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\">{words}</text>"
    )
}

/// Text without what XML reads otherwise.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_whole_powers() {
        let axis = Axis::around([3.0, 20.0].into_iter(), [100.0, 500.0]);
        assert_eq!((axis.ends(), axis.ticks().count()), ([2.0, 32.0], 5));
        for (value, place) in [(2.0, 100.0), (8.0, 300.0), (32.0, 500.0)] {
            assert!((axis.at(value) - place).abs() < 1e-9);
        }
        let one = Axis::around([4.0].into_iter(), [0.0, 1.0]);
        assert!(one.ends().iter().zip([4.0, 8.0]).all(|(end, at)| (end - at).abs() < 1e-9));
    }

    #[test]
    fn words_are_no_markup() {
        let words = text([1.0, 2.0], "end", 9.0, "a -> b & c");
        let written = "<text x=\"1.0\" y=\"2.0\" text-anchor=\"end\" font-size=\"9\">a -&gt; b &amp; c</text>";
        assert_eq!(words, written);
    }
}
