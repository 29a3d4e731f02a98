//! The one stream that torch wrote before 1.6, and torchvision's oldest files still are.
//!
//! Above: `pth`. Below: `pickle`. Not here: the tar archives of torch 0.1, which are refused as unknown.
//! Pickles of magic number, protocol, machine, state dict, storage keys; then for each key an `i64` count and the elements.

use std::collections::BTreeMap;

use super::super::pickle::{self, Object, Pickle, Storage};
use super::{Storages, wrong};
use crate::{Error, Result};

/// Pickle of torch's magic number, `0x1950a86a20f9469cfc6c`, protocol 2.
pub(super) const MAGIC: [u8; 15] =
    [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];

/// Where the storages are.
pub(super) struct Stream<'a> {
    bytes: &'a [u8],
    keys: Vec<&'a str>,
    start: usize,
    /// Elements and first byte of each.
    places: BTreeMap<&'a str, (u64, usize)>,
    /// Bytes of an element of each.
    sizes: BTreeMap<String, usize>,
}

/// The state dict, and where storages are.
pub(super) fn open(bytes: &[u8]) -> Result<(Pickle<'_>, Stream<'_>)> {
    let mut at = MAGIC.len();
    at += pickle::read(&bytes[at..])?.len; // protocol version
    at += pickle::read(&bytes[at..])?.len; // sizes of C types on the writer's machine
    let state = pickle::read(&bytes[at..])?;
    at += state.len;
    let listed = pickle::read(&bytes[at..])?;
    at += listed.len;
    let mut sizes = BTreeMap::new();
    for object in &state.objects {
        if let Object::Storage(storage) = object {
            sizes.insert(storage.key.to_owned(), storage.element.size());
        }
    }
    let keys = keys(&listed).ok_or_else(|| Error::Pickle {
        offset: at,
        reason: "there is no list of storage keys".to_owned(),
    })?;
    let mut stream = Stream { bytes, keys, start: at, places: BTreeMap::new(), sizes };
    stream.locate()?;
    Ok((state, stream))
}

fn keys<'a>(listed: &Pickle<'a>) -> Option<Vec<&'a str>> {
    let Object::List(items) = &listed.objects[listed.root] else { return None };
    let text = |&item: &usize| match listed.objects[item] {
        Object::Str(key) => Some(key),
        _ => None,
    };
    items.iter().map(text).collect()
}

impl<'a> Stream<'a> {
    /// Walks the storages, each of which says how many elements it has.
    fn locate(&mut self) -> Result<()> {
        let mut at = self.start;
        for &key in &self.keys {
            let short = || wrong(key, "its storage is cut off: the file ends early");
            let count =
                self.bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or_else(short)?;
            let count = u64::from_le_bytes(*count);
            // A storage that no tensor is of has no known size; nothing after it could be found.
            let size =
                self.sizes.get(key).ok_or_else(|| wrong(key, "no tensor has this storage"))?;
            let len = usize::try_from(count).ok().and_then(|count| count.checked_mul(*size));
            let end = len.and_then(|len| (at + 8).checked_add(len));
            let end = end.filter(|&end| end <= self.bytes.len()).ok_or_else(short)?;
            self.places.insert(key, (count, at + 8));
            at = end;
        }
        Ok(())
    }
}

impl<'a> Storages<'a> for Stream<'a> {
    fn bytes(&mut self, name: &str, storage: Storage<'_>) -> Result<&'a [u8]> {
        let len = storage.len.checked_mul(storage.element.size());
        let place = self.places.get(storage.key).filter(|(count, _)| *count == storage.len as u64);
        let bytes =
            place.zip(len).and_then(|((_, start), len)| self.bytes.get(*start..)?.get(..len));
        let missing =
            || wrong(name, format!("its storage of {} elements is not in the file", storage.len));
        bytes.ok_or_else(missing)
    }
}
