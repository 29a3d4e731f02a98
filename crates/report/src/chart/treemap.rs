//! Nested rectangles: what takes how much of a whole, by scope.
//!
//! Above: `chart`. Below: `squarify`, `axes`, `classes`, `drawing`, `words`. Not here: what is measured.

use crate::axes::{Canvas, Sheet};
use crate::classes::{Classes, Sample};
use crate::drawing::{Anchor, Drawing};
use crate::squarify::{Rect, squarified};
use crate::unit::Unit;
use crate::words;

/// Rectangles in rectangles, each as large as its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Treemap {
    /// What the values are.
    pub title: String,
    /// Of the values.
    pub unit: Unit,
    /// Classes in the order of their colors, so that several charts of a page agree; those that are not listed follow as they come.
    pub classes: Vec<String>,
    /// The outermost.
    pub tiles: Vec<Tile>,
}

/// A rectangle: a leaf with a value, or a scope with tiles inside.
#[derive(Debug, Clone, PartialEq)]
pub struct Tile {
    /// The name.
    pub name: String,
    /// Of a leaf: its color in the legend; may be empty.
    pub class: String,
    /// Of a leaf; what is not positive and finite is left out. A scope's is the sum of what is inside.
    pub value: f64,
    /// Inside; none in a leaf.
    pub children: Vec<Tile>,
}

/// Tiles smaller than this, in square units of the drawing, are shown together.
const SMALLEST: f64 = 12.0;

/// Height of a scope's name.
const STRIP: f64 = 17.0;

/// Scopes in scopes are drawn down to this depth, which is deeper than there is room.
const DEEPEST: usize = 12;

impl Tile {
    /// A rectangle without others inside.
    ///
    /// # Examples
    /// ```
    /// use taper_report::Tile;
    /// let tile = Tile::scope("blocks", vec![Tile::leaf("a", "pointwise", 2.0), Tile::leaf("b", "", 1.0)]);
    /// assert_eq!(tile.total(), 3.0);
    /// ```
    #[must_use]
    pub fn leaf(name: &str, class: &str, value: f64) -> Self {
        Self { name: name.to_owned(), class: class.to_owned(), value, children: Vec::new() }
    }

    /// A rectangle of others.
    ///
    /// # Examples
    /// ```
    /// use taper_report::Tile;
    /// assert_eq!(Tile::scope("blocks", Vec::new()).total(), 0.0);
    /// ```
    #[must_use]
    pub fn scope(name: &str, children: Vec<Self>) -> Self {
        Self { name: name.to_owned(), class: String::new(), value: 0.0, children }
    }

    /// The value of a leaf, and the sum of the leaves of a scope; zero for what cannot be drawn.
    ///
    /// # Examples
    /// ```
    /// use taper_report::Tile;
    /// assert_eq!(Tile::leaf("a", "", f64::NAN).total(), 0.0);
    /// ```
    #[must_use]
    pub fn total(&self) -> f64 {
        self.sum(0)
    }

    fn sum(&self, depth: usize) -> f64 {
        if self.children.is_empty() {
            let is_drawn = (1e-30..=1e30).contains(&self.value);
            return if is_drawn { self.value } else { 0.0 };
        }
        if depth > DEEPEST {
            return 0.0;
        }
        self.children.iter().map(|tile| tile.sum(depth + 1)).sum()
    }

    fn leaves<'t>(&'t self, depth: usize, into: &mut Vec<&'t str>) {
        if self.children.is_empty() && self.total() > 0.0 {
            into.push(&self.class);
        } else if depth <= DEEPEST {
            self.children.iter().for_each(|tile| tile.leaves(depth + 1, into));
        }
    }
}

/// What every tile needs.
struct Painter<'t> {
    canvas: Canvas,
    classes: Classes,
    unit: Unit,
    whole: f64,
    /// Where the painter is.
    path: Vec<&'t str>,
}

impl Treemap {
    pub(crate) fn draw(&self, sheet: Sheet) -> Drawing {
        let mut canvas = Canvas::new(&self.title, sheet);
        let whole: f64 = self.tiles.iter().map(Tile::total).sum();
        let mut used = Vec::new();
        self.tiles.iter().for_each(|tile| tile.leaves(0, &mut used));
        let classes = Classes::new(&self.classes, used.iter().copied());
        used.sort_unstable();
        used.dedup();
        canvas.legend(&classes, Sample::Box, |name| used.contains(&name));
        if whole > 0.0 {
            canvas.note(&format!("total {}", self.unit.format(whole)));
        }
        if whole <= 0.0 {
            return canvas.nothing();
        }
        let [left, right] = canvas.sides();
        // On a phone a treemap needs the height that it lacks in width.
        let height = if sheet.width < 400.0 { 1.6 * sheet.height } else { 1.1 * sheet.height };
        let room = Rect { at: [left, canvas.top], size: [right - left, height] };
        canvas.top += height;
        let mut painter = Painter { canvas, classes, unit: self.unit, whole, path: Vec::new() };
        painter.tiles(&self.tiles, room);
        painter.canvas.finished()
    }
}

