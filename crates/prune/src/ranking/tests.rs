//! Ranks by hand, and which groups are alike.

use super::*;
use crate::testing::{drawn_scores, groups, inverted_residuals, plain};

/// The ranks of a group's units, by the name of its first node.
fn ranks<'a>(groups: &Groups, ranked: &'a [f64], name: &str) -> &'a [f64] {
    let group = groups.groups().iter().find(|group| groups.label(group) == name).unwrap();
    &ranked[group.units.clone()]
}

#[test]
fn local_ranks_spread_evenly_in_every_group() {
    let groups = groups(&plain(&[8, 4]));
    let ranked = Ranking::Local.rank(&groups, &drawn_scores(&groups, 3)).unwrap();
    for (name, n) in [("conv0", 8), ("conv1", 4)] {
        let mut sorted = ranks(&groups, &ranked, name).to_vec();
        sorted.sort_by(f64::total_cmp);
        let even: Vec<f64> = (0..n).map(|k| (f64::from(k) + 0.5) / f64::from(n)).collect();
        assert_eq!(sorted, even, "{name}");
    }
}

#[test]
fn expansions_are_compared_with_one_another_and_streams_with_none() {
    let groups = groups(&inverted_residuals(&[8, 8, 16, 16]));
    let scores: Vec<f64> = drawn_scores(&groups, 3);
    // All units of the first expansion below all of the others.
    let mut biased = scores.clone();
    let first = groups.groups().iter().find(|group| groups.label(group) == "0.expand").unwrap();
    biased[first.units.clone()].iter_mut().for_each(|score| *score -= 10.0);
    let ranked = Ranking::Isomorphic.rank(&groups, &biased).unwrap();
    let least = |name| ranks(&groups, &ranked, name).iter().copied().fold(f64::INFINITY, f64::min);
    let most = |name| ranks(&groups, &ranked, name).iter().copied().fold(0.0, f64::max);
    assert!(most("0.expand") < least("1.expand"));
    assert!(most("0.expand") < least("2.expand"));
    // The streams before and after are of other shapes, each from the lowest rank to the highest.
    assert_eq!((least("stem"), most("stem")), (0.5 / 8.0, 7.5 / 8.0));
    assert_eq!((least("1.project"), most("1.project")), (0.5 / 16.0, 15.5 / 16.0));
}

#[test]
fn global_scores_stay_as_they_are() {
    let groups = groups(&plain(&[8, 4]));
    let scores = drawn_scores(&groups, 3);
    assert_eq!(Ranking::Global.rank(&groups, &scores).unwrap(), scores);
}

#[test]
fn networks_without_depthwise_convolutions_are_ranked_as_a_whole() {
    assert_eq!(Ranking::of(&plain(&[8, 4])), Ranking::Global);
    assert_eq!(Ranking::of(&inverted_residuals(&[8, 8])), Ranking::Isomorphic);
    for (word, ranking) in WORDS {
        assert_eq!(
            (word.parse::<Ranking>().unwrap(), ranking.to_string()),
            (ranking, word.to_owned())
        );
    }
}

#[test]
fn ranks_of_nothing_or_of_no_numbers_are_refused() {
    let groups = groups(&plain(&[8, 4]));
    let mut scores = drawn_scores(&groups, 3);
    scores[4] = f64::NAN;
    let error = Ranking::Local.rank(&groups, &scores).unwrap_err();
    assert!(matches!(error, Error::NotFinite { name, .. } if name == "conv0"));
    let error = Ranking::Local.rank(&groups, &[]).unwrap_err();
    assert!(matches!(error, Error::ScoreCount { got: 0, .. }));
}
