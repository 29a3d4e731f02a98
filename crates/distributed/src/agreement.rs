//! Whether ranks are what each of them thinks the others are.
//!
//! Above: `group`. Below: `bytes`, `digest`. Not here: what is compared (the training).

use crate::bytes::{join, split};
use crate::{Digest, Error, Group, Result};

impl Group {
    /// Compares facts, (key, value), that must be the same on all ranks before they begin: program, options, data, threads.
    ///
    /// # Errors
    /// [`Error::Disagreement`] about the first key, in the order of the first rank, that differs: the same on all ranks.
    ///
    /// ```
    /// use taper_distributed::Group;
    ///
    /// Group::alone().agree(&[("seed".to_owned(), "7".to_owned())])?;
    /// # Ok::<(), taper_distributed::Error>(())
    /// ```
    pub fn agree(&self, facts: &[(String, String)]) -> Result<()> {
        if self.is_alone() {
            return Ok(());
        }
        let mine = join(facts.iter().flat_map(|(key, value)| [key.as_str(), value]));
        let mut ranks = Vec::new();
        for (rank, bytes) in self.all_gather(mine)?.iter().enumerate() {
            let texts = split(bytes).filter(|texts| texts.len().is_multiple_of(2));
            let what = "facts at the start".to_owned();
            let (came, expected) = (bytes.len(), 0);
            ranks.push(texts.ok_or(Error::Length { rank, came, expected, what })?);
        }
        match first_difference(&ranks) {
            Some((key, values)) => Err(Error::Disagreement { key, values }),
            None => Ok(()),
        }
    }

    /// Compares digests of named tensors, the same names on all ranks. Costs one word a rank as long as all are the same.
    ///
    /// # Errors
    /// [`Error::Diverged`] with the first name whose digest differs, and the ranks that have another one than rank 0.
    pub fn compare(&self, digests: &[(String, u64)]) -> Result<()> {
        if self.is_alone() {
            return Ok(());
        }
        let mut total = Digest::new();
        for (name, digest) in digests {
            total.write_sized(name.as_bytes());
            total.write_u64(*digest);
        }
        let totals = self.all_gather(total.finish().to_le_bytes().to_vec())?;
        if totals.iter().all(|total| *total == totals[0]) {
            return Ok(());
        }
        let each: Vec<u8> = digests.iter().flat_map(|(_, digest)| digest.to_le_bytes()).collect();
        let all = self.all_gather(each)?;
        for (at, (name, _)) in digests.iter().enumerate() {
            let word = |rank: usize| all[rank].get(8 * at..8 * at + 8);
            let ranks: Vec<usize> = (1..all.len()).filter(|&rank| word(rank) != word(0)).collect();
            if !ranks.is_empty() {
                return Err(Error::Diverged { name: name.clone(), ranks });
            }
        }
        let ranks = (1..totals.len()).filter(|&rank| totals[rank] != totals[0]).collect();
        Err(Error::Diverged { name: "the list of tensors".to_owned(), ranks })
    }
}

/// The first key whose values differ, with the first rank of each value; keys and values alternate.
fn first_difference(ranks: &[Vec<String>]) -> Option<(String, Vec<(usize, String)>)> {
    const MISSING: &str = "nothing";
    let value_of = |rank: &[String], key: &str| -> String {
        let pair = rank.chunks_exact(2).find(|pair| pair[0] == key);
        pair.map_or(MISSING.to_owned(), |pair| pair[1].clone())
    };
    let keys = ranks.iter().flat_map(|rank| rank.chunks_exact(2).map(|pair| &pair[0]));
    for key in keys {
        let mut values: Vec<(usize, String)> = Vec::new();
        for (rank, facts) in ranks.iter().enumerate() {
            let value = value_of(facts, key);
            if values.iter().all(|(_, known)| *known != value) {
                values.push((rank, value));
            }
        }
        if values.len() > 1 {
            return Some((key.clone(), values));
        }
    }
    None
}
