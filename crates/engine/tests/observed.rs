//! Gradients are told once, in a fixed order, when they are final; parameters that two units have get the sum.
#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

use taper_engine::{Cpu, Device, Real, Reference, Trainer};
use taper_graph::{Activation, Bias, Conv, Graph, GraphBuilder, ParamRole, PoolKind};

/// Is told parameters and their gradients.
type Observe<'a, T> = &'a mut dyn FnMut(usize, &[T]);

fn values(seed: u64, len: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(((state >> 11) as f64 / (1u64 << 52) as f64 - 1.0) as f32)
    };
    (0..len).map(|_| next()).collect()
}

fn parameters(graph: &Graph) -> Vec<Vec<f64>> {
    let specs = graph.params().iter().enumerate();
    let one = |(i, spec): (usize, &taper_graph::ParamSpec)| {
        let (center, spread) = match spec.role {
            ParamRole::NormScale | ParamRole::RunningVar => (1.0, 0.25),
            ParamRole::BatchesTracked => (3.0, 0.0),
            _ => (0.0, 0.4),
        };
        values(i as u64 + 1, spec.len()).into_iter().map(|v| center + spread * v).collect()
    };
    specs.map(one).collect()
}

fn narrow<T: Real>(values: &[f64]) -> Vec<T> {
    values.iter().map(|&v| T::from_f64(v)).collect()
}

fn bits<T: Real>(values: &[T]) -> Vec<u64> {
    values.iter().map(|v| v.to_f64().to_bits()).collect()
}

/// Runs a step twice, observed and not, and holds what was told to what came out in the end.
fn check<T: Real, D: Device<T>>(
    graph: &Graph,
    outputs: &[&str],
    trained: &[bool],
    shape: [usize; 3],
    device: D,
) {
    let params: Vec<Vec<T>> = parameters(graph).iter().map(|values| narrow(values)).collect();
    let params: Vec<&[T]> = params.iter().map(Vec::as_slice).collect();
    let len = shape.iter().product::<usize>() * graph.input_channels();
    let xs: Vec<T> = narrow(&values(99, len));
    let mut trainer = Trainer::of_outputs(graph, outputs, trained, device).unwrap();
    let mut step = |observe: Option<Observe<'_, T>>| {
        trainer.forward(&params, &xs, shape, 5).unwrap();
        let seeds = trainer.outputs().iter().zip(1..);
        let seeds: Vec<Vec<T>> =
            seeds.map(|(output, seed)| narrow(&values(seed, output.len()))).collect();
        let seeds: Vec<&[T]> = seeds.iter().map(Vec::as_slice).collect();
        let mut gradients = vec![Vec::new(); params.len()];
        match observe {
            Some(observe) => {
                let observe = &mut |id: taper_graph::ParamId, gradient: &[T]| {
                    observe(id.index(), gradient);
                };
                trainer.backward_all_observed(&params, &seeds, &mut gradients, observe).unwrap();
            }
            None => trainer.backward_all(&params, &seeds, &mut gradients).unwrap(),
        }
        gradients
    };
    let plain = step(None);
    let mut told: Vec<(usize, Vec<u64>)> = Vec::new();
    let observed = step(Some(&mut |id, gradient| told.push((id, bits(gradient)))));
    for (spec, (plain, observed)) in graph.params().iter().zip(plain.iter().zip(&observed)) {
        assert_eq!(bits(plain), bits(observed), "{}", spec.name);
    }
    for (id, gradient) in &told {
        let name = &graph.params()[*id].name;
        assert!(*gradient == bits(&observed[*id]), "{name} was told before it was final");
    }
    let mut ids: Vec<usize> = told.iter().map(|(id, _)| *id).collect();
    let order: Vec<usize> = trainer.gradient_order().iter().map(|id| id.index()).collect();
    assert_eq!(ids, order);
    ids.sort_unstable();
    let trained = trainer.trained().iter().enumerate();
    let trained: Vec<usize> = trained.filter(|(_, is)| **is).map(|(id, _)| id).collect();
    assert_eq!(ids, trained, "every trained parameter once");
}

/// A norm between two convolutions, a branch, two heads, and a third output that not all of it reaches.
fn branched() -> Graph {
    let mut b = GraphBuilder::new(2).unwrap();
    let stem = b.conv("stem", b.input(), Conv::dense(4, 3, 1), Bias::With).unwrap();
    let wide = b.conv("wide", stem, Conv::dense(4, 3, 1), Bias::Without).unwrap();
    let wide = b.batch_norm("bn", wide, 1e-5, 0.1).unwrap();
    let wide = b.activation("act", wide, Activation::HardSwish).unwrap();
    let sum = b.add("sum", wide, stem).unwrap();
    let lone = b.batch_norm("lone", sum, 1e-5, 0.1).unwrap();
    let sum = b.add("both", lone, sum).unwrap();
    let mask = b.conv("mask", sum, Conv::pointwise(2), Bias::With).unwrap();
    b.output("mask", mask).unwrap();
    let xs = b.global_pool("pool", sum, PoolKind::Avg, true).unwrap();
    let xs = b.dropout("drop", xs, 0.3).unwrap();
    let score = b.linear("score", xs, 3, Bias::With).unwrap();
    b.output("score", score).unwrap();
    b.output("stem", stem).unwrap();
    b.build().unwrap()
}

