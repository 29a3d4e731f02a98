//! Channels along the depth of a network, in bands of what goes together: the groups of pruning.
//!
//! Above: `chart`. Below: `axes`, `scale`, `drawing`, `theme::SERIES`, `words`. Not here: which channels go together (`taper-prune`).

use crate::axes::{Canvas, Rules, Sheet, Tick};
use crate::drawing::Drawing;
use crate::scale::{Axis, Scale, Zero};
use crate::squarify::Rect;
use crate::theme::SERIES;
use crate::unit::Unit;
use crate::words;

/// A column for each layer, as high as it has channels, and in it a piece for each group that has some of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Bands {
    /// What is shown.
    pub title: String,
    /// What a column is: the name of the level axis.
    pub step: String,
    /// The columns, from the picture to the classes.
    pub columns: Vec<BandColumn>,
}

/// A layer.
#[derive(Debug, Clone, PartialEq)]
pub struct BandColumn {
    /// Its name.
    pub name: String,
    /// From the bottom up.
    pub pieces: Vec<BandPiece>,
}

/// Channels of a layer that belong to one group.
#[derive(Debug, Clone, PartialEq)]
pub struct BandPiece {
    /// Number of the group: groups of one number have one color, in turns.
    pub group: usize,
    /// How many channels.
    pub channels: usize,
    /// How many more there were before: drawn empty above those that are left.
    pub removed: usize,
    /// Why they stay, for those that do; they are gray.
    pub protected: Option<String>,
}

impl Bands {
    pub(crate) fn draw(&self, sheet: Sheet) -> Drawing {
        let mut canvas = Canvas::new(&self.title, sheet);
        let highest = self.columns.iter().map(BandColumn::channels).fold(0.0, f64::max);
        if highest <= 0.0 {
            return canvas.nothing();
        }
        let places = canvas.upright("channels");
        let all = [highest].into_iter();
        let upward = Axis::around(Scale::Linear, all, Zero::Always, places, sheet.rows);
        let [left, right] = canvas.rows(&upward, Unit::Count);
        let width = (right - left) / self.columns.len() as f64;
        let mut ticks: Vec<Tick> = Vec::new();
        for (i, column) in self.columns.iter().enumerate() {
            let x = left + width * i as f64;
            column.draw(&mut canvas.drawing, &upward, [x, width]);
            let label = words::shortened(&column.name, 110.0).unwrap_or_default();
            ticks.push((x + width / 2.0, label));
        }
        canvas.columns([left, right], &ticks, Rules::None, &self.step);
        canvas.finished()
    }
}

impl BandColumn {
    fn channels(&self) -> f64 {
        self.pieces.iter().map(|piece| (piece.channels + piece.removed) as f64).sum()
    }

    fn draw(&self, drawing: &mut Drawing, upward: &Axis, [x, width]: [f64; 2]) {
        let mut below = 0.0;
        for piece in &self.pieces {
            let above = below + piece.channels as f64;
            let end = above + piece.removed as f64;
            let ground = upward.places()[0];
            let [bottom, top, end_top] =
                [below, above, end].map(|value| upward.at(value).unwrap_or(ground));
            below = end;
            let rect = |bottom: f64, top: f64| Rect {
                at: [x, top],
                size: [width, (bottom - top).max(0.0)],
            };
            let place = if piece.protected.is_some() { SERIES } else { piece.group % SERIES };
            let mut title =
                format!("{}: {} channels, group {}", self.name, piece.channels, piece.group);
            if let Some(reason) = &piece.protected {
                title += &format!("\nstay: {reason}");
            }
            if piece.removed > 0 {
                title += &format!("\nremoved: {}", piece.removed);
                drawing.rect(rect(top, end_top), "scope", &title);
            }
            drawing.rect(rect(bottom, top), &format!("area fill-{place}"), &title);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::Chart;

    fn piece(group: usize, channels: usize, reason: Option<&str>) -> BandPiece {
        BandPiece { group, channels, removed: 0, protected: reason.map(str::to_owned) }
    }

    fn bands(columns: Vec<BandColumn>) -> String {
        let bands = Bands { title: "groups".to_owned(), step: "layer".to_owned(), columns };
        Chart::from(bands).to_svg().unwrap()
    }

    #[test]
    fn a_piece_says_its_group_and_why_it_stays() {
        let pieces = vec![piece(1, 16, None), piece(7, 8, Some("channels of <image>"))];
        let svg = bands(vec![BandColumn { name: "cat".to_owned(), pieces }]);
        assert!(svg.contains("<title>cat: 16 channels, group 1</title>"), "{svg}");
        assert!(svg.contains("cat: 8 channels, group 7\nstay: channels of &lt;image&gt;"), "{svg}");
        assert!(svg.contains("area fill-1") && svg.contains(&format!("area fill-{SERIES}")));
        roxmltree::Document::parse(&svg).unwrap();
    }

    #[test]
    fn what_was_removed_stands_empty_above_what_is_left() {
        let cut = BandPiece { removed: 5, ..piece(2, 3, None) };
        let svg = bands(vec![BandColumn { name: "conv".to_owned(), pieces: vec![cut] }]);
        assert!(svg.contains("conv: 3 channels, group 2\nremoved: 5</title>"), "{svg}");
        let rect = |class: &str| {
            let line = svg.lines().find(|line| line.contains(class) && line.contains("<rect"));
            let number = |name: &str| -> f64 {
                let rest = line.unwrap().split_once(&format!("{name}=\"")).unwrap().1;
                rest.split_once('"').unwrap().0.parse().unwrap()
            };
            [number("y"), number("height")]
        };
        let ([empty, empty_height], [left, height]) = (rect("scope"), rect("area fill-2"));
        assert!((empty + empty_height - left).abs() < 0.2, "{empty} {empty_height} {left}");
        assert!((empty_height / height - 5.0 / 3.0).abs() < 0.02, "{empty_height} {height}");
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        roxmltree::Document::parse(&bands(Vec::new())).unwrap();
        let empty = BandColumn { name: "empty".to_owned(), pieces: Vec::new() };
        roxmltree::Document::parse(&bands(vec![empty])).unwrap();
    }
}
