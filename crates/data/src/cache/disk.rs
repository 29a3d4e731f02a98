//! Pixels in files of one folder, which several programs may use at a time.
//!
//! Above: `cache`. Below: `taper_files`, `sha2`, `flate2`'s CRC-32. Not here: which pictures (`dataset`).
//! A file is called for the SHA-256 of the encoded picture, and holds a header of 20 bytes (`taperRGB`, height, width and the CRC-32 of all
//! else, little-endian) and the pixels. Nothing of it is trusted: neither a length nor a pixel.

use std::fs::{self, File};
use std::io::Read;
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

/// How long after its last use a file is still somebody else's: longer than most epochs take to come back to a picture.
const IN_USE: Duration = Duration::from_secs(60 * 60);

/// How long it is taken for full when something found no room.
const PAUSE: Duration = Duration::from_secs(5 * 60);

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
    opened: SystemTime,
    room: Mutex<Room>,
}

/// Bytes that are used.
#[derive(Debug)]
struct Room {
    /// In files, when the folder was looked at, and in those that were finished since.
    on_disk: u64,
    /// Files that are being written, which are not looked at: they count from their promise to their end.
    in_flight: Vec<(Key, u64)>,
    /// That were finished since the folder was looked at: others add to it, too.
    added: u64,
    /// So many found no room, and when.
    full: Option<(u64, SystemTime)>,
}

impl Room {
    fn used(&self) -> u64 {
        self.in_flight.iter().fold(self.on_disk, |used, (_, bytes)| used.saturating_add(*bytes))
    }

    fn fits(&self, bytes: u64, limit: u64) -> bool {
        self.used().saturating_add(bytes) <= limit
    }

    /// Whether it is not worth a look whether there is room for so many bytes.
    fn is_full_for(&self, bytes: u64, now: SystemTime) -> bool {
        let is_recent = |at| now.duration_since(at).is_ok_and(|age| age < PAUSE);
        self.full.is_some_and(|(most, at)| bytes >= most && is_recent(at))
    }
}

/// Since when files that are somebody's were used: within the hour, or since the folder was opened, for an epoch may take longer and what this program
/// keeps must not go for what it could not keep.
fn in_use_since(opened: SystemTime, now: SystemTime) -> SystemTime {
    now.checked_sub(IN_USE).unwrap_or(SystemTime::UNIX_EPOCH).min(opened)
}

impl Disk {
    /// Makes the folder, and says how much may be put into it.
    pub(super) fn open(folder: &Path, limit: Option<u64>) -> Result<(Self, u64)> {
        mark(folder)?;
        let room = Room { on_disk: 0, in_flight: Vec::new(), added: 0, full: None };
        let disk = Self {
            folder: folder.to_path_buf(),
            opened: SystemTime::now(),
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
            room.full = None;
        }
        None
    }

    /// Keeps a picture, if there is room for it.
    pub(super) fn write(&self, key: &Key, image: &Image, limit: u64) -> bool {
        let bytes = (HEADER + image.rgb().len()) as u64;
        if !self.reserve(key, bytes, limit) {
            return false;
        }
        let written = self.put(key, image);
        let mut room = self.room();
        room.in_flight.retain(|(other, _)| other != key);
        match written {
            Ok(()) => {
                room.on_disk = room.on_disk.saturating_add(bytes);
                room.added = room.added.saturating_add(bytes);
                true
            }
            Err(_full_or_forbidden) => {
                room.full = Some((0, SystemTime::now()));
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

    /// Counts a file's bytes as used, if there is room for them and no other thread writes it: where there is none, what nobody uses goes, the oldest
    /// first.
    fn reserve(&self, key: &Key, bytes: u64, limit: u64) -> bool {
        let (mut room, now) = (self.room(), SystemTime::now());
        let is_written = room.in_flight.iter().any(|(other, _)| other == key);
        if is_written || room.is_full_for(bytes, now) {
            return false;
        }
        if room.added > limit / 16 || !room.fits(bytes, limit) {
            let mut files = self.look(&mut room);
            let in_use_since = in_use_since(self.opened, now);
            files.retain(|file| file.modified < in_use_since);
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
            room.full = Some((bytes, now));
            return false;
        }
        room.in_flight.push((key.clone(), bytes));
        true
    }

    /// Counts the files again, without those that are being written: one may have its name already, and is counted when it is finished.
    fn look(&self, room: &mut Room) -> Vec<Found> {
        let mut files = self.files().unwrap_or_default();
        let in_flight: Vec<PathBuf> =
            room.in_flight.iter().map(|(key, _)| self.path(key)).collect();
        files.retain(|file| !in_flight.contains(&file.path));
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

/// Makes the folder, and marks one that is new as a cache; one in which other things lie is left as it is, if it can be written to.
fn mark(folder: &Path) -> Result<()> {
    let wrap = |source| Error::Write { path: folder.to_path_buf(), source };
    fs::create_dir_all(folder).map_err(wrap)?;
    if fs::read_dir(folder).map_err(wrap)?.next().is_some() {
        let probe = folder.join(format!(".taper-{}.probe", std::process::id()));
        taper_files::replace_unsynced(&probe, |file| file.write_all(b"?")).map_err(wrap)?;
        drop(fs::remove_file(&probe)); // another thread may have done it
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
        // A pipe would wait for somebody to write into it.
        match fs::symlink_metadata(path) {
            Ok(metadata) if !metadata.is_file() => return Opened::Damaged,
            Ok(_) => (),
            Err(_) => return Opened::Closed,
        }
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
        let Ok((metadata, file)) = opened else { return Opened::Closed };
        let modified = metadata.modified().ok();
        match Self::check(file, modified, metadata.len()) {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Between its new name and the count of it, a file was counted twice, and a cache could be full with one picture less.
    #[test]
    fn a_file_that_has_just_got_its_name_is_counted_once() {
        let dir = tempfile::tempdir().unwrap();
        let image = Image::new(2, 2, vec![7; 12]).unwrap();
        let bytes = (HEADER + 12) as u64;
        let limit = 2 * bytes;
        let (disk, _) = Disk::open(dir.path(), Some(limit)).unwrap();
        let [first, second, third] = [b"1", b"2", b"3"].map(|picture| Key::of(picture));
        assert!(disk.reserve(&first, bytes, limit));
        disk.put(&first, &image).unwrap();
        assert!(!disk.reserve(&first, bytes, limit), "another thread writes it");
        let mut room = disk.room();
        assert_eq!((disk.look(&mut room).len(), room.used()), (0, bytes));
        drop(room);
        assert!(disk.write(&second, &image, limit));
        assert!(!disk.write(&third, &image, limit));
        assert_eq!(disk.used(), limit);
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn what_was_used_in_the_hour_or_since_the_folder_was_opened_is_in_use() {
        let opened = at(100_000);
        assert_eq!(in_use_since(opened, opened), at(100_000 - 3600));
        assert_eq!(in_use_since(opened, at(100_600)), at(100_600 - 3600));
        assert_eq!(in_use_since(opened, at(200_000)), opened);
    }

    #[test]
    fn what_was_full_is_looked_at_again_after_a_while_and_by_smaller_ones() {
        let room = Room { on_disk: 0, in_flight: Vec::new(), added: 0, full: Some((10, at(1000))) };
        let is_full = |bytes, seconds| room.is_full_for(bytes, at(seconds));
        assert_eq!([is_full(10, 1000), is_full(11, 1299), is_full(9, 1000)], [true, true, false]);
        assert_eq!([is_full(10, 1300), is_full(10, 999)], [false, false]);
    }
}
