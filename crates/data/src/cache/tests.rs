//! What is kept is what was decoded, on any number of threads and by any number of programs; what is damaged is not believed.

use std::fs;
use std::path::{Path, PathBuf};

use super::Cache;
use crate::dataset::{Check, Dataset};
use crate::error::Error;
use crate::folder::{ImageFolder, Options};
use crate::transform::{Interpolation, TrainTransform};
use crate::{Batch, Loader, LoaderOptions, Order, sample_set};

/// Pixels of one picture of the sample set, and of its file.
const PIXELS: u64 = 64 * 64 * 3;
const FILE: u64 = PIXELS + 20;

/// 105 pictures of 64x64, as files.
fn pictures() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    sample_set::export(dir.path()).unwrap();
    dir
}

fn opened(dir: &Path, cache: &Cache, check: Check) -> Dataset {
    let options = Options { check, cache: cache.clone(), threads: 2, ..Options::default() };
    ImageFolder::open_to_evaluate(dir, &options).unwrap()
}

fn batches(dataset: &Dataset, threads: usize, epoch: usize) -> Vec<Batch> {
    let transform = TrainTransform::imagenet([24, 20], Interpolation::Bilinear).unwrap();
    let options =
        LoaderOptions { order: Order::Shuffled, seed: 3, threads, ..LoaderOptions::default() };
    let loader = Loader::new(&dataset.val, transform.into(), &options).unwrap();
    loader.epoch(epoch, 0).collect::<crate::Result<_>>().unwrap()
}

/// The folder's pictures, without its tag.
fn files(folder: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        all.filter(|path| path.extension().is_some_and(|it| it == "rgb")).collect();
    files.sort();
    files
}

#[test]
fn no_cache_changes_a_bit_on_any_number_of_threads() {
    let (dir, kept) = (pictures(), tempfile::tempdir().unwrap());
    let plain = opened(dir.path(), &Cache::none(), Check::Headers);
    let expected: Vec<Vec<Batch>> = (0..2).map(|epoch| batches(&plain, 1, epoch)).collect();
    let caches = [
        Cache::in_memory(u64::MAX),
        Cache::in_memory(40 * PIXELS + 7),
        Cache::on_disk(&kept.path().join("all"), None).unwrap(),
        Cache::on_disk(&kept.path().join("some"), Some(40 * FILE + 7)).unwrap(),
    ];
    for (cache, pictures) in caches.into_iter().zip([105, 40, 105, 40]) {
        let dataset = opened(dir.path(), &cache, Check::Headers);
        for (epoch, expected) in expected.iter().enumerate() {
            assert!(&batches(&dataset, 3, epoch) == expected);
        }
        let usage = cache.usage();
        assert_eq!((usage.pictures, usage.hits), (pictures, pictures), "{usage:?}");
        assert_eq!(usage.decoded, 2 * 105 - pictures);
        assert!(usage.bytes <= usage.limit, "{usage:?}");
    }
}

#[test]
fn what_is_checked_when_a_folder_is_opened_is_decoded_once() {
    let (dir, kept) = (pictures(), tempfile::tempdir().unwrap());
    for cache in [Cache::in_memory(u64::MAX), Cache::on_disk(kept.path(), None).unwrap()] {
        let dataset = opened(dir.path(), &cache, Check::Pixels);
        assert!(dataset.val.iter().all(|sample| sample.is_kept()));
        batches(&dataset, 2, 0);
        let usage = cache.usage();
        assert_eq!((usage.pictures, usage.decoded, usage.hits), (105, 105, 105));
    }
    // Another program finds them.
    let again = Cache::on_disk(kept.path(), None).unwrap();
    let dataset = opened(dir.path(), &again, Check::Pixels);
    batches(&dataset, 2, 0);
    let usage = again.usage();
    assert_eq!((usage.pictures, usage.decoded, usage.hits), (105, 0, 105));
}

