//! A rectangle divided into rectangles of given areas that are as square as can be.
//!
//! Above: `treemap`. Below: nothing. Not here: nesting, what is drawn.
//! Source: Bruls, Huizing and van Wijk 2000, "Squarified Treemaps", <https://doi.org/10.1007/978-3-7091-6783-0_4>.

/// A rectangle, from its upper left corner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rect {
    /// `[x, y]`.
    pub(crate) at: [f64; 2],
    /// `[width, height]`.
    pub(crate) size: [f64; 2],
}

impl Rect {
    pub(crate) fn area(&self) -> f64 {
        self.size[0] * self.size[1]
    }

    /// Without a border of a width at each side, and one more at its top; never less than nothing.
    pub(crate) fn inside(&self, border: f64, top: f64) -> Self {
        let [x, y] = self.at;
        let [width, height] = self.size;
        Self {
            at: [x + border, y + border + top],
            size: [(width - 2.0 * border).max(0.0), (height - 2.0 * border - top).max(0.0)],
        }
    }
}

/// One rectangle for each value, in their order. Values are positive and finite, and best sorted, the largest first.
pub(crate) fn squarified(values: &[f64], whole: Rect) -> Vec<Rect> {
    let mut rects = Vec::with_capacity(values.len());
    let mut left: f64 = values.iter().sum();
    let mut room = whole;
    while let Some(rest) = values.get(rects.len()..).filter(|rest| !rest.is_empty()) {
        let scale = if left > 0.0 { room.area() / left } else { 0.0 };
        let side = room.size[0].min(room.size[1]);
        let row = &rest[..row_of(rest, scale, side)];
        let sum: f64 = row.iter().sum();
        // Rounding must not leave a sliver: the last row takes all there is.
        let share =
            if row.len() == rest.len() || left <= 0.0 { 1.0 } else { (sum / left).min(1.0) };
        room = placed(row, sum, share, room, &mut rects);
        left -= sum;
    }
    rects
}

/// How many values make the first row: as many as make its worst rectangle better.
fn row_of(values: &[f64], scale: f64, side: f64) -> usize {
    let (mut sum, mut best, mut smallest, mut largest) =
        (0.0, f64::INFINITY, f64::INFINITY, 0.0_f64);
    for (count, value) in values.iter().enumerate() {
        let area = value * scale;
        sum += area;
        smallest = smallest.min(area);
        largest = largest.max(area);
        let [side, sum] = [side * side, sum * sum];
        let worst = (side * largest / sum).max(sum / (side * smallest));
        if count > 0 && worst > best {
            return count;
        }
        best = worst;
    }
    values.len().max(1)
}

/// Puts a row along the shorter side; what is left of the room.
fn placed(row: &[f64], sum: f64, share: f64, room: Rect, rects: &mut Vec<Rect>) -> Rect {
    // The axis along which the row's rectangles stand one after the other.
    let along = usize::from(room.size[0] >= room.size[1]);
    let across = 1 - along;
    let thickness = room.size[across] * share;
    let mut start = room.at[along];
    for value in row {
        let part = if sum > 0.0 { value / sum } else { 1.0 / row.len() as f64 };
        let mut rect = room;
        rect.at[along] = start;
        rect.size[along] = room.size[along] * part;
        rect.size[across] = thickness;
        start += rect.size[along];
        rects.push(rect);
    }
    let mut rest = room;
    rest.at[across] += thickness;
    rest.size[across] = (room.size[across] - thickness).max(0.0);
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Rect = Rect { at: [0.0, 0.0], size: [6.0, 4.0] };

    #[test]
    fn the_example_of_the_paper_comes_out() {
        let rects = squarified(&[6.0, 6.0, 4.0, 3.0, 2.0, 2.0, 1.0], WHOLE);
        let close = |rect: Rect, at: [f64; 2], size: [f64; 2]| {
            let pairs = [(rect.at, at), (rect.size, size)];
            pairs.iter().all(|(a, b)| (a[0] - b[0]).abs() + (a[1] - b[1]).abs() < 1e-9)
        };
        // Two of 6 fill the left half, one over the other; then 4 and 3 in a row over the rest.
        assert!(close(rects[0], [0.0, 0.0], [3.0, 2.0]), "{rects:?}");
        assert!(close(rects[1], [0.0, 2.0], [3.0, 2.0]), "{rects:?}");
        assert!(close(rects[2], [3.0, 0.0], [12.0 / 7.0, 7.0 / 3.0]), "{rects:?}");
        assert!(close(rects[3], [3.0 + 12.0 / 7.0, 0.0], [9.0 / 7.0, 7.0 / 3.0]), "{rects:?}");
    }

    #[test]
    fn areas_are_the_values_and_the_whole_is_filled() {
        let values: Vec<f64> = (0..5000).map(|i| 1.0 + f64::from((i * 7919) % 997)).collect();
        let sum: f64 = values.iter().sum();
        let rects = squarified(&values, WHOLE);
        assert_eq!(rects.len(), values.len());
        for (rect, value) in rects.iter().zip(&values) {
            assert!((rect.area() - 24.0 * value / sum).abs() < 1e-9);
            assert!(
                rect.at[0] + rect.size[0] < 6.0 + 1e-9 && rect.at[1] + rect.size[1] < 4.0 + 1e-9
            );
        }
    }

    #[test]
    fn equal_values_make_squares_and_nothing_makes_nothing() {
        let rects = squarified(&[1.0; 4], Rect { at: [0.0; 2], size: [2.0; 2] });
        assert!(
            rects.iter().all(|rect| (rect.size[0] - 1.0).abs() + (rect.size[1] - 1.0).abs() < 1e-9),
            "{rects:?}"
        );
        assert_eq!(squarified(&[], WHOLE), []);
        assert_eq!(squarified(&[3.0], WHOLE), [WHOLE]);
        // No room is no reason to fail.
        assert_eq!(squarified(&[3.0, 2.0], Rect { at: [1.0; 2], size: [0.0; 2] }).len(), 2);
        assert_eq!(squarified(&[0.0, 0.0], WHOLE).len(), 2);
    }
}
