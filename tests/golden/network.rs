//! One training step through candle against PyTorch's: `value_and_grad`, and `loss.backward()` on the network as one op.
//!
//! Above: `main`. Below: `layers::Network`, `layers::loss`. Not here: the executor itself, in f64 too (`step`).

use candle_core::backprop::GradStore;
use candle_core::{Device, Module, Tensor};
use taper_layers::{Network, loss};
use taper_tests::close::{Tolerance, assert_close, assert_norm_close, norm};

use crate::networks::{Problem, full, short};

const LOSS: Tolerance = Tolerance { rtol: 1e-4, atol: 0.0 };
/// Of a gradient's own norm, and of the largest gradient's.
const GRADS: (f64, f64) = (1e-3, 1e-6);

#[test]
fn value_and_grad_agrees() {
    for problem in [short("f32"), full("f32")] {
        let network = Network::new(&problem.model(), &Device::Cpu).unwrap();
        let (xs, targets) = batch(&problem);
        let value = network
            .value_and_grad(&xs, 0, |logits| loss::cross_entropy(logits, &targets, 0.0))
            .unwrap();
        check(&problem, &network, &value.loss, &value.grads);
        check_statistics(&problem, &network);
    }
}

#[test]
fn backward_through_one_op_agrees() {
    for problem in [short("f32"), full("f32")] {
        let network = Network::new(&problem.model(), &Device::Cpu).unwrap();
        let (xs, targets) = batch(&problem);
        let logits = network.training(0).forward(&xs).unwrap();
        let loss = loss::cross_entropy(&logits, &targets, 0.0).unwrap();
        check(&problem, &network, &loss, &loss.backward().unwrap());
    }
}

/// Images `(n, 3, h, w)` as a view of channels-last memory, and targets.
fn batch(problem: &Problem) -> (Tensor, Tensor) {
    let (xs, [n, h, w]) = problem.inputs::<f32>();
    let xs = Tensor::from_vec(xs, (n, h, w, 3), &Device::Cpu).unwrap();
    let targets = problem.fixture.get("targets").to_f32();
    let targets = Tensor::from_vec(targets, n, &Device::Cpu).unwrap();
    (xs.permute((0, 3, 1, 2)).unwrap(), targets.to_dtype(candle_core::DType::U32).unwrap())
}

fn check(problem: &Problem, network: &Network, loss: &Tensor, grads: &GradStore) {
    let golden = &problem.fixture.get("loss").data;
    assert_close("loss", &values(loss), golden, LOSS);
    let norms = problem.fixture.below("grads/").map(|(_, grad)| norm(&grad.data));
    let largest = norms.fold(0.0, f64::max);
    let tolerance = Tolerance { rtol: GRADS.0, atol: GRADS.1 * largest };
    let trainable = network.trainable();
    assert_eq!(trainable.len(), problem.fixture.below("grads/").count());
    for (name, var) in trainable {
        let grad = grads.get(&var).unwrap();
        let golden = problem.fixture.get(&format!("grads/{name}"));
        assert_norm_close(&name, &values(grad), &golden.data, tolerance);
    }
}

fn check_statistics(problem: &Problem, network: &Network) {
    for (name, golden) in problem.fixture.below("updated/") {
        let param = network.params().iter().find(|param| param.name == name).unwrap();
        let tolerance = Tolerance { rtol: 1e-4, atol: 1e-5 };
        assert_close(name, &values(&param.var), &golden.data, tolerance);
    }
}

fn values(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    flat.into_iter().map(f64::from).collect()
}
