//! `bench data`: images a second from files to batches, ours and PyTorch's.
//!
//! Above: `bench`, `serve`. Below: `race`, `photos`, `taper_data::Loader`. Not here: training on them (`end_to_end`).
//! An epoch decodes every file anew, cuts and resizes at random, flips, augments in one of two ways, normalizes and collects batches.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use taper_data::augment::{
    ColorJitter, Operation, RandAugment, RandomAffine, RandomErasing, RandomGaussianBlur,
    RandomPerspective, Sampling, Sometimes,
};
use taper_data::folder::Options;
use taper_data::{
    Cache, Check, ImageFolder, Interpolation, Loader, LoaderOptions, Order, TrainTransform,
    sample_set,
};
use taper_engine::Spread;

use super::contestant::Contestant;
use super::photos;
use super::race::{Outcome, Rules, race};
use super::serve::serve;
use super::table::{self, Table};
use super::{Bench, Measured};

pub(super) const PEERS: [&str; 1] = ["dataloader"];

/// One configuration.
#[derive(Debug, Clone, Args)]
pub(crate) struct DataSetup {
    /// `FOLDER/<class>/*`.
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    batch: usize,
    #[arg(long)]
    image_size: usize,
    #[arg(long)]
    threads: usize,
    #[arg(long)]
    augment: Augmented,
}

/// What happens to pictures besides crop and flip; the same in `xtask/bench/data.py`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Augmented {
    /// Nothing.
    Plain,
    /// Every kind of change there is.
    All,
}

impl Augmented {
    fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::All => "all",
        }
    }

    fn add_to(self, transform: TrainTransform) -> taper_data::Result<TrainTransform> {
        if self == Self::Plain {
            return Ok(transform);
        }
        let black = taper_data::augment::BLACK;
        let affine = RandomAffine::new(15.0)?
            .with_translate([0.1, 0.1])?
            .with_scale([0.8, 1.2])?
            .with_shear([-10.0, 10.0], [-10.0, 10.0])?
            .with_sampling(Sampling::Bilinear, black);
        let mut transform = transform
            .with_augmentation(Arc::new(RandAugment::new(2, 9)?))
            .with_augmentation(Arc::new(ColorJitter::new([0.4; 3], 0.1)?))
            .with_augmentation(Arc::new(affine))
            .with_augmentation(Arc::new(RandomPerspective::new(0.5, 0.5)?))
            .with_augmentation(Arc::new(RandomGaussianBlur::new([23; 2], [0.1, 2.0], 0.5)?));
        for operation in [
            Operation::Grayscale,
            Operation::Sharpness(2.0),
            Operation::Posterize(4),
            Operation::Solarize(128.0),
            Operation::Equalize,
            Operation::Autocontrast,
            Operation::Invert,
            Operation::VerticalFlip,
        ] {
            transform = transform.with_augmentation(Arc::new(Sometimes::new(0.2, operation)?));
        }
        Ok(transform.with_erasing(RandomErasing::new(0.25)?))
    }
}

/// Pictures that were read, and how fast by whom.
struct MeasuredReader {
    pictures: &'static str,
    setup: DataSetup,
    outcomes: Vec<Outcome>,
    /// Images of an epoch, by contestant.
    images: Vec<u64>,
}

/// Our contestant.
pub(super) fn contestant(setup: &DataSetup) -> Result<()> {
    let options = Options { check: Check::Headers, cache: Cache::none(), ..Options::default() };
    let pictures = ImageFolder::open_to_evaluate(&setup.folder, &options)?.val;
    let size = [setup.image_size; 2];
    let plain = TrainTransform::imagenet(size, Interpolation::Bilinear)?;
    let transform = setup.augment.add_to(plain)?;
    let options = LoaderOptions {
        batch_size: setup.batch,
        order: Order::Shuffled,
        threads: setup.threads,
        ..LoaderOptions::default()
    };
    let loader = Loader::new(&pictures, transform.into(), &options)?;
    let mut epoch = 0;
    let ready = json!({ "ready": true, "images": loader.images() });
    serve(&ready, || {
        let mut images = 0;
        for batch in loader.epoch(epoch, 0) {
            images += batch?.targets.len();
        }
        if images != loader.images() {
            bail!("{images} of {} pictures came", loader.images());
        }
        epoch += 1;
        Ok(())
    })
}

