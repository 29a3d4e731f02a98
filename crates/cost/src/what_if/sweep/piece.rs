//! A part of a sweep's text, and the values it stands for; what it refuses, it refuses by its place in the text.
//!
//! Above: `sweep`. Below: `Change`. Not here: which factor it is of (`sweep`).

use std::ops::RangeInclusive;

use taper_graph::PoolKind;

use crate::what_if::{Change, FACTORS, Factor};
use crate::{Error, Result};

/// Most values of a sweep, and so most rows of its table.
const MAX_VALUES: usize = 1000;
/// Sides of images, in pixels.
const SIDES: RangeInclusive<usize> = 1..=1 << 16;
/// Filters and classes: what a network may have of channels.
const CHANNELS: RangeInclusive<usize> = 1..=1 << 20;
const STRIDES: RangeInclusive<usize> = 1..=1 << 10;
const BATCHES: RangeInclusive<usize> = 1..=1 << 20;
const THREADS: RangeInclusive<usize> = 1..=1 << 10;
/// Share of a step by which floating point may miss the end of a range.
const MISSED: f64 = 1e-6;

/// A part of the text of a sweep.
#[derive(Clone, Copy)]
pub(super) struct Piece<'t> {
    whole: &'t str,
    start: usize,
    end: usize,
}

impl<'t> Piece<'t> {
    pub(super) fn whole(text: &'t str) -> Self {
        Self { whole: text, start: 0, end: text.len() }
    }

    fn raw(&self) -> &'t str {
        self.whole.get(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn text(&self) -> &'t str {
        self.raw().trim()
    }

    /// Where a pattern begins in the whole text.
    pub(super) fn find(&self, pattern: &str) -> Option<usize> {
        self.raw().find(pattern).map(|at| self.start + at)
    }

    pub(super) fn until(self, end: usize) -> Self {
        Self { end, ..self }
    }

    pub(super) fn rest(self, start: usize) -> Self {
        Self { start, ..self }
    }

    /// The place behind it.
    pub(super) fn end(self) -> Self {
        Self { start: self.end, ..self }
    }

    pub(super) fn split(self, by: char) -> impl Iterator<Item = Self> {
        let mut start = self.start;
        self.raw().split(by).map(move |part| {
            let piece = Self { start, end: start + part.len(), ..self };
            start = piece.end + by.len_utf8();
            piece
        })
    }

    pub(super) fn refused(&self, expected: impl Into<String>) -> Error {
        let blanks = self.raw().len() - self.raw().trim_start().len();
        let before = self.whole.get(..self.start + blanks).unwrap_or_default();
        let behind = self.whole.get(self.end..).and_then(|rest| rest.chars().next());
        let found = match (self.text(), behind) {
            ("", None) => "the end".to_owned(),
            ("", Some(next)) => format!("`{}`", escaped(next).collect::<String>()),
            (text, _) => format!("`{}`", shown(text)),
        };
        let (sweep, expected) = (shown(self.whole), expected.into());
        Error::Sweep { sweep, at: before.chars().count() + 1, expected, found }
    }

    /// Adds the changes that a value or a range of them stands for.
    pub(super) fn changes(self, factor: &Factor, values: &mut Vec<Change>) -> Result<()> {
        let room = MAX_VALUES - values.len();
        match factor {
            Factor::Width => values.extend(self.ratios(room)?.map(Change::Width)),
            Factor::Depth => values.extend(self.ratios(room)?.map(Change::Depth)),
            Factor::Filters(node) => values.extend(
                self.counts(CHANNELS, room)?
                    .map(|filters| Change::Filters { node: node.clone(), filters }),
            ),
            Factor::Stride(node) => values.extend(
                self.counts(STRIDES, room)?
                    .map(|stride| Change::Stride { node: node.clone(), stride }),
            ),
            Factor::Pool(node) => {
                let kind = self.pool()?;
                values
                    .extend(self.few(1, room)?.map(|_| Change::Pool { node: node.clone(), kind }));
            }
            Factor::Head => values.extend(self.counts(CHANNELS, room)?.map(Change::Head)),
            Factor::ImageSize => match self.find("x") {
                Some(x) if self.find("..").is_none() => {
                    let size = [self.until(x).count(&SIDES)?, self.rest(x + 1).count(&SIDES)?];
                    values.extend(self.few(1, room)?.map(|_| Change::ImageSize(size)));
                }
                _ => values
                    .extend(self.counts(SIDES, room)?.map(|side| Change::ImageSize([side; 2]))),
            },
            Factor::Batch => values.extend(self.counts(BATCHES, room)?.map(Change::Batch)),
            Factor::Threads => values.extend(self.counts(THREADS, room)?.map(Change::Threads)),
        }
        Ok(())
    }

