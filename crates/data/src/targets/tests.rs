//! Samples in, batches out: every kind, and what cannot be one batch.

use super::{Target, Targets};
use crate::{Array, Error};

fn numbers(values: &[f32], shape: &[usize]) -> Target {
    Target::Numbers(Array::new(values.to_vec(), shape.to_vec()).unwrap())
}

/// Two samples of every kind, the second other than the first.
fn kinds() -> Vec<[Target; 2]> {
    let f32s = |values: [f32; 2]| Array::vector(values.to_vec());
    let map = |values: [u32; 6]| Array::new(values.to_vec(), vec![2, 3]).unwrap();
    vec![
        [Target::from(3), Target::from(0)],
        [Target::Probabilities(f32s([0.3, 0.7])), Target::Probabilities(f32s([1.0, 0.0]))],
        [Target::labels(&[0, 1], 2).unwrap(), Target::labels(&[1], 2).unwrap()],
        [numbers(&[1.5], &[]), numbers(&[2.5], &[])],
        [numbers(&[1.0, 2.0], &[2, 1, 1]), numbers(&[3.0, 4.0], &[2, 1, 1])],
        [Target::ClassMap(map([0, 1, 2, 3, 4, 5])), Target::ClassMap(map([5, 4, 3, 2, 1, 0]))],
        [
            Target::named([("a", Target::from(1)), ("b", numbers(&[0.5], &[1]))]),
            Target::named([("a", Target::from(2)), ("b", numbers(&[0.25], &[1]))]),
        ],
    ]
}

#[test]
fn samples_of_every_kind_are_collated_selected_and_appended() {
    for [first, second] in kinds() {
        let both = Targets::collate([first.clone(), second.clone()]).unwrap();
        assert_eq!(both.len(), 2);
        assert_eq!(both.select(&[1]), Targets::from(second.clone()));
        let swapped = Targets::collate([second.clone(), first.clone()]).unwrap();
        assert_eq!(both.select(&[1, 0]), swapped);
        assert_eq!(both.select(&[0, 7]), Targets::from(first.clone()));
        let mut all = swapped.clone();
        all.append(&both).unwrap();
        assert_eq!(all, Targets::collate([second.clone(), first.clone(), first, second]).unwrap());
        let none = both.select(&[]);
        assert!(none.is_empty() && none.describe() == both.describe());
    }
    assert!(Targets::collate([]).unwrap().is_empty());
}

#[test]
fn targets_of_two_kinds_or_shapes_are_no_batch_and_change_nothing() {
    let mut others = kinds();
    others.push([numbers(&[1.0, 2.0], &[2]), numbers(&[1.0, 2.0], &[2])]);
    others.push([
        Target::named([("a", Target::from(1)), ("c", numbers(&[0.5], &[1]))]),
        Target::named([("a", numbers(&[0.5], &[1])), ("b", numbers(&[0.5], &[1]))]),
    ]);
    let firsts: Vec<&Target> = others.iter().map(|[first, _]| first).collect();
    for (i, &first) in firsts.iter().enumerate() {
        for (_, &other) in firsts.iter().enumerate().filter(|(j, _)| *j != i) {
            let mut targets = Targets::from(first.clone());
            let refused = targets.push(other.clone());
            assert!(matches!(refused, Err(Error::MixedTargets { .. })), "{first:?} {other:?}");
            assert_eq!(targets, Targets::from(first.clone()));
        }
    }
    let mixed = Targets::collate([Target::labels(&[1], 3).unwrap(), Target::from(1)]).unwrap_err();
    assert_eq!(
        mixed.to_string(),
        "a target is class, those before it are labels [3]; a batch needs targets of one kind and shape"
    );
}

#[test]
fn a_label_outside_of_the_list_is_refused() {
    let refused = Target::labels(&[0, 3], 3).unwrap_err();
    assert_eq!(refused.to_string(), "label 3 is not below 3, the number of labels");
    assert_eq!(Target::labels(&[], 2).unwrap(), Target::Labels(Array::vector(vec![0.0; 2])));
}

#[test]
fn a_shape_beyond_counting_is_refused() {
    let refused = Array::new(vec![0u32; 4], vec![usize::MAX, usize::MAX]);
    assert!(matches!(refused, Err(Error::ArrayShape { got: 4, .. })));
}

#[cfg(feature = "candle")]
#[test]
fn tensors_have_the_sample_as_their_first_axis() {
    let device = candle_core::Device::Cpu;
    let shapes = [vec![2], vec![2, 2], vec![2, 2], vec![2], vec![2, 2, 1, 1], vec![2, 2, 3]];
    for (targets, shape) in kinds().into_iter().zip(shapes) {
        let targets = Targets::collate(targets).unwrap();
        assert_eq!(targets.to_tensor(&device).unwrap().dims(), shape);
    }
    let named = Targets::collate(kinds().pop().unwrap()).unwrap();
    assert!(matches!(named.to_tensor(&device), Err(Error::SeveralTargets { .. })));
    let tensor = |name| named.named(name).unwrap().to_tensor(&device).unwrap();
    assert_eq!(tensor("a").to_vec1::<u32>().unwrap(), [1, 2]);
    assert_eq!(tensor("b").to_vec2::<f32>().unwrap(), [[0.5], [0.25]]);
}

#[test]
fn parts_have_their_names() {
    let inner = || Target::named([("x", Target::from(1)), ("y", Target::from(2))]);
    let targets = Targets::from(Target::named([("b", inner()), ("a", Target::from(0))]));
    let parts = targets.parts();
    let names: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a", "b.x", "b.y"]);
    assert_eq!(parts[2].1.classes(), Some(&[2][..]));
    let alone = Targets::from(vec![4]);
    assert_eq!(alone.parts(), [(String::new(), &alone)]);
}
