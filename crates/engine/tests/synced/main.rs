//! Parts whose batch norms share statistics are one batch: outputs, gradients and running statistics of random graphs, cut anywhere.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, prop_assert, proptest};
use proptest::test_runner::TestCaseError;
use taper_engine::{BatchPart, Cpu, Device, Error, Real, Reference, SumOverParts, Trainer};
use taper_graph::{Activation, Bias, Conv, Graph, GraphBuilder, Op, ParamRole, PoolKind};

fn values(seed: u64, len: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn parameters<T: Real>(graph: &Graph) -> Vec<Vec<T>> {
    let specs = graph.params().iter().enumerate();
    let one = |(i, spec): (usize, &taper_graph::ParamSpec)| {
        let (center, spread) = match spec.role {
            ParamRole::NormScale | ParamRole::RunningVar => (1.0, 0.25),
            ParamRole::BatchesTracked => (3.0, 0.0),
            _ => (0.0, 0.4),
        };
        narrow(&values(i as u64 + 1, spec.len()), center, spread)
    };
    specs.map(one).collect()
}

fn narrow<T: Real>(values: &[f64], center: f64, spread: f64) -> Vec<T> {
    values.iter().map(|value| T::from_f64(center + spread * value)).collect()
}

/// A chain of what the words say, with norms before and behind everything, and two heads.
fn graph(words: &[u8]) -> Graph {
    let mut b = GraphBuilder::new(2).unwrap();
    let mut xs = b.conv("stem", b.input(), Conv::dense(4, 3, 1), Bias::With).unwrap();
    xs = b.batch_norm("bn", xs, 1e-3, 0.1).unwrap();
    for (i, word) in words.iter().enumerate() {
        let name = |what: &str| format!("{what}{i}");
        xs = match word % 7 {
            0 => b.conv(&name("conv"), xs, Conv::dense(4, 3, 1), Bias::Without).unwrap(),
            1 => b.conv(&name("point"), xs, Conv::pointwise(4), Bias::With).unwrap(),
            2 => b.activation(&name("act"), xs, Activation::HardSwish).unwrap(),
            3 => {
                let op = Op::BatchNorm { eps: 1e-3, momentum: None };
                b.push(&name("counted"), op, &[xs], Bias::Without).unwrap()
            }
            4 => {
                let branch = b.conv(&name("branch"), xs, Conv::pointwise(4), Bias::Without);
                let branch = b.batch_norm(&name("bn_branch"), branch.unwrap(), 1e-3, 0.2);
                b.add(&name("add"), branch.unwrap(), xs).unwrap()
            }
            5 => {
                let gate = b.global_pool(&name("squeeze"), xs, PoolKind::Avg, false).unwrap();
                let gate = b.conv(&name("gate"), gate, Conv::pointwise(4), Bias::With).unwrap();
                let gate = b.batch_norm(&name("bn_gate"), gate, 1e-3, 0.1).unwrap();
                let gate = b.activation(&name("gated"), gate, Activation::Sigmoid).unwrap();
                b.mul(&name("mul"), xs, gate).unwrap()
            }
            _ => b.batch_norm(&name("norm"), xs, 1e-3, 0.3).unwrap(),
        };
    }
    let mask = b.conv("mask", xs, Conv::pointwise(1), Bias::With).unwrap();
    b.output("mask", mask).unwrap();
    let xs = b.global_pool("pool", xs, PoolKind::Avg, true).unwrap();
    let score = b.linear("score", xs, 3, Bias::With).unwrap();
    b.output("score", score).unwrap();
    b.build().unwrap()
}

const SIDE: [usize; 2] = [3, 4];
const OUTPUTS: [&str; 2] = ["mask", "score"];

fn sum() -> Box<SumOverParts<'static>> {
    Box::new(|parts| {
        let mut total = vec![0.0; parts[0].len()];
        for part in parts {
            total.iter_mut().zip(part).for_each(|(total, value)| *total += value);
        }
        Ok(total)
    })
}

/// What a step comes to: outputs, gradients by parameter, running statistics.
#[derive(Debug)]
struct Step {
    outputs: Vec<Vec<f64>>,
    gradients: Vec<Vec<f64>>,
    statistics: Vec<Vec<f64>>,
}

fn wide<T: Real>(values: &[T]) -> Vec<f64> {
    values.iter().map(|value| value.to_f64()).collect()
}