    fn pool(&self) -> Result<Option<PoolKind>> {
        match self.text() {
            "stride" => Ok(None),
            "max" => Ok(Some(PoolKind::Max)),
            "avg" => Ok(Some(PoolKind::Avg)),
            _ => Err(self.refused("stride, max or avg")),
        }
    }

    /// First, last and step of a range; `None` for a single value.
    fn range(&self) -> Result<Option<[Self; 3]>> {
        let Some(dots) = self.find("..") else { return Ok(None) };
        let rest = self.rest(dots + 2);
        let Some(colon) = rest.find(":") else {
            return Err(rest.end().refused("`:` and a step, as in `96..256:32`,"));
        };
        Ok(Some([self.until(dots), rest.until(colon), rest.rest(colon + 1)]))
    }

    fn count(&self, allowed: &RangeInclusive<usize>) -> Result<usize> {
        let count = self.text().parse().ok().filter(|count| allowed.contains(count));
        count.ok_or_else(|| {
            let (first, last) = (allowed.start(), allowed.end());
            self.refused(format!("a whole number from {first} to {last}"))
        })
    }

    fn ratio(&self, allowed: &RangeInclusive<f64>) -> Result<f64> {
        let ratio = self.text().parse().ok().filter(|ratio| allowed.contains(ratio));
        ratio.ok_or_else(|| {
            let (first, last) = (allowed.start(), allowed.end());
            self.refused(format!("a number from {first} to {last}"))
        })
    }

    fn counts(
        self,
        allowed: RangeInclusive<usize>,
        room: usize,
    ) -> Result<impl Iterator<Item = usize>> {
        let [first, last, step] = match self.range()? {
            None => {
                let count = self.count(&allowed)?;
                [count, count, 1]
            }
            Some([first, last, step]) => {
                let first = first.count(&allowed)?;
                [first, last.count(&(first..=*allowed.end()))?, step.count(&(1..=*allowed.end()))?]
            }
        };
        let n = (last - first) / step + 1;
        Ok(self.few(n, room)?.map(move |n| first + n * step))
    }

    fn ratios(self, room: usize) -> Result<impl Iterator<Item = f64>> {
        let [first, last, step] = match self.range()? {
            None => {
                let ratio = self.ratio(&FACTORS)?;
                [ratio, ratio, 1.0]
            }
            Some([first, last, step]) => {
                let first = first.ratio(&FACTORS)?;
                let last = last.ratio(&(first..=*FACTORS.end()))?;
                [first, last, step.ratio(&(1e-6..=*FACTORS.end()))?]
            }
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most 100 / 1e-6, and not below 0"
        )]
        let steps = ((last - first) / step + MISSED).floor() as usize;
        let values = self.few(steps + 1, room)?;
        Ok(values.map(move |n| {
            let value = first + n as f64 * step;
            match n {
                0 => first,
                _ if (value - last).abs() < step * MISSED => last,
                // As it would be written: 0.3 and not 0.30000000000000004.
                _ => (value * 1e9).round() / 1e9,
            }
        }))
    }

    /// The first `n` numbers, if there is room for them.
    fn few(&self, n: usize, room: usize) -> Result<std::ops::Range<usize>> {
        if n <= room {
            return Ok(0..n);
        }
        Err(self.refused(format!("no more than {MAX_VALUES} values in all")))
    }
}

/// The beginning of a text that may be long or hold anything.
fn shown(text: &str) -> String {
    const LONGEST: usize = 64;
    let more = if text.chars().nth(LONGEST).is_some() { "…" } else { "" };
    let shown: String = text.chars().take(LONGEST).flat_map(escaped).collect();
    shown + more
}

fn escaped(char: char) -> impl Iterator<Item = char> {
    let control = char.is_control().then(|| char.escape_default());
    let plain = (!char.is_control()).then_some(char);
    control.into_iter().flatten().chain(plain)
}
