//! Masks: how many, which, and what they do to gradients.

use candle_core::{DType, Device, ModuleT, Tensor, Var};

use super::*;

fn ones(shape: &[usize]) -> Tensor {
    Tensor::ones(shape, DType::F64, &Device::Cpu).unwrap()
}

fn values(xs: &Tensor) -> Vec<f64> {
    xs.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn the_expectation_of_dropout_is_its_input() {
    let (p, len) = (0.3, 40_000);
    let ys = Dropout::new(p, 1).unwrap().forward_t(&ones(&[len]), true).unwrap();
    let mean = values(&ys).iter().sum::<f64>() / len as f64;
    // Five standard deviations of a mean of `len` draws with variance p/(1 − p).
    let bound = 5.0 * (p / (1.0 - p) / len as f64).sqrt();
    assert!((mean - 1.0).abs() < bound, "{mean}");
}

#[test]
fn every_pass_has_its_own_mask_and_a_resumed_layer_goes_on() {
    let (xs, layer) = (ones(&[4, 32]), Dropout::new(0.5, 3).unwrap());
    let masks: Vec<_> = (0..3).map(|_| values(&layer.forward_t(&xs, true).unwrap())).collect();
    assert!(masks[0] != masks[1] && masks[1] != masks[2]);
    assert_eq!(layer.passes(), 3);
    let resumed = Dropout::new(0.5, 3).unwrap().after(2);
    assert_eq!(values(&resumed.forward_t(&xs, true).unwrap()), masks[2]);
}

#[test]
fn evaluation_changes_nothing_and_draws_nothing() {
    let (xs, layer) = (ones(&[2, 3, 4, 5]), Dropout::new(0.9, 3).unwrap());
    assert_eq!(values(&layer.forward_t(&xs, false).unwrap()), values(&xs));
    assert_eq!(layer.passes(), 0);
    let path = DropPath::new(0.9, 3).unwrap();
    assert_eq!(values(&path.forward_t(&xs, false).unwrap()), values(&xs));
    assert_eq!(path.passes(), 0);
}

#[test]
fn gradients_are_the_masks() {
    let xs = Var::from_tensor(&ones(&[6, 2, 3, 3])).unwrap();
    let layers: [&dyn ModuleT; 2] =
        [&Dropout::new(0.5, 3).unwrap(), &DropPath::new(0.5, 3).unwrap()];
    for layer in layers {
        let ys = layer.forward_t(&xs, true).unwrap();
        let grads = ys.sum_all().unwrap().backward().unwrap();
        assert_eq!(values(grads.get(&xs).unwrap()), values(&ys));
    }
}

#[test]
fn a_dropped_path_drops_whole_pictures() {
    let ys = DropPath::new(0.5, 5).unwrap().forward_t(&ones(&[64, 2, 3, 1]), true).unwrap();
    let pictures = ys.flatten_from(1).unwrap().to_vec2::<f64>().unwrap();
    assert!(
        pictures.iter().all(|picture| picture.iter().all(|y| y.to_bits() == picture[0].to_bits()))
    );
    let dropped = pictures.iter().filter(|picture| picture[0] == 0.0).count();
    assert!((16..=48).contains(&dropped), "{dropped} of 64");
}

#[test]
fn all_can_be_dropped_and_nonsense_is_refused() {
    let xs = ones(&[3, 4]);
    assert_eq!(values(&Dropout::new(1.0, 0).unwrap().forward_t(&xs, true).unwrap()), [0.0; 12]);
    let error = Dropout::new(1.5, 0).unwrap_err();
    let error = candle_core::Error::from(error).to_string();
    assert!(error.contains("`Dropout`: p is 1.5, expected from 0 to 1"), "{error}");
    assert!(DropPath::new(f64::NAN, 0).is_err());
}
