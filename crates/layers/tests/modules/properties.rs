//! Names and shapes, the two orders, both modes, gradients by differences, seeds and files.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{VarBuilder, VarMap};
use taper_layers::init::{Initializer, tensor, var_builder};

use super::cases::{CASES, Case};

/// Step of a central difference.
const STEP: f64 = 1e-5;

/// Largest difference to a central difference, relative to the largest gradient, or to one.
const DIFFERENCES: f64 = 1e-6;

fn random(shape: &[usize], name: &str) -> Tensor {
    let uniform = Initializer::uniform(-1.0, 1.0).unwrap();
    tensor(&uniform, shape, 11, name).unwrap().to_dtype(DType::F64).unwrap()
}

fn seeded(vars: &VarMap, seed: u64) -> VarBuilder<'static> {
    var_builder(vars, seed, DType::F64, &Device::Cpu)
}

/// The case's variables, all of them away from their initial zeros and ones.
fn stirred(case: &Case) -> VarMap {
    let vars = VarMap::new();
    (case.build)(seeded(&vars, 3)).unwrap();
    for (name, var) in vars.data().lock().unwrap().iter() {
        if var.dtype() == DType::F64 {
            let noise = (random(var.dims(), name) * 0.3).unwrap();
            let noise = if name.ends_with("var") { noise.abs().unwrap() } else { noise };
            var.set(&(var.as_tensor() + noise).unwrap()).unwrap();
        }
    }
    vars
}

/// The output of a layer that is built again from its variables, so that masks are drawn again and statistics begin as they were.
fn output(case: &Case, vars: &VarMap, xs: &Tensor, train: bool) -> Tensor {
    (case.build)(seeded(vars, 3)).unwrap().forward_t(xs, train).unwrap()
}

fn values(xs: &Tensor) -> Vec<f64> {
    xs.flatten_all().unwrap().to_vec1().unwrap()
}

fn loss(ys: &Tensor) -> Tensor {
    (ys * random(ys.dims(), "loss")).unwrap().sum_all().unwrap()
}

#[test]
fn shapes_and_names_are_pytorchs() {
    for case in CASES {
        let vars = stirred(case);
        let data = vars.data().lock().unwrap();
        let mut parameters: Vec<_> =
            data.iter().map(|(name, var)| (name.as_str(), var.dims())).collect();
        parameters.sort_unstable();
        assert_eq!(parameters, case.parameters, "{}", case.name);
        drop(data);
        let xs = random(case.shapes[0], "xs");
        for train in [true, false] {
            let ys = output(case, &vars, &xs, train);
            assert_eq!(ys.dims(), case.shapes[1], "{}", case.name);
        }
    }
}

#[test]
fn channels_first_is_channels_last_turned() {
    let turned = |xs: &Tensor| match xs.rank() {
        4 => xs.permute((0, 2, 3, 1)).unwrap(),
        3 => xs.transpose(1, 2).unwrap(),
        _ => xs.clone(),
    };
    for case in CASES {
        let vars = stirred(case);
        let xs = random(case.shapes[0], "xs");
        for train in [true, false] {
            let first = output(case, &vars, &xs, train);
            let last = (case.build)(seeded(&vars, 3)).unwrap();
            let last = last.forward_nhwc(&turned(&xs), train).unwrap();
            assert_eq!(values(&turned(&first)), values(&last), "{}", case.name);
        }
    }
}

#[test]
fn modes_differ_where_they_should() {
    for case in CASES {
        let vars = stirred(case);
        let xs = random(case.shapes[0], "xs");
        let [evaluated, trained, again] =
            [false, true, false].map(|train| values(&output(case, &vars, &xs, train)));
        assert_eq!(evaluated != trained, case.has_modes, "{}", case.name);
        // Training moved the running statistics, if there are any, and nothing else of what evaluation sees.
        let has_statistics = case.parameters.iter().any(|(name, _)| name.ends_with("running_mean"));
        assert_eq!(evaluated != again, case.has_modes && has_statistics, "{}", case.name);
    }
}

