//! Flags of reading pictures: how large, and where decoded ones are kept; and what that was good for, in words.
//!
//! Above: `finetune`. Below: `taper_recipes`. Not here: which pictures (`finetune`), how they change (`augment`).

use std::path::PathBuf;

use clap::Args;
use taper_recipes::{Bytes, CacheKind, CacheReport, FineTuneOptions, parse_bytes};

fn defaults() -> FineTuneOptions {
    FineTuneOptions::default()
}

#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(super) struct ReadingFlags {
    /// Progressive resizing: training begins with pictures of so many pixels, which grow in steps of 32 to --image-size [default: none]
    #[arg(long, value_name = "N")]
    image_size_from: Option<usize>,
    /// Where decoded pictures are kept, so that each is decoded once: in memory, in files, or nowhere
    #[arg(long, value_name = "ram|disk|none", default_value_t = defaults().cache)]
    pub(super) cache: CacheKind,
    /// How much of them at most, such as 4GiB: in the memory of each process, or in the folder; a picture of 12 megapixels has 36 MB [default: a quarter of the free memory, shared by ranks, or half of the free disk and of what the folder holds]
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub(super) cache_size: Option<u64>,
    /// Folder for --cache disk, which several runs may share [default: taper/pictures in the user's cache directory]
    #[arg(long, value_name = "DIR")]
    pub(super) cache_dir: Option<PathBuf>,
}

impl ReadingFlags {
    /// The same options with what these flags say.
    pub(super) fn into_options(self, options: FineTuneOptions) -> FineTuneOptions {
        FineTuneOptions {
            image_size_from: self.image_size_from,
            cache: self.cache,
            cache_size: self.cache_size,
            cache_dir: self.cache_dir,
            ..options
        }
    }
}

/// What keeping pictures was good for.
pub(super) fn words(cache: &CacheReport) -> String {
    let CacheReport { kind, pictures, bytes, limit, hits, decoded } = *cache;
    let decoded = format!("decoded {decoded} times");
    let place = match kind {
        CacheKind::Ram => "memory",
        CacheKind::Disk => "files",
        CacheKind::None => return format!("cache: none; {decoded}"),
    };
    let (bytes, limit) = (Bytes(bytes), Bytes(limit));
    format!(
        "cache: {pictures} pictures in {bytes} of {place} ({limit} at most), read {hits} times, {decoded}"
    )
}
