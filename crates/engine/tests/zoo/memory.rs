//! What `cost` says of memory and work is what sessions and trainers really allocate and count.

use taper_cost::{Bytes, Macs, inference_memory, training_memory, training_memory_of};
use taper_engine::{Cpu, Recompute, Session, SessionOptions, Trainer};
use taper_graph::Graph;
use taper_model::{Model, Preprocess, Provenance, Tensor};
use taper_plan::inference::ExecutionOrder;
use taper_plan::{InferencePlan, TrainingPlan};

/// The smallest network of each family, and those that have something of their own: gates, attention, parallel ways.
const NETWORKS: [&str; 12] = [
    "mobilenetv1_100",
    "mobilenetv2_035",
    "mobilenetv3_small_050",
    "mobilenetv4_conv_small_035",
    "mobilenetv4_hybrid_medium",
    "efficientnet_b0",
    "efficientnet_lite0",
    "mnasnet_050",
    "lcnet_035",
    "mobileone_s0",
    "repvit_m0_9",
    "resnet18",
];

fn zeros(graph: Graph, size: [usize; 2]) -> Model {
    let tensor = |spec: &taper_graph::ParamSpec| Tensor {
        shape: spec.shape.clone(),
        data: vec![0.0; spec.len()],
    };
    let tensors = graph.params().iter().map(tensor).collect();
    let preprocess = Preprocess { input_size: size, ..Preprocess::imagenet() };
    Model::new(graph, tensors, preprocess, Vec::new(), Provenance::default()).unwrap()
}

fn arena(bytes: usize) -> Bytes {
    Bytes(bytes as u64)
}

/// Numbers of the largest networks that are laid out here, so that the test is quick.
const LARGEST: u64 = 30_000_000;

#[test]
fn every_session_allocates_what_cost_says() {
    let (threads, mut with_bands) = (2, 0);
    for architecture in taper_zoo::architectures().filter(|it| it.params < LARGEST) {
        let (name, [h, w]) = (architecture.name, [architecture.input_size; 2]);
        let model = zeros(architecture.graph(10).unwrap(), [h, w]);
        let options = SessionOptions { threads, ..SessionOptions::default() };
        let mut session = Session::new(&model, &options).unwrap();
        // A batch of no images lays the arena out and runs nothing.
        session.run(&[], [0, h, w]).unwrap();
        let memory = inference_memory(model.graph(), &["logits"], [0, h, w], threads).unwrap();
        assert_eq!(memory.arena, arena(session.arena_bytes()), "{name}");
        // Real batches, of smaller images so that they are quick: one for all threads, and an arena a thread.
        let side = h.min(64);
        for batch in [1, 8] {
            let images = vec![0.0; batch * side * side * model.graph().input_channels()];
            let mut session = Session::new(&model, &options).unwrap();
            session.run(&images, [batch, side, side]).unwrap();
            let shape = [batch, side, side];
            let memory = inference_memory(model.graph(), &["logits"], shape, threads).unwrap();
            assert_eq!(memory.arena, arena(session.arena_bytes()), "{name}, batch {batch}");
        }
        // As many bytes as the tensors of the model file.
        let held: usize = model.tensors().iter().map(|tensor| tensor.data.len() * 4).sum();
        assert_eq!(memory.params, arena(held), "{name}");
        let logits = model.graph().output("logits").unwrap();
        let plan = InferencePlan::new(model.graph(), &[logits], [h, w]).unwrap();
        let memory = plan.memory(model.graph(), [h, w], ExecutionOrder::Bands { threads }).unwrap();
        with_bands += usize::from(memory.scratch > 0);
    }
    assert!(with_bands > 10, "{with_bands} networks with bands");
}

