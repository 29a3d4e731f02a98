//! The members of a tar archive in memory.
//!
//! Above: `sample_set`. Below: nothing. Not here: archives from outside; only regular files with short names are known.
//! Source: POSIX.1-1988 ustar: blocks of 512 bytes, a header then the content, two empty blocks at the end.

use crate::error::{Error, Result};

const BLOCK: usize = 512;

/// One picture of the archive.
#[derive(Debug)]
pub(super) struct Member<'a> {
    /// `<split>/<class>/<file>`.
    pub(super) path: &'a str,
    /// `train` or `val`.
    pub(super) split: &'a str,
    /// The class's name.
    pub(super) class: &'a str,
    /// The file's content.
    pub(super) bytes: &'a [u8],
}

/// All members, in the archive's order.
pub(super) fn members(archive: &[u8]) -> Result<Vec<Member<'_>>> {
    let mut members = Vec::new();
    let mut at = 0;
    loop {
        let damaged = |what| Error::Archive { offset: at, what };
        let header = archive.get(at..at + BLOCK).ok_or(damaged("its end is missing"))?;
        if header[0] == 0 {
            return Ok(members);
        }
        let path = text(&header[..100]).ok_or(damaged("the path is not text"))?;
        let size = text(&header[124..136])
            .and_then(|octal| usize::from_str_radix(octal.trim(), 8).ok())
            .ok_or(damaged("the length is no octal number"))?;
        let start = at + BLOCK;
        let bytes = start
            .checked_add(size)
            .and_then(|end| archive.get(start..end))
            .ok_or(damaged("the content is cut short"))?;
        let mut parts = path.split('/');
        let (Some(split @ ("train" | "val")), Some(class), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(damaged("the path is not SPLIT/CLASS/FILE"));
        };
        members.push(Member { path, split, class, bytes });
        at = start + size.div_ceil(BLOCK) * BLOCK;
    }
}

/// The text before the first zero byte.
fn text(field: &[u8]) -> Option<&str> {
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    std::str::from_utf8(&field[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::members;

    #[test]
    fn damage_is_reported_with_its_place() {
        let archive = super::super::EMOJI6;
        for cut in [0, 100, 511, 512, 1000, 5000] {
            let error = members(&archive[..cut]).unwrap_err();
            assert!(error.to_string().contains("damaged at byte"), "{error}");
        }
        let mut changed = archive.to_vec();
        changed[124..135].copy_from_slice(b"77777777777");
        assert!(members(&changed).unwrap_err().to_string().contains("cut short"));
        changed[124] = b'9';
        assert!(members(&changed).unwrap_err().to_string().contains("octal"));
    }
}