#[test]
fn gradients_are_differences_for_the_input_and_every_variable() {
    for case in CASES {
        for train in [true, false] {
            let vars = stirred(case);
            let xs = Var::from_tensor(&random(case.shapes[0], "xs")).unwrap();
            let start = snapshot(&vars);
            let grads = loss(&output(case, &vars, &xs, train)).backward().unwrap();
            let mut asked = vec![("xs".to_owned(), xs.clone())];
            asked.extend(vars.data().lock().unwrap().iter().map(|(k, v)| (k.clone(), v.clone())));
            for (name, var) in asked {
                let what = format!("{}, train {train}: {name}", case.name);
                if is_buffer(&name) {
                    assert!(grads.get(&var).is_none(), "{what} has a gradient");
                    continue;
                }
                let grad = values(grads.get(&var).unwrap_or_else(|| panic!("{what} has none")));
                let bound = DIFFERENCES * grad.iter().fold(1.0, |max: f64, v| v.abs().max(max));
                for at in probes(grad.len()) {
                    let expected = difference(case, &vars, &xs, (&var, at), train, &start);
                    let got = grad[at];
                    assert!((got - expected).abs() <= bound, "{what}[{at}]: {got}, {expected}");
                }
            }
        }
    }
}

fn is_buffer(name: &str) -> bool {
    ["running_mean", "running_var", "num_batches_tracked"].iter().any(|end| name.ends_with(end))
}

/// Some coordinates, the first and the last among them.
fn probes(len: usize) -> impl Iterator<Item = usize> {
    let some = len.min(7);
    (0..some).map(move |i| i * (len - 1) / some.max(2).saturating_sub(1))
}

type Snapshot = Vec<(Var, Tensor)>;

/// Copies of all buffers, which a pass in training moves.
fn snapshot(vars: &VarMap) -> Snapshot {
    let data = vars.data().lock().unwrap();
    let buffers = data.iter().filter(|(name, _)| is_buffer(name));
    buffers.map(|(_, var)| (var.clone(), var.copy().unwrap().detach())).collect()
}

/// The central difference of the loss by one coordinate.
fn difference(
    case: &Case,
    vars: &VarMap,
    xs: &Var,
    (var, at): (&Var, usize),
    train: bool,
    start: &Snapshot,
) -> f64 {
    let before = values(var);
    let moved = |step: f64| {
        let mut values = before.clone();
        values[at] += step;
        var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
        for (buffer, value) in start {
            buffer.set(value).unwrap();
        }
        loss(&output(case, vars, xs, train)).to_scalar::<f64>().unwrap()
    };
    let difference = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
    moved(0.0);
    difference
}

#[test]
fn a_seed_gives_the_bits_of_every_parameter() {
    let bits = |case: &Case, seed: u64| {
        let vars = VarMap::new();
        (case.build)(seeded(&vars, seed)).unwrap();
        let data = vars.data().lock().unwrap();
        let mut all: Vec<_> = data
            .iter()
            .filter(|(_, var)| var.dtype() == DType::F64)
            .map(|(name, var)| (name.clone(), values(var)))
            .collect();
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        all
    };
    for case in CASES {
        assert_eq!(bits(case, 1), bits(case, 1), "{}", case.name);
        let is_drawn = case.parameters.iter().any(|(_, shape)| shape.len() > 1);
        assert_eq!(bits(case, 1) != bits(case, 2), is_drawn, "{}", case.name);
    }
}

#[test]
fn new_weights_and_biases_lie_within_pytorchs_bound_and_fill_it() {
    use taper_layers::{Conv2d, ConvConfig, Window};
    let vars = VarMap::new();
    Conv2d::new(ConvConfig::new(16, 256, Window::square(3, 1)), seeded(&vars, 0)).unwrap();
    let bound = 1.0 / (16.0f64 * 9.0).sqrt();
    for name in ["weight", "bias"] {
        let values = values(&vars.data().lock().unwrap()[name]);
        let largest = values.iter().fold(0.0, |max: f64, v| v.abs().max(max));
        // The f32 that the numbers are drawn in rounds the bound itself.
        assert!(largest <= bound * (1.0 + 1e-6) && largest > 0.97 * bound, "{name}: {largest}");
    }
}

#[test]
fn weights_from_a_file_evaluate_as_those_they_were_saved_from() {
    for case in CASES {
        let vars = stirred(case);
        let xs = random(case.shapes[0], "xs");
        let data = vars.data().lock().unwrap();
        let tensors: HashMap<_, _> =
            data.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect();
        drop(data);
        let file = VarBuilder::from_tensors(tensors, DType::F64, &Device::Cpu);
        let loaded = (case.build)(file).unwrap().forward_t(&xs, false).unwrap();
        assert_eq!(values(&loaded), values(&output(case, &vars, &xs, false)), "{}", case.name);
    }
}

#[test]
fn a_batch_may_be_empty() {
    for case in CASES {
        let vars = stirred(case);
        let xs = random(case.shapes[0], "xs").narrow(0, 0, 0).unwrap();
        for train in [true, false] {
            let ys = output(case, &vars, &xs, train);
            assert_eq!((ys.dims()[0], &ys.dims()[1..]), (0, &case.shapes[1][1..]), "{}", case.name);
        }
    }
}
