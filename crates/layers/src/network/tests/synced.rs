//! Parts of a batch whose norms share statistics give what the batch gives, also above a frozen beginning.

use candle_core::Tensor;

use super::{all_values, flat, images, targets, test_net, value};
use crate::loss::cross_entropy;
use crate::{NamedTensors, NetworkPart};

fn near(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5 * (1.0 + b.abs()))
}

fn sum<T: Copy + std::iter::Sum>(parts: &[Vec<T>]) -> Vec<T> {
    (0..parts[0].len()).map(|i| parts.iter().map(|part| part[i]).sum()).collect()
}

#[test]
fn parts_give_what_the_whole_batch_gives() {
    let rows = [0..1, 1..1, 1..4];
    for frozen in [None, Some("blocks"), Some("bn1"), Some("conv_stem,bn1")] {
        let is_frozen =
            |name: &str| frozen.is_some_and(|all| all.split(',').any(|it| name.starts_with(it)));
        let [mut whole, mut cut] = [test_net(0.0), test_net(0.0)];
        whole.set_frozen(is_frozen);
        cut.set_frozen(is_frozen);
        let before = all_values(&cut);
        let expected = value(&whole, 7);
        let of = |xs: Tensor, rows: &std::ops::Range<usize>| {
            xs.narrow(0, rows.start, rows.len()).unwrap()
        };
        let part = |rows: &std::ops::Range<usize>| NetworkPart {
            xs: (!rows.is_empty()).then(|| of(images(), rows)),
            seed: 7,
        };
        let mut loss = |at: usize, outputs: &NamedTensors| {
            let rows = &rows[at];
            let loss = cross_entropy(outputs.single()?, &of(targets(), rows), 0.1)?;
            loss * (rows.len() as f64 / 4.0)
        };
        let mut told = Vec::new();
        let given = cut
            .value_and_grad_synced(
                &rows.each_ref().map(part),
                &mut loss,
                &mut |parts| Ok(sum(&parts)),
                &mut |index, by_part| {
                    let by_part: Vec<Vec<f32>> = by_part.iter().map(|part| part.to_vec()).collect();
                    told.push((index, sum(&by_part)));
                },
            )
            .unwrap();
        assert_eq!(all_values(&cut), before, "statistics are given, not kept");
        let outputs: Vec<f32> =
            given.outputs.iter().flatten().flat_map(|it| flat(it.single().unwrap())).collect();
        assert!(near(&outputs, &flat(expected.outputs.single().unwrap())), "{frozen:?}");
        assert!(given.outputs[1].is_none());
        let order: Vec<usize> = told.iter().map(|(index, _)| *index).collect();
        assert_eq!(cut.gradient_order().unwrap(), order);
        for (index, grad) in &told {
            let param = &whole.params()[*index];
            let expected = flat(expected.grads.get(&param.var).unwrap());
            assert!(near(grad, &expected), "{frozen:?} {}: {grad:?} {expected:?}", param.name);
        }
        cut.set_values(&given.statistics).unwrap();
        for (name, values) in all_values(&whole) {
            assert!(near(&all_values(&cut)[&name], &values), "{frozen:?} {name}");
        }
    }
}

#[test]
fn a_sum_that_fails_is_told_with_its_words() {
    let part = NetworkPart { xs: Some(images()), seed: 0 };
    let failed = test_net(0.0).value_and_grad_synced(
        &[part],
        &mut |_, outputs| outputs.single()?.sum_all(),
        &mut |_| Err("rank 3 is gone".into()),
        &mut |_, _| (),
    );
    let error = failed.unwrap_err();
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(source) = cause {
        words = format!("{words}: {source}");
        cause = source.source();
    }
    assert!(words.ends_with("no sum over all parts of the batch: rank 3 is gone"), "{words}");
}
