//! Pixels in files of one folder, which several programs may use at a time.
//!
//! Above: `cache`. Below: `taper_files`, `sha2`, `flate2`'s CRC-32. Not here: which pictures (`dataset`).
//! A file is called for the SHA-256 of the encoded picture, and holds a header of 20 bytes (`taperRGB`, height, width and the CRC-32 of all
//! else, little-endian) and the pixels. Nothing of it is trusted: neither a length nor a pixel.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use flate2::Crc;
use sha2::{Digest, Sha256};

use super::room;
use crate::error::{Error, Result};
use crate::image::{DECODER, Image, check_dimensions};

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

/// How long after its last use a file is still somebody's: longer than most epochs take to come back to a picture.
const IN_USE: Duration = Duration::from_secs(60 * 60);

/// How <https://bford.info/cachedir/> marks a folder that need not be saved.
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n# Decoded pictures, which taper makes again where they are missing.\n";

/// What names a picture's file: its contents, and who decodes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key(String);

impl Key {
    pub(super) fn of(encoded: &[u8]) -> Self {
        let mut hash = Sha256::new();
        // Others may decode otherwise.
        hash.update(format!("taper-data {} {DECODER}\0", env!("CARGO_PKG_VERSION")));
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
    /// Files that were not used since are nobody's.
    in_use_since: SystemTime,
    room: Mutex<Room>,
}

/// Bytes that are used.
#[derive(Debug)]
struct Room {
    /// In files, when the folder was looked at, and in those that were finished since.
    on_disk: u64,
    /// In files that are being written.
    in_flight: u64,
    /// That were finished since the folder was looked at: others add to it, too.
    added: u64,
    /// So many found no room.
    too_large: u64,
}

impl Room {
    fn used(&self) -> u64 {
        self.on_disk.saturating_add(self.in_flight)
    }

