//! Where channels are: every node's output, and every axis of a parameter that stands for channels, as ranges of one numbering.
//!
//! Above: `groups`, `coupling`. Below: `taper_graph`. Not here: which elements belong together.

use std::collections::HashMap;
use std::ops::Range;

use taper_graph::{AxisRole, Graph, NodeId, ParamId};

use crate::{Error, Result};

/// Elements of all sites together: far beyond any network, and 1 GiB of numbers.
const MAX_ELEMENTS: usize = 1 << 28;

/// What has channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Node(NodeId),
    Axis { param: ParamId, axis: usize },
}

/// The elements of each place, in the order of the graph: a node, then the parameters that are new with it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sites {
    places: Vec<Place>,
    /// Where the elements of each place end.
    ends: Vec<usize>,
    nodes: Vec<usize>,
    axes: HashMap<(ParamId, usize), usize>,
}

impl Sites {
    pub(super) fn of(graph: &Graph) -> Result<Self> {
        let (places, ends, axes) = (Vec::new(), Vec::new(), HashMap::new());
        let mut sites = Self { places, ends, nodes: Vec::new(), axes };
        for (id, channels) in graph.node_ids().zip(graph.channels()?) {
            sites.nodes.push(sites.places.len());
            sites.push(Place::Node(id), channels)?;
            for param in graph.node(id).params() {
                let spec = graph.param(*param);
                for (axis, role) in spec.axes.iter().enumerate() {
                    let is_new = !sites.axes.contains_key(&(*param, axis));
                    match role {
                        AxisRole::Out | AxisRole::In { .. } if is_new => {
                            sites.axes.insert((*param, axis), sites.places.len());
                            sites.push(Place::Axis { param: *param, axis }, spec.shape[axis])?;
                        }
                        AxisRole::Out | AxisRole::In { .. } | AxisRole::Fixed => {}
                    }
                }
            }
        }
        Ok(sites)
    }

    fn push(&mut self, place: Place, len: usize) -> Result<()> {
        let end = self.n_elements() + len;
        if end > MAX_ELEMENTS {
            return Err(Error::TooLarge { got: end, limit: MAX_ELEMENTS });
        }
        self.places.push(place);
        self.ends.push(end);
        Ok(())
    }

    pub(super) fn n_elements(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The elements of every site, in order.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        (0..self.ends.len()).map(|site| self.range(site))
    }

    fn range(&self, site: usize) -> Range<usize> {
        let start = site.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[site]
    }

    pub(super) fn place(&self, site: usize) -> Place {
        self.places[site]
    }

    pub(super) fn of_node(&self, node: NodeId) -> Option<Range<usize>> {
        self.nodes.get(node.index()).map(|site| self.range(*site))
    }

    pub(super) fn of_axis(&self, param: ParamId, axis: usize) -> Option<Range<usize>> {
        self.axes.get(&(param, axis)).map(|site| self.range(*site))
    }
}
