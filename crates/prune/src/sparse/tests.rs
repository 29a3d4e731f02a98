//! Masks have the sparsity that was asked for, where it was asked for.

use proptest::prelude::*;

use super::*;
use crate::testing::{inverted_residuals, model, plain};

fn report(masks: &Masks, model: &Model) -> SparsityReport {
    SparsityReport::of(&masks.apply(model).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 4))]

    #[test]
    fn the_smallest_weights_go_and_as_many_as_were_asked(seed: u8, sparsity in 0.0f64..1.0) {
        let model = model(plain(&[6, 9]), seed.into());
        let masks = Masks::by_magnitude(&model, &Protect::default(), SparseRanking::Global, sparsity).unwrap();
        let weights = report(&masks, &model).weights;
        let expected = (sparsity * weights.elements as f64).floor();
        prop_assert!((weights.zeros as f64 - expected).abs() <= 1.0);
        let (mut most, mut least) = (0.0f32, f32::INFINITY);
        for (id, tensor) in model.graph().param_ids().zip(model.tensors()) {
            let Some(mask) = masks.of_param(id) else { continue };
            for (w, kept) in tensor.data.iter().zip(mask) {
                if *kept { least = least.min(w.abs()) } else { most = most.max(w.abs()) }
            }
        }
        prop_assert!(most <= least);
    }

    #[test]
    fn layers_alone_are_each_as_sparse(seed: u8, sparsity in 0.0f64..1.0) {
        let model = model(inverted_residuals(&[8, 8]), seed.into());
        let masks = Masks::by_magnitude(&model, &Protect::default(), SparseRanking::Local, sparsity).unwrap();
        for param in report(&masks, &model).params {
            let expected = (sparsity * param.elements as f64 + 1e-8).floor();
            prop_assert!((param.zeros as f64 - expected).abs() < 0.5, "{:?}", param);
        }
    }

    #[test]
    fn two_of_four_along_the_input_stay_the_largest(seed: u8) {
        let model = model(plain(&[6, 5]), seed.into());
        let masks = Masks::n_of_m(&model, &Protect::default(), 2, 4).unwrap();
        // conv0 has 3 input channels: whole. conv1 has 6: four, of which two stay, and two.
        let [first, second, _] = &report(&masks, &model).params[..] else { panic!("three weights") };
        prop_assert_eq!((first.zeros, second.zeros), (0, 5 * 9 * 2));
        let id = model.graph().param_id("conv1.weight").unwrap();
        let (data, mask) = (&model.tensors()[id.index()].data, masks.of_param(id).unwrap());
        for filter in 0..5 {
            for tap in 0..9 {
                let at = |channel: usize| (filter * 6 + channel) * 9 + tap;
                let (kept, gone): (Vec<usize>, Vec<usize>) = (0..4).map(at).partition(|&i| mask[i]);
                prop_assert_eq!(kept.len(), 2);
                let least = kept.iter().map(|&i| data[i].abs()).fold(f32::INFINITY, f32::min);
                prop_assert!(gone.iter().all(|&i| data[i].abs() <= least));
            }
        }
    }
}

#[test]
fn lamp_leaves_something_of_every_layer() {
    // A layer with weights a thousandth of the others: magnitude empties it.
    let mut parts = model(plain(&[6, 9, 6]), 3).into_parts();
    let id = parts.graph.param_id("conv1.weight").unwrap();
    parts.tensors[id.index()].data.iter_mut().for_each(|w| *w *= 1e-3);
    let model = model(parts.graph, 3).with_tensors(parts.tensors).unwrap();
    let zeros = |ranking| {
        let masks = Masks::by_magnitude(&model, &Protect::default(), ranking, 0.9).unwrap();
        let report = report(&masks, &model);
        assert!((report.weights.sparsity() - 0.9).abs() < 1e-3, "{ranking}");
        report.params.iter().find(|it| it.name == "conv1.weight").unwrap().sparsity()
    };
    assert!((zeros(SparseRanking::Global) - 1.0).abs() < 1e-12);
    assert!(zeros(SparseRanking::Lamp) < 0.95);
}

#[test]
fn equal_weights_go_in_their_order() {
    let model = model(plain(&[4]), 0);
    let ones = model
        .tensors()
        .iter()
        .map(|it| Tensor { shape: it.shape.clone(), data: vec![1.0; it.data.len()] });
    let model = model.clone().with_tensors(ones.collect()).unwrap();
    let masks =
        Masks::by_magnitude(&model, &Protect::default(), SparseRanking::Local, 0.5).unwrap();
    let mask = masks.of_param(model.graph().param_id("conv0.weight").unwrap()).unwrap();
    assert!(mask[..54].iter().all(|kept| !kept) && mask[54..].iter().all(|kept| *kept));
}

#[test]
fn patterns_and_sparsities_that_are_none_are_refused() {
    let model = model(plain(&[4]), 0);
    for sparsity in [-0.1, 1.0, f64::NAN] {
        assert!(
            Masks::by_magnitude(&model, &Protect::default(), SparseRanking::Lamp, sparsity)
                .is_err()
        );
    }
    for (n, m) in [(0, 4), (4, 4), (5, 4)] {
        assert!(Masks::n_of_m(&model, &Protect::default(), n, m).is_err());
    }
    let masks = Masks::n_of_m(&model, &Protect::default(), 1, 2).unwrap();
    let other = crate::testing::model(plain(&[5]), 0);
    assert!(matches!(masks.apply(&other), Err(Error::OtherGraph)));
    for (word, ranking) in WORDS {
        assert_eq!(
            (word.parse::<SparseRanking>().unwrap(), ranking.to_string()),
            (ranking, word.to_owned())
        );
    }
}

#[test]
fn protected_layers_stay_whole_and_the_others_are_as_sparse_as_asked() {
    let model = model(inverted_residuals(&[8, 8]), 1);
    let protect = Protect::names(["stem", "0.dw"]);
    let asked = Masks::by_magnitude(&model, &protect, SparseRanking::Global, 0.8).unwrap();
    let (zeros, elements) = asked.zeros();
    let report = report(&asked, &model);
    let whole = |name: &str| report.params.iter().find(|it| it.name == name).unwrap().zeros == 0;
    assert!(whole("stem.weight") && whole("0.dw.weight") && !whole("0.project.weight"));
    let dense: usize = ["stem.weight", "0.dw.weight"]
        .map(|name| model.tensor(name).unwrap().data.len())
        .iter()
        .sum();
    assert_eq!(elements, report.weights.elements - dense);
    assert_eq!((zeros, report.weights.zeros), (elements * 4 / 5, elements * 4 / 5));
    let names = asked.by_name(model.graph());
    assert_eq!(names.len(), report.params.len() - 2);
    assert!(names.values().flatten().filter(|kept| !**kept).count() == zeros);
    let unknown = Protect::names(["stm"]);
    let refused = Masks::n_of_m(&model, &unknown, 2, 4).unwrap_err();
    assert!(matches!(refused, Error::UnknownName { .. }), "{refused}");
}