    fn fits(&self, bytes: u64, limit: u64) -> bool {
        self.used().saturating_add(bytes) <= limit
    }
}

impl Disk {
    /// Makes the folder, and says how much may be put into it.
    pub(super) fn open(folder: &Path, limit: Option<u64>) -> Result<(Self, u64)> {
        mark(folder)?;
        let now = SystemTime::now();
        let room = Room { on_disk: 0, in_flight: 0, added: 0, too_large: u64::MAX };
        let disk = Self {
            folder: folder.to_path_buf(),
            in_use_since: now.checked_sub(IN_USE).unwrap_or(SystemTime::UNIX_EPOCH),
            room: Mutex::new(room),
        };
        let used: u64 = disk.files()?.iter().map(|file| file.bytes).sum();
        disk.room().on_disk = used;
        let limit = match (limit, room::free_disk(folder)) {
            (Some(asked), Some(free)) if asked > used.saturating_add(free) => {
                let (folder, fits) = (folder.to_path_buf(), used.saturating_add(free));
                return Err(Error::CacheTooLarge { folder, asked, fits });
            }
            (Some(asked), _) => asked,
            (None, Some(free)) => used.saturating_add(free) / 2,
            (None, None) => u64::MAX, // until a write fails
        };
        Ok((disk, limit))
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of all files.
    pub(super) fn used(&self) -> u64 {
        self.room().used()
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(key.file())
    }

    /// Whether a picture's file is there and as long as it says.
    pub(super) fn holds(&self, key: &Key) -> bool {
        matches!(Entry::open(&self.path(key)), Opened::Whole(_))
    }

    /// The same, to be used: it is not thrown away from now on.
    pub(super) fn find(&self, key: &Key) -> bool {
        match Entry::open(&self.path(key)) {
            Opened::Whole(entry) => {
                entry.touch();
                true
            }
            Opened::Damaged | Opened::Closed => false,
        }
    }

    /// The picture, read into `buffer`, which is taken; one that is damaged goes.
    pub(super) fn read(&self, key: &Key, buffer: &mut Vec<u8>) -> Option<Image> {
        let path = self.path(key);
        let is_damaged = match Entry::open(&path) {
            Opened::Closed => false,
            Opened::Damaged => true,
            Opened::Whole(entry) => {
                entry.touch();
                match entry.read(buffer) {
                    Some(image) => return Some(image),
                    None => true,
                }
            }
        };
        if is_damaged && fs::remove_file(&path).is_ok() {
            let mut room = self.room();
            self.look(&mut room);
            room.too_large = u64::MAX;
        }
        None
    }

    /// Keeps a picture, if there is room for it.
    pub(super) fn write(&self, key: &Key, image: &Image, limit: u64) -> bool {
        let bytes = (HEADER + image.rgb().len()) as u64;
        if !self.reserve(bytes, limit) {
            return false;
        }
        let written = self.put(key, image);
        let mut room = self.room();
        room.in_flight = room.in_flight.saturating_sub(bytes);
        match written {
            Ok(()) => {
                room.on_disk = room.on_disk.saturating_add(bytes);
                room.added = room.added.saturating_add(bytes);
                true
            }
            Err(error) => {
                // A disk that is full is as a cache that is full.
                if error.kind() == ErrorKind::StorageFull {
                    room.too_large = room.too_large.min(bytes);
                }
                false
            }
        }
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

    /// Counts bytes as used, if there is room for them: where there is none, what nobody uses goes, the oldest first.
    fn reserve(&self, bytes: u64, limit: u64) -> bool {
        let mut room = self.room();
        if bytes >= room.too_large {
            return false;
        }
        if room.added > limit / 16 || !room.fits(bytes, limit) {
            let mut files = self.look(&mut room);
            files.retain(|file| file.modified < self.in_use_since);
            files.sort_unstable_by_key(|file| file.modified);
            for file in files {
                if room.fits(bytes, limit) {
                    break;
                }
                if fs::remove_file(&file.path).is_ok() {
                    room.on_disk = room.on_disk.saturating_sub(file.bytes);
                }
            }
        }
        if !room.fits(bytes, limit) {
            room.too_large = bytes;
            return false;
        }
        room.in_flight += bytes;
        true
    }

    /// Counts the files again.
    fn look(&self, room: &mut Room) -> Vec<Found> {
        let files = self.files().unwrap_or_default();
        room.on_disk = files.iter().map(|file| file.bytes).sum();
        room.added = 0;
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

/// Makes the folder, and marks one that is new as a cache; one in which other things lie is left as it is.
fn mark(folder: &Path) -> Result<()> {
    let wrap = |source| Error::Write { path: folder.to_path_buf(), source };
    fs::create_dir_all(folder).map_err(wrap)?;
    if fs::read_dir(folder).map_err(wrap)?.next().is_some() {
        return Ok(());
    }
    let tag = folder.join("CACHEDIR.TAG");
    taper_files::replace_unsynced(&tag, |file| file.write_all(TAG.as_bytes()))
        .map_err(|source| Error::Write { path: tag, source })
}

/// A picture's file whose length is what its header says.
struct Entry {
    file: File,
    modified: Option<SystemTime>,
    height: usize,
    width: usize,
    /// Of what was read.
    sum: Crc,
    /// Of all, as the file says.
    crc: u32,
}

/// What becomes of opening one.
enum Opened {
    Whole(Entry),
    /// It is there, and not what it should be.
    Damaged,
    /// It is not there, or the system does not give it now.
    Closed,
}

impl Entry {
    fn open(path: &Path) -> Opened {
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
        let Ok((metadata, file)) = opened else { return Opened::Closed };
        let modified = metadata.modified().ok();
        match metadata.is_file().then(|| Self::check(file, modified, metadata.len())).flatten() {
            Some(entry) => Opened::Whole(entry),
            None => Opened::Damaged,
        }
    }

    fn check(mut file: File, modified: Option<SystemTime>, length: u64) -> Option<Self> {
        let mut header = [0; HEADER];
        file.read_exact(&mut header).ok()?;
        let word = |at: usize| {
            header.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_le_bytes)
        };
        let (height, width, crc) = (word(8)? as usize, word(12)? as usize, word(16)?);
        check_dimensions(width, height).ok()?;
        let is_whole = header.starts_with(&MAGIC) && length == (HEADER + 3 * height * width) as u64;
        let mut sum = Crc::new();
        sum.update(&header[..HEADER - 4]);
        is_whole.then_some(Self { file, modified, height, width, sum, crc })
    }

    /// Says that it is in use, unless it was said a moment ago. Where that is not allowed, it may be thrown away, and made again.
    fn touch(&self) {
        let is_recent = |modified: SystemTime| modified.elapsed().is_ok_and(|age| age < IN_USE / 4);
        if !self.modified.is_some_and(is_recent) {
            drop(self.file.set_modified(SystemTime::now()));
        }
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
