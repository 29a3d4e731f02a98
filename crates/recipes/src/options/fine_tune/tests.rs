//! One list of options, what depends on others, and configurations of before.

use super::*;

/// Every key of `config.json` is an option of the list, in order, and every option that makes the result is in the line.
#[test]
fn one_list_is_behind_the_configuration_and_the_line() {
    let options = FineTuneOptions { clip_norm: Some(0.5), ..FineTuneOptions::default() };
    let json = serde_json::to_value(&options).unwrap();
    let keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let list = options.list();
    assert_eq!(list.iter().map(|option| option.name).collect::<Vec<_>>(), keys);
    let line = options.recipe();
    for OptionValue { name, role, .. } in &list {
        let is_there = format!(", {line}").contains(&format!(", {} ", name.replace('_', " ")));
        assert_eq!(is_there, *role == Role::Recipe, "{name}: {line}");
    }
    assert!(line.contains("clip norm 0.5") && line.contains("head lr scale 1,"), "{line}");
}

#[test]
fn what_is_other_than_by_default_is_told_alone() {
    let names = |options: FineTuneOptions| -> Vec<&'static str> {
        options.changes().iter().map(|option| option.name).collect()
    };
    let usual = FineTuneOptions::default;
    // Places are no recipe, and one shard is what one rank has.
    assert!(names(FineTuneOptions { out: Some("run".into()), shards: 1, ..usual() }).is_empty());
    let changed = FineTuneOptions { freeze: Freeze::Backbone, lr: Some(0.1), shards: 2, ..usual() };
    assert_eq!(names(changed), ["lr", "freeze", "shards"]);
    // What follows from them is not told again.
    let adam = FineTuneOptions { optimizer: OptimizerKind::AdamW, ..usual() };
    assert_eq!(names(adam), ["optimizer"]);
}

#[test]
fn what_depends_on_other_options_is_filled_in_once() {
    let options = FineTuneOptions { freeze: Freeze::Backbone, ..FineTuneOptions::default() };
    let resolved = options.resolved();
    assert_eq!(
        (resolved.head_epochs, resolved.lr, resolved.head_lr_scale),
        (0, Some(0.01), Some(1.0))
    );
    assert_eq!(resolved.resolved(), resolved);
    assert_eq!(resolved.recipe(), options.recipe());
    let cold = FineTuneOptions { head_epochs: 0, ..FineTuneOptions::default() };
    assert_eq!(cold.resolved().resolved().head_lr_scale, Some(10.0));
}

/// A run of a version that did not know of teachers goes on.
#[test]
fn a_configuration_without_the_newer_options_is_read() {
    // There was no other.
    let (sampling, head_init) = (Sampling::Shuffle, Some(HeadInit::Random));
    let options =
        FineTuneOptions { epochs: 3, shards: 1, sampling, head_init, ..FineTuneOptions::default() };
    let mut json = serde_json::to_value(&options).unwrap();
    for newer in [
        "teacher",
        "ema",
        "ema_warmup",
        "swa",
        "soup",
        "betas",
        "eps",
        "alpha",
        "nesterov",
        "lookahead",
        "layer_decay",
        "min_lr",
        "decay_rate",
        "decay_epochs",
        "decay_milestones",
        "cycle_epochs",
        "cycle_mul",
        "cycle_decay",
        "power",
        "pct_start",
        "patience_epochs",
        "clip_value",
        "agc",
        "distill_temperature",
        "distill_weight",
        "bn_l1",
        "shards",
        "reduce",
        "reduce_dtype",
        "matmul_precision",
        "sync_bn",
        "sync_every",
        "outer_lr",
        "outer_momentum",
        "trace",
        "table",
        "image_column",
        "target_columns",
        "targets",
        "loss",
        "focal_gamma",
        "class_weights",
        "sampling",
        "head_init",
        "best_by",
        "patience",
        "max_minutes",
        "keep_best",
        "precise_bn",
        "image_size_from",
        "cache",
        "cache_size",
        "cache_dir",
    ] {
        assert!(json.as_object_mut().unwrap().remove(newer).is_some(), "{newer}");
    }
    assert_eq!(serde_json::from_value::<FineTuneOptions>(json).unwrap(), options);
}

