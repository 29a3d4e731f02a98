//! Tar shards of `WebDataset` to a data set.
//!
//! Above: `source`. Below: the `tar` crate, `source::{names, error}`, `folder::layout`. Not here: reading pictures (`dataset`).
//! Members whose names are equal up to the first dot are one sample: a picture and what it shows, `.cls` (a number or a name), `.json` (an object
//! with `cls`, `class` or `label`) or `.txt` (a name). A shard is read through once, for the places of its members; pictures are read from there.
//! Source: <https://github.com/webdataset/webdataset>, "The `WebDataset` Format".

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tar::Archive;

use super::{Parts, SourceError, entries, names};
use crate::dataset::{Sample, Skipped};
use crate::folder::layout::Role;

type Result<T> = std::result::Result<T, SourceError>;

/// The most shards of a pattern.
const MOST_SHARDS: usize = 100_000;

/// The longest member that says what a picture shows, bytes.
const LONGEST: u64 = 1 << 20;

/// How names of pictures end.
const PICTURES: [&str; 6] = ["jpg", "jpeg", "png", "webp", "bmp", "gif"];

/// Keys of an object that say a class, the first that is there.
const KEYS: [&str; 3] = ["cls", "class", "label"];

/// Whether a path is a shard, a pattern of shards, or a folder of them.
pub(super) fn is_one(path: &Path) -> bool {
    if path.is_dir() {
        // Beside folders of pictures, a tar file is what they were unpacked from.
        let holds_shards =
            |folder: &PathBuf| entries(folder).iter().any(|it| is_shard(names::of(it)));
        let folders = entries(path).into_iter().filter(|path| path.is_dir());
        return !of_folder(path).is_empty() && folders.into_iter().all(|it| holds_shards(&it));
    }
    let name = names::of(path);
    is_shard(name) || is_compressed(name) || (name.contains('{') && name.contains(".tar"))
}

fn is_shard(name: &str) -> bool {
    name.ends_with(".tar")
}

fn is_compressed(name: &str) -> bool {
    [".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2"].iter().any(|end| name.ends_with(end))
}

/// What a shard is for, as its name or its folder's says.
fn role(shard: &Path, folder: Option<&Path>) -> Role {
    let stem = names::of(shard).trim_end_matches(".tar");
    let words = stem.split(|c: char| !c.is_alphanumeric());
    let folder = folder.into_iter().map(names::of);
    words.chain(folder).find_map(Role::of).unwrap_or(Role::Train)
}

/// The shards of a folder, and of folders in it that are called as parts.
fn of_folder(path: &Path) -> Vec<(PathBuf, Role)> {
    let shards = |folder: &Path| {
        entries(folder).into_iter().filter(|path| is_shard(names::of(path)) && path.is_file())
    };
    let mut all: Vec<(PathBuf, Role)> =
        shards(path).map(|shard| (shard.clone(), role(&shard, None))).collect();
    for part in entries(path).into_iter().filter(|path| Role::of(names::of(path)).is_some()) {
        all.extend(shards(&part).map(|shard| (shard.clone(), role(&shard, Some(&part)))));
    }
    all
}

/// The shards that are meant, and what each is for.
fn shards(path: &Path) -> Result<Vec<(PathBuf, Role)>> {
    if path.is_dir() {
        return Ok(of_folder(path));
    }
    let name = names::of(path);
    if is_compressed(name) {
        return Err(SourceError::Compressed { name: name.to_owned() });
    }
    let paths = match name.contains('{') && !path.exists() {
        true => expanded(path, name)?,
        false => vec![path.to_path_buf()],
    };
    Ok(paths.into_iter().map(|shard| (shard.clone(), role(&shard, None))).collect())
}

/// `name-{000000..000012}.tar` as thirteen paths.
fn expanded(path: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let wrong = || SourceError::Pattern { most: MOST_SHARDS };
    let parts = name.split_once('{').and_then(|(before, rest)| {
        let (range, after) = rest.split_once('}')?;
        let (first, last) = range.split_once("..")?;
        let is_plain = !after.contains(['{', '}']);
        Some((before, first, last, after)).filter(|_| is_plain)
    });
    let (before, first, last, after) = parts.ok_or_else(wrong)?;
    let (from, to): (usize, usize) = match (first.parse(), last.parse()) {
        (Ok(from), Ok(to)) => (from, to),
        _ => return Err(wrong()),
    };
    if from > to || to - from >= MOST_SHARDS {
        return Err(wrong());
    }
    let width = first.len();
    let shard = |number| path.with_file_name(format!("{before}{number:0width$}{after}"));
    let shards: Vec<PathBuf> = (from..=to).map(shard).collect();
    match shards.iter().find(|shard| !shard.is_file()) {
        Some(missing) => Err(SourceError::Missing { name: names::of(missing).to_owned() }),
        None => Ok(shards),
    }
}

