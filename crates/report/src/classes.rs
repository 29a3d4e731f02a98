//! Which color and shape the members of a class have, and the legend that says it.
//!
//! Above: all charts. Below: `drawing`, `theme`, `words`. Not here: what the classes are.

use crate::drawing::{Anchor, Drawing, Shape};
use crate::squarify::Rect;
use crate::theme::SERIES;
use crate::words;

/// Names of classes; the first few have a color of their own, others are gray.
#[derive(Debug)]
pub(crate) struct Classes {
    names: Vec<String>,
}

/// What stands before a name in a legend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sample {
    Box,
    Dot,
    Line,
    /// A line with the class's pattern of dashes.
    Dashes,
}

/// Between lines of a legend.
const LINE: f64 = 18.0;

impl Classes {
    /// Those that are listed keep their place, so that several charts agree; others follow as they come.
    pub(crate) fn new<'c>(listed: &'c [String], used: impl Iterator<Item = &'c str>) -> Self {
        let mut names: Vec<String> = listed.to_vec();
        for name in used {
            // Two behind the last color are enough to know that there are others.
            if names.len() < SERIES + 2
                && !name.is_empty()
                && !names.iter().any(|known| known == name)
            {
                names.push(name.to_owned());
            }
        }
        Self { names }
    }

    /// The place of a class among colors. What has no class is in the first.
    pub(crate) fn of(&self, class: &str) -> usize {
        if class.is_empty() {
            return 0;
        }
        self.names.iter().position(|name| name == class).map_or(SERIES, |place| place.min(SERIES))
    }

    /// Draws the names that `is_used` says over several lines, from the left; the height that it takes.
    pub(crate) fn legend(
        &self,
        drawing: &mut Drawing,
        at: [f64; 2],
        width: f64,
        sample: Sample,
        is_used: impl Fn(&str) -> bool,
    ) -> f64 {
        let own = self.names.iter().take(SERIES).map(String::as_str).filter(|name| is_used(name));
        let mut entries: Vec<(usize, &str)> = own.map(|name| (self.of(name), name)).collect();
        match self.names.get(SERIES..) {
            Some([name]) if is_used(name) => entries.push((SERIES, name)),
            Some(names) if names.iter().any(|name| is_used(name)) => {
                entries.push((SERIES, "others"));
            }
            _ => {}
        }
        if entries.is_empty() {
            return 0.0;
        }
        let (mut x, mut line) = (0.0, 0);
        for (place, name) in entries {
            let name = words::shortened(name, (width - 24.0).min(220.0)).unwrap_or_default();
            let entry = 20.0 + words::width(&name);
            if x > 0.0 && x + entry > width {
                (x, line) = (0.0, line + 1);
            }
            let [left, middle] = [at[0] + x, at[1] + LINE * f64::from(line) + 8.0];
            draw_sample(drawing, sample, [left, middle], place);
            drawing.text([left + 18.0, middle + 4.0], Anchor::Start, "", &name);
            x += entry + 14.0;
        }
        LINE * f64::from(line + 1)
    }
}

fn draw_sample(drawing: &mut Drawing, sample: Sample, [left, middle]: [f64; 2], place: usize) {
    match sample {
        Sample::Box => {
            let rect = Rect { at: [left, middle - 6.0], size: [12.0, 12.0] };
            drawing.rect(rect, &format!("swatch fill-{place}"), "");
        }
        Sample::Dot => {
            let class = format!("dot fill-{place}");
            drawing.dot([left + 6.0, middle], 4.5, Shape::of(place), &class, "");
        }
        Sample::Dashes => {
            let class = format!("curve stroke-{place} dash-{place}");
            drawing.line([left - 3.0, middle], [left + 15.0, middle], &class);
        }
        Sample::Line => {
            let class = format!("curve stroke-{place}");
            drawing.line([left, middle], [left + 14.0, middle], &class);
            let class = format!("dot fill-{place}");
            drawing.dot([left + 7.0, middle], 3.5, Shape::of(place), &class, "");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_classes_keep_their_place_and_the_seventh_is_gray() {
        let listed = ["pointwise".to_owned(), "depthwise".to_owned()];
        let classes = Classes::new(&listed, ["pool", "depthwise"].into_iter());
        assert_eq!([classes.of("depthwise"), classes.of("pool"), classes.of("")], [1, 2, 0]);
        assert_eq!(classes.of("never seen"), SERIES);
        let many: Vec<String> = (0..20).map(|i| format!("class {i}")).collect();
        let classes = Classes::new(&many, std::iter::empty());
        assert_eq!(
            [classes.of("class 5"), classes.of("class 6"), classes.of("class 19")],
            [5, 6, 6]
        );
    }

    #[test]
    fn a_legend_has_as_many_lines_as_it_needs_and_only_what_is_used() {
        let many: Vec<String> = (0..9).map(|i| format!("class {i}")).collect();
        let classes = Classes::new(&many, std::iter::empty());
        let mut drawing = Drawing::new("", [200.0, 200.0]);
        assert!(classes.legend(&mut drawing, [0.0; 2], 170.0, Sample::Dot, |_| true) >= 3.0 * LINE);
        let svg = drawing.to_inline("").unwrap();
        assert!(svg.contains("class 5") && !svg.contains("class 6") && svg.contains("others"));
        let mut drawing = Drawing::new("", [200.0, 200.0]);
        let height =
            classes.legend(&mut drawing, [0.0; 2], 170.0, Sample::Box, |name| name == "class 8");
        assert!((height - LINE).abs() < 1e-9);
        assert!(
            (classes.legend(&mut drawing, [0.0; 2], 9.0, Sample::Line, |_| false)).abs() < 1e-9
        );
    }
}