/// Two convolutions of one weight, one before and one behind another layer, as a description may have them.
fn shared() -> Graph {
    let mut b = GraphBuilder::new(3).unwrap();
    let mut xs = b.input();
    for name in ["first", "between", "second"] {
        xs = b.conv(name, xs, Conv::pointwise(3), Bias::With).unwrap();
        xs = b.activation(&format!("{name}.act"), xs, Activation::Silu).unwrap();
    }
    let xs = b.global_pool("pool", xs, PoolKind::Avg, true).unwrap();
    b.output("logits", xs).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&b.build().unwrap().to_json()).unwrap();
    let nodes = json["nodes"].as_array_mut().unwrap();
    let of = |nodes: &[serde_json::Value], name: &str| {
        nodes.iter().position(|node| node["name"] == name).unwrap()
    };
    let (first, second) = (of(nodes, "first"), of(nodes, "second"));
    nodes[second]["params"] = nodes[first]["params"].clone();
    json["params"].as_array_mut().unwrap().truncate(4);
    Graph::from_json(&json.to_string()).unwrap()
}

#[test]
fn gradients_are_told_once_when_they_are_final() {
    let graph = branched();
    let all = vec![true; graph.params().len()];
    for outputs in [&["mask", "score", "stem"][..], &["score"], &["stem"], &["stem", "stem"]] {
        check::<f64, _>(&graph, outputs, &all, [3, 5, 6], Reference);
        check::<f32, _>(&graph, outputs, &all, [3, 5, 6], Cpu::new(2));
        // A batch of none has zeros, unless a norm asks for statistics of it.
        let norms = |name: &str| !(name.starts_with("bn") || name.starts_with("lone"));
        let some: Vec<bool> = graph.params().iter().map(|spec| norms(&spec.name)).collect();
        check::<f32, _>(&graph, outputs, &some, [0, 5, 6], Cpu::new(1));
        check::<f64, _>(&graph, outputs, &some, [2, 5, 6], Reference);
    }
}

#[test]
fn families_tell_every_gradient_once() {
    for name in
        ["mobilenetv2_035", "mobilenetv3_small_050", "mobileone_s0", "mobilenetv4_conv_small_035"]
    {
        let graph = taper_zoo::architecture(name).unwrap().graph(5).unwrap();
        let all = vec![true; graph.params().len()];
        check::<f32, _>(&graph, &["logits"], &all, [2, 64, 64], Cpu::new(2));
        let head: Vec<bool> =
            graph.params().iter().map(|spec| spec.name.contains("classifier")).collect();
        check::<f32, _>(&graph, &["logits"], &head, [2, 32, 32], Cpu::new(1));
    }
}

#[test]
fn a_parameter_of_two_layers_gets_the_sum_of_their_gradients_and_is_told_once() {
    let graph = shared();
    let all = vec![true; graph.params().len()];
    assert_eq!(graph.params().len(), 4);
    check::<f64, _>(&graph, &["logits"], &all, [2, 4, 5], Reference);
    check::<f32, _>(&graph, &["logits"], &all, [2, 4, 5], Cpu::new(2));

    let (params, xs) = (parameters(&graph), values(99, 2 * 4 * 5 * 3));
    let objective = |params: &[Vec<f64>]| {
        let params: Vec<&[f64]> = params.iter().map(Vec::as_slice).collect();
        let mut trainer = Trainer::new(&graph, "logits", &all, Reference).unwrap();
        let logits = trainer.forward(&params, &xs, [2, 4, 5], 0).unwrap();
        logits.iter().zip(values(77, 6)).map(|(y, weight)| y * weight).sum::<f64>()
    };
    let mut gradients = vec![Vec::new(); params.len()];
    let held: Vec<&[f64]> = params.iter().map(Vec::as_slice).collect();
    let mut trainer = Trainer::new(&graph, "logits", &all, Reference).unwrap();
    trainer.forward(&held, &xs, [2, 4, 5], 0).unwrap();
    trainer.backward(&held, &values(77, 6), &mut gradients).unwrap();
    for (id, spec) in graph.params().iter().enumerate() {
        for i in 0..spec.len() {
            let at = |delta: f64| {
                let mut moved = params.clone();
                moved[id][i] += delta;
                objective(&moved)
            };
            let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
            let gradient = gradients[id][i];
            assert!(
                (gradient - difference).abs() < 1e-7,
                "{}[{i}]: {gradient}, {difference}",
                spec.name
            );
        }
    }
}
