//! What is computed again gives the bits of what is kept: random networks in both precisions, with frozen parts, in parts that share
//! statistics, and in several outputs.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::TestCaseError;
use taper_engine::{BatchPart, Cpu, Device, Real, Recompute, Reference, Trainer};
use taper_graph::{Activation, Bias, Conv, Graph, GraphBuilder, NodeId, Op, PoolKind};

/// Channels of every map.
const CHANNELS: usize = 4;

/// One more layer, which reads what is so many layers behind, and perhaps another.
#[derive(Clone, Copy, Debug)]
enum Layer {
    Conv {
        depthwise: bool,
        norm: bool,
        activation: Option<Activation>,
    },
    Norm,
    Activation(Activation),
    Add(usize),
    Gate,
    /// Followed by a convolution to as many channels as before.
    Concat(usize),
    Dropout,
    DropPath,
    GroupNorm,
    Shuffle,
    Attention,
}

#[derive(Clone, Debug)]
struct Problem {
    graph: Graph,
    trained: Vec<bool>,
    outputs: Vec<&'static str>,
    shape: [usize; 3],
    threads: usize,
}

fn layer() -> impl Strategy<Value = Layer> {
    let activation = prop_oneof![
        Just(Activation::Relu6),
        Just(Activation::Silu),
        Just(Activation::PRelu),
        Just(Activation::HardSwish)
    ];
    let pending =
        prop_oneof![Just(None), Just(Some(Activation::Relu)), Just(Some(Activation::Silu))];
    prop_oneof![
        6 => (any::<bool>(), any::<bool>(), pending)
            .prop_map(|(depthwise, norm, activation)| Layer::Conv { depthwise, norm, activation }),
        1 => Just(Layer::Norm),
        1 => activation.prop_map(Layer::Activation),
        4 => (1..6usize).prop_map(Layer::Add),
        1 => Just(Layer::Gate),
        1 => (1..6usize).prop_map(Layer::Concat),
        1 => Just(Layer::Dropout),
        1 => Just(Layer::DropPath),
        1 => Just(Layer::GroupNorm),
        1 => Just(Layer::Shuffle),
        1 => Just(Layer::Attention),
    ]
}

fn push(b: &mut GraphBuilder, i: usize, maps: &[NodeId], layer: Layer) -> NodeId {
    let (name, xs) = (|part: &str| format!("l{i}.{part}"), maps[maps.len() - 1]);
    let behind = |by: usize| maps[maps.len().saturating_sub(1 + by)];
    let one = |b: &mut GraphBuilder, op: Op| b.push(&name("op"), op, &[xs], Bias::Without).unwrap();
    match layer {
        Layer::Conv { depthwise, norm, activation } => {
            let conv = match depthwise {
                true => Conv::depthwise(CHANNELS, 3, 1),
                false => Conv::pointwise(CHANNELS),
            };
            let bias = if norm { Bias::Without } else { Bias::With };
            let mut xs = b.conv(&name("conv"), xs, conv, bias).unwrap();
            if norm {
                xs = b.batch_norm(&name("bn"), xs, 1e-3, 0.1).unwrap();
            }
            activation.map_or(xs, |act| b.activation(&name("act"), xs, act).unwrap())
        }
        Layer::Norm => b.batch_norm(&name("bn"), xs, 1e-3, 0.1).unwrap(),
        Layer::Activation(activation) => b.activation(&name("act"), xs, activation).unwrap(),
        Layer::Add(by) => b.push(&name("add"), Op::Add, &[xs, behind(by)], Bias::Without).unwrap(),
        Layer::Gate => {
            let pooled = b.global_pool(&name("pool"), xs, PoolKind::Avg, false).unwrap();
            let gate =
                b.conv(&name("gate"), pooled, Conv::pointwise(CHANNELS), Bias::With).unwrap();
            let gate = b.activation(&name("act"), gate, Activation::Sigmoid).unwrap();
            b.push(&name("mul"), Op::Mul, &[xs, gate], Bias::Without).unwrap()
        }
        Layer::Concat(by) => {
            let both = [xs, behind(by)];
            let xs = b.push(&name("concat"), Op::Concat, &both, Bias::Without).unwrap();
            b.conv(&name("conv"), xs, Conv::pointwise(CHANNELS), Bias::With).unwrap()
        }
        Layer::Dropout => one(b, Op::Dropout { p: 0.3 }),
        Layer::DropPath => one(b, Op::DropPath { p: 0.3 }),
        Layer::GroupNorm => one(b, Op::GroupNorm { groups: 2, eps: 1e-3 }),
        Layer::Shuffle => one(b, Op::Shuffle { groups: 2 }),
        Layer::Attention => {
            let op = Op::Attention { heads: 2, kv_heads: 2, scale: 0.5 };
            b.push(&name("op"), op, &[xs, xs, behind(1)], Bias::Without).unwrap()
        }
    }
}

fn problem() -> impl Strategy<Value = Problem> {
    let layers = proptest::collection::vec(layer(), 3..24);
    let frozen = prop_oneof![Just(0usize), 0..3usize];
    (layers, frozen, any::<u64>(), 2..4usize, 1..3usize, any::<bool>()).prop_map(
        |(layers, frozen, marks, n, threads, two)| {
            let mut b = GraphBuilder::new(CHANNELS).unwrap();
            let mut maps = vec![b.input()];
            for (i, layer) in layers.into_iter().enumerate() {
                maps.push(push(&mut b, i, &maps, layer));
            }
            let (last, middle) = (maps[maps.len() - 1], maps[1 + (maps.len() - 1) / 2]);
            b.output("y", last).unwrap();
            b.output("middle", middle).unwrap();
            let graph = b.build().unwrap();
            // Of two bits of each parameter, so many must be set for it to be frozen.
            let is_frozen =
                |i: usize| ((marks >> (2 * (i % 32))) & 3) as usize >= [4, 3, 2][frozen];
            let trained = (0..graph.params().len()).map(|i| !is_frozen(i)).collect();
            let outputs = if two { vec!["y", "middle"] } else { vec!["y"] };
            Problem { graph, trained, outputs, shape: [n, 3, 4], threads }
        },
    )
}

