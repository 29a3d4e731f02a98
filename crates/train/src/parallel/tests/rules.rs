//! Every rule and every average on one, two and four ranks: the same files.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use taper_layers::loss::CrossEntropy;
use taper_optim::{
    Adam, AdamW, Adan, Clip, Lamb, Lion, Lookahead, Muon, NAdam, Optimizer, RmsProp, RmsPropTf,
    Rule, Sgd, split_by_decay,
};

use super::{Sets, files, network, on_ranks, sets, settings};
use crate::{Accuracy, Event, Fit, Settings, Start, WeightAverage};

type Made = (Box<dyn Rule>, Option<WeightAverage<'static>>, Clip);

/// What a run is made of, by its name.
fn made(name: &str) -> Option<Made> {
    let ema = || WeightAverage::ema(0.9).ok();
    let norm = Clip::Norm(1.0);
    let momentum = 0.9;
    Some(match name {
        "sgd" => (Box::new(Sgd { momentum, ..Sgd::default() }), ema(), norm),
        "adam" => (Box::new(Adam::default()), None, Clip::Value(0.01)),
        "adamw" => (Box::new(AdamW::default()), WeightAverage::soup(2).ok(), norm),
        "nadam" => (Box::new(NAdam::default()), None, Clip::Adaptive(0.01)),
        "rmsprop" => (Box::new(RmsProp::default()), Some(WeightAverage::swa(1)), norm),
        "rmsprop-tf" => (Box::new(RmsPropTf { momentum, ..RmsPropTf::default() }), None, norm),
        "lamb" => (Box::new(Lamb::default()), ema(), norm),
        "lion" => (Box::new(Lion::default()), None, norm),
        "adan" => (Box::new(Adan::default()), ema(), norm),
        "muon" => (Box::new(Muon::default()), None, norm),
        "lookahead" => {
            (Box::new(Lookahead { every: 2, ..Lookahead::of(AdamW::default()) }), ema(), norm)
        }
        _ => return None,
    })
}

const NAMES: [&str; 11] = [
    "sgd",
    "adam",
    "adamw",
    "nadam",
    "rmsprop",
    "rmsprop-tf",
    "lamb",
    "lion",
    "adan",
    "muon",
    "lookahead",
];

fn run(name: &str, ranks: usize, sets: &Sets, settings: &Settings) {
    let outcomes = on_ranks((4, ranks), &|_, parallel| {
        let network = network(1);
        let params = network.params().iter().filter(|param| param.is_trained());
        let params = params.map(|it| (it.name.clone(), it.var.clone(), it.role.is_decayed()));
        let (rule, average, clip) = made(name).unwrap();
        let optimizer = Optimizer::from_groups(split_by_decay(params, 1e-2), rule)?;
        Fit {
            network: &network,
            optimizer: optimizer.with_threads(1 + ranks % 2),
            loss: &CrossEntropy::new(),
            teacher: None,
            hooks: vec![],
            average,
            metrics: vec![Box::new(Accuracy::top(1))],
            train: &sets.train,
            val: &sets.val,
            settings: &Settings { clip: Some(clip), ..settings.clone() },
            save_model: &|network, path: &Path| Ok(network.to_model()?.save(path)?),
            time_up: None,
            parallel: Some(parallel),
        }
        .run(Start::Fresh, &AtomicBool::new(false), &mut |_: &Event<'_>| ())
    });
    for outcome in outcomes {
        outcome.unwrap();
    }
}

#[test]
fn every_rule_and_average_gives_the_same_files_on_one_two_and_four_ranks() {
    let (dir, sets) = (tempfile::tempdir().unwrap(), sets());
    for name in NAMES {
        let [alone, two, four] = [1, 2, 4].map(|ranks| {
            let settings = settings(&dir.path().join(format!("{name} {ranks}")));
            run(name, ranks, &sets, &settings);
            files(&settings)
        });
        assert!(two == alone && four == alone, "{name}");
    }
}
