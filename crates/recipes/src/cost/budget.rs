//! The largest batch that trains within an amount of memory.
//!
//! Above: `cost`. Below: `taper_cost::training_memory`. Not here: bounds that are checked (`assertion`).

use taper_cost::TrainingMemory;
use taper_graph::Graph;

use crate::error::{Error, Result};

/// Bytes that a process takes beside what grows with the network and the batch: the program, its libraries, threads' stacks.
/// Measured: `taper bench --mode train` of the smallest networks, docs/cost.md.
pub(crate) const PROCESS: u64 = 36 << 20;

/// What is looked for may take this much more than predicted, and still fits.
const MARGIN: f64 = 1.06;

/// The most images a batch that is looked for.
const MOST: usize = 1 << 20;

/// Bytes that a process which trains will hold.
#[must_use]
pub(crate) fn process_bytes(memory: &TrainingMemory) -> u64 {
    let network = memory.total().0.saturating_add(memory.gradients.0);
    let held = network.saturating_add(memory.params.0).saturating_add(memory.scratch.0);
    held.saturating_add(PROCESS)
}

/// The largest batch of images of `size` that trains within so many bytes, with an optimizer that keeps `slots` numbers for each
/// parameter; none if a single image does not.
///
/// # Errors
/// [`Error::Cost`] for an image that the network does not take.
pub fn largest_batch(
    graph: &Graph,
    outputs: &[&str],
    trained: &[bool],
    (size, slots): ([usize; 2], usize),
    bytes: u64,
) -> Result<Option<usize>> {
    let fits = |n: usize| {
        let memory =
            taper_cost::training_memory(graph, outputs, trained, [n, size[0], size[1]], slots);
        match memory {
            Ok(memory) => Ok(process_bytes(&memory) as f64 * MARGIN <= bytes as f64),
            // A batch that no address can reach fits into no memory.
            Err(_) if n > 1 => Ok(false),
            Err(source) => Err(Error::Cost { source }),
        }
    };
    if !fits(1)? {
        return Ok(None);
    }
    let (mut low, mut high) = (1, 2);
    while high <= MOST && fits(high)? {
        (low, high) = (high, high * 2);
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(middle)? {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(Some(low))
}