/// Measures the folder's pictures, and photographs made from them.
pub(super) fn measure(bench: &Bench) -> Result<Measured> {
    let temp = tempfile::tempdir().context("making a folder for pictures")?;
    let mut rows = Vec::new();
    let folder = part(&pictures(bench, temp.path())?);
    let named = if bench.data.is_some() { "the folder's" } else { "the sample set" };
    rows.extend(one(bench, named, &folder)?);
    if bench.data.is_some() && bench.photos > 0 {
        let large = temp.path().join("large");
        eprintln!("making {} photographs of 12 megapixels", bench.photos);
        let threads = bench.cores.count();
        photos::enlarge(&folder, &large, bench.photos, photos::CAMERA, threads)?;
        rows.extend(one(bench, "12 megapixels", &large)?);
    }
    Ok(report(&rows))
}

/// The folder that was named, or the sample set, written to `temp`.
pub(super) fn pictures(bench: &Bench, temp: &Path) -> Result<PathBuf> {
    if let Some(data) = &bench.data {
        return Ok(data.clone());
    }
    let folder = temp.join("sample-set");
    sample_set::export(&folder)?;
    Ok(folder)
}

/// Where the classes are.
fn part(data: &Path) -> PathBuf {
    let train = data.join("train");
    if train.is_dir() { train } else { data.to_path_buf() }
}

fn one(bench: &Bench, pictures: &'static str, folder: &Path) -> Result<Vec<MeasuredReader>> {
    let mut rows = Vec::new();
    for &batch in bench.batches(&[32]) {
        let all_cores = [bench.cores.count()];
        let threads = bench.threads(&all_cores);
        let both = threads.iter().flat_map(|&it| [(it, Augmented::Plain), (it, Augmented::All)]);
        for (threads, augment) in both {
            let (folder, image_size) = (folder.to_path_buf(), bench.image_size);
            let setup = DataSetup { folder, batch, image_size, threads, augment };
            let mut contestants = contestants(bench, &setup)?;
            let images = contestants.iter().map(|c| c.ready()["images"].as_u64());
            let images =
                images.collect::<Option<Vec<_>>>().context("a loader does not count its images")?;
            let rules = Rules { rounds: bench.rounds.unwrap_or(5), turn_ms: 1000.0 };
            let outcomes = race(&mut contestants, rules)?;
            let row = MeasuredReader { pictures, setup, outcomes, images };
            eprintln!("{}", row.spoken());
            rows.push(row);
        }
    }
    Ok(rows)
}

fn contestants(bench: &Bench, setup: &DataSetup) -> Result<Vec<Contestant>> {
    let DataSetup { folder, batch, image_size, threads, augment } = setup;
    let mut ours = bench.cores.pinned(*threads, std::env::current_exe()?);
    ours.args(["contestant", "data"]).arg("--folder").arg(folder);
    ours.arg(format!("--batch={batch}")).arg(format!("--image-size={image_size}"));
    ours.arg(format!("--threads={threads}")).arg(format!("--augment={}", augment.word()));
    let mut contestants = vec![Contestant::start("taper", ours, &bench.folder)?];
    for (name, python) in bench.against(&PEERS, 1).into_iter().zip(&bench.peers) {
        let mut command = python.script(&bench.cores, *threads, "data.py");
        command.arg(folder).args([batch, image_size, threads].map(ToString::to_string));
        command.arg(augment.word());
        contestants.push(Contestant::start(name, command, &bench.folder)?);
    }
    Ok(contestants)
}

impl MeasuredReader {
    /// Images a second of a contestant.
    fn speed(&self, contestant: usize) -> Spread {
        per_second(self.images[contestant], self.outcomes[contestant].ms)
    }

    fn spoken(&self) -> String {
        let DataSetup { threads, augment, .. } = self.setup;
        let mut line = format!("{}, {} threads, {}:", self.pictures, threads, augment.word());
        for (contestant, outcome) in self.outcomes.iter().enumerate() {
            let speed = table::number(self.speed(contestant).median);
            let _ = write!(line, " {} {speed}", outcome.name);
        }
        line + " images/s"
    }

    /// Our speed over a peer's: more is better. Files that only one of us reads count for whom reads them.
    fn ratio(&self, peer: usize) -> Option<Spread> {
        let per_epoch = self.images[0] as f64 / self.images[peer] as f64;
        self.outcomes[peer].ratio.map(|ms| scaled(inverse(ms), per_epoch))
    }

