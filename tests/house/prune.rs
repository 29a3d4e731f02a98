//! Every family of the zoo computes the same with channels cut out as with them silent, and its counts are those of the file.

use safetensors::SafeTensors;
use taper_cost::{macs, params as counted};
use taper_engine::{Reference, Session, Trainer};
use taper_graph::{Graph, Op, ParamRole};
use taper_model::{Model, Precision};
use taper_prune::{Cut, Groups, Protect, Protected, Silence, UnitId, cut, cut_graph, mask};
use taper_tests::close::{Tolerance, assert_close, largest};
use taper_zoo::Options;
use taper_zoo::mobilenet_v2::Scaling;

use crate::executors::{images, model, params, shape};

/// One or two networks of each family: of MobileNetV4 one with attention, of LeNet-5 the only one without norms, flattened.
const NETWORKS: [&str; 19] = [
    "mobilenetv1_100",
    "mobilenetv2_100",
    "mobilenetv3_large_100",
    "mobilenetv3_small_050",
    "mobilenetv4_conv_small",
    "mobilenetv4_hybrid_medium",
    "efficientnet_b0",
    "efficientnet_lite0",
    "efficientnet_es",
    "tf_efficientnetv2_s",
    "mnasnet_100",
    "lcnet_050",
    "mobileone_s0",
    "mobileone_s4",
    "repvit_m1",
    "resnet18",
    "resnet50",
    "vgg11",
    "lenet5",
];

/// Numbers of a seed below `n`.
fn draw(seed: &mut u64, n: usize) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*seed >> 33).unwrap() % n
}

/// About a quarter of the units that may go.
fn some(groups: &Groups, seed: &mut u64) -> Cut {
    let mut units: Vec<UnitId> = Vec::new();
    for group in groups.groups().iter().filter(|group| group.protected.is_none()) {
        let stays = draw(seed, group.n_units());
        let others = group.unit_ids().enumerate().filter(|(k, _)| *k != stays);
        units.extend(others.map(|(_, unit)| unit).filter(|_| draw(seed, 4) == 0));
    }
    Cut::of(groups, units).unwrap()
}

fn in_f64(model: &Model, images: &[f32], shape: [usize; 3]) -> Vec<f64> {
    let wide = |xs: &[f32]| xs.iter().copied().map(f64::from).collect::<Vec<_>>();
    let tensors: Vec<Vec<f64>> = params(model).into_iter().map(wide).collect();
    let tensors: Vec<&[f64]> = tensors.iter().map(Vec::as_slice).collect();
    let nothing = vec![false; tensors.len()];
    let mut trainer = Trainer::new(model.graph(), "logits", &nothing, Reference).unwrap();
    trainer.forward(&tensors, &wide(images), shape, 0).unwrap().to_vec()
}

fn in_f32(model: &Model, images: &[f32], shape: [usize; 3]) -> Vec<f64> {
    let logits = model.graph().output("logits").unwrap();
    let size = [shape[1], shape[2]];
    let weights = params(model);
    let mut session = Session::of_nodes(model.graph(), &weights, &[logits], size, 1).unwrap();
    let all = session.run_all(images, shape).unwrap();
    all[0].iter().copied().map(f64::from).collect()
}

/// Whether channels are silent once what makes them is: not where heads share their values.
fn makers_pass(graph: &Graph) -> bool {
    !graph.nodes().iter().any(|node| matches!(node.op(), Op::Attention { kv_heads: 1, .. }))
}

