//! Where decoded pictures are kept, how many, and what cannot be asked of it.
//!
//! Above: `options::fine_tune`, `fine_tune`, `prune`. Below: `taper_data::Cache`, the user's cache directory. Not here: keeping them (`taper_data`).

use std::path::PathBuf;

use taper_cost::Bytes;
use taper_data::cache::free_memory;
use taper_data::{Cache, CacheUsage};

use super::FineTuneOptions;
use super::choice::CacheKind;
use crate::error::{Error, Result};
use crate::report::CacheReport;
use crate::setup;

/// Bytes in memory where the system does not tell how much of it is free.
const UNKNOWN: u64 = 1 << 30;

impl FineTuneOptions {
    /// What is kept in memory when no size is given, as a share of what is free, over all ranks.
    pub const CACHE_SHARE: u64 = 4;

    /// Refuses a size and a folder of what is not there.
    pub(super) fn check_cache(&self) -> Result<()> {
        if let Some(size) = self.cache_size {
            let expected = match (self.cache, size) {
                (CacheKind::None, _) => "absent with `cache` none",
                (_, 0) => "1 byte or more; `cache` none keeps nothing",
                _ => return Ok(()),
            };
            return Err(Error::option("cache_size", &size, expected));
        }
        match (&self.cache_dir, self.cache) {
            (Some(folder), CacheKind::Ram | CacheKind::None) => {
                let expected = format!("absent with `cache` {}", self.cache);
                Err(Error::option("cache_dir", &folder.display(), expected))
            }
            _ => Ok(()),
        }
    }

    /// The cache that is asked for, of one of so many ranks: a size is what each may use, for nobody knows how many of them are on this machine.
    ///
    /// # Errors
    /// [`Error::Option`] if that alone is larger than what is free, with what would fit; [`Error::Data`] for a folder that cannot be written.
    pub(crate) fn open_cache(&self, ranks: usize) -> Result<Cache> {
        match self.cache {
            CacheKind::None => Ok(Cache::none()),
            // What is left over is for it, once it is known.
            CacheKind::Ram if self.memory.is_some() && self.cache_size.is_none() => {
                Ok(Cache::none())
            }
            CacheKind::Ram => match (self.cache_size, free_memory()) {
                (Some(asked), Some(free)) if asked > free => {
                    Err(too_large(asked, free, "of memory"))
                }
                (Some(asked), _) => Ok(Cache::in_memory(asked)),
                (None, _) => Ok(Cache::in_memory(Self::usual_cache(ranks))),
            },
            CacheKind::Disk => {
                let folder = match &self.cache_dir {
                    Some(folder) => folder.clone(),
                    None => own_folder()?,
                };
                Cache::on_disk(&folder, self.cache_size).map_err(|error| match error {
                    taper_data::Error::CacheTooLarge { folder, asked, fits } => {
                        too_large(asked, fits, &format!("in `{}`", folder.display()))
                    }
                    other => setup::data(other),
                })
            }
        }
    }

    /// Bytes of pictures that one of so many ranks keeps in memory when no size is given.
    pub(crate) fn usual_cache(ranks: usize) -> u64 {
        let share = free_memory().map_or(UNKNOWN, |free| free / Self::CACHE_SHARE);
        share / ranks.max(1) as u64
    }

    /// What the cache was good for; none where there was nothing to keep.
    pub(crate) fn cache_report(&self, cache: &Cache) -> Option<CacheReport> {
        let CacheUsage { pictures, bytes, limit, hits, decoded } = cache.usage();
        let kind = self.cache;
        (pictures + decoded > 0).then_some(CacheReport {
            kind,
            pictures,
            bytes,
            limit,
            hits,
            decoded,
        })
    }
}

/// Where pictures lie when nobody says it: `taper/pictures` in the user's cache directory.
fn own_folder() -> Result<PathBuf> {
    Ok(dirs::cache_dir().ok_or(Error::NoCache)?.join("taper").join("pictures"))
}

fn too_large(asked: u64, fits: u64, place: &str) -> Error {
    let words = |bytes: u64| Bytes(bytes).to_string();
    Error::option(
        "cache_size",
        &words(asked),
        format!("at most the {} {place} that are free", words(fits)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(options: &FineTuneOptions) -> String {
        let error = options.check().and_then(|()| options.open_cache(1).map(drop)).unwrap_err();
        assert!(error.is_request(), "{error}");
        error.to_string()
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_what_would_fit() {
        let dir = tempfile::tempdir().unwrap();
        let of = |cache, cache_size, cache_dir| FineTuneOptions {
            cache,
            cache_size,
            cache_dir,
            ..FineTuneOptions::default()
        };
        let huge = Some(1 << 60);
        if free_memory().is_some() {
            let error = refused(&of(CacheKind::Ram, huge, None));
            assert!(error.starts_with("`cache_size` is 1152921505 GB"), "{error}");
            assert!(
                error.contains("it must be at most the ")
                    && error.contains("of memory that are free"),
                "{error}"
            );
        }
        let folder = Some(dir.path().join("pictures"));
        let error = refused(&of(CacheKind::Disk, huge, folder.clone()));
        assert!(
            error.contains("at most the ") && error.contains("pictures` that are free"),
            "{error}"
        );
        let error = refused(&of(CacheKind::None, Some(5), None));
        assert_eq!(error, "`cache_size` is 5, it must be absent with `cache` none");
        let error = refused(&of(CacheKind::Ram, None, folder.clone()));
        assert!(error.starts_with("`cache_dir` is ") && error.ends_with("absent with `cache` ram"));
        let error = refused(&of(CacheKind::Disk, Some(0), folder.clone()));
        assert!(error.starts_with("`cache_size` is 0, it must be 1 byte or more"), "{error}");
        assert!(of(CacheKind::Disk, Some(1 << 20), folder).open_cache(1).is_ok());
    }

    #[test]
    fn ranks_share_what_is_free() {
        let options = FineTuneOptions::default();
        let [one, four] = [1, 4].map(|ranks| options.open_cache(ranks).unwrap().usage().limit);
        assert!(four > 0 && four < one / 3, "{one} {four}");
        assert_eq!(options.cache_report(&options.open_cache(1).unwrap()), None);
    }

    /// Ranks may be on many machines, each with its own memory.
    #[test]
    fn a_size_is_what_each_of_any_number_of_ranks_may_use() {
        let options = FineTuneOptions { cache_size: Some(1 << 30), ..FineTuneOptions::default() };
        for ranks in [1, 1 << 20] {
            assert_eq!(options.open_cache(ranks).unwrap().usage().limit, 1 << 30);
        }
    }
}
