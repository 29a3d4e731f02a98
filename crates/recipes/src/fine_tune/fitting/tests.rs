//! A run keeps to its memory by what changes least, and every stage of it is counted.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use taper_data::{Cache, Dataset, sample_set};
use taper_distributed::Group;
use taper_model::Model;
use taper_transfer::Freeze;

use super::{Begun, PreparedRun, SMALLEST_CACHE, balanced, decided};
use crate::error::Error;
use crate::fine_tune::{ResumeOptions, fine_tune_on, resume_on};
use crate::observer::Told;
use crate::observer::{Event, MemoryPlan, Observer, Silent};
use crate::options::{
    Augment, CacheKind, ClassWeights, FineTuneOptions, Norms, Pretrained, Sampling,
};
use crate::run::Kept;

static NEVER: AtomicBool = AtomicBool::new(false);
const ENOUGH: u64 = 1 << 40;

/// 24 pictures to train with.
fn pictures() -> Dataset {
    let mut dataset = sample_set::emoji6().unwrap();
    dataset.train = dataset.train.into_iter().step_by(18).take(24).collect();
    dataset.val = dataset.val.into_iter().step_by(15).collect();
    dataset
}

fn options(out: &Path, memory: u64) -> FineTuneOptions {
    FineTuneOptions {
        memory: Some(memory),
        model: "mobilenetv2_035".to_owned(),
        pretrained: Pretrained::None,
        image_size: Some(128),
        batch_size: 16,
        epochs: 2,
        threads: 2,
        report: false,
        out: Some(out.to_path_buf()),
        ..FineTuneOptions::default()
    }
}

/// Keeps what is told of memory, and stops after a step if it is to.
#[derive(Default)]
struct Heard<'s> {
    plans: Vec<MemoryPlan>,
    stop: Option<&'s AtomicBool>,
}

