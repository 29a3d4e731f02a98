//! Labels that a model of the other pictures disputes, classes that it confuses, and pictures that are unlike their class.
//!
//! Above: `doctor`. Below: `doctor::ridge`. Not here: copies (`doctor::twins`), which are learned from or asked about together.
//! Source: Northcutt et al. 2021, "Confident Learning", <https://arxiv.org/abs/1911.00068>: a label is likely to be wrong where the share of
//! another class is at least the mean share of that class among the pictures that have it, none of which was learned from.

use super::findings::{ConfusedClasses, LabelSuspect, Unlike};
use super::gather::{Gathered, Subject};
use super::ridge::Features;
use super::twins::Group;
use crate::error::{Error, Result};

/// Parts, each of which is asked about after learning from the others.
const FOLDS: usize = 5;

/// Pictures that a class has at least, that its labels can be disputed and theirs by it.
const FEWEST: usize = 5;

/// Deviations below the median similarity from which on a picture is unlike its class: of normally distributed ones one in 30,000.
const FAR: f64 = 4.0;

/// The share of a class that is taken for another one at which the two are named.
const CONFUSED: f64 = 0.05;

/// What the shares of classes say.
#[derive(Debug, Default)]
pub(super) struct Labels {
    /// The most disputed first.
    pub(super) suspects: Vec<(usize, LabelSuspect)>,
    pub(super) confused: Vec<ConfusedClasses>,
    pub(super) agreement: Option<f64>,
}

/// Asks a model of the other pictures about each; nothing where there are too few to learn from, or no classes.
pub(super) fn disputed(gathered: &Gathered, groups: &[Group]) -> Result<Labels> {
    let Gathered { classes, subjects, features, width, .. } = gathered;
    let (n, k) = (subjects.len(), classes.len());
    if k == 0 {
        return Ok(Labels::default());
    }
    let labels: Vec<usize> = subjects.iter().map(|subject| subject.class).collect();
    let mut counts = vec![0; k];
    labels.iter().for_each(|&class| counts[class] += 1);
    let can_tell: Vec<bool> = counts.iter().map(|&count| count >= FEWEST).collect();
    if can_tell.iter().filter(|can_tell| **can_tell).count() < 2 {
        return Ok(Labels::default());
    }
    let folds = folds(&labels, k, groups);
    let failed = |source| {
        let source = taper_train::Error::Tensor { what: "features", source };
        Error::Train { source }
    };
    let learned = Features::new(features, [n, *width]).map_err(failed)?;
    let mut shares = vec![0.0; n * k];
    for fold in 0..FOLDS {
        let of_fold = learned.shares(&labels, k, |i| folds[i] != fold).map_err(failed)?;
        for i in (0..n).filter(|&i| folds[i] == fold) {
            shares[i * k..(i + 1) * k].copy_from_slice(&of_fold[i * k..(i + 1) * k]);
        }
    }
    let row = |i: usize| &shares[i * k..(i + 1) * k];
    let thresholds: Vec<f64> = (0..k)
        .map(|class| {
            let own = (0..n).filter(|&i| labels[i] == class).map(|i| row(i)[class]);
            own.sum::<f64>() / counts[class].max(1) as f64
        })
        .collect();
    let mut found = Labels::default();
    let mut called = vec![0; k * k];
    let mut agreed = 0;
    let asked: Vec<usize> = (0..n).filter(|&i| can_tell[labels[i]]).collect();
    for &i in &asked {
        let others = (0..k).filter(|&class| can_tell[class]);
        let top = others.max_by(|&a, &b| row(i)[a].total_cmp(&row(i)[b]).then(b.cmp(&a)));
        let top = top.unwrap_or(labels[i]);
        called[labels[i] * k + top] += 1;
        if top == labels[i] {
            agreed += 1;
            continue;
        }
        let suspect = LabelSuspect {
            image: subjects[i].name().to_owned(),
            class: classes[labels[i]].clone(),
            suggested: classes[top].clone(),
            margin: row(i)[top] - row(i)[labels[i]],
            likely: row(i)[top] >= thresholds[top],
        };
        found.suspects.push((i, suspect));
    }
    found.suspects.sort_by(|(_, a), (_, b)| b.margin.total_cmp(&a.margin));
    found.agreement = Some(f64::from(agreed) / asked.len().max(1) as f64);
    found.confused = confused(classes, &counts, &called);
    Ok(found)
}

/// The part of each picture: classes are spread over all parts, and copies of one picture are in one.
fn folds(labels: &[usize], k: usize, groups: &[Group]) -> Vec<usize> {
    let mut next = vec![0; k];
    let mut folds: Vec<Option<usize>> = vec![None; labels.len()];
    let mut group_of: Vec<Option<&Group>> = vec![None; labels.len()];
    for group in groups {
        group.members.iter().for_each(|&member| group_of[member] = Some(group));
    }
    for (i, &label) in labels.iter().enumerate() {
        if folds[i].is_some() {
            continue;
        }
        let fold = next[label] % FOLDS;
        next[label] += 1;
        match group_of[i] {
            Some(group) => group.members.iter().for_each(|&member| folds[member] = Some(fold)),
            None => folds[i] = Some(fold),
        }
    }
    folds.into_iter().map(Option::unwrap_or_default).collect()
}

fn confused(classes: &[String], counts: &[usize], called: &[usize]) -> Vec<ConfusedClasses> {
    let k = classes.len();
    let pairs = (0..k).flat_map(|class| (0..k).map(move |other| (class, other)));
    let mut confused: Vec<ConfusedClasses> = pairs
        .filter(|(class, other)| class != other && called[class * k + other] > 1)
        .map(|(class, other)| ConfusedClasses {
            class: classes[class].clone(),
            called: classes[other].clone(),
            images: called[class * k + other],
            share: called[class * k + other] as f64 / counts[class].max(1) as f64,
        })
        .filter(|pair| pair.share >= CONFUSED)
        .collect();
    confused.sort_by(|a, b| b.share.total_cmp(&a.share));
    confused
}

/// Pictures that are far from the mean of their class beside the others of it.
pub(super) fn unlike(gathered: &Gathered) -> Vec<(usize, Unlike)> {
    let mut found = Vec::new();
    for (class, name) in gathered.classes.iter().enumerate() {
        let is_of = |subject: &(usize, &Subject)| subject.1.class == class;
        let members: Vec<usize> =
            gathered.subjects.iter().enumerate().filter(is_of).map(|(i, _)| i).collect();
        if members.len() < 2 * FEWEST {
            continue;
        }
        let mut mean = vec![0.0f32; gathered.width];
        for &member in &members {
            mean.iter_mut().zip(gathered.row(member)).for_each(|(sum, x)| *sum += x);
        }
        let alike: Vec<f64> = members
            .iter()
            .map(|&member| crate::similar::cosine(&mean, gathered.row(member)))
            .collect();
        let middle = median(&alike);
        let away: Vec<f64> = alike.iter().map(|similarity| (similarity - middle).abs()).collect();
        // 1.4826: of a normal distribution, the standard deviation over the median deviation.
        let deviation = 1.4826 * median(&away);
        for (&member, &similarity) in members.iter().zip(&alike) {
            let deviations = (middle - similarity) / deviation;
            if deviation > 0.0 && deviations > FAR {
                let image = gathered.subjects[member].name().to_owned();
                let class = name.clone();
                found.push((member, Unlike { image, class, similarity, deviations }));
            }
        }
    }
    found.sort_by(|(_, a), (_, b)| b.deviations.total_cmp(&a.deviations));
    found
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
