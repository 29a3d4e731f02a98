//! Gradients that are sent while others are still computed.
//!
//! Above: the training, `forecast`. Below: `group`. Not here: sums over shards (`tree`), who says that a gradient is final (`engine`).
//! Source: Li et al. 2020, "PyTorch Distributed", <https://arxiv.org/abs/2006.15704>, section 3.2.3, with smaller buckets.

use std::ops::Range;
use std::time::Instant;

use crate::{Error, Group, Pending, ReduceOptions, Result};

/// Bytes of a bucket: PyTorch's 25 MB would leave MobileNetV2's 14 MB without any overlap.
pub const BUCKET_BYTES: usize = 2 << 20;

/// Parameters in the order in which the reverse pass finishes them, cut into buckets.
///
/// ```
/// use taper_distributed::{Buckets, Group, ReduceOptions};
///
/// let group = Group::alone();
/// let mut buckets = Buckets::new(&[3, 2], 16);
/// let mut sending = buckets.begin(&group, ReduceOptions::default());
/// sending.put(0, &[1.0, 2.0, 3.0])?;
/// sending.put(1, &[4.0, 5.0])?;
/// let mut sums = Vec::new();
/// sending.wait(|parameter, sum| sums.push((parameter, sum.to_vec())))?;
/// assert_eq!(sums, [(0, vec![1.0, 2.0, 3.0]), (1, vec![4.0, 5.0])]);
/// # Ok::<(), taper_distributed::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Buckets {
    /// Bucket and place in it, by parameter.
    places: Vec<(usize, Range<usize>)>,
    /// Parameters, by bucket.
    members: Vec<Range<usize>>,
    /// Vectors of earlier steps, by bucket.
    kept: Vec<Vec<f32>>,
}

impl Buckets {
    /// Cuts parameters of these lengths (values), given in the order in which they become final, so that no bucket has more than
    /// `bytes` bytes of f32 unless one parameter alone has.
    #[must_use]
    pub fn new(lengths: &[usize], bytes: usize) -> Buckets {
        let (mut places, mut members, mut filled) = (Vec::new(), Vec::<Range<usize>>::new(), 0);
        for (parameter, &length) in lengths.iter().enumerate() {
            match members.last_mut() {
                Some(bucket) if 4 * (filled + length) <= bytes => bucket.end += 1,
                _ => {
                    members.push(parameter..parameter + 1);
                    filled = 0;
                }
            }
            places.push((members.len() - 1, filled..filled + length));
            filled += length;
        }
        let kept = vec![Vec::new(); members.len()];
        Buckets { places, members, kept }
    }

    /// Number of buckets.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no parameter.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Values of each bucket.
    #[must_use]
    pub fn lengths(&self) -> Vec<usize> {
        self.members.iter().map(|members| self.length(members)).collect()
    }

    /// Parameters of each bucket.
    pub(crate) fn members(&self) -> &[Range<usize>] {
        &self.members
    }

    fn length(&self, members: &Range<usize>) -> usize {
        self.places[members.clone()].last().map_or(0, |(_, place)| place.end)
    }

    /// Begins a step: gradients may come in any order, and buckets go off in theirs.
    pub fn begin<'b>(&'b mut self, group: &'b Group, options: ReduceOptions) -> Sending<'b> {
        let missing = self.members.iter().map(Range::len).collect();
        let filled = vec![false; self.places.len()];
        Sending { buckets: self, group, options, missing, filled, pending: Vec::new() }
    }
}

/// The gradients of one step on their way.
#[derive(Debug)]
#[must_use = "gradients are reduced when `wait` returns"]
pub struct Sending<'b> {
    buckets: &'b mut Buckets,
    group: &'b Group,
    options: ReduceOptions,
    /// Gradients that have not come, by bucket.
    missing: Vec<usize>,
    /// Whether a gradient has come, by parameter.
    filled: Vec<bool>,
    /// Buckets that have gone off, the first ones.
    pending: Vec<Pending>,
}

impl Sending<'_> {
    /// Takes the gradient of `parameter`, final, and sends off the buckets whose turn it is: those that are whole and behind none
    /// that is not, so that the order is the same on all ranks. Does not wait.
    ///
    /// # Errors
    /// [`Error::Call`] when it has come already, or has another length.
    pub fn put(&mut self, parameter: usize, gradient: &[f32]) -> Result<()> {
        let Some((bucket, place)) = self.buckets.places.get(parameter).cloned() else {
            return refuse(format!("parameter {parameter}"), self.buckets.places.len());
        };
        if gradient.len() != place.len() {
            return refuse(
                format!("{} values of parameter {parameter}", gradient.len()),
                place.len(),
            );
        }
        if std::mem::replace(&mut self.filled[parameter], true) {
            return refuse(format!("parameter {parameter} for the second time"), 1);
        }
        let length = self.buckets.length(&self.buckets.members[bucket]);
        let values = &mut self.buckets.kept[bucket];
        values.resize(length, 0.0);
        values[place].copy_from_slice(gradient);
        self.missing[bucket] -= 1;
        while self.missing.get(self.pending.len()) == Some(&0) {
            let bucket = self.pending.len();
            let values = std::mem::take(&mut self.buckets.kept[bucket]);
            self.pending.push(self.group.reduce(bucket, values, self.options));
        }
        Ok(())
    }

    /// Waits for all sums and hands them out, parameter by parameter in their order.
    ///
    /// # Errors
    /// [`Error::Call`] when gradients are missing; whatever ended the job.
    pub fn wait(self, mut each: impl FnMut(usize, &[f32])) -> Result<()> {
        if let Some(parameter) = self.filled.iter().position(|has_come| !has_come) {
            return refuse(format!("no gradient of parameter {parameter}"), self.filled.len());
        }
        let begin = Instant::now();
        for (bucket, pending) in self.pending.into_iter().enumerate() {
            let values = pending.wait_from(begin)?;
            for parameter in self.buckets.members[bucket].clone() {
                let (_, place) = &self.buckets.places[parameter];
                each(parameter, &values[place.clone()]);
            }
            self.buckets.kept[bucket] = values;
        }
        Ok(())
    }
}

fn refuse(what: String, expected: usize) -> Result<()> {
    Err(Error::Call { what, expected: format!("expected {expected}, once each") })
}

#[cfg(test)]
mod tests;
