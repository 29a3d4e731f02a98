//! What is run: networks of the zoo with random weights, and random images.
//!
//! Above: the sections. Below: the zoo, `taper_engine`, `taper_model`. Not here: trained weights, which take as long.

use anyhow::Result;
use taper_engine::with_batch_statistics;
use taper_model::{Model, Preprocess, Tensor};
use taper_zoo::architecture;

/// The zoo's names of the networks that were asked for.
pub(super) fn names(asked: &[String]) -> Result<Vec<String>> {
    asked.iter().map(|name| Ok(architecture(name)?.name.to_owned())).collect()
}

/// A network with random weights, whose activations are of the size of trained ones: without trained statistics the usual
/// initial weights let them vanish from layer to layer, and arithmetic on almost nothing may take another time.
///
/// Source: He et al. 2015, eq. (10), <https://arxiv.org/abs/1502.01852>.
pub(super) fn random(name: &str, classes: usize) -> Result<Model> {
    let graph = architecture(name)?.graph(classes)?;
    let model = Model::random(graph, 0, Preprocess::imagenet(), Vec::new())?;
    let mut tensors = model.tensors().to_vec();
    for tensor in &mut tensors {
        if let [out, rest @ ..] = tensor.shape.as_slice()
            && !rest.is_empty()
        {
            let fan_in: usize = rest.iter().product();
            let std = (2.0 / fan_in as f32).sqrt();
            tensor.data = images(out * fan_in).into_iter().map(|x| x * std).collect();
        }
    }
    Ok(model.with_tensors(tensors)?)
}

/// [`random`] for images of its own size, whose norms have the statistics of such images: every activation is of the size of a trained
/// network's, where exponentials neither overflow nor vanish, and so takes the time it takes there.
pub(super) fn normalized(name: &str, threads: usize) -> Result<Model> {
    let architecture = architecture(name)?;
    let (graph, side) = (architecture.graph(1000)?, architecture.input_size);
    let preprocess = Preprocess { input_size: [side; 2], ..Preprocess::imagenet() };
    let model = Model::random(graph, 0, preprocess, Vec::new())?;
    let params: Vec<Vec<f32>> = model.tensors().iter().map(|it| it.data.clone()).collect();
    let xs = images(2 * side * side * model.graph().input_channels());
    let new = with_batch_statistics(model.graph(), &params, &xs, [2, side, side], threads)?;
    let tensors = model.tensors().iter().zip(new);
    let tensors = tensors.map(|(old, data)| Tensor { shape: old.shape.clone(), data });
    let tensors = tensors.collect();
    Ok(model.with_tensors(tensors)?)
}

/// How many parameters are trained: peers must have as many.
pub(super) fn parameters(model: &Model) -> usize {
    let trained = model.graph().params().iter().filter(|param| param.role.is_trained());
    trained.map(|param| param.len()).sum()
}

/// `len` numbers of mean 0 and variance 1, uniform: as an image after normalization.
pub(super) fn images(len: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        // Marsaglia's xorshift64, <https://doi.org/10.18637/jss.v008.i14>.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let unit = f32::from(u16::try_from(state >> 48).unwrap_or_default()) / 65536.0;
        (unit - 0.5) * 12.0_f32.sqrt()
    };
    (0..len).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_become_the_zoos_names() {
        assert_eq!(names(&["mobilenet_v2".to_owned()]).unwrap(), ["mobilenetv2_100"]);
        assert!(names(&["no_such".to_owned()]).is_err());
    }

    #[test]
    fn the_zoo_has_what_is_measured_when_nothing_is_asked_for() {
        for name in super::super::MODELS.iter().chain(super::super::infer::MODELS) {
            assert!(architecture(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn parameters_are_those_the_paper_counts() {
        assert_eq!(parameters(&random("mobilenetv2_100", 1000).unwrap()), 3_504_872);
    }

    #[test]
    fn activations_do_not_vanish() {
        use taper_engine::{Session, SessionOptions};
        let model = random("mobilenetv2_100", 10).unwrap();
        let mut session = Session::new(&model, &SessionOptions::default()).unwrap();
        let logits = session.run(&images(64 * 64 * 3), [1, 64, 64]).unwrap();
        let largest = logits.iter().fold(0.0_f32, |largest, z| largest.max(z.abs()));
        assert!((0.01..1000.0).contains(&largest), "{largest}");
    }

    #[test]
    fn images_look_normalized() {
        let xs = images(100_000);
        let mean = xs.iter().sum::<f32>() / 1e5;
        let var = xs.iter().map(|x| x * x).sum::<f32>() / 1e5;
        assert!(mean.abs() < 0.02 && (var - 1.0).abs() < 0.02, "{mean} {var}");
    }
}
