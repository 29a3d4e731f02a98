//! Drawn networks: what they contain, and that a seed makes them.

use std::collections::BTreeSet;

use super::*;

#[test]
fn networks_fit_together_and_contain_all_kinds_of_units() {
    let (mut kinds, mut all_macs) = (BTreeSet::new(), Vec::new());
    for index in 0..300 {
        let extent = if index % 7 == 0 { Extent::Large } else { Extent::Usual };
        let network = random(3, index, extent).unwrap();
        let units = taper_cost::inference_units(&network.graph, &["logits"], network.size).unwrap();
        kinds.extend(units.iter().map(|unit| format!("{:?}", unit.shape.kind)));
        let macs = taper_cost::of(&network.graph, network.size).unwrap().total().macs().0;
        assert!((1_000_000..20_000_000_000).contains(&macs), "{index}: {macs}");
        all_macs.push(macs);
    }
    let all = [
        "Dense",
        "Pointwise",
        "Depthwise",
        "Grouped",
        "Linear",
        "Transposed",
        "BatchNorm",
        "Norm",
        "Add",
        "Mul",
        "GlobalMean",
        "Pool",
        "Copy",
        "Channels",
        "Resample",
        "Attention",
    ];
    all_macs.sort_unstable();
    // As published networks for these images: a few tens of millions to a few billions.
    let [low, middle, high] = [30, 150, 270].map(|at| all_macs[at]);
    assert!(
        low < 200_000_000 && (100_000_000..2_000_000_000).contains(&middle),
        "{low} {middle} {high}"
    );
    assert!(high < 6_000_000_000, "{high}");
    assert_eq!(kinds, all.iter().map(ToString::to_string).collect());
}

#[test]
fn a_seed_and_a_number_make_a_network() {
    let name = |seed, index| random(seed, index, Extent::Usual).unwrap().graph.to_json();
    assert_eq!(name(1, 2), name(1, 2));
    assert_ne!(name(1, 2), name(1, 3));
    assert_ne!(name(1, 2), name(2, 2));
}
