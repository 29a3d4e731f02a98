//! What a terminal shows of a run under way: the curve of the loss, and beside it where it is, how fast, and the best so far.
//!
//! Above: `progress`. Below: nothing. Not here: the bar under it (`progress`), plain lines for what is no terminal (`progress`).
//! No colors: shapes alone say everything, on any background.

use std::fmt::Write as _;

use taper_recipes::{Epoch, Step};

use crate::scores;

/// Narrower terminals have one line.
const NARROW: usize = 64;

/// Rows of the curve; each has four dots, one upon the other.
const ROWS: usize = 3;

/// Room for the words beside the curve.
const WORDS: usize = 40;

/// The most characters of the curve.
const WIDEST: usize = 64;

/// Stretches of a run that are told apart: two dots a character.
const STRETCHES: usize = 2 * WIDEST;

/// What is known of a run.
#[derive(Debug, Default)]
pub(super) struct Dashboard {
    /// All steps of the run.
    total: usize,
    /// By stretch of the run: the sum of its losses, and how many they are.
    losses: Vec<(f64, u32)>,
    last: Option<Step>,
    /// The held-out pictures after the last epoch.
    val: Option<String>,
    best: Option<String>,
    /// Epochs that another call has done, whose scores this one does not know.
    before: usize,
}

impl Dashboard {
    pub(super) fn new(total: usize) -> Self {
        Self { total, losses: vec![(0.0, 0); STRETCHES], ..Self::default() }
    }

    /// The run goes on after so many epochs.
    pub(super) fn resumed(&mut self, epochs: usize) {
        self.before = epochs;
    }

    pub(super) fn step(&mut self, step: &Step) {
        let stretch = self.stretch(step);
        if self.last.is_some_and(|last| number(&last) >= number(step)) {
            // It has gone back to its last checkpoint and goes on from there.
            self.losses.iter_mut().skip(stretch).for_each(|losses| *losses = (0.0, 0));
        }
        if let Some((sum, count)) = self.losses.get_mut(stretch).filter(|_| step.loss.is_finite()) {
            *sum += step.loss;
            *count += 1;
        }
        self.last = Some(*step);
    }

    fn stretch(&self, step: &Step) -> usize {
        (number(step).saturating_sub(1) * STRETCHES / self.total.max(1)).min(STRETCHES - 1)
    }

    pub(super) fn epoch(&mut self, epoch: &Epoch) {
        let score = scores::words(&epoch.score.name, epoch.score.value);
        if epoch.is_best {
            self.best = Some(format!("best {score}, epoch {}", epoch.epoch));
        }
        self.val = Some(format!("val {score}"));
    }

    /// The lines over the bar of a terminal that is so many characters wide; none before the first step.
    pub(super) fn lines(&self, width: usize) -> String {
        let Some(step) = &self.last else { return String::new() };
        let epoch = format!("epoch {}/{}", step.epoch, step.epochs);
        let speed = format!("{:.0} images/s", step.images_per_second);
        if width < NARROW {
            return shortened(&format!("{epoch} loss {:.3} {speed}", step.loss), width);
        }
        let val = self.val.as_ref().map_or_else(String::new, |val| format!(" · {val}"));
        let none = match self.before {
            0 => "no epoch is done yet".to_owned(),
            n => format!("no epoch is done since it went on after {n}"),
        };
        let words = [
            format!("{epoch} · step {}/{} · {speed}", step.step, step.steps),
            format!("loss {:.3} · rate {:.2e}{val}", step.loss, step.lr),
            self.best.clone().unwrap_or(none),
        ];
        let columns = (width - WORDS - 12).clamp(8, WIDEST);
        let (curve, ends) = self.curve(columns);
        let ends = ends.map_or([String::new(), String::new()], |ends| ends.map(label));
        let beside = ends[0].chars().count().max(ends[1].chars().count());
        let mut text = String::new();
        for (row, (curve, words)) in curve.iter().zip(&words).enumerate() {
            let end = match row {
                0 => &ends[1],
                row if row + 1 == ROWS => &ends[0],
                _ => "",
            };
            let line = format!("{end:>beside$} {curve}  {words}");
            let _ = writeln!(text, "{}", shortened(&line, width));
        }
        text.trim_end_matches('\n').to_owned()
    }

