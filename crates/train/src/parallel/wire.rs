//! What ranks tell each other, as bytes: numbers to the bit, texts, outputs and targets of samples.
//!
//! Above: `parallel::{evaluate, step, turn}`. Below: `data::Targets`. Not here: how bytes travel (`taper-distributed`).
//! Ranks run the same program, so there is no version; lengths are checked all the same.

use taper_data::{Array, Targets};
use taper_distributed::Error as RanksError;

use crate::Skipped;
use crate::error::{Error, Result};

/// The most targets within targets.
const DEPTH: usize = 8;

/// Bytes that are being written.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn number(&mut self, number: u64) {
        self.bytes.extend(number.to_le_bytes());
    }

    pub(super) fn size(&mut self, size: usize) {
        self.number(size as u64);
    }

    pub(super) fn sizes(&mut self, sizes: &[usize]) {
        self.size(sizes.len());
        sizes.iter().for_each(|&size| self.size(size));
    }

    pub(super) fn text(&mut self, text: &str) {
        self.size(text.len());
        self.bytes.extend(text.as_bytes());
    }

    pub(super) fn floats(&mut self, values: &[f32]) {
        self.size(values.len());
        values.iter().for_each(|value| self.bytes.extend(value.to_le_bytes()));
    }

    fn words(&mut self, values: &[u32]) {
        self.size(values.len());
        values.iter().for_each(|value| self.bytes.extend(value.to_le_bytes()));
    }

    pub(super) fn skipped(&mut self, samples: &[Skipped]) {
        self.size(samples.len());
        for Skipped { name, reason } in samples {
            self.text(name);
            self.text(reason);
        }
    }

    pub(super) fn targets(&mut self, targets: &Targets) {
        let array = |writer: &mut Self, kind: u64, array: &Array<f32>| {
            writer.number(kind);
            writer.sizes(array.shape());
            writer.floats(array.values());
        };
        match targets {
            Targets::Classes(classes) => {
                self.number(0);
                self.words(classes);
            }
            Targets::Probabilities(values) => array(self, 1, values),
            Targets::Labels(values) => array(self, 2, values),
            Targets::Numbers(values) => array(self, 3, values),
            Targets::ClassMaps(classes) => {
                self.number(4);
                self.sizes(classes.shape());
                self.words(classes.values());
            }
            Targets::Named(named) => {
                self.number(5);
                self.size(named.len());
                for (name, targets) in named {
                    self.text(name);
                    self.targets(targets);
                }
            }
        }
    }
}

/// Bytes of a rank that are being read.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    rank: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], rank: usize) -> Self {
        Self { rest: bytes, rank }
    }

    fn broken(&self) -> Error {
        let what = format!("what rank {} sent", self.rank);
        let expected = "expected something else; do all ranks run the same program?".to_owned();
        RanksError::Call { what, expected }.into()
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        match self.rest.split_at_checked(len) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.broken()),
        }
    }

    pub(super) fn number(&mut self) -> Result<u64> {
        let (bytes, _) = self.take(8)?.as_chunks::<8>();
        Ok(bytes.iter().fold(0, |_, bytes| u64::from_le_bytes(*bytes)))
    }

    pub(super) fn size(&mut self) -> Result<usize> {
        usize::try_from(self.number()?).map_err(|_odd| self.broken())
    }

    /// A number of things that take `each` bytes or more.
    pub(super) fn count(&mut self, each: usize) -> Result<usize> {
        let count = self.size()?;
        match count.checked_mul(each).is_some_and(|bytes| bytes <= self.rest.len()) {
            true => Ok(count),
            false => Err(self.broken()),
        }
    }

    pub(super) fn sizes(&mut self) -> Result<Vec<usize>> {
        let count = self.count(8)?;
        (0..count).map(|_| self.size()).collect()
    }

    pub(super) fn text(&mut self) -> Result<String> {
        let len = self.count(1)?;
        let bytes = self.take(len)?;
        String::from_utf8(bytes.to_vec()).map_err(|_odd| self.broken())
    }

    pub(super) fn floats(&mut self) -> Result<Vec<f32>> {
        let len = self.count(4)?;
        let (chunks, _) = self.take(len * 4)?.as_chunks::<4>();
        Ok(chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    fn words(&mut self) -> Result<Vec<u32>> {
        let len = self.count(4)?;
        let (chunks, _) = self.take(len * 4)?.as_chunks::<4>();
        Ok(chunks.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
    }

    pub(super) fn skipped(&mut self) -> Result<Vec<Skipped>> {
        let count = self.count(16)?;
        (0..count).map(|_| Ok(Skipped { name: self.text()?, reason: self.text()? })).collect()
    }

    pub(super) fn targets(&mut self) -> Result<Targets> {
        self.targets_within(DEPTH)
    }

    fn targets_within(&mut self, depth: usize) -> Result<Targets> {
        let Some(depth) = depth.checked_sub(1) else { return Err(self.broken()) };
        Ok(match self.number()? {
            0 => Targets::Classes(self.words()?),
            1 => Targets::Probabilities(self.array()?),
            2 => Targets::Labels(self.array()?),
            3 => Targets::Numbers(self.array()?),
            4 => {
                let shape = self.sizes()?;
                Targets::ClassMaps(Array::new(self.words()?, shape)?)
            }
            5 => {
                let count = self.count(16)?;
                let one = |_| Ok((self.text()?, self.targets_within(depth)?));
                Targets::Named((0..count).map(one).collect::<Result<_>>()?)
            }
            _ => return Err(self.broken()),
        })
    }

    fn array(&mut self) -> Result<Array<f32>> {
        let shape = self.sizes()?;
        Ok(Array::new(self.floats()?, shape)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_to_the_bit_and_a_cut_is_refused() {
        let odd = vec![f32::from_bits(0x7fc0_1234), -0.0, f32::MIN_POSITIVE / 2.0, 1.5];
        let array = |shape: &[usize]| Array::new(odd.clone(), shape.to_vec()).unwrap();
        let all = Targets::Named(
            [
                ("a".to_owned(), Targets::Classes(vec![3, 1])),
                ("b".to_owned(), Targets::Probabilities(array(&[2, 2]))),
                ("c".to_owned(), Targets::Labels(array(&[4, 1]))),
                ("d".to_owned(), Targets::Numbers(array(&[1, 2, 2]))),
                (
                    "e".to_owned(),
                    Targets::ClassMaps(Array::new(vec![7, 8], vec![2, 1, 1]).unwrap()),
                ),
            ]
            .into(),
        );
        let lost = vec![Skipped { name: "ü.png".to_owned(), reason: String::new() }];
        let mut writer = Writer::default();
        writer.targets(&all);
        writer.skipped(&lost);
        writer.sizes(&[5, 0]);
        let read = |bytes: &[u8]| -> Result<(Targets, Vec<Skipped>, Vec<usize>)> {
            let mut reader = Reader::new(bytes, 1);
            Ok((reader.targets()?, reader.skipped()?, reader.sizes()?))
        };
        let (targets, skipped, sizes) = read(&writer.bytes).unwrap();
        let mut again = Writer::default();
        again.targets(&targets);
        again.skipped(&skipped);
        again.sizes(&sizes);
        assert_eq!(again.bytes, writer.bytes);
        assert_eq!(skipped, lost);
        for len in 0..writer.bytes.len() {
            let error = read(&writer.bytes[..len]).unwrap_err();
            assert!(error.to_string().contains("rank"), "{error}");
        }
    }
}