#[test]
fn damaged_files_are_decoded_again_and_put_right() {
    let (dir, kept) = (pictures(), tempfile::tempdir().unwrap());
    let expected = batches(&opened(dir.path(), &Cache::none(), Check::Headers), 1, 0);
    drop(opened(dir.path(), &Cache::on_disk(kept.path(), None).unwrap(), Check::Pixels));
    let files = files(kept.path());
    let whole = fs::read(&files[0]).unwrap();
    let changed = |at: usize, to: &[u8]| {
        let mut bytes = whole.clone();
        bytes[at..at + to.len()].copy_from_slice(to);
        bytes
    };
    let huge = [0xff; 8];
    let faults = [
        Vec::new(),
        whole[..19].to_vec(),
        whole[..whole.len() - 1].to_vec(),
        [&whole[..], &[0]].concat(),
        changed(0, b"x"),
        changed(8, &huge),
        changed(8, &[32, 0, 0, 0, 128, 0, 0, 0]), // as many pixels in another shape: the length fits
        changed(16, &[1, 2, 3, 4]),
        changed(500, &[!whole[500]]),
    ];
    for (file, fault) in files.iter().zip(&faults) {
        fs::write(file, fault).unwrap();
    }
    let cache = Cache::on_disk(kept.path(), None).unwrap();
    let dataset = opened(dir.path(), &cache, Check::Headers);
    assert!(batches(&dataset, 2, 0) == expected);
    assert_eq!(cache.usage().decoded, faults.len() as u64);
    assert_eq!(fs::read(&files[0]).unwrap(), whole);
    // One that is damaged while it is in use.
    fs::write(&files[1], &whole[..100]).unwrap();
    assert!(batches(&dataset, 2, 0) == expected);
    assert_eq!(cache.usage().decoded, faults.len() as u64 + 1);
}

#[test]
fn a_picture_that_changes_is_another_one() {
    let (dir, kept) = (pictures(), tempfile::tempdir().unwrap());
    drop(opened(dir.path(), &Cache::on_disk(kept.path(), None).unwrap(), Check::Pixels));
    let plain = opened(dir.path(), &Cache::none(), Check::Headers);
    let (first, second) = (plain.val[0].path().unwrap(), plain.val[1].path().unwrap());
    fs::copy(second, first).unwrap();
    let cache = Cache::on_disk(kept.path(), None).unwrap();
    let dataset = opened(dir.path(), &cache, Check::Pixels);
    assert_eq!(dataset.val[0].image().unwrap(), plain.val[1].image().unwrap());
    assert_eq!(cache.usage().decoded, 0);
}

/// Whatever a picture's contents were when it was read first, pixels are kept under those that they are of.
#[test]
fn a_picture_that_changes_while_it_is_used_is_kept_as_what_it_is() {
    let (dir, kept) = (pictures(), tempfile::tempdir().unwrap());
    let plain = opened(dir.path(), &Cache::none(), Check::Headers);
    let (first, second) = (plain.val[0].path().unwrap(), plain.val[1].path().unwrap());
    let [was, is] = [0, 1].map(|i: usize| plain.val[i].image().unwrap());
    let contents = fs::read(first).unwrap();
    let dataset = opened(dir.path(), &Cache::on_disk(kept.path(), None).unwrap(), Check::Pixels);
    files(kept.path()).iter().for_each(|file| fs::remove_file(file).unwrap());
    fs::copy(second, first).unwrap();
    assert_eq!(dataset.val[0].image().unwrap(), is);
    fs::write(first, contents).unwrap();
    let again = opened(dir.path(), &Cache::on_disk(kept.path(), None).unwrap(), Check::Pixels);
    assert_eq!(again.val[0].image().unwrap(), was);
}

/// A program that begins later, and wants all the room there is, takes nothing from one that is under way.
#[test]
fn what_another_program_has_read_within_the_hour_stays() {
    let (dir, kept) = (pictures(), tempfile::tempdir().unwrap());
    let limit = Some(20 * FILE);
    let first = Cache::on_disk(kept.path(), limit).unwrap();
    let under_way = opened(dir.path(), &first, Check::Headers);
    under_way.val[..20].iter().for_each(|sample| drop(sample.image().unwrap()));
    // It was begun two hours ago, and is in its second epoch.
    for file in files(kept.path()) {
        let before = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 60 * 60);
        fs::File::options().write(true).open(file).unwrap().set_modified(before).unwrap();
    }
    under_way.val[..20].iter().for_each(|sample| drop(sample.image().unwrap()));
    let second = opened(dir.path(), &Cache::on_disk(kept.path(), limit).unwrap(), Check::Headers);
    second.val[20..40].iter().for_each(|sample| drop(sample.image().unwrap()));
    assert!(under_way.val[..20].iter().all(super::super::Sample::is_kept));
    assert_eq!(first.usage().decoded, 20);
}

