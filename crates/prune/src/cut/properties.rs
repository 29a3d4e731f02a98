//! What holds for every network and every cut.
//!
//! Above: `cargo test`. Below: `networks`. Not here: networks that exist (`tests/house/prune.rs`).

use std::collections::HashSet;

use proptest::prelude::*;
use taper_graph::{AxisRole, Op};

use super::networks::{Draw, logits, model, network, some};
use crate::{Groups, Protect, Silence, cut, cut_graph, mask};

/// Whether silencing what makes channels is as good as removing them: the networks have no other such operation.
fn silence_passes(groups: &Groups) -> bool {
    let shares = |op: &Op| matches!(op, Op::Attention { kv_heads: 1, .. });
    !groups.graph().nodes().iter().any(|node| shares(node.op()))
}

fn close(a: &[f64], b: &[f64]) -> bool {
    let largest = a.iter().fold(1.0f64, |most, x| most.max(x.abs()));
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-9 * largest)
}

proptest! {
    #[test]
    fn silenced_channels_are_as_good_as_none(seed in any::<u64>(), steps in 1usize..14) {
        let model = model(network(seed, steps), seed % 97);
        let groups = Groups::of(model.graph(), &Protect::default()).unwrap();
        let units = some(&groups, &mut Draw::new(seed ^ 1));
        let smaller = cut(&model, &groups, &units).unwrap();
        let expected = logits(&smaller);
        let silent = mask(&model, &groups, &units, Silence::MakersAndReaders).unwrap();
        prop_assert!(close(&expected, &logits(&silent)), "{}", model.graph().to_json());
        if silence_passes(&groups) {
            let silent = mask(&model, &groups, &units, Silence::Makers).unwrap();
            prop_assert!(close(&expected, &logits(&silent)), "{}", model.graph().to_json());
        }
        let left: usize = smaller.tensors().iter().map(|tensor| tensor.data.len()).sum();
        let shapes: usize = smaller.graph().params().iter().map(taper_graph::ParamSpec::len).sum();
        prop_assert_eq!(left, shapes);
        prop_assert_eq!(cut_graph(model.graph(), &groups, &units).unwrap(), smaller.graph().clone());
        // What was cut can be cut again.
        let groups = Groups::of(smaller.graph(), &Protect::default()).unwrap();
        let units = some(&groups, &mut Draw::new(seed ^ 2));
        let smallest = logits(&cut(&smaller, &groups, &units).unwrap());
        let silent = mask(&smaller, &groups, &units, Silence::MakersAndReaders).unwrap();
        prop_assert!(close(&smallest, &logits(&silent)), "{}", smaller.graph().to_json());
    }

    #[test]
    fn every_index_of_every_axis_is_in_one_unit_of_one_group(seed in any::<u64>(), steps in 1usize..14) {
        let graph = network(seed, steps);
        let groups = Groups::of(&graph, &Protect::default()).unwrap();
        let mut seen = HashSet::new();
        for group in groups.groups() {
            for member in &group.members {
                prop_assert_eq!(member.indices.len(), group.n_units() * member.per_unit);
                for (k, unit) in group.unit_ids().enumerate() {
                    for index in member.of_unit(k) {
                        prop_assert!(seen.insert((member.param, member.axis, *index)));
                        let of_axis = groups.of_axis(member.param, member.axis).unwrap();
                        prop_assert_eq!(of_axis[*index as usize], unit);
                    }
                }
            }
        }
        let channels = graph.params().iter().flat_map(|spec| spec.axes.iter().zip(&spec.shape));
        let channels = channels.filter(|(role, _)| **role != AxisRole::Fixed);
        prop_assert_eq!(seen.len(), channels.map(|(_, len)| *len).sum::<usize>());
        prop_assert_eq!(groups.groups().last().map(|group| group.units.end), Some(groups.n_units()));
    }
}