    fn json(&self) -> Value {
        let DataSetup { batch, image_size, threads, augment, .. } = self.setup;
        let outcomes = self.outcomes.iter().enumerate().map(|(contestant, outcome)| {
            let mut value = outcome.json();
            value["images"] = json!(self.images[contestant]);
            value["images_per_second"] = json!(self.speed(contestant).median);
            value
        });
        json!({
            "pictures": self.pictures, "batch": batch, "image_size": image_size, "threads": threads,
            "augment": augment.word(), "outcomes": outcomes.collect::<Vec<_>>(),
        })
    }
}

/// What `images` an epoch of `ms` are a second.
fn per_second(images: u64, ms: Spread) -> Spread {
    scaled(inverse(ms), images as f64 * 1e3)
}

/// The spread of the reciprocals: the tenth that was slowest is the tenth that was fastest.
fn inverse(spread: Spread) -> Spread {
    Spread { median: 1.0 / spread.median, p10: 1.0 / spread.p90, p90: 1.0 / spread.p10 }
}

fn scaled(spread: Spread, factor: f64) -> Spread {
    let Spread { median, p10, p90 } = spread;
    Spread { median: median * factor, p10: p10 * factor, p90: p90 * factor }
}

fn report(rows: &[MeasuredReader]) -> Measured {
    let head = ["pictures", "augmented", "images", "batch", "threads", "taper, images/s"];
    let mut table = Table { head: head.map(str::to_owned).to_vec(), rows: Vec::new() };
    if rows.iter().any(|row| row.outcomes.len() > 1) {
        table.head.extend(["DataLoader, images/s", "taper / it"].map(str::to_owned));
    }
    for row in rows {
        let DataSetup { batch, threads, augment, .. } = row.setup;
        let mut cells = vec![row.pictures.to_owned(), augment.word().to_owned()];
        cells.push(row.images[0].to_string());
        cells.extend([batch.to_string(), threads.to_string(), table::spread(row.speed(0))]);
        for peer in 1..row.outcomes.len() {
            cells.push(table::spread(row.speed(peer)));
            cells.extend(row.ratio(peer).map(table::spread));
        }
        table.rows.push(cells);
    }
    let mut notes = vec![
        "An epoch of decoding, random crop, resize, flip, normalization and batches; more is better. Augmented by *all*: RandAugment, color \
         jitter, an affine map, perspective, blur, grayscale, sharpness, posterize, solarize, equalize, autocontrast, invert, a vertical flip and \
         erasing, each with torchvision's transform on the other side. Median, and in parentheses \
         the 10th and 90th percentile of epochs. The DataLoader has as many workers as we have threads."
            .to_owned(),
    ];
    notes.extend(table::versions(rows.iter().flat_map(|row| &row.outcomes)));
    let json = rows.iter().map(MeasuredReader::json).collect();
    Measured {
        name: "data",
        tables: vec![(String::new(), table)],
        notes,
        pictures: Vec::new(),
        json,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(ms: f64, ratio: Option<f64>) -> Outcome {
        let even = |value| Spread { median: value, p10: value, p90: value };
        let (name, version) = (String::new(), String::new());
        Outcome { name, version, ms: even(ms), ratio: ratio.map(even), peak_bytes: 0 }
    }

    #[test]
    fn speed_is_images_over_time_and_its_tails_change_places() {
        let speed = per_second(100, Spread { median: 1000.0, p10: 500.0, p90: 2000.0 });
        assert_eq!(speed, Spread { median: 100.0, p10: 50.0, p90: 200.0 });
    }

    #[test]
    fn a_peer_that_reads_fewer_files_is_not_faster_for_it() {
        let setup = DataSetup {
            folder: PathBuf::new(),
            batch: 32,
            image_size: 224,
            threads: 2,
            augment: Augmented::Plain,
        };
        let outcomes = vec![outcome(1000.0, None), outcome(500.0, Some(2.0))];
        let row = MeasuredReader { pictures: "some", setup, outcomes, images: vec![200, 100] };
        assert!((row.ratio(1).unwrap().median - 1.0).abs() < 1e-12);
        assert!(row.spoken().ends_with(" 200  200 images/s"), "{}", row.spoken());
    }
}