    /// The curve in dots, with the least and the greatest loss on it.
    fn curve(&self, columns: usize) -> ([String; ROWS], Option<[f64; 2]>) {
        let means = self.means(2 * columns);
        let values = || means.iter().flatten().copied();
        let [low, high] = values()
            .fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| {
                [low.min(value), high.max(value)]
            });
        let ends = (low <= high).then_some([low, high]);
        let span = if high > low { high - low } else { 1.0 };
        let last = 4 * ROWS - 1;
        // From the top.
        let height = |value: f64| last - rounded((value - low) / span * last as f64).min(last);
        let mut dots = [[0u8; WIDEST]; ROWS];
        let mut before: Option<usize> = None;
        for (column, mean) in means.iter().enumerate() {
            let Some(at) = mean.map(height) else { continue };
            // Up or down to where it was, so that the line holds together.
            let from = before.map_or(at, |before| match before.cmp(&at) {
                std::cmp::Ordering::Less => before + 1,
                std::cmp::Ordering::Greater => before - 1,
                std::cmp::Ordering::Equal => at,
            });
            for y in from.min(at)..=from.max(at) {
                dots[y / 4][column / 2] |= dot(column % 2, y % 4);
            }
            before = Some(at);
        }
        let character = |dots: u8| char::from_u32(0x2800 + u32::from(dots)).unwrap_or(' ');
        (dots.map(|row| row.iter().take(columns).map(|it| character(*it)).collect()), ends)
    }

    /// The mean loss of each of `n` stretches of the run; nothing where there is none yet. Between two that are apart it goes straight.
    fn means(&self, n: usize) -> Vec<Option<f64>> {
        let mut sums = vec![(0.0, 0u32); n];
        for (stretch, (sum, count)) in self.losses.iter().enumerate() {
            let at = (stretch * n / STRETCHES).min(n - 1);
            sums[at] = (sums[at].0 + sum, sums[at].1 + count);
        }
        let mean = |&(sum, count): &(f64, u32)| (count > 0).then(|| sum / f64::from(count));
        let mut means: Vec<Option<f64>> = sums.iter().map(mean).collect();
        let known: Vec<(usize, f64)> =
            means.iter().enumerate().filter_map(|(at, mean)| Some((at, (*mean)?))).collect();
        for pair in known.windows(2) {
            let [(first, from), (last, to)] = [pair[0], pair[1]];
            let between = means.iter_mut().enumerate().take(last).skip(first + 1);
            for (at, mean) in between {
                let share = (at - first) as f64 / (last - first) as f64;
                *mean = Some(from + (to - from) * share);
            }
        }
        means
    }
}

/// Which step of the run it is, from 1.
fn number(step: &Step) -> usize {
    step.epoch.saturating_sub(1) * step.steps + step.step
}

/// The bit of a braille character's dot.
fn dot(column: usize, row: usize) -> u8 {
    const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
    BITS[column][row]
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from 0 to the height of the curve"
)]
fn rounded(value: f64) -> usize {
    value.round().max(0.0) as usize
}

/// A loss beside the curve.
fn label(loss: f64) -> String {
    if loss.abs() < 1000.0 { format!("{loss:.2}") } else { format!("{loss:.0e}") }
}

/// As many characters as fit.
fn shortened(line: &str, width: usize) -> String {
    line.chars().take(width.saturating_sub(1)).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use taper_recipes::NamedScore;

    use super::*;

    fn step(step: usize, loss: f64) -> Step {
        Step {
            epoch: 1,
            epochs: 2,
            step,
            steps: 8,
            loss,
            lr: 0.001,
            images: 4,
            images_per_second: 39.4,
        }
    }

    fn epoch(epoch: usize, top1: f64, is_best: bool) -> Epoch {
        Epoch {
            epoch,
            epochs: 2,
            train_loss: 0.5,
            val_loss: 0.5,
            score: NamedScore { name: "top1".to_owned(), value: top1 },
            val_scores: Vec::new(),
            val_images: 8,
            train_images: 32,
            is_best,
        }
    }

    #[test]
    fn a_wide_terminal_shows_curve_rates_and_the_best() {
        let mut board = Dashboard::new(16);
        assert_eq!(board.lines(100), "");
        for (at, loss) in [4.0, 3.0, 2.0, 1.0].into_iter().enumerate() {
            board.step(&step(at + 1, loss));
        }
        board.epoch(&epoch(1, 0.75, true));
        board.epoch(&epoch(2, 0.5, false));
        let lines = board.lines(100);
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(lines.len(), ROWS);
        assert!(lines[0].starts_with("4.00 ⠑"), "{lines:?}");
        assert!(lines[0].ends_with("epoch 1/2 · step 4/8 · 39 images/s"), "{lines:?}");
        assert!(lines[1].ends_with("loss 1.000 · rate 1.00e-3 · val top-1 50.0 %"), "{lines:?}");
        assert!(lines[2].starts_with("1.00 ") && lines[2].ends_with("best top-1 75.0 %, epoch 1"));
        // A quarter of the run is done, and so much of the curve is drawn.
        let drawn = lines.iter().map(|line| line.chars().skip(5).take(48).collect::<String>());
        let last = drawn.filter_map(|it| it.chars().rev().position(|c| c != '\u{2800}')).min();
        assert!((34..40).contains(&last.unwrap()), "{last:?} {lines:?}");
    }

    #[test]
    fn no_line_is_wider_than_its_terminal() {
        let mut board = Dashboard::new(16);
        board.step(&step(1, 0.5));
        board.step(&step(2, f64::NAN));
        board.epoch(&epoch(1, 0.75, true));
        for width in [1, 10, 40, 63, 64, 80, 120, 300] {
            let lines = board.lines(width);
            assert!(
                lines.lines().all(|line| line.chars().count() < width.max(2)),
                "{width}: {lines}"
            );
            assert_eq!(lines.lines().count().max(1), if width < NARROW { 1 } else { ROWS });
        }
    }

    #[test]
    fn steps_that_are_taken_again_are_on_the_curve_once() {
        let mut board = Dashboard::new(16);
        for at in [1, 2, 3, 2] {
            board.step(&step(at, 1.0));
        }
        // 128 stretches of 16 steps.
        let known: Vec<usize> = (0..STRETCHES).filter(|at| board.losses[*at].1 > 0).collect();
        assert_eq!((known, board.losses[8]), (vec![0, 8], (1.0, 1)));
    }
}
