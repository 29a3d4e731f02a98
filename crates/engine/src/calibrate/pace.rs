//! How fast a machine is just now.
//!
//! Above: `calibrate`, xtask. Below: `calibrate::networks`, `session`, `taper-graph`'s builder. Not here: what is timed beside it.
//! Where a machine is one of several that share a computer, its cores are moved between one second and the next. On an EPYC with two virtual cores, two
//! threads took 1.25 times as long over a small network for seconds, as on one core, and 2.1 times as long, as on two cores without a
//! common cache, while one thread always took the same. What is timed in such seconds tells of no network.

use std::time::{Duration, Instant};

use taper_graph::{Activation, Bias, Conv, GraphBuilder, NodeId, PoolKind};

use super::networks::{self, Network};
use super::{median, rounds};
use crate::{Result, Session};

/// Times as long as at its best that a machine may take and still be as usual.
const USUAL: f64 = 1.1;

/// How long a look takes.
const LOOK: Duration = Duration::from_millis(8);

/// Rows and columns of the image, channels between layers and within, and blocks: layers so short that what passes from core to core counts.
const SIDE: usize = 56;
const THIN: usize = 24;
const WIDE: usize = 96;
const BLOCKS: usize = 6;

/// A small network that is run beside others, to know whether the machine is as fast as it was.
///
/// # Examples
/// ```
/// let mut pace = taper_engine::Pace::new(1)?;
/// let now = pace.now()?;
/// assert!(pace.is_usual(now) && !pace.is_usual(2.0 * now));
/// # Ok::<(), taper_engine::Error>(())
/// ```
#[derive(Debug)]
pub struct Pace {
    session: Session,
    image: Vec<f32>,
    best: f64,
}

impl Pace {
    /// One for so many threads, or for all there are when it is 0.
    ///
    /// # Errors
    /// Never, short of a bug.
    pub fn new(threads: usize) -> Result<Self> {
        let network = Network { graph: graph()?, size: [SIDE; 2], seed: 0 };
        let params = network.params();
        let params: Vec<&[f32]> = params.iter().map(Vec::as_slice).collect();
        let nodes: Vec<NodeId> = network.graph.outputs().values().copied().collect();
        let session = Session::of_nodes(&network.graph, &params, &nodes, network.size, threads)?;
        let image = networks::image(&network.graph, network.size, 1);
        Ok(Self { session, image, best: f64::INFINITY })
    }

    /// Seconds that a run takes now: the median over some milliseconds.
    ///
    /// # Errors
    /// Never, short of a bug.
    pub fn now(&mut self) -> Result<f64> {
        let Self { session, image, best } = self;
        let mut seconds = Vec::new();
        session.run(image, [1, SIDE, SIDE])?; // wakes the others
        rounds(LOOK, || {
            let start = Instant::now();
            session.run(image, [1, SIDE, SIDE])?;
            seconds.push(start.elapsed().as_secs_f64());
            Ok(())
        })?;
        let now = median(&mut seconds);
        *best = best.min(now);
        Ok(now)
    }

    /// Whether a run that takes so many seconds is nearly as fast as the fastest so far.
    #[must_use]
    pub fn is_usual(&self, seconds: f64) -> bool {
        seconds <= USUAL * self.best
    }
}

/// Blocks of expansion, depthwise convolution and projection.
fn graph() -> Result<taper_graph::Graph> {
    let mut builder = GraphBuilder::new(3)?;
    let input = builder.input();
    let mut xs = builder.conv("stem", input, Conv::dense(THIN, 3, 2), Bias::With)?;
    for block in 0..BLOCKS {
        let convs = [Conv::pointwise(WIDE), Conv::depthwise(WIDE, 3, 1), Conv::pointwise(THIN)];
        for (layer, conv) in convs.into_iter().enumerate() {
            let name = format!("block{block}.conv{layer}");
            xs = builder.conv(&name, xs, conv, Bias::With)?;
            xs = builder.activation(&format!("{name}.act"), xs, Activation::Relu)?;
        }
    }
    let pooled = builder.global_pool("pool", xs, PoolKind::Avg, true)?;
    let logits = builder.linear("classifier", pooled, 10, Bias::With)?;
    builder.output("logits", logits)?;
    Ok(builder.build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_usual_goes_by_the_fastest_look_so_far() {
        let mut pace = Pace::new(2).unwrap();
        assert!(pace.is_usual(1e9), "nothing was looked at yet");
        let looks: Vec<f64> = (0..3).map(|_| pace.now().unwrap()).collect();
        let best = looks.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(best > 0.0 && pace.is_usual(best) && pace.is_usual(1.09 * best));
        assert!(!pace.is_usual(1.11 * best));
    }
}