pub(super) fn read(path: &Path) -> Result<Parts> {
    let shards = shards(path)?;
    let mut found = Vec::new();
    let mut skipped = Vec::new();
    for (shard, role) in &shards {
        let name = shard.strip_prefix(path).ok().filter(|rest| rest.components().count() > 0);
        let name = name.map_or_else(
            || names::of(shard).to_owned(),
            |rest| rest.display().to_string().replace('\\', "/"),
        );
        let file: Arc<Path> = Arc::from(shard.as_path());
        for member in members(shard, &name)? {
            match member.pictured(&name) {
                Ok(pictured) => found.push((pictured, Arc::clone(&file), *role)),
                Err(passed_over) => skipped.push(passed_over),
            }
        }
    }
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    let said = names::read(&folder.join("classes.txt"))?;
    let labels = found.iter().map(|(pictured, ..)| pictured.label.as_str());
    let (classes, classed) = classes(&labels.collect::<Vec<_>>(), said)?;
    let mut parts = Parts { classes, skipped, ..Parts::default() };
    let mut tests = Vec::new();
    for ((pictured, shard, role), class) in found.into_iter().zip(classed) {
        let [offset, length] = pictured.place;
        let sample = Sample::from_member(pictured.name, class, shard, offset, length);
        match role {
            Role::Train => parts.train.push(sample),
            Role::Validate => parts.val.push(sample),
            Role::Test => tests.push(sample),
        }
    }
    if parts.val.is_empty() {
        parts.val = tests; // as in a folder: what is for tests validates where nothing else does
    } else if !tests.is_empty() {
        let reason = format!(
            "{} pictures are set aside: a model is neither trained nor chosen on them",
            tests.len()
        );
        parts.skipped.push(Skipped { name: "test".to_owned(), reason });
    }
    Ok(parts)
}

/// Names of classes, and the class of each label: numbers are indices, and anything else is a name.
fn classes(labels: &[&str], said: Option<Vec<String>>) -> Result<(Vec<String>, Vec<u32>)> {
    let numbers: Option<Vec<u32>> = labels.iter().map(|label| label.parse().ok()).collect();
    if let Some(numbers) = numbers {
        let largest = numbers.iter().copied().max().unwrap_or(0) as usize;
        return Ok((names::of_classes(said, largest)?, numbers));
    }
    let distinct =
        || labels.iter().collect::<BTreeSet<_>>().into_iter().map(|name| (*name).to_owned());
    let names = said.unwrap_or_else(|| distinct().collect());
    if names.len() > names::MOST {
        return Err(SourceError::Label { label: names.len(), classes: names::MOST });
    }
    let places: std::collections::HashMap<&str, u32> =
        names.iter().map(String::as_str).zip(0..).collect();
    let class = |label: &&str| {
        places.get(*label).copied().ok_or_else(|| SourceError::Name { label: (*label).to_owned() })
    };
    let classed = labels.iter().map(class).collect::<Result<_>>()?;
    Ok((names, classed))
}

/// What a shard has under one key.
#[derive(Debug, Default)]
struct Member {
    key: String,
    /// Offset and length.
    picture: Option<[u64; 2]>,
    /// What the picture shows, and which member says so: the first of `.cls`, `.json`, `.txt`.
    label: Option<(usize, String)>,
}

/// A picture of which it is known what it shows.
struct Pictured {
    name: String,
    place: [u64; 2],
    label: String,
}

impl Member {
    fn pictured(self, shard: &str) -> std::result::Result<Pictured, Skipped> {
        let name = format!("{shard}/{}", self.key);
        match (self.picture, self.label) {
            (Some(place), Some((_, label))) => Ok(Pictured { name, place, label }),
            (None, _) => Err(Skipped { name, reason: "it has no picture".to_owned() }),
            (Some(_), None) => {
                let reason = "no .cls, .json or .txt beside it says its class".to_owned();
                Err(Skipped { name, reason })
            }
        }
    }
}

/// What a shard holds, by key, in its order.
fn members(path: &Path, shard: &str) -> Result<Vec<Member>> {
    let failed = |source| SourceError::File { name: shard.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let mut archive = Archive::new(BufReader::new(file));
    let mut members: Vec<Member> = Vec::new();
    for entry in archive.entries_with_seek().map_err(failed)? {
        let mut entry = entry.map_err(failed)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", &path));
        let Some((stem, extension)) = file.split_once('.').filter(|(stem, _)| !stem.is_empty())
        else {
            continue; // hidden, or of no kind
        };
        let key = if folder.is_empty() { stem.to_owned() } else { format!("{folder}/{stem}") };
        let place = [entry.raw_file_position(), entry.size()];
        if place[0].checked_add(place[1]).is_none_or(|end| end > length) {
            let cut = std::io::Error::new(
                std::io::ErrorKind::UnexpectedEof,
                format!("`{path}` is cut short"),
            );
            return Err(failed(cut));
        }
        if members.last().is_none_or(|last| last.key != key) {
            members.push(Member { key, ..Member::default() });
        }
        let Some(member) = members.last_mut() else { continue };
        let extension = extension.to_lowercase();
        if PICTURES.contains(&extension.as_str()) {
            member.picture = Some(place);
        } else if let Some(rank) = ["cls", "json", "txt"].iter().position(|it| *it == extension)
            && member.label.as_ref().is_none_or(|(other, _)| rank < *other)
        {
            let mut text = Vec::new();
            entry.by_ref().take(LONGEST).read_to_end(&mut text).map_err(failed)?;
            member.label = said(&text, rank).map(|label| (rank, label)).or(member.label.take());
        }
    }
    Ok(members)
}

/// The class that a member says, if it does.
fn said(text: &[u8], rank: usize) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let label = match rank {
        1 => {
            let object: Value = serde_json::from_str(text).ok()?;
            match KEYS.iter().find_map(|key| object.get(key))? {
                Value::String(name) => name.trim().to_owned(),
                Value::Number(number) => number.to_string(),
                _ => return None,
            }
        }
        _ => text.lines().next()?.trim().to_owned(),
    };
    (!label.is_empty()).then_some(label)
}
