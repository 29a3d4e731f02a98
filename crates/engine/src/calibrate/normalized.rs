//! Norms with the statistics of a batch, as training leaves them.
//!
//! Above: `calibrate`, xtask. Below: `train`. Not here: training (`train`).
//! With other statistics activations of a deep network with random weights vanish or grow from layer to layer, and arithmetic on numbers
//! next to nothing takes many times as long.

use taper_graph::{Graph, Op};
use taper_kernels::{Cpu, Real as _};

use crate::{Result, Trainer};

/// The parameters of a graph with the running statistics of batch norms replaced by those of these images, `shape` being `[n, h, w]`.
///
/// # Errors
/// As [`Trainer::new`] and [`Trainer::forward`]: a batch and a map so small that a norm sees one value have no variance.
pub fn with_batch_statistics(
    graph: &Graph,
    params: &[Vec<f32>],
    images: &[f32],
    shape: [usize; 3],
    threads: usize,
) -> Result<Vec<Vec<f32>>> {
    let slices: Vec<&[f32]> = params.iter().map(Vec::as_slice).collect();
    let outputs: Vec<&str> = graph.main_outputs().collect();
    let trained = vec![true; params.len()];
    let mut trainer = Trainer::of_outputs(graph, &outputs, &trained, Cpu::new(threads))?;
    trainer.forward(&slices, images, shape, 0)?;
    let mut momentum = vec![1.0; params.len()];
    for node in graph.nodes() {
        if let Op::BatchNorm { momentum: Some(own), .. } = node.op() {
            node.params().iter().for_each(|param| momentum[param.index()] = *own);
        }
    }
    let mut normalized = params.to_vec();
    for (param, running) in trainer.running_statistics(&slices) {
        let (own, old) = (momentum[param.index()], &params[param.index()]);
        let batch = |(new, old): (&f32, &f32)| {
            f32::from_f64((f64::from(*new) - (1.0 - own) * f64::from(*old)) / own)
        };
        normalized[param.index()] = running.iter().zip(old).map(batch).collect();
    }
    Ok(normalized)
}

#[cfg(test)]
mod tests {
    use taper_graph::{Bias, Conv, GraphBuilder};

    use super::*;

    #[test]
    fn norms_take_the_mean_and_the_variance_of_the_batch() {
        let mut b = GraphBuilder::new(1).unwrap();
        let xs = b.conv("conv", b.input(), Conv::pointwise(1), Bias::Without).unwrap();
        let xs = b.batch_norm("bn", xs, 1e-5, 0.1).unwrap();
        b.output("ys", xs).unwrap();
        let graph = b.build().unwrap();
        // Twice 1, 2, 3, 4: mean 5, unbiased variance 20 / 3.
        let params = [vec![2.0], vec![1.0], vec![0.0], vec![7.0], vec![9.0]];
        let images = [1.0, 2.0, 3.0, 4.0];
        let new = with_batch_statistics(&graph, &params, &images, [1, 2, 2], 1).unwrap();
        assert_eq!(new[..3], params[..3]);
        assert!((new[3][0] - 5.0).abs() < 1e-4 && (new[4][0] - 20.0 / 3.0).abs() < 1e-3, "{new:?}");
    }
}
