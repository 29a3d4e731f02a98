//! Pixels in files of one folder, which several programs may use at a time.
//!
//! Above: `cache`. Below: `taper_files`, `sha2`, `flate2`'s CRC-32. Not here: which pictures (`dataset`).
//! A file is called for the SHA-256 of the encoded picture, and holds a header of 20 bytes (`taperRGB`, height, width and the CRC-32 of all
//! else, little-endian) and the pixels. Nothing of it is trusted: neither a length nor a pixel.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use flate2::Crc;
use sha2::{Digest, Sha256};

use super::{room, take};
use crate::error::{Error, Result};
use crate::image::{Image, check_dimensions};

/// The first bytes of a file.
const MAGIC: [u8; 8] = *b"taperRGB";

/// Bytes before the pixels.
const HEADER: usize = 20;

/// How a file's name ends.
const EXTENSION: &str = ".rgb";

/// Pixels that are read and summed at a time, in bytes: they stay in a core's own cache between the two.
const CHUNK: usize = 1 << 17;

/// A file that is being written, and has not changed for so long, is one of a program that was killed.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// How <https://bford.info/cachedir/> marks a folder that need not be saved.
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n# Decoded pictures, which taper makes again where they are missing.\n";

/// What names a picture's file: its contents, and who decodes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key(String);

