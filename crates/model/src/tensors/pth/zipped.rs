//! The zip archive that torch has written since 1.6.
//!
//! Above: `pth`. Below: the zip crate. Not here: compressed entries, which torch never writes and a bomb would.

use std::collections::BTreeMap;
use std::io::{Cursor, sink};
use std::ops::Range;

use zip::{CompressionMethod, ZipArchive};

use super::super::pickle::Storage;
use super::{Storages, wrong};
use crate::{Error, Result};

/// An archive whose entries lie in one folder.
pub(super) struct Archive<'a> {
    bytes: &'a [u8],
    zip: ZipArchive<Cursor<&'a [u8]>>,
    folder: String,
    /// Entries whose checksums were found right.
    places: BTreeMap<String, Range<usize>>,
    /// Bytes that may still be checked; entries of an honest archive do not overlap.
    budget: usize,
}

impl<'a> Archive<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self> {
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|source| Error::Zip { source })?;
        let pickle = zip.file_names().filter_map(|name| {
            let name = name.ok()?;
            name.strip_suffix("/data.pkl").map(str::to_owned)
        });
        let Some(folder) = pickle.min_by_key(String::len) else {
            return Err(Error::ZipEntry { reason: "it has no data.pkl".to_owned() });
        };
        let (places, budget) = (BTreeMap::new(), bytes.len());
        let mut archive = Self { bytes, zip, folder, places, budget };
        archive.check_byte_order()?;
        Ok(archive)
    }

    pub(super) fn pickle(&mut self) -> Result<&'a [u8]> {
        self.entry("data.pkl")
    }

    /// Files before torch 2.1 do not say; all machines that wrote them were little-endian.
    fn check_byte_order(&mut self) -> Result<()> {
        let said = self.zip.index_for_name(&format!("{}/byteorder", self.folder)).is_some();
        if said && self.entry("byteorder")? != b"little" {
            return Err(Error::ZipEntry { reason: "it is not little-endian".to_owned() });
        }
        Ok(())
    }

    fn entry(&mut self, name: &str) -> Result<&'a [u8]> {
        if !self.places.contains_key(name) {
            let place = self.locate(name)?;
            self.places.insert(name.to_owned(), place);
        }
        let place = self.places.get(name).cloned();
        let bytes = place.and_then(|place| self.bytes.get(place));
        bytes.ok_or_else(|| entry_error(name, "lies outside of the file"))
    }

    /// Finds an entry and checks its checksum.
    fn locate(&mut self, name: &str) -> Result<Range<usize>> {
        let full_name = format!("{}/{name}", self.folder);
        let mut entry = self.zip.by_name(&full_name).map_err(|source| Error::Zip { source })?;
        if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
            return Err(entry_error(name, "is compressed or encrypted"));
        }
        let len = usize::try_from(entry.size()).ok();
        let left = len.and_then(|len| self.budget.checked_sub(len));
        let start = entry.data_start().and_then(|start| usize::try_from(start).ok());
        let (Some(len), Some(left), Some(start)) = (len, left, start) else {
            return Err(entry_error(name, "is larger than the file"));
        };
        self.budget = left;
        let copied = std::io::copy(&mut entry, &mut sink());
        if copied.map_err(|source| Error::Read { source })? != len as u64 {
            return Err(entry_error(name, "is cut off"));
        }
        start
            .checked_add(len)
            .map(|end| start..end)
            .ok_or_else(|| entry_error(name, "lies outside of the file"))
    }
}

fn entry_error(name: &str, reason: &str) -> Error {
    Error::ZipEntry { reason: format!("its entry `{name}` {reason}") }
}

impl<'a> Storages<'a> for Archive<'a> {
    fn bytes(&mut self, name: &str, storage: &Storage<'_>) -> Result<&'a [u8]> {
        let bytes = self.entry(&format!("data/{}", storage.key))?;
        let expected = storage.len.checked_mul(storage.stored.size());
        if expected != Some(bytes.len()) {
            let got = bytes.len();
            let reason = format!("its storage has {got} bytes, not {} elements", storage.len);
            return Err(wrong(name, reason));
        }
        Ok(bytes)
    }
}
