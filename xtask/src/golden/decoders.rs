//! How much our decoders and Pillow's differ on the same files.
//!
//! Above: `golden::photos`. Below: `data::image`. Not here: what that does to probabilities (`photos`).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::json;
use taper_data::image;

use crate::bench::Contestant;

/// Samples by how far they are apart; all that are further than this share the last place.
const FURTHEST: usize = 16;

/// Decodes every picture on both sides; the answer is a sentence.
pub(super) fn compare(
    peer: &mut Contestant,
    folder: &Path,
    pictures: &[PathBuf],
) -> Result<String> {
    let mut counts = [0_u64; FURTHEST + 1];
    let (mut sum, mut largest, mut equal) = (0_u64, 0, 0);
    for path in pictures {
        let size = peer.ask(&json!({ "decode": path }).to_string())?;
        let theirs = std::fs::read(folder.join("decoded")).context("reading decoded")?;
        let ours = image::read(path).with_context(|| format!("reading {}", path.display()))?;
        if size["height"] != ours.height() || size["width"] != ours.width() {
            bail!(
                "{} is {}x{} to us, {size} to Pillow",
                path.display(),
                ours.height(),
                ours.width()
            );
        }
        let mut is_equal = true;
        for (a, b) in ours.rgb().iter().zip(&theirs) {
            let apart = a.abs_diff(*b);
            counts[usize::from(apart).min(FURTHEST)] += 1;
            sum += u64::from(apart);
            largest = largest.max(apart);
            is_equal &= apart == 0;
        }
        equal += u32::from(is_equal);
    }
    Ok(sentence(&counts, sum, largest, equal))
}

fn sentence(counts: &[u64], sum: u64, largest: u8, equal: u32) -> String {
    let all: u64 = counts.iter().sum();
    let share = |count: u64| 100.0 * count as f64 / all.max(1) as f64;
    format!(
        "decoders: {equal} pictures are the same to the bit; of all bytes {:.2} % are equal, {:.2} % one apart, {:.3} % further; on \
         average {:.4}, at most {largest} of 255",
        share(counts[0]),
        share(counts[1]),
        share(counts[2..].iter().sum()),
        sum as f64 / all.max(1) as f64,
    )
}
