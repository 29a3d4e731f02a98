//! Decoded pictures that are kept, so that each is decoded once: in memory or on disk, as many as a bound allows.
//!
//! Above: `dataset`, `recipes`. Below: `cache::{disk, room}`, `image`. Not here: what is done with pictures (`transform`).
//! All pixels are kept as they were decoded, so that a cache changes the time it takes to get a picture and nothing else. Who comes first is kept:
//! an epoch comes back to every picture, and throwing one out for another would only move what has to be decoded.

#[cfg(feature = "disk-cache")]
mod disk;
mod room;

#[cfg(feature = "disk-cache")]
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
#[cfg(feature = "disk-cache")]
use std::sync::{Mutex, PoisonError};

use crate::error::Result;
use crate::image::{self, Image};
#[cfg(feature = "disk-cache")]
use disk::{Disk, Key};

pub use room::{free_disk, free_memory};

/// Names nothing in memory.
#[cfg(not(feature = "disk-cache"))]
type Key = std::convert::Infallible;

/// Where decoded pictures are kept, and how many bytes of them at most. Copies are one cache.
///
/// # Examples
/// ```
/// use taper_data::{Cache, Dataset, Sample, sample_set};
///
/// let dir = tempfile::tempdir()?;
/// sample_set::export(dir.path())?;
/// let sample = |name: &str| Sample::from_file(name, 0, dir.path().join(name));
/// let train = vec![sample("train/vehicle/anchor.png"), sample("train/vehicle/airplane_arriving.png")];
/// let cache = Cache::in_memory(64 * 64 * 3); // room for one picture of 64x64
/// let dataset = Dataset::new(["vehicle", "other"], train, vec![])?.with_cache(&cache);
/// for _epoch in 0..3 {
///     for sample in &dataset.train {
///         sample.image()?;
///     }
/// }
/// let usage = cache.usage();
/// assert_eq!((usage.pictures, usage.hits, usage.decoded), (1, 2, 4));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Cache(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    place: Place,
    limit: u64,
    pictures: AtomicU64,
    hits: AtomicU64,
    decoded: AtomicU64,
}

#[derive(Debug)]
enum Place {
    Memory {
        used: AtomicU64,
    },
    #[cfg(feature = "disk-cache")]
    Disk(Disk),
}

/// What a cache holds, and what it was good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheUsage {
    /// Pictures that this program keeps or found kept.
    pub pictures: u64,
    /// Bytes that are used; on disk, of all programs.
    pub bytes: u64,
    /// Bytes that may be used.
    pub limit: u64,
    /// How often a picture came from the cache.
    pub hits: u64,
    /// How often one was decoded.
    pub decoded: u64,
}

impl Cache {
    /// Nothing is kept.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Up to `limit` bytes of pixels in memory. A picture of 12 megapixels has 36 MB.
    #[must_use]
    pub fn in_memory(limit: u64) -> Self {
        Self::of(Place::Memory { used: AtomicU64::new(0) }, limit)
    }

    /// Up to `limit` bytes of pixels in files of a folder, which is made, and which several programs may use at a time, each with a bound of
    /// its own; when absent, half of what is free and of what is kept there already.
    ///
    /// Files are named for the contents of the pictures that they are of, so that a picture that changes is another one. They are written aside
    /// and renamed, and their length and checksum are compared when they are read: what is damaged is decoded again. Where there is no room,
    /// those go that no program has read in the last hour, nor since this one began. A write that fails is not tried again for every picture.
    ///
    /// # Errors
    /// [`Error::CacheTooLarge`](crate::Error::CacheTooLarge) if less than `limit` is free; [`Error::Read`](crate::Error::Read),
    /// [`Error::Write`](crate::Error::Write) if the folder cannot be read or written.
    #[cfg(feature = "disk-cache")]
    pub fn on_disk(folder: &Path, limit: Option<u64>) -> Result<Self> {
        let (disk, limit) = Disk::open(folder, limit)?;
        Ok(Self::of(Place::Disk(disk), limit))
    }

    fn of(place: Place, limit: u64) -> Self {
        let [pictures, hits, decoded] = [0; 3].map(AtomicU64::new);
        Self(Some(Arc::new(Shared { place, limit, pictures, hits, decoded })))
    }

    /// What it holds, and what it was good for.
    #[must_use]
    pub fn usage(&self) -> CacheUsage {
        let Some(shared) = &self.0 else { return CacheUsage::default() };
        CacheUsage {
            pictures: shared.pictures.load(Ordering::Relaxed),
            bytes: match &shared.place {
                Place::Memory { used } => used.load(Ordering::Relaxed),
                #[cfg(feature = "disk-cache")]
                Place::Disk(disk) => disk.used(),
            },
            limit: shared.limit,
            hits: shared.hits.load(Ordering::Relaxed),
            decoded: shared.decoded.load(Ordering::Relaxed),
        }
    }
}

/// A picture's place in a cache. Copies are of one picture.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    cache: Cache,
    slot: Arc<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    pixels: OnceLock<Arc<Image>>,
    #[cfg(feature = "disk-cache")]
    key: Mutex<Option<Key>>,
    counted: OnceLock<()>,
}