#[test]
fn a_teacher_fills_in_how_it_teaches_and_without_one_nothing_may_say_how() {
    let taught = FineTuneOptions {
        teacher: Some("big".to_owned()),
        distill_weight: Some(0.5),
        ..FineTuneOptions::default()
    };
    assert_eq!(taught.distillation(), Some((4.0, 0.5)));
    assert!(taught.recipe().contains("distill temperature 4, distill weight 0.5, "));
    assert_eq!(FineTuneOptions::default().distillation(), None);
    let refused = |options: FineTuneOptions| options.check().unwrap_err().to_string();
    let alone = FineTuneOptions { teacher: None, ..taught.clone() };
    assert_eq!(refused(alone), "`distill_weight` is 0.5, it must be absent without a `teacher`");
    let odd = FineTuneOptions { distill_weight: Some(1.5), ..taught.clone() };
    assert_eq!(refused(odd), "`distill_weight` is 1.5, it must be from 0 to 1");
    let unheard = FineTuneOptions { distill_weight: Some(0.0), ..taught.clone() };
    let expected = "more than 0, or the teacher would teach nothing";
    assert_eq!(refused(unheard.clone()), format!("`distill_weight` is 0, it must be {expected}"));
    let before = FineTuneOptions { unlabelled: Some("more".into()), ..unheard };
    before.check().unwrap();
    let odd = FineTuneOptions { distill_temperature: Some(0.0), ..taught };
    assert_eq!(refused(odd), "`distill_temperature` is 0, it must be a positive number");
}

#[test]
fn a_penalty_on_norms_needs_norms_that_are_trained() {
    let options = FineTuneOptions { bn_l1: Some(1e-4), ..FineTuneOptions::default() };
    options.check().unwrap();
    let frozen = FineTuneOptions { freeze: Freeze::Backbone, ..options.clone() };
    assert!(frozen.check().unwrap_err().to_string().starts_with("`bn_l1` is 0.0001"));
    let odd = FineTuneOptions { bn_l1: Some(f64::NAN), ..options };
    assert!(odd.check().unwrap_err().to_string().starts_with("`bn_l1` is NaN"));
}

#[test]
fn augmentations_that_contradict_are_refused_with_both_named() {
    let refused = |options: FineTuneOptions| options.check().unwrap_err().to_string();
    let none = FineTuneOptions { augment: Augment::None, ..FineTuneOptions::default() };
    assert_eq!(
        refused(FineTuneOptions { erase: 0.25, ..none.clone() }),
        "`erase` is 0.25, it must be 0 with `augment` none, which changes no picture at random"
    );
    assert_eq!(
        refused(FineTuneOptions { repeats: 3, ..none.clone() }),
        "`repeats` is 3, it must be 1 with `augment` none, which changes no picture at random"
    );
    FineTuneOptions { mixup: 0.2, cutmix: 1.0, ..none }.check().unwrap();
    let all = FineTuneOptions::default();
    for odd in [
        FineTuneOptions { erase: 1.5, ..all.clone() },
        FineTuneOptions { mixup: -1.0, ..all.clone() },
        FineTuneOptions { cutmix: f64::NAN, ..all.clone() },
        FineTuneOptions { repeats: 0, ..all },
    ] {
        assert!(refused(odd).contains("it must be"));
    }
}

#[test]
fn views_of_features_need_a_frozen_backbone_and_nothing_else_that_changes() {
    let views = FineTuneOptions {
        feature_views: 4,
        freeze: Freeze::Backbone,
        ..FineTuneOptions::default()
    };
    views.check().unwrap();
    assert!(views.may_see_features());
    assert!(!FineTuneOptions { feature_views: 0, ..views.clone() }.may_see_features());
    for (odd, named) in [
        (FineTuneOptions { freeze: Freeze::None, ..views.clone() }, "`freeze` backbone"),
        (FineTuneOptions { augment: Augment::None, ..views.clone() }, "`augment` none"),
        (FineTuneOptions { cutmix: 1.0, ..views.clone() }, "`cutmix`"),
        (FineTuneOptions { repeats: 2, ..views.clone() }, "`repeats`"),
        (FineTuneOptions { sampling: Sampling::Balanced, ..views.clone() }, "`sampling` balanced"),
        (FineTuneOptions { image_size_from: Some(64), ..views.clone() }, "`image_size_from`"),
        (FineTuneOptions { teacher: Some("other".to_owned()), ..views }, "`teacher`"),
    ] {
        let error = odd.check().unwrap_err().to_string();
        assert!(error.starts_with("`feature_views` is 4") && error.contains(named), "{error}");
    }
}