#[test]
fn silent_channels_are_as_good_as_none_in_every_family() {
    let known: Vec<&str> = taper_zoo::architectures().map(|it| it.name).collect();
    for family in taper_zoo::families() {
        let listed = family.architectures.iter().any(|it| NETWORKS.contains(&it.name));
        assert!(listed, "no network of {}", family.name);
    }
    for name in NETWORKS {
        assert!(known.contains(&name), "{name} is none of {known:?}");
        // Narrow, on small images: scalar double precision is slow.
        let shape = if name == "lenet5" { shape(name) } else { [2, 40, 32] };
        let options = Options { scaling: Scaling::width(0.125), ..Options::classes(10) };
        let graph = taper_zoo::architecture(name).and_then(|it| it.graph_with(&options));
        let model = model(graph.unwrap(), shape);
        compare(name, &model, shape);
    }
}

fn compare(name: &str, model: &Model, shape: [usize; 3]) {
    let groups = Groups::of(model.graph(), &Protect::default()).unwrap();
    let units = some(&groups, &mut 5);
    let smaller = cut(model, &groups, &units).unwrap();
    assert_counts(name, &smaller);
    let images = images(model.graph().input_channels(), shape);
    let [expected, in_session] = [in_f64, in_f32].map(|run| run(&smaller, &images, shape));
    let size = largest(&expected);
    let within = |share: f64| Tolerance { rtol: 0.0, atol: share * size };
    let mut ways = vec![Silence::MakersAndReaders];
    ways.extend(makers_pass(model.graph()).then_some(Silence::Makers));
    for way in ways {
        let silent = mask(model, &groups, &units, way).unwrap();
        let what = format!("{name}, {way:?}");
        assert_close(&what, &in_f64(&silent, &images, shape), &expected, within(1e-9));
        assert_close(&what, &in_f32(&silent, &images, shape), &in_session, within(1e-4));
    }
    // A network that lost what counts would agree too.
    let before = in_f64(model, &images, shape);
    let moved: Vec<f64> = before.iter().zip(&expected).map(|(a, b)| a - b).collect();
    assert!(largest(&moved) > 1e-3 * largest(&before), "{name}: nothing was lost");
}

/// Parameters are those that `cost` counts, and those of the file.
fn assert_counts(name: &str, model: &Model) {
    let file = model.to_bytes(Precision::F32).unwrap();
    assert_eq!(&Model::from_bytes(&file).unwrap(), model, "{name}");
    let file = SafeTensors::deserialize(&file).unwrap();
    let trained = model.graph().params().iter().filter(|spec| spec.role.is_trained());
    let lens =
        trained.map(|spec| file.tensor(&spec.name).unwrap().shape().iter().product::<usize>());
    assert_eq!(lens.sum::<usize>() as u64, counted(model.graph()).0, "{name}");
    let buffers = model.graph().params().iter().filter(|spec| spec.role == ParamRole::RunningMean);
    assert!(buffers.count() > 0 || ["lenet5", "vgg11"].contains(&name), "{name} has norms");
}

#[test]
fn every_network_loses_half_of_its_operations_without_a_special_case() {
    for architecture in taper_zoo::architectures() {
        let (name, side) = (architecture.name, architecture.input_size);
        let graph = architecture.graph(10).unwrap();
        let groups = Groups::of(&graph, &Protect::default()).unwrap();
        for group in groups.groups() {
            match &group.protected {
                None | Some(Protected::Image | Protected::Output(_)) => {}
                Some(Protected::SharedKeys { .. }) => assert!(name.contains("hybrid"), "{name}"),
                Some(reason) => {
                    // RegNet-like networks are not in the zoo: no convolution in groups, no norm over channels.
                    assert_eq!(reason, &Protected::Indivisible, "{name}: {}", groups.label(group));
                }
            }
        }
        let prunable = groups.groups().iter().filter(|group| group.protected.is_none());
        let all_but_one = prunable.flat_map(|group| group.unit_ids().skip(1));
        let least = Cut::of(&groups, all_but_one).unwrap();
        let least = cut_graph(&graph, &groups, &least).unwrap();
        let [before, after] = [&graph, &least].map(|graph| macs(graph, side, side).unwrap().0);
        assert!(after * 5 < before, "{name}: {after} of {before} at least");
    }
}
