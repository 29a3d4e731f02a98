//! The one stream that torch wrote before 1.6, and torchvision's oldest files still are.
//!
//! Above: `pth`. Below: `pickle`. Not here: the tar archives of torch 0.1, which are refused as unknown.
//! Pickles of magic number, protocol, machine, state dict, storage keys; then for each key an `i64` count and the elements.

use std::collections::BTreeMap;

use super::{Storages, wrong};
use crate::tensors::pickle::{self, Object, Pickle, Storage};
use crate::{Error, Result};

/// torch's magic number, `0x1950a86a20f9469cfc6c`, as protocols 2 to 5 write it, and as 0 and 1 do.
const MAGIC: [u8; 13] =
    [0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];
const MAGIC_IN_TEXT: &[u8] = b"L119547037146038801333356L\n.";

/// Where the pickle of the magic number ends, if the bytes begin with it.
pub(super) fn recognize(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    if let [0x80, 2..=5, after @ ..] = rest {
        rest = after;
    }
    if let [0x95, after @ ..] = rest {
        rest = after.get(8..)?;
    }
    let rest = rest.strip_prefix(&MAGIC).or_else(|| rest.strip_prefix(MAGIC_IN_TEXT))?;
    Some(bytes.len() - rest.len())
}

/// Where the storages are.
pub(super) struct Stream<'a> {
    bytes: &'a [u8],
    keys: Vec<String>,
    start: usize,
    /// Elements and first byte of each.
    places: BTreeMap<String, (u64, usize)>,
    /// Bytes of an element of each.
    sizes: BTreeMap<String, usize>,
}

/// The state dict, and where storages are; the pickle of the magic number ends at `start`.
pub(super) fn open(bytes: &[u8], start: usize) -> Result<(Pickle<'_>, Stream<'_>)> {
    let mut at = start;
    at += pickle::read(&bytes[at..])?.len; // protocol version
    at += pickle::read(&bytes[at..])?.len; // sizes of C types on the writer's machine
    let state = pickle::read(&bytes[at..])?;
    at += state.len;
    let listed = pickle::read(&bytes[at..])?;
    at += listed.len;
    let mut sizes = BTreeMap::new();
    for object in &state.objects {
        if let Object::Storage(storage) = object {
            sizes.insert(storage.key.to_string(), storage.stored.size());
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

/// The keys; one that is longer than any of torch's is none.
fn keys(listed: &Pickle<'_>) -> Option<Vec<String>> {
    let Object::List(items) = &listed.objects[listed.root] else { return None };
    let text = |&item: &usize| listed.text(item).filter(|key| key.len() <= 100);
    items.iter().map(|item| text(item).map(str::to_owned)).collect()
}

impl<'a> Stream<'a> {
    /// Walks the storages, each of which says how many elements it has.
    fn locate(&mut self) -> Result<()> {
        let mut at = self.start;
        for key in &self.keys {
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
            self.places.insert(key.clone(), (count, at + 8));
            at = end;
        }
        Ok(())
    }
}

impl<'a> Storages<'a> for Stream<'a> {
    fn bytes(&mut self, name: &str, storage: &Storage<'_>) -> Result<&'a [u8]> {
        let len = storage.len.checked_mul(storage.stored.size());
        let place =
            self.places.get(&*storage.key).filter(|(count, _)| *count == storage.len as u64);
        let bytes =
            place.zip(len).and_then(|((_, start), len)| self.bytes.get(*start..)?.get(..len));
        let missing =
            || wrong(name, format!("its storage of {} elements is not in the file", storage.len));
        bytes.ok_or_else(missing)
    }
}
