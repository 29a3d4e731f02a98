//! Numbers with their units as words: `12.3 MB`, `301 M`, `4.21 ms`.
//!
//! Above: all charts, `table`. Below: nothing. Not here: where the ticks of an axis are (`scale`).

/// What a number counts, and so how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// Things, with three significant digits: `301 M`.
    Count,
    /// Things, with all digits: `3,504,872`.
    Integer,
    /// A number without unit: `1.25`.
    Number,
    /// Bytes, by powers of 1000: `12.3 MB`.
    Bytes,
    /// Milliseconds: `85.0 µs`, `4.21 ms`, `1.20 s`.
    Milliseconds,
    /// From 0 to 100: `71.9 %`.
    Percent,
    /// Billions of floating-point operations a second: `64.0 GFLOP/s`.
    GflopPerSecond,
    /// Floating-point operations for each byte moved: `8.00 FLOP/B`.
    FlopPerByte,
    /// Billions of bytes a second: `12.0 GB/s`.
    GigabytePerSecond,
}

/// What is written for a number that is none.
const MISSING: &str = "–";

/// Powers of 1000 with their names.
type Steps = &'static [(f64, &'static str)];

impl Unit {
    /// A number as words, with three significant digits where it is not an integer; a dash for what is no finite number.
    ///
    /// # Examples
    /// ```
    /// use taper_report::Unit;
    /// assert_eq!(Unit::Count.format(300_774_272.0), "301 M");
    /// assert_eq!(Unit::Integer.format(3_504_872.0), "3,504,872");
    /// assert_eq!(Unit::Bytes.format(12_345_678.0), "12.3 MB");
    /// assert_eq!(Unit::Milliseconds.format(0.085), "85.0 µs");
    /// assert_eq!(Unit::Percent.format(71.878), "71.9 %");
    /// assert_eq!(Unit::Count.format(f64::NAN), "–");
    /// ```
    #[must_use]
    pub fn format(self, value: f64) -> String {
        if !value.is_finite() {
            return MISSING.to_owned();
        }
        match self {
            Self::Integer => grouped(value),
            Self::Percent => format!("{value:.1} %"),
            Self::Number | Self::FlopPerByte => with(self.steps(), significant(value), value),
            Self::Count | Self::Bytes if value.abs() < 999.5 && value.fract() == 0.0 => {
                with(self.steps(), format!("{value:.0}"), value)
            }
            _ => {
                let (scale, _) = step(self.steps(), value);
                with(self.steps(), significant(value / scale), value)
            }
        }
    }

    /// A number beside a tick: without zeros at its end.
    pub(crate) fn tick(self, value: f64) -> String {
        if !value.is_finite() {
            return MISSING.to_owned();
        }
        if self == Self::Integer {
            return grouped(value);
        }
        let (scale, _) = step(self.steps(), value);
        with(self.steps(), trimmed(value / scale), value)
    }

    const fn steps(self) -> Steps {
        match self {
            Self::Count => &[(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"), (1.0, "")],
            Self::Bytes => &[(1e12, " TB"), (1e9, " GB"), (1e6, " MB"), (1e3, " kB"), (1.0, " B")],
            Self::Milliseconds => &[(1e3, " s"), (1.0, " ms"), (1e-3, " µs"), (1e-6, " ns")],
            Self::Percent => &[(1.0, " %")],
            Self::GflopPerSecond => {
                &[(1e3, " TFLOP/s"), (1.0, " GFLOP/s"), (1e-3, " MFLOP/s"), (1e-6, " kFLOP/s")]
            }
            Self::FlopPerByte => &[(1.0, " FLOP/B")],
            Self::GigabytePerSecond => &[(1e3, " TB/s"), (1.0, " GB/s"), (1e-3, " MB/s")],
            Self::Integer | Self::Number => &[(1.0, "")],
        }
    }
}

/// The largest step that a value, rounded to three digits, reaches; zero has the step that is 1.
fn step(steps: Steps, value: f64) -> (f64, &'static str) {
    let reaches = |&&(scale, _): &&(f64, &'static str)| {
        if value == 0.0 { scale <= 1.0 } else { value.abs() >= 0.9995 * scale }
    };
    steps.iter().find(reaches).or(steps.last()).copied().unwrap_or((1.0, ""))
}

fn with(steps: Steps, mut number: String, value: f64) -> String {
    number.push_str(step(steps, value).1);
    number
}

/// Three significant digits, and integers as they are.
fn significant(value: f64) -> String {
    let size = value.abs();
    if size >= 99.95 || value == 0.0 {
        format!("{value:.0}")
    } else if size >= 9.995 {
        format!("{value:.1}")
    } else if size >= 0.9995 {
        format!("{value:.2}")
    } else if size >= 0.0995 {
        format!("{value:.3}")
    } else {
        format!("{value:.1e}")
    }
}

fn trimmed(value: f64) -> String {
    let size = value.abs();
    if value != 0.0 && !(1e-3..1e6).contains(&size) {
        return format!("{value:.1e}").replace(".0e", "e");
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// All digits of the nearest integer, by threes.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    if value <= -0.5 {
        text.push('-');
    }
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_the_largest_prefix_they_reach() {
        let written = [
            (Unit::Count, 0.0, "0"),
            (Unit::Count, 7.0, "7"),
            (Unit::Count, 999.0, "999"),
            (Unit::Count, 999_700.0, "1.00 M"),
            (Unit::Count, -1500.0, "-1.50 k"),
            (Unit::Bytes, 0.0, "0 B"),
            (Unit::Bytes, 1000.0, "1.00 kB"),
            (Unit::Bytes, 4e9, "4.00 GB"),
            (Unit::Milliseconds, 4.2149, "4.21 ms"),
            (Unit::Milliseconds, 1200.0, "1.20 s"),
            (Unit::Milliseconds, 0.0, "0 ms"),
            (Unit::GflopPerSecond, 1500.0, "1.50 TFLOP/s"),
            (Unit::FlopPerByte, 8.0, "8.00 FLOP/B"),
            (Unit::Number, 0.25, "0.250"),
            (Unit::Integer, 999.6, "1,000"),
            (Unit::Integer, -3_504_872.0, "-3,504,872"),
            (Unit::Percent, 0.04, "0.0 %"),
        ];
        for (unit, value, words) in written {
            assert_eq!(unit.format(value), words, "{unit:?} of {value}");
        }
    }

    #[test]
    fn ticks_have_no_zeros_at_their_end() {
        let written = [
            (Unit::Count, 2.5e6, "2.5 M"),
            (Unit::Bytes, 5e6, "5 MB"),
            (Unit::Milliseconds, 0.2, "200 µs"),
            (Unit::Percent, 72.5, "72.5 %"),
            (Unit::Number, 224.0, "224"),
            (Unit::Number, 1e-9, "1e-9"),
            (Unit::Integer, 1024.0, "1,024"),
        ];
        for (unit, value, words) in written {
            assert_eq!(unit.tick(value), words);
        }
    }

    #[test]
    fn what_is_no_number_is_a_dash_and_nothing_panics() {
        for unit in [Unit::Count, Unit::Integer, Unit::Number, Unit::Bytes, Unit::Percent] {
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                assert_eq!(
                    (unit.format(value), unit.tick(value)),
                    ("–".to_owned(), "–".to_owned())
                );
            }
            for value in [f64::MAX, f64::MIN_POSITIVE, f64::MIN, -0.0] {
                assert!(!unit.format(value).is_empty() && !unit.tick(value).is_empty());
            }
        }
    }
}