fn whole<T: Real, D: Device<T>>(
    graph: &Graph,
    trained: &[bool],
    [xs, seeds]: [&[Vec<T>]; 2],
    n: usize,
    device: D,
) -> Step {
    let params = parameters::<T>(graph);
    let params: Vec<&[T]> = params.iter().map(Vec::as_slice).collect();
    let mut trainer = Trainer::of_outputs(graph, &OUTPUTS, trained, device).unwrap();
    trainer.forward(&params, &xs[0], [n, SIDE[0], SIDE[1]], 0).unwrap();
    let outputs = trainer.outputs().iter().map(|output| wide(output)).collect();
    let mut gradients = vec![Vec::new(); params.len()];
    let seeds: Vec<&[T]> = seeds.iter().map(Vec::as_slice).collect();
    trainer.backward_all(&params, &seeds, &mut gradients).unwrap();
    let statistics = trainer.running_statistics(&params);
    Step {
        outputs,
        gradients: gradients.iter().map(|gradient| wide(gradient)).collect(),
        statistics: statistics.iter().map(|(_, values)| wide(values)).collect(),
    }
}

fn in_parts<T: Real, D: Device<T>>(
    graph: &Graph,
    trained: &[bool],
    [xs, seeds]: [&[Vec<T>]; 2],
    sizes: &[usize],
    device: D,
) -> Step {
    let params = parameters::<T>(graph);
    let params: Vec<&[T]> = params.iter().map(Vec::as_slice).collect();
    let n: usize = sizes.iter().sum();
    let mut trainer = Trainer::of_outputs(graph, &OUTPUTS, trained, device).unwrap();
    let starts = sizes.iter().scan(0, |start, size| Some(std::mem::replace(start, *start + size)));
    let rows: Vec<_> = starts.zip(sizes).map(|(start, size)| start..start + size).collect();
    let cut = |values: &[T], rows: &std::ops::Range<usize>| -> Vec<T> {
        let row = values.len() / n;
        values[rows.start * row..rows.end * row].to_vec()
    };
    let pixels: Vec<Vec<T>> = rows.iter().map(|rows| cut(&xs[0], rows)).collect();
    let given: Vec<[&[T]; 1]> = pixels.iter().map(|pixels| [pixels.as_slice()]).collect();
    let parts = given.iter().zip(sizes);
    let parts = parts.map(|(given, &n)| BatchPart { given, shape: [n, SIDE[0], SIDE[1]], seed: 0 });
    let parts: Vec<_> = parts.collect();
    // Twice: what a step leaves must not reach the next one.
    let mut step = None;
    for _ in 0..2 {
        trainer.forward_synced(&params, &parts, &mut *sum()).unwrap();
        let outputs = (0..OUTPUTS.len()).map(|output| {
            let of_parts = (0..sizes.len()).map(|part| wide(&trainer.part_outputs(part)[output]));
            of_parts.collect::<Vec<_>>().concat()
        });
        let outputs = outputs.collect();
        let seeds: Vec<Vec<Vec<T>>> =
            rows.iter().map(|rows| seeds.iter().map(|seed| cut(seed, rows)).collect()).collect();
        let seeds: Vec<Vec<&[T]>> =
            seeds.iter().map(|seeds| seeds.iter().map(Vec::as_slice).collect()).collect();
        let (mut told, mut gradients) = (Vec::new(), vec![Vec::new(); params.len()]);
        let mut observe = |id: taper_graph::ParamId, by_part: &[&[T]]| {
            let mut total = vec![0.0; by_part[0].len()];
            for part in by_part {
                total.iter_mut().zip(*part).for_each(|(total, value)| *total += value.to_f64());
            }
            gradients[id.index()] = total;
            told.push(id);
        };
        trainer.backward_synced(&params, &seeds, &mut *sum(), &mut observe).unwrap();
        assert_eq!(told, trainer.gradient_order());
        let statistics = trainer.running_statistics(&params);
        let statistics = statistics.iter().map(|(_, values)| wide(values)).collect();
        step = Some(Step { outputs, gradients, statistics });
    }
    step.unwrap()
}