/// Backups pass by what is marked as a cache: a folder of something else is not.
#[test]
fn only_a_folder_of_its_own_is_marked() {
    let (dir, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(dir.path().join("thesis.txt"), b"all of it").unwrap();
    Cache::on_disk(dir.path(), None).unwrap();
    assert!(!dir.path().join("CACHEDIR.TAG").exists());
    let own = kept.path().join("pictures");
    Cache::on_disk(&own, None).unwrap();
    assert!(own.join("CACHEDIR.TAG").is_file());
}

#[test]
fn room_is_made_of_what_nobody_uses_and_the_bound_is_kept() {
    let (dir, kept) = (pictures(), tempfile::tempdir().unwrap());
    let limit = Some(20 * FILE);
    let first = Cache::on_disk(kept.path(), limit).unwrap();
    let dataset = opened(dir.path(), &first, Check::Headers);
    dataset.val[..20].iter().for_each(|sample| drop(sample.image().unwrap()));
    let others = kept.path().join("of somebody else.rgb");
    fs::write(&others, [0; 100]).unwrap();
    for file in files(kept.path()) {
        let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
        fs::File::options().write(true).open(file).unwrap().set_modified(long_ago).unwrap();
    }
    let second = Cache::on_disk(kept.path(), limit).unwrap();
    let dataset = opened(dir.path(), &second, Check::Headers);
    // Fifteen that are there are used, ten others are new: five of those that nobody used stay or go, and five new ones find room.
    dataset.val[..15].iter().for_each(|sample| drop(sample.image().unwrap()));
    dataset.val[30..40].iter().for_each(|sample| drop(sample.image().unwrap()));
    let kept_now: Vec<bool> = dataset.val[..40].iter().map(super::super::Sample::is_kept).collect();
    let count =
        |range: std::ops::Range<usize>| kept_now[range].iter().filter(|kept| **kept).count();
    assert_eq!([count(0..15), count(30..40)], [15, 5]);
    assert_eq!(second.usage().bytes, 20 * FILE);
    assert!(others.is_file());
    assert_eq!(files(kept.path()).len(), 21);
}

#[test]
fn a_cache_larger_than_the_disk_is_refused_with_what_would_fit() {
    let dir = tempfile::tempdir().unwrap();
    let Some(free) = super::free_disk(dir.path()) else { return };
    let error = Cache::on_disk(&dir.path().join("new/folder"), Some(u64::MAX / 2)).unwrap_err();
    let Error::CacheTooLarge { asked, fits, .. } = error else { panic!("{error:?}") };
    assert_eq!(asked, u64::MAX / 2);
    assert!(fits > 0 && fits / 2 < free, "{fits} {free}");
    fs::write(dir.path().join("file"), b"").unwrap();
    let error = Cache::on_disk(&dir.path().join("file/folder"), None).unwrap_err();
    assert!(matches!(error, Error::Write { .. }), "{error:?}");
}

/// The kernel's folder of processes, in which nothing can be made, by nobody.
#[test]
#[cfg(target_os = "linux")]
fn a_folder_that_is_there_and_cannot_be_written_is_refused() {
    let error = Cache::on_disk(Path::new("/proc/self"), None).unwrap_err();
    assert!(matches!(error, Error::Write { .. }), "{error:?}");
}

#[test]
fn a_write_that_fails_closes_the_cache_and_no_probe_is_left() {
    let (dir, kept) = (pictures(), tempfile::tempdir().unwrap());
    let folder = kept.path().join("kept");
    drop(Cache::on_disk(&folder, None).unwrap());
    let cache = Cache::on_disk(&folder, None).unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "its mark");
    let dataset = opened(dir.path(), &cache, Check::Headers);
    dataset.val[0].image().unwrap();
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, b"no folder").unwrap();
    dataset.val[1].image().unwrap();
    fs::remove_file(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    dataset.val[2..9].iter().for_each(|sample| drop(sample.image().unwrap()));
    assert_eq!(files(&folder).len(), 0);
    assert_eq!(cache.usage().decoded, 9);
}

#[test]
#[cfg(target_os = "linux")]
fn a_pipe_in_the_place_of_a_picture_is_put_right() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let (dir, kept) = (pictures(), tempfile::tempdir().unwrap());
    let cache = Cache::on_disk(kept.path(), None).unwrap();
    let dataset = opened(dir.path(), &cache, Check::Headers);
    let pixels = dataset.val[0].image().unwrap();
    let file = files(kept.path()).remove(0);
    fs::remove_file(&file).unwrap();
    mknodat(CWD, &file, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    assert!(!dataset.val[0].is_kept());
    assert_eq!(dataset.val[0].image().unwrap(), pixels);
    assert!(dataset.val[0].is_kept() && file.is_file());
}

#[test]
fn programs_that_share_a_folder_take_nothing_from_each_other() {
    let (dir, kept) = (pictures(), tempfile::tempdir().unwrap());
    let expected = batches(&opened(dir.path(), &Cache::none(), Check::Headers), 1, 0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let cache = Cache::on_disk(kept.path(), Some(60 * FILE)).unwrap();
                let dataset = opened(dir.path(), &cache, Check::Pixels);
                for _ in 0..2 {
                    assert!(batches(&dataset, 2, 0) == expected);
                }
            });
        }
    });
    let names = fs::read_dir(kept.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().ends_with(".partial")));
}