impl Observer for Heard<'_> {
    fn on_event(&mut self, event: &Event<'_>) {
        match (event, self.stop) {
            (Event::Memory(plan), _) => self.plans.push(**plan),
            (Event::Step(step), Some(stop)) if step.step == 1 => {
                stop.store(true, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

/// What would be done, without a step.
fn planned(options: &FineTuneOptions) -> Result<(MemoryPlan, FineTuneOptions, Cache), Error> {
    let mut heard = Heard::default();
    let (dataset, kept) = (pictures(), Kept::default());
    let none = Cache::none();
    let run = PreparedRun::read(Some(&dataset), kept, &none, &NEVER, options, &mut Silent)?;
    let (run, fitted) = run.fitted(options, (&Group::alone(), Begun::Now), &mut heard)?;
    assert_eq!(heard.plans.len(), 1);
    Ok((heard.plans[0], fitted, run.cache))
}

fn needed(options: &FineTuneOptions) -> u64 {
    planned(options).unwrap().0.needed
}

fn least(error: &Error) -> u64 {
    let words = error.to_string();
    let least = words.split("must be ").nth(1).and_then(|rest| rest.split("MiB").next());
    least.unwrap_or_else(|| panic!("{words}")).parse::<u64>().unwrap() << 20
}

#[test]
fn a_run_within_less_memory_first_checkpoints_gradients_then_cuts_its_steps_and_says_the_least_that_would_do()
 {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let run = |name: &str, memory| {
        let mut heard = Heard::default();
        fine_tune_on(&pictures(), &options(&at(name), memory), &NEVER, &mut heard)?;
        let model = Model::load(at(name).join("model.safetensors")).unwrap();
        Ok::<_, Error>((heard.plans[0], model))
    };
    let (whole, kept) = run("whole", ENOUGH).unwrap();
    assert_eq!((whole.shards, whole.recomputed), (1, None));
    let (again, same) = run("again", whole.needed - 1).unwrap();
    assert!(again.needed < whole.needed && again.shards == 1 && again.recomputed.is_some());
    assert!(same == kept, "another model");
    let (cut, other) = run("cut", again.needed - 1).unwrap();
    assert!(cut.needed < again.needed && cut.shards > 1 && cut.batch == 16, "{cut:?}");
    let training = other.provenance().training.clone().unwrap();
    let shards = format!("shards {},", cut.shards);
    assert!(training.contains("batch size 16,") && training.contains(&shards), "{training}");

    let error = run("none", 1 << 20).unwrap_err();
    assert!(error.is_request() && !at("none").exists());
    let least = least(&error);
    let smallest = planned(&options(&at("least"), least)).unwrap().0;
    assert!(smallest.needed <= least && smallest.needed > least - (1 << 20));
    assert!(smallest.shards >= cut.shards, "{smallest:?}");
    planned(&options(&at("less"), least - (1 << 20))).unwrap_err();
}

#[test]
fn a_run_goes_on_with_its_shards_and_the_same_bits_whatever_it_may_take_then() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let model = |run: &str| Model::load(at(run).join("model.safetensors")).unwrap();
    let again = needed(&FineTuneOptions { grad_checkpointing: true, ..options(&at("a"), ENOUGH) });
    let limit = again - 1;
    let (cut, ..) = planned(&options(&at("a"), limit)).unwrap();
    assert!(cut.shards > 1);
    fine_tune_on(&pictures(), &options(&at("never"), limit), &NEVER, &mut Silent).unwrap();

    for (name, memory) in [("same", None), ("more", Some(ENOUGH)), ("less", Some(limit - 1))] {
        let stop = AtomicBool::new(false);
        let mut stopper = Heard { stop: Some(&stop), ..Heard::default() };
        let wanted = options(&at(name), limit);
        let halted = fine_tune_on(&pictures(), &wanted, &stop, &mut stopper).unwrap();
        assert!(halted.stopped);
        let mut heard = Heard::default();
        let run = ResumeOptions { memory, ..ResumeOptions::new(at(name)) };
        let done = resume_on(&pictures(), &run, &NEVER, &mut heard);
        match (name, done) {
            // As many shards need what they need.
            ("less", Err(error)) => assert!(error.is_request() && least(&error) > limit - 1),
            (_, done) => {
                assert!(!done.unwrap().stopped);
                assert_eq!(heard.plans[0].shards, cut.shards);
                assert!(model(name) == model("never"), "{name}");
            }
        }
    }
}

#[test]
fn every_stage_of_a_run_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let plain = options(dir.path(), ENOUGH);
    let whole = needed(&plain);
    let with = |change: &dyn Fn(&mut FineTuneOptions)| {
        let mut options = plain.clone();
        change(&mut options);
        needed(&options)
    };
    // Pictures that grow end at their size, and parts that are unfrozen one by one end with all of them.
    assert_eq!(with(&|it| it.image_size_from = Some(64)), whole);
    let head = with(&|it| it.freeze = "head".parse().unwrap_or(Freeze::Backbone));
    assert!(head < whole, "{head} {whole}");
    assert!(with(&|it| (it.unfreeze_every, it.epochs) = (Some(1), 20)) >= whole);
    let early = with(&|it| (it.unfreeze_every, it.epochs) = (Some(1), 2));
    assert!(early < whole, "the first layers never get their turn: {early} {whole}");

    let params = planned_params(&plain);
    assert_eq!(with(&|it| it.ema = Some(0.9)), whole + 2 * params);
    assert!(with(&|it| it.precise_bn = Some(2)) > whole);
    assert!(with(&|it| it.swa = Some(1)) > whole + 2 * params);
    let frozen = with(&|it| it.norms = Some(Norms::Freeze));
    let recalibrated = with(&|it| it.norms = Some(Norms::Recalibrate));
    assert!(frozen < recalibrated, "{frozen} {recalibrated}");
    // Decoders of more threads, and what was asked for of pictures.
    assert!(with(&|it| it.threads = 4) > whole);
    assert_eq!(with(&|it| it.cache_size = Some(5 << 20)), whole + (5 << 20));
    assert_eq!(with(&|it| it.cache = CacheKind::None), whole);
    // Features that are computed once are those of more pictures than a step has.
    let features =
        FineTuneOptions { freeze: Freeze::Backbone, augment: Augment::None, ..plain.clone() };
    assert!(needed(&features) < whole);
    let views = |feature_views| {
        let augment = Augment::Yes;
        needed(&FineTuneOptions { augment, feature_views, epochs: 5_000, ..features.clone() })
    };
    assert!(views(5_000) > views(1));
    assert_eq!(views(5_000), views(usize::MAX), "no more than there are epochs");
}

/// Bytes of all weights.
fn planned_params(options: &FineTuneOptions) -> u64 {
    let graph = taper_zoo::create(&options.model, pictures().classes.len()).unwrap();
    graph.params().iter().map(|param| 4 * param.len() as u64).sum()
}

#[test]
fn a_teacher_is_counted_as_it_sees_the_students_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let plain = options(dir.path(), ENOUGH);
    let graph = taper_zoo::create("mobilenetv2_035", 6).unwrap();
    let weighed = |weight: f64, size: usize| {
        let preprocess = taper_model::Preprocess {
            input_size: [size; 2],
            ..taper_model::Preprocess::imagenet()
        };
        let teacher =
            Model::random(graph.clone(), 1, preprocess, pictures().classes.clone()).unwrap();
        let kept = Kept { teacher: Some(teacher), ..Kept::default() };
        let (name, none) = (Some("kept".to_owned()), Cache::none());
        let taught =
            FineTuneOptions { teacher: name, distill_weight: Some(weight), ..plain.clone() };
        let dataset = pictures();
        let run = PreparedRun::read(Some(&dataset), kept, &none, &NEVER, &taught, &mut Silent);
        let mut heard = Heard::default();
        run.unwrap().fitted(&taught, (&Group::alone(), Begun::Now), &mut heard).unwrap();
        heard.plans[0].needed
    };
    let of = |size: usize| weighed(0.9, size);
    let whole = needed(&plain);
    assert!(of(32) > whole + 3 * planned_params(&plain));
    assert_eq!(of(32), of(128), "a step shows it pictures of 128 pixels");
    assert!(of(192) > of(128), "it sees them in its own size");
    assert_eq!(weighed(0.0, 128), of(128));
    assert!(weighed(0.0, 192) < of(192), "none are made for one that sees no batch");
}

#[test]
fn a_range_test_takes_whole_steps_and_is_refused_where_these_do_not_fit() {
    let dir = tempfile::tempdir().unwrap();
    let auto = FineTuneOptions { lr_auto: true, ..options(dir.path(), ENOUGH) };
    let whole = needed(&auto);
    let checkpointed = FineTuneOptions { grad_checkpointing: true, ..auto.clone() };
    let again = needed(&checkpointed);
    assert!(again < whole);
    let (plan, ..) = planned(&FineTuneOptions { memory: Some(whole - 1), ..auto.clone() }).unwrap();
    assert!(plan.recomputed.is_some() && plan.shards == 1);
    let cut = FineTuneOptions { memory: Some(again - 1), ..auto.clone() };
    let error = planned(&cut).unwrap_err();
    assert!(error.is_request() && error.to_string().contains("or a rate that is given"), "{error}");
    assert!(least(&error) >= again && least(&error) < again + (1 << 20));
    assert!(planned(&FineTuneOptions { lr: Some(0.1), ..cut }).unwrap().0.shards >= 1);
}

#[test]
fn the_cache_has_what_is_left_and_no_more_than_usual() {
    let dir = tempfile::tempdir().unwrap();
    let plain = options(dir.path(), ENOUGH);
    let limit = |memory: u64| {
        let (_, fitted, cache) =
            planned(&FineTuneOptions { memory: Some(memory), ..plain.clone() }).unwrap();
        assert_eq!(fitted.cache_size, None, "a run that goes on looks again at what is left");
        cache.usage().limit
    };
    let whole = needed(&plain);
    assert_eq!(limit(whole + (3 << 20)), 3 << 20);
    assert_eq!(limit(whole + SMALLEST_CACHE - 1), 0);
    let usual = limit(ENOUGH);
    assert!(usual > 0 && usual < ENOUGH / 2, "{usual}");
}

#[test]
fn ranks_of_machines_with_other_numbers_of_threads_come_to_the_same_choice() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = pictures();
    let choice = |group: &Group, rank: usize, memory| {
        let threads = 1 + 3 * rank;
        let wanted = FineTuneOptions { threads, shards: 2, ..options(dir.path(), memory) };
        let (kept, none) = (Kept::default(), Cache::none());
        let run = PreparedRun::read(Some(&dataset), kept, &none, &NEVER, &wanted, &mut Silent);
        let mut heard = Heard::default();
        run.unwrap().fitted(&wanted, (group, Begun::Now), &mut heard).map(|_| heard.plans[0])
    };
    let on_two = |memory| -> Vec<Result<MemoryPlan, Error>> {
        let groups = Group::threads(2).unwrap();
        std::thread::scope(|scope| {
            let ranks = groups.into_iter().enumerate();
            let ranks = ranks.map(|(rank, group)| {
                let choice = &choice;
                scope.spawn(move || choice(&group, rank, memory))
            });
            let ranks: Vec<_> = ranks.collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        })
    };
    let whole: Vec<MemoryPlan> = on_two(ENOUGH).into_iter().map(Result::unwrap).collect();
    assert!(whole[0].needed < whole[1].needed && whole.iter().all(|it| it.recomputed.is_none()));
    // Enough for the first alone.
    let chosen: Vec<MemoryPlan> =
        on_two(whole[1].needed - 1).into_iter().map(Result::unwrap).collect();
    assert!(chosen.iter().all(|it| it.recomputed.is_some() && it.shards == 2), "{chosen:?}");
    let errors: Vec<u64> =
        on_two(1 << 20).iter().map(|it| least(it.as_ref().unwrap_err())).collect();
    assert!(errors[0] == errors[1] && errors[0] < chosen[1].needed, "{errors:?}");
}