#[test]
fn threads_beyond_any_machine_are_refused() {
    let options = FineTuneOptions { threads: 100_000, ..FineTuneOptions::default() };
    let error = options.check().unwrap_err();
    assert_eq!(error.to_string(), "`threads` is 100000, it must be from 0 to 1024");
    assert!(error.is_request());
}

#[test]
fn shards_that_meet_have_the_rates_of_the_paper_with_momentum_and_their_mean_without() {
    let every = |sync_every| FineTuneOptions { sync_every, ..FineTuneOptions::default() };
    assert_eq!(every(1).outer_step(), None);
    assert_eq!(every(8).outer_step(), Some((1.0, 0.0)));
    let diloco = FineTuneOptions { outer_momentum: 0.9, ..every(8) };
    assert_eq!(diloco.outer_step(), Some((0.7, 0.9)));
    assert!(diloco.recipe().contains("sync every 8, outer lr 0.7, outer momentum 0.9"));
    assert_eq!(diloco.resolved().resolved(), diloco.resolved());
    diloco.check().unwrap();
    let refused = |options: FineTuneOptions| options.check().unwrap_err().to_string();
    assert!(refused(every(0)).starts_with("`sync_every` is 0"));
    let odd = FineTuneOptions { outer_lr: Some(0.7), ..every(1) };
    assert!(refused(odd).starts_with("`outer_lr` is 0.7, it must be absent where shards share"));
    let odd = FineTuneOptions { outer_momentum: 0.9, ..every(1) };
    assert!(refused(odd).starts_with("`outer_momentum` is 0.9, it must be absent"));
    let odd = FineTuneOptions { outer_momentum: 1.0, ..every(8) };
    assert!(refused(odd).starts_with("`outer_momentum` is 1, it must be from 0 to below 1"));
    let odd = FineTuneOptions { sync_bn: true, ..every(8) };
    assert!(refused(odd).starts_with("`sync_bn` is true, it must be absent with `sync_every`"));
}

/// Running statistics that few batches have moved are nobody's: of a pretrained network they stay, unless something is about norms that are trained.
#[test]
fn norms_of_a_pretrained_network_are_frozen_unless_trained_ones_are_asked_for() {
    let usual = FineTuneOptions::default;
    assert_eq!(usual().norms(), Norms::Freeze);
    assert!(usual().recipe().contains("norms freeze"), "{}", usual().recipe());
    let trained = [
        FineTuneOptions { pretrained: Pretrained::None, ..usual() },
        FineTuneOptions { bn_l1: Some(1e-4), ..usual() },
        FineTuneOptions { precise_bn: Some(4), ..usual() },
        FineTuneOptions { sync_bn: true, ..usual() },
        FineTuneOptions { norms: Some(Norms::Train), ..usual() },
        Preset::Scratch.options(),
    ];
    for options in trained {
        assert_eq!(options.norms(), Norms::Train, "{options:?}");
        options.check().unwrap();
    }
    // What nothing else holds is clipped.
    assert_eq!(usual().clip_norm(), Some(FineTuneOptions::CLIP_NORM));
    let clips = [
        FineTuneOptions { clip_norm: Some(0.0), ..usual() },
        FineTuneOptions { clip_norm: Some(0.0), agc: Some(0.01), ..usual() },
        FineTuneOptions { clip_value: Some(0.1), ..usual() },
        FineTuneOptions { norms: Some(Norms::Train), ..usual() },
        FineTuneOptions { pretrained: Pretrained::None, ..usual() },
        FineTuneOptions { freeze: Freeze::Backbone, ..usual() },
    ];
    for options in clips {
        assert_eq!(options.clip_norm(), None, "{options:?}");
        options.check().unwrap();
        assert_eq!(options.resolved().clip_norm(), None);
    }
    let said = FineTuneOptions { norms: Some(Norms::Train), clip_norm: Some(5.0), ..usual() };
    assert_eq!(said.clip_norm(), Some(5.0));
    let frozen = Some(Norms::Freeze);
    assert!(FineTuneOptions { bn_l1: Some(1e-4), norms: frozen, ..usual() }.check().is_err());
    // Configurations from before this was an option trained them.
    let mut json = serde_json::to_value(usual()).unwrap();
    json.as_object_mut().unwrap().remove("norms");
    let before: FineTuneOptions = serde_json::from_value(json).unwrap();
    assert_eq!(before.norms(), Norms::Train);
}