impl Kept {
    pub(crate) fn by(cache: &Cache) -> Self {
        Self { cache: cache.clone(), slot: Arc::default() }
    }

    /// Whether there is a cache at all.
    pub(crate) fn has_cache(&self) -> bool {
        self.cache.0.is_some()
    }

    pub(crate) fn is_kept(&self) -> bool {
        if self.slot.pixels.get().is_some() {
            return true;
        }
        #[cfg(feature = "disk-cache")]
        if let (Some(shared), Some(key)) = (&self.cache.0, self.key())
            && let Place::Disk(disk) = &shared.place
        {
            return disk.holds(&key);
        }
        false
    }

    /// The pixels, if they are kept; those from a file are read into `buffer`, which is taken.
    pub(crate) fn get(&self, buffer: &mut Vec<u8>) -> Option<Arc<Image>> {
        let shared = self.cache.0.as_ref()?;
        let found = self.slot.pixels.get().cloned();
        #[cfg(feature = "disk-cache")]
        let found = found.or_else(|| self.read_file(shared, buffer));
        #[cfg(not(feature = "disk-cache"))]
        let _ = buffer;
        shared.hits.fetch_add(u64::from(found.is_some()), Ordering::Relaxed);
        found
    }

    #[cfg(feature = "disk-cache")]
    fn read_file(&self, shared: &Shared, buffer: &mut Vec<u8>) -> Option<Arc<Image>> {
        match &shared.place {
            Place::Disk(disk) => disk.read(&self.key()?, buffer).map(Arc::new),
            Place::Memory { .. } => None,
        }
    }

    /// The pixels of an encoded picture, from the cache if another program or another sample has put them there.
    pub(crate) fn decode(&self, encoded: &[u8], buffer: &mut Vec<u8>) -> Result<Arc<Image>> {
        let (is_known, key) = self.look_up(encoded);
        if is_known && let Some(found) = self.get(buffer) {
            return Ok(found);
        }
        self.decode_as(key, encoded)
    }

    fn decode_as(&self, key: Option<Key>, encoded: &[u8]) -> Result<Arc<Image>> {
        let image = Arc::new(image::decode(encoded)?);
        if let Some(shared) = &self.cache.0 {
            shared.decoded.fetch_add(1, Ordering::Relaxed);
            self.put(shared, key, &image);
        }
        Ok(image)
    }

    /// Makes sure that a picture can be decoded, and keeps it if there is room: whoever has put it into the cache has decoded it.
    pub(crate) fn check(&self, encoded: &[u8]) -> Result<()> {
        match self.look_up(encoded) {
            (true, _) => Ok(()),
            (false, key) => self.decode_as(key, encoded).map(drop),
        }
    }

    /// Whether the cache has these contents already, and what names them where that matters: they are long, and summed once.
    #[cfg(feature = "disk-cache")]
    fn look_up(&self, encoded: &[u8]) -> (bool, Option<Key>) {
        match self.cache.0.as_deref() {
            Some(shared @ Shared { place: Place::Disk(disk), .. }) => {
                // Of these contents, whatever the picture's were when it was read before.
                let key = Key::of(encoded);
                let is_known = disk.find(&key);
                *self.slot.key.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.clone());
                if is_known {
                    self.count(shared);
                }
                (is_known, Some(key))
            }
            Some(Shared { place: Place::Memory { .. }, .. }) | None => (false, None),
        }
    }

    #[cfg(not(feature = "disk-cache"))]
    #[expect(clippy::unused_self, reason = "a cache on disk looks")]
    fn look_up(&self, _: &[u8]) -> (bool, Option<Key>) {
        (false, None)
    }

    #[cfg(feature = "disk-cache")]
    fn key(&self) -> Option<Key> {
        self.slot.key.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps the pixels of an encoded picture, if there is room.
    #[cfg_attr(
        not(feature = "disk-cache"),
        expect(unused_variables, reason = "a file is named for its contents")
    )]
    fn put(&self, shared: &Shared, key: Option<Key>, image: &Arc<Image>) {
        let bytes = image.rgb().len() as u64;
        match &shared.place {
            Place::Memory { used } => {
                if !take(used, bytes, shared.limit) {
                    return;
                }
                match self.slot.pixels.set(Arc::clone(image)) {
                    Ok(()) => self.count(shared),
                    Err(_kept_meanwhile) => drop(used.fetch_sub(bytes, Ordering::Relaxed)),
                }
            }
            #[cfg(feature = "disk-cache")]
            Place::Disk(disk) => {
                if key.is_some_and(|key| disk.write(&key, image, shared.limit)) {
                    self.count(shared);
                }
            }
        }
    }

    /// A picture is kept, and counted once.
    fn count(&self, shared: &Shared) {
        if self.slot.counted.set(()).is_ok() {
            shared.pictures.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Counts bytes as used, if there is room for them.
fn take(used: &AtomicU64, bytes: u64, limit: u64) -> bool {
    let with = |used: u64| used.checked_add(bytes).filter(|&used| used <= limit);
    used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with).is_ok()
}

#[cfg(test)]
#[cfg(feature = "disk-cache")]
mod tests;