impl Key {
    pub(super) fn of(encoded: &[u8]) -> Self {
        let mut hash = Sha256::new();
        // Another version may decode otherwise.
        hash.update(concat!("taper-data ", env!("CARGO_PKG_VERSION"), "\0"));
        hash.update(encoded);
        Self(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn file(&self) -> String {
        format!("{}{EXTENSION}", self.0)
    }
}

/// The folder, and what is known of it.
#[derive(Debug)]
pub(super) struct Disk {
    folder: PathBuf,
    /// Files that are older were not read since.
    opened: SystemTime,
    used: AtomicU64,
    /// So many bytes found no room.
    too_large: AtomicU64,
    /// Bytes that were added since the folder was looked at: others add to it, too.
    added: AtomicU64,
    making_room: Mutex<()>,
}

impl Disk {
    /// Makes the folder, and says how much may be put into it.
    pub(super) fn open(folder: &Path, limit: Option<u64>) -> Result<(Self, u64)> {
        let tag = folder.join("CACHEDIR.TAG");
        taper_files::replace_unsynced(&tag, |file| file.write_all(TAG.as_bytes()))
            .map_err(|source| Error::Write { path: tag, source })?;
        let disk = Self {
            folder: folder.to_path_buf(),
            opened: SystemTime::now(),
            used: AtomicU64::new(0),
            too_large: AtomicU64::new(u64::MAX),
            added: AtomicU64::new(0),
            making_room: Mutex::new(()),
        };
        let used: u64 = disk.files()?.iter().map(|file| file.bytes).sum();
        disk.used.store(used, Ordering::Relaxed);
        let limit = match (limit, room::free_disk(folder)) {
            (Some(asked), Some(free)) if asked > used.saturating_add(free) => {
                let (folder, fits) = (folder.to_path_buf(), used.saturating_add(free));
                return Err(Error::CacheTooLarge { folder, asked, fits });
            }
            (Some(asked), _) => asked,
            (None, Some(free)) => used.saturating_add(free / 2),
            (None, None) => u64::MAX, // until a write fails
        };
        Ok((disk, limit))
    }

    /// Bytes of all files.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(key.file())
    }

    /// Whether a picture's file is there and as long as it says.
    pub(super) fn holds(&self, key: &Key) -> bool {
        Entry::open(&self.path(key)).is_some()
    }

    /// The same, to be used: it is not thrown away from now on.
    pub(super) fn find(&self, key: &Key) -> bool {
        let Some(entry) = Entry::open(&self.path(key)) else { return false };
        // Where that is not allowed, it may be thrown away, and made again.
        drop(entry.file.set_modified(SystemTime::now()));
        true
    }

    /// The picture, read into `buffer`, which is taken; one that is damaged goes.
    pub(super) fn read(&self, key: &Key, buffer: &mut Vec<u8>) -> Option<Image> {
        let path = self.path(key);
        let image = Entry::open(&path).and_then(|entry| entry.read(buffer));
        if image.is_none() && fs::remove_file(&path).is_ok() {
            self.recount();
        }
        image
    }

    /// Keeps a picture, if there is room for it.
    pub(super) fn write(&self, key: &Key, image: &Image, limit: u64) -> bool {
        let bytes = (HEADER + image.rgb().len()) as u64;
        if bytes >= self.too_large.load(Ordering::Relaxed) {
            return false;
        }
        let is_news = self.added.load(Ordering::Relaxed) > limit / 16;
        let has_room = (!is_news && take(&self.used, bytes, limit)) || self.make_room(bytes, limit);
        if has_room && self.put(key, image).is_ok() {
            self.added.fetch_add(bytes, Ordering::Relaxed);
            return true;
        }
        if has_room {
            self.used.fetch_sub(bytes, Ordering::Relaxed); // a disk that is full is as a cache that is full
        }
        self.too_large.fetch_min(bytes, Ordering::Relaxed);
        false
    }

    fn put(&self, key: &Key, image: &Image) -> std::io::Result<()> {
        let mut header = MAGIC.to_vec();
        for side in [image.height(), image.width()] {
            header.extend(u32::try_from(side).unwrap_or(u32::MAX).to_le_bytes());
        }
        let mut crc = Crc::new();
        crc.update(&header);
        crc.update(image.rgb());
        header.extend(crc.sum().to_le_bytes());
        taper_files::replace_unsynced(self.path(key), |file| {
            file.write_all(&header)?;
            file.write_all(image.rgb())
        })
    }

    /// Looks at what there is now, and throws away what nobody has used since this program began, the oldest first, until `bytes` fit; they are
    /// counted as used then.
    fn make_room(&self, bytes: u64, limit: u64) -> bool {
        let _one_at_a_time = self.making_room.lock().unwrap_or_else(PoisonError::into_inner);
        let mut files = self.recount();
        files.retain(|file| file.modified < self.opened);
        files.sort_unstable_by_key(|file| file.modified);
        for file in files {
            if take(&self.used, bytes, limit) {
                return true;
            }
            if fs::remove_file(&file.path).is_ok() {
                self.used.fetch_sub(file.bytes, Ordering::Relaxed);
            }
        }
        take(&self.used, bytes, limit)
    }

    fn recount(&self) -> Vec<Found> {
        let files = self.files().unwrap_or_default();
        self.used.store(files.iter().map(|file| file.bytes).sum(), Ordering::Relaxed);
        self.added.store(0, Ordering::Relaxed);
        files
    }

    /// The pictures' files; what programs that were killed have left is removed.
    fn files(&self) -> Result<Vec<Found>> {
        let wrap = |source| Error::Read { path: self.folder.clone(), source };
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(wrap)? {
            let entry = entry.map_err(wrap)?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let is_aside = name.starts_with('.');
            let name = name.trim_start_matches('.').trim_end_matches(".partial");
            let Some(key) = name.strip_suffix(EXTENSION) else { continue };
            let is_ours = key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
            // Another program may have removed it meanwhile.
            let Ok(metadata) = entry.metadata() else { continue };
            if !is_ours || !metadata.is_file() {
                continue;
            }
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            if is_aside && modified.elapsed().is_ok_and(|age| age > ABANDONED) {
                drop(fs::remove_file(entry.path()));
            } else if !is_aside {
                files.push(Found { path: entry.path(), bytes: metadata.len(), modified });
            }
        }
        Ok(files)
    }
}

/// A file of the folder.
#[derive(Debug)]
struct Found {
    path: PathBuf,
    bytes: u64,
    modified: SystemTime,
}

/// A picture's file whose length is what its header says.
struct Entry {
    file: File,
    height: usize,
    width: usize,
    /// Of what was read.
    sum: Crc,
    /// Of all, as the file says.
    crc: u32,
}

impl Entry {
    fn open(path: &Path) -> Option<Self> {
        let mut file = File::open(path).ok()?;
        let metadata = file.metadata().ok()?;
        let mut header = [0; HEADER];
        file.read_exact(&mut header).ok()?;
        let word = |at: usize| {
            header.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_le_bytes)
        };
        let (height, width, crc) = (word(8)? as usize, word(12)? as usize, word(16)?);
        check_dimensions(width, height).ok()?;
        let expected = (HEADER + 3 * height * width) as u64;
        let is_whole =
            header.starts_with(&MAGIC) && metadata.is_file() && metadata.len() == expected;
        let mut sum = Crc::new();
        sum.update(&header[..HEADER - 4]);
        is_whole.then_some(Self { file, height, width, sum, crc })
    }

    fn read(mut self, buffer: &mut Vec<u8>) -> Option<Image> {
        let bytes = 3 * self.height * self.width;
        let mut rgb = std::mem::take(buffer);
        rgb.resize(bytes, 0);
        for chunk in rgb.chunks_mut(CHUNK) {
            self.file.read_exact(chunk).ok()?;
            self.sum.update(chunk);
        }
        if self.sum.sum() != self.crc {
            return None;
        }
        Image::new(self.height, self.width, rgb).ok()
    }
}