#[test]
fn sessions_and_trainers_that_ran_a_batch_allocated_what_cost_says() {
    let [n, h, w] = [5, 64, 96];
    for name in NETWORKS {
        let model = zeros(taper_zoo::create(name, 10).unwrap(), [h, w]);
        let graph = model.graph();
        let images = vec![0.5; n * h * w * 3];
        for threads in [1, 2, 3] {
            let options = SessionOptions { threads, ..SessionOptions::default() };
            let mut session = Session::new(&model, &options).unwrap();
            session.run(&images, [n, h, w]).unwrap();
            let memory = inference_memory(graph, &["logits"], [n, h, w], threads).unwrap();
            assert_eq!(memory.arena, arena(session.arena_bytes()), "{name}, {threads} threads");
        }
        let params: Vec<&[f32]> = model.tensors().iter().map(|t| t.data.as_slice()).collect();
        let half = (0..params.len()).map(|i| i > params.len() / 2).collect();
        for trained in [vec![true; params.len()], half] {
            let mut trainer = Trainer::new(graph, "logits", &trained, Cpu::new(2)).unwrap();
            trainer.forward(&params, &images[..2 * h * w * 3], [2, h, w], 0).unwrap();
            let memory = training_memory(graph, &["logits"], &trained, [2, h, w], 1).unwrap();
            assert_eq!(memory.arena, arena(trainer.arena_bytes()), "{name}");
        }
    }
}

/// Bytes of the arena with the gradients, statistics and outputs of a step on random weights.
fn step(model: &Model, trained: &[bool], recompute: Recompute) -> (usize, Vec<Vec<f32>>) {
    let [h, w] = model.preprocess().input_size;
    let params: Vec<&[f32]> = model.tensors().iter().map(|t| t.data.as_slice()).collect();
    let images: Vec<f32> = (0..2 * h * w * 3).map(|i| (i as f32 * 0.37).sin()).collect();
    let trainer = Trainer::new(model.graph(), "logits", trained, Cpu::new(2)).unwrap();
    let mut trainer = trainer.recomputing(recompute);
    let mut gradients = vec![Vec::new(); params.len()];
    let logits = trainer.forward(&params, &images, [2, h, w], 3).unwrap().to_vec();
    trainer.backward(&params, &[0.1; 20], &mut gradients).unwrap();
    let statistics = trainer.running_statistics(&params).into_iter().map(|(_, values)| values);
    gradients.extend(statistics.chain([logits]));
    (trainer.arena_bytes(), gradients)
}

#[test]
fn trainers_that_compute_again_have_the_same_bits_in_the_memory_that_cost_says() {
    let size @ [h, w] = [64, 96];
    for name in NETWORKS {
        let preprocess = Preprocess { input_size: size, ..Preprocess::imagenet() };
        let graph = taper_zoo::create(name, 10).unwrap();
        let classes = (0..10).map(|i| i.to_string()).collect();
        let model = Model::random(graph, 1, preprocess, classes).unwrap();
        let (graph, all) = (model.graph(), model.graph().params().len());
        let half = (0..all).map(|i| i > all / 2).collect();
        for trained in [vec![true; all], half] {
            let kept = step(&model, &trained, Recompute::Nothing);
            let again = step(&model, &trained, Recompute::Segments);
            assert!(again.1 == kept.1, "{name}: other bits");
            let plan = TrainingPlan::new(graph, &["logits"], &trained).unwrap();
            let of = |recompute| {
                let plan = plan.clone().recomputing(recompute);
                training_memory_of(graph, &plan, [2, h, w], 1).unwrap()
            };
            let (kept_cost, cost) = (of(Recompute::Nothing), of(Recompute::Segments));
            assert_eq!((kept_cost.arena, kept_cost.recomputed), (arena(kept.0), Macs(0)), "{name}");
            assert_eq!(cost.arena, arena(again.0), "{name}");
            let forward = Macs(2 * taper_cost::macs(graph, h, w).unwrap().0);
            let is_smaller = again.0 < kept.0;
            assert_eq!(cost.recomputed > Macs(0), is_smaller, "{name}");
            assert!(cost.recomputed < forward, "{name}");
            if trained[0] {
                assert!(10 * again.0 < 9 * kept.0, "{name}: {} of {} bytes", again.0, kept.0);
            }
        }
    }
}

#[test]
fn units_of_a_profile_multiply_what_cost_counts() {
    let [n, h, w] = [2, 64, 96];
    for name in NETWORKS {
        let model = zeros(taper_zoo::create(name, 10).unwrap(), [h, w]);
        let options = SessionOptions { threads: 1, ..SessionOptions::default() };
        let mut session = Session::new(&model, &options).unwrap();
        let units = session.profile(&vec![0.5; n * h * w * 3], [n, h, w], 1).unwrap();
        let Macs(macs) = taper_cost::macs(model.graph(), h, w).unwrap();
        assert_eq!(units.iter().map(|unit| unit.macs).sum::<u64>(), n as u64 * macs, "{name}");
    }
}