fn values<T: Real>(seed: usize, len: usize) -> Vec<T> {
    let value = |i: usize| ((i * i) as f64).mul_add(0.37, i as f64 * 1.7 + seed as f64).sin();
    (0..len).map(|i| T::from_f64(value(i))).collect()
}

fn params<T: Real>(graph: &Graph) -> Vec<Vec<T>> {
    let specs = graph.params().iter().enumerate();
    let of = |(i, spec): (usize, &taper_graph::ParamSpec)| {
        let drawn: Vec<T> = values(i + 1, spec.len());
        match spec.role.is_trained() {
            true => drawn,
            // Variances are positive, and means may be.
            false => drawn.into_iter().map(|v| T::from_f64(v.to_f64().abs() + 0.5)).collect(),
        }
    };
    specs.map(of).collect()
}

/// Outputs, gradients and statistics, one after the other, with the bytes of the arena.
fn step<T: Real, D: Device<T>>(p: &Problem, device: D, recompute: Recompute) -> (Vec<T>, usize) {
    let held = params::<T>(&p.graph);
    let held: Vec<&[T]> = held.iter().map(Vec::as_slice).collect();
    let trainer = Trainer::of_outputs(&p.graph, &p.outputs, &p.trained, device).unwrap();
    let mut trainer = trainer.recomputing(recompute);
    let images = values(0, p.shape.iter().product::<usize>() * CHANNELS);
    let mut all = Vec::new();
    // The second step finds what the first has left.
    for seed in [7, 8] {
        trainer.forward(&held, &images, p.shape, seed).unwrap();
        let outputs = trainer.outputs().to_vec();
        let upstream: Vec<Vec<T>> = outputs.iter().map(|out| values(3, out.len())).collect();
        let upstream: Vec<&[T]> = upstream.iter().map(Vec::as_slice).collect();
        let mut gradients = vec![Vec::new(); held.len()];
        let mut told = Vec::new();
        let observe =
            &mut |_: taper_graph::ParamId, gradient: &[T]| told.extend_from_slice(gradient);
        trainer.backward_all_observed(&held, &upstream, &mut gradients, observe).unwrap();
        let statistics = trainer.running_statistics(&held).into_iter().map(|(_, values)| values);
        all.extend(outputs.into_iter().chain(gradients).chain(statistics).flatten());
        all.append(&mut told);
    }
    (all, trainer.arena_bytes())
}

/// Gradients by part of two parts that share statistics, of another number of pictures each.
fn synced_step<T: Real, D: Device<T>>(p: &Problem, device: D, recompute: Recompute) -> Vec<T> {
    let held = params::<T>(&p.graph);
    let held: Vec<&[T]> = held.iter().map(Vec::as_slice).collect();
    let trainer = Trainer::of_outputs(&p.graph, &p.outputs, &p.trained, device).unwrap();
    let mut trainer = trainer.recomputing(recompute);
    let [n, h, w] = p.shape;
    let images: Vec<Vec<T>> = [n, n + 1].iter().map(|n| values(*n, n * h * w * CHANNELS)).collect();
    let given: Vec<[&[T]; 1]> = images.iter().map(|images| [images.as_slice()]).collect();
    let parts: Vec<BatchPart<'_, T>> = (0..2)
        .map(|i| BatchPart { given: &given[i], shape: [n + i, h, w], seed: i as u64 })
        .collect();
    let mut sum =
        |sums: Vec<Vec<f64>>| Ok(sums[0].iter().zip(&sums[1]).map(|(a, b)| a + b).collect());
    trainer.forward_synced(&held, &parts, &mut sum).unwrap();
    let upstream: Vec<Vec<Vec<T>>> = (0..2)
        .map(|i| trainer.part_outputs(i).iter().map(|out| values(i, out.len())).collect())
        .collect();
    let upstream: Vec<Vec<&[T]>> =
        upstream.iter().map(|of| of.iter().map(Vec::as_slice).collect()).collect();
    let mut all: Vec<T> = trainer.part_outputs(1).concat();
    let mut observe = |_: taper_graph::ParamId, by_part: &[&[T]]| all.extend(by_part.concat());
    trainer.backward_synced(&held, &upstream, &mut sum, &mut observe).unwrap();
    all.extend(trainer.running_statistics(&held).into_iter().flat_map(|(_, values)| values));
    all
}

fn bits<T: Real>(values: &[T]) -> Vec<u64> {
    values.iter().map(|value| value.to_f64().to_bits()).collect()
}

fn check<T: Real, D: Device<T>>(p: &Problem, device: impl Fn() -> D) -> Result<(), TestCaseError> {
    let (kept, again) =
        (step(p, device(), Recompute::Nothing), step(p, device(), Recompute::Segments));
    prop_assert_eq!(bits(&again.0), bits(&kept.0));
    prop_assert!(again.1 <= kept.1, "{} bytes in the place of {}", again.1, kept.1);
    let synced = |recompute| bits(&synced_step(p, device(), recompute));
    prop_assert_eq!(synced(Recompute::Segments), synced(Recompute::Nothing));
    Ok(())
}

proptest! {
    #[test]
    fn what_is_computed_again_has_the_bits_of_what_is_kept(p in problem()) {
        check::<f64, _>(&p, || Reference)?;
        check::<f32, _>(&p, || Cpu::new(p.threads))?;
    }
}