impl<'t> Painter<'t> {
    /// Tiles in a room, the largest first, those too small to be seen as one.
    fn tiles(&mut self, tiles: &'t [Tile], room: Rect) {
        let mut sized: Vec<(f64, &Tile)> = tiles
            .iter()
            .map(|tile| (tile.total(), tile))
            .filter(|(total, _)| *total > 0.0)
            .collect();
        sized.sort_by(|a, b| b.0.total_cmp(&a.0));
        let whole: f64 = sized.iter().map(|(total, _)| total).sum();
        let is_seen = |total: f64| total / whole * room.area() >= SMALLEST;
        let seen = sized.partition_point(|(total, _)| is_seen(*total));
        let small = &sized[seen..];
        let mut values: Vec<f64> = sized[..seen].iter().map(|(total, _)| *total).collect();
        let rest: f64 = small.iter().map(|(total, _)| total).sum();
        if rest > 0.0 {
            values.push(rest);
        }
        let rects = squarified(&values, room);
        for (rect, (total, tile)) in rects.iter().zip(&sized[..seen]) {
            self.tile(tile, *total, *rect);
        }
        if let Some(rect) = rects.get(seen) {
            let title = self.said(&format!("{} more", small.len()), rest);
            self.canvas.drawing.rect(*rect, "scope", &title);
        }
    }

    fn tile(&mut self, tile: &'t Tile, total: f64, rect: Rect) {
        if tile.children.is_empty() || self.path.len() >= DEEPEST {
            return self.leaf(tile, total, rect);
        }
        let title = self.said(&tile.name, total);
        self.canvas.drawing.rect(rect, "scope", &title);
        let has_strip = rect.size[1] > 3.0 * STRIP && rect.size[0] > 36.0;
        if has_strip {
            self.strip(tile, total, rect);
        }
        let border = if rect.size[0].min(rect.size[1]) > 12.0 { 2.0 } else { 0.0 };
        self.path.push(&tile.name);
        self.tiles(&tile.children, rect.inside(border, if has_strip { STRIP } else { 0.0 }));
        self.path.pop();
    }

    /// Name and share at the head of a scope.
    fn strip(&mut self, tile: &Tile, total: f64, rect: Rect) {
        let place = [rect.at[0] + 6.0, rect.at[1] + 14.0];
        let room = rect.size[0] - 12.0;
        let share = self.share(total);
        // `blocks.4.1` in `blocks.4` is `.1` where there is no room for more.
        let tail = self.path.last().and_then(|scope| tile.name.strip_prefix(scope));
        let tail = tail.filter(|tail| tail.starts_with('.'));
        let full = [
            format!("{} · {} · {share}", tile.name, self.unit.format(total)),
            format!("{} · {share}", tile.name),
            tile.name.clone(),
        ];
        let short =
            tail.into_iter().flat_map(|tail| [format!("{tail} · {share}"), tail.to_owned()]);
        let words = full.into_iter().chain(short).find(|words| words::bold_width(words) <= room);
        if let Some(words) = words.or_else(|| words::shortened(&tile.name, room / 1.12)) {
            self.canvas.drawing.text(place, Anchor::Start, "strong", &words);
        }
    }

    fn leaf(&mut self, tile: &Tile, total: f64, rect: Rect) {
        let title = self.said(&tile.name, total);
        let class = format!("tile fill-{}", self.classes.of(&tile.class));
        self.canvas.drawing.rect(rect, &class, &title);
        let [x, y] = rect.at;
        let room = rect.size[0] - 10.0;
        if rect.size[1] < 18.0 {
            return;
        }
        if let Some(words) = words::shortened(&tile.name, room) {
            self.canvas.drawing.text([x + 5.0, y + 14.0], Anchor::Start, "ink", &words);
            let share = self.share(total);
            if rect.size[1] >= 36.0 && words::width(&share) <= room {
                self.canvas.drawing.text([x + 5.0, y + 29.0], Anchor::Start, "ink", &share);
            }
        }
    }

    /// `blocks > blocks.1 > conv: 12.3 M, 4.1 %`.
    fn said(&self, name: &str, total: f64) -> String {
        let path: Vec<&str> = self.path.iter().copied().chain([name]).collect();
        format!("{}: {}, {}", path.join(" > "), self.unit.format(total), self.share(total))
    }

    fn share(&self, total: f64) -> String {
        Unit::Percent.format(100.0 * total / self.whole)
    }
}