/// Holds parts to the whole, relative to the largest value of each tensor.
fn check<T: Real, D: Device<T>>(
    graph: &Graph,
    trained: &[bool],
    sizes: &[usize],
    make: impl Fn() -> D,
    tolerance: f64,
) -> Result<(), TestCaseError> {
    let n: usize = sizes.iter().sum();
    let positions = n * SIDE[0] * SIDE[1];
    let xs = [narrow::<T>(&values(99, 2 * positions), 0.3, 1.0)];
    let seeds = [positions, 3 * n].map(|len| narrow::<T>(&values(len as u64, len), 0.0, 1.0));
    let expected = whole(graph, trained, [&xs, &seeds], n, make());
    let got = in_parts(graph, trained, [&xs, &seeds], sizes, make());
    let largest = expected.gradients.iter().flatten().fold(1.0, |a: f64, b| a.max(b.abs()));
    for (what, got, expected) in [
        ("outputs", &got.outputs, &expected.outputs),
        ("gradients", &got.gradients, &expected.gradients),
        ("statistics", &got.statistics, &expected.statistics),
    ] {
        prop_assert!(got.len() == expected.len());
        for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
            prop_assert!(got.len() == expected.len(), "{what} {i}");
            for (got, expected) in got.iter().zip(expected) {
                let near = (got - expected).abs() <= tolerance * largest.max(expected.abs());
                prop_assert!(near, "{what} {i}: {got}, of the whole batch {expected}");
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 2))]

    #[test]
    fn parts_are_one_batch(words in vec(0u8..7, 0..6), sizes in vec(0usize..4, 1..5), frozen in 0usize..8) {
        let mut sizes = sizes;
        sizes.push(2);
        let graph = graph(&words);
        let mut trained = vec![true; graph.params().len()];
        // Norms that are frozen use running statistics, of which nobody tells others.
        for (trained, spec) in trained.iter_mut().zip(graph.params()).skip(frozen * 2) {
            *trained = frozen == 0 || !spec.name.starts_with("bn");
        }
        check::<f64, _>(&graph, &trained, &sizes, || Reference, 1e-10)?;
        check::<f32, _>(&graph, &trained, &sizes, || Cpu::new(1), 2e-4)?;
    }
}

#[test]
fn one_part_has_the_outputs_of_a_batch_and_parts_may_have_one_value_each() {
    let graph = graph(&[5]);
    let trained = vec![true; graph.params().len()];
    // Gates see maps of one position: a part alone has no variance there.
    check::<f64, _>(&graph, &trained, &[1, 1, 1], || Reference, 1e-10).unwrap();
    check::<f64, _>(&graph, &trained, &[3], || Reference, 1e-10).unwrap();
    let params = parameters::<f64>(&graph);
    let params: Vec<&[f64]> = params.iter().map(Vec::as_slice).collect();
    let mut trainer = Trainer::of_outputs(&graph, &OUTPUTS, &trained, Reference).unwrap();
    let xs = values(1, 24);
    let (one, none) = ([xs.as_slice()], [&[][..]]);
    let part = |given, n| BatchPart { given, shape: [n, 3, 4], seed: 0 };
    let alone = [part(&one[..], 1), part(&none[..], 0)];
    let refused = trainer.forward_synced(&params, &alone, &mut *sum()).unwrap_err();
    assert!(matches!(&refused, Error::SingleValue { node, batch: 1, .. } if node == "bn_gate0"));
}

#[test]
fn a_sum_that_fails_ends_the_pass_and_each_pass_has_its_own_way_back() {
    let graph = graph(&[]);
    let trained = vec![true; graph.params().len()];
    let params = parameters::<f64>(&graph);
    let params: Vec<&[f64]> = params.iter().map(Vec::as_slice).collect();
    let mut trainer = Trainer::of_outputs(&graph, &OUTPUTS, &trained, Reference).unwrap();
    let xs = values(1, 24);
    let given = [xs.as_slice()];
    let parts = [BatchPart { given: &given, shape: [1, 3, 4], seed: 0 }];
    let failed = trainer.forward_synced(&params, &parts, &mut |_| Err("rank 3 is gone".into()));
    let Err(Error::Sum { source }) = failed else { panic!("{failed:?}") };
    assert_eq!(source.to_string(), "rank 3 is gone");
    let short = trainer.forward_synced(&params, &parts, &mut |_| Ok(vec![]));
    assert!(matches!(short, Err(Error::Length { got: 0, expected: 9, .. })), "{short:?}");

    let mut gradients = vec![Vec::new(); params.len()];
    trainer.forward_synced(&params, &parts, &mut *sum()).unwrap();
    let back = trainer.backward_all(&params, &[&[0.0; 12], &[0.0; 3]], &mut gradients);
    assert!(matches!(back, Err(Error::NoForward)), "{back:?}");
    trainer.forward(&params, &xs, [1, 3, 4], 0).unwrap();
    let seeds = [vec![&[0.0; 12][..], &[0.0; 3]]];
    let back = trainer.backward_synced(&params, &seeds, &mut *sum(), &mut |_, _| ());
    assert!(matches!(back, Err(Error::NoForward)), "{back:?}");
    trainer.backward_all(&params, &[&[0.0; 12], &[0.0; 3]], &mut gradients).unwrap();
}