#[test]
fn classes_of_very_different_sizes_are_shown_alike_unless_somebody_says_otherwise() {
    let mut all = sample_set::emoji6().unwrap();
    all.classes.truncate(2);
    let of = |class: u32| all.train.iter().filter(move |it| it.class() == Some(class)).cloned();
    let unequal = |few: usize| {
        let train = of(0).take(few * FineTuneOptions::UNEQUAL).chain(of(1).take(few)).collect();
        let val = of(0).take(1).chain(of(1).take(1)).collect();
        Dataset::new(all.classes.clone(), train, val).unwrap()
    };
    let mut less = unequal(4);
    less.train.remove(0);
    let usual = FineTuneOptions::default();
    let quick = FineTuneOptions {
        freeze: Freeze::Backbone,
        augment: Augment::None,
        ..FineTuneOptions::default()
    };
    let chosen = |options: &FineTuneOptions, dataset: &Dataset| {
        let mut warned = Told::default();
        let got = balanced(options, dataset, &mut warned);
        (got.sampling, got.class_weights, warned.warnings.len())
    };
    let (auto, shuffle) = (Sampling::Auto, Sampling::Shuffle);
    let (none, weighted) = (ClassWeights::None, ClassWeights::Balanced);
    assert_eq!(chosen(&usual, &unequal(4)), (Sampling::Balanced, none, 1));
    assert_eq!(chosen(&quick, &unequal(4)), (auto, weighted, 1));
    assert_eq!(chosen(&usual, &less), (auto, none, 0));
    assert_eq!(chosen(&usual, &all), (auto, none, 0), "the built-in pictures");
    let said = FineTuneOptions { sampling: shuffle, ..usual.clone() };
    assert_eq!(chosen(&said, &unequal(4)), (shuffle, none, 0));
    let weights = FineTuneOptions { class_weights: weighted, ..usual.clone() };
    assert_eq!(chosen(&weights, &unequal(4)), (auto, weighted, 0));
    let repeated = FineTuneOptions { repeats: 2, ..usual.clone() };
    assert_eq!(chosen(&repeated, &unequal(4)), (auto, none, 0));

    // Parts of one set are all treated as the whole is.
    let of_parts = |dataset: &Dataset| decided(&usual, dataset, &mut Silent).sampling;
    assert_eq!((of_parts(&all), of_parts(&unequal(4))), (shuffle, shuffle));
    let mut whole = unequal(4);
    whole.val.truncate(1);
    assert_eq!(of_parts(&whole), Sampling::Balanced, "21 to 4");

    // A run writes down what was decided, and its model says it.
    let dir = tempfile::tempdir().unwrap();
    let asked = FineTuneOptions { image_size: Some(32), memory: None, ..options(dir.path(), 0) };
    fine_tune_on(&unequal(4), &asked, &NEVER, &mut Silent).unwrap();
    let config = std::fs::read_to_string(dir.path().join("config.json")).unwrap();
    assert!(config.contains(r#""sampling": "balanced""#), "{config}");
    let model = Model::load(dir.path().join("model.safetensors")).unwrap();
    let training = model.provenance().training.clone().unwrap();
    assert!(training.contains("sampling balanced"), "{training}");
}
