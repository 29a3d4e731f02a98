//! Units made zero: the network keeps its sizes and computes what it computes without them.
//!
//! Above: sensitivity, tests of `cut`. Below: `groups`. Not here: removing them (`cut`), masks of single weights.

use taper_graph::{AxisRole, ParamRole};
use taper_model::Model;

use crate::{Cut, Error, Groups, Result};

/// Where units are made zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Silence {
    /// What makes the channels: filters, biases, scales and shifts of norms. As good as removing them where every activation in between gives
    /// 0 for 0, or is a gate of a channel that is silent, and attention does not share its values among heads.
    Makers,
    /// What reads the channels too: as good as removing them in every network.
    MakersAndReaders,
}

/// The model of the same sizes with these units silent.
///
/// # Errors
/// [`Error::OtherGraph`], and as [`Cut::of`].
///
/// # Examples
/// ```
/// use taper_graph::{Bias, Conv, GraphBuilder};
/// use taper_model::{Model, Preprocess};
/// use taper_prune::{Cut, Groups, Protect, Silence, mask};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.conv("first", b.input(), Conv::dense(4, 3, 1), Bias::With)?;
/// let xs = b.conv("last", xs, Conv::pointwise(2), Bias::With)?;
/// b.output("features", xs)?;
/// let model = Model::random(b.build()?, 0, Preprocess::imagenet(), Vec::new())?;
/// let groups = Groups::of(model.graph(), &Protect::default())?;
/// let cut = Cut::of(&groups, groups.groups()[1].unit_ids().take(1))?;
/// let masked = mask(&model, &groups, &cut, Silence::Makers)?;
/// assert!(masked.tensors()[0].data[..27].iter().all(|weight| *weight == 0.0));
/// assert_eq!(masked.tensors()[0].data[27..], model.tensors()[0].data[27..]);
/// # Ok(()) }
/// ```
pub fn mask(model: &Model, groups: &Groups, cut: &Cut, silence: Silence) -> Result<Model> {
    if model.graph() != groups.graph() {
        return Err(Error::OtherGraph);
    }
    cut.check(groups)?;
    let mut tensors = model.tensors().to_vec();
    for (param, tensor) in model.graph().param_ids().zip(&mut tensors) {
        let spec = model.graph().param(param);
        if !is_silenced(spec.role) {
            continue;
        }
        for (axis, role) in spec.axes.iter().enumerate() {
            let goes = match role {
                AxisRole::Out => true,
                AxisRole::In { .. } => silence == Silence::MakersAndReaders,
                AxisRole::Fixed => false,
            };
            let Some(units) = groups.of_axis(param, axis).filter(|_| goes) else { continue };
            let inner: usize = tensor.shape[axis + 1..].iter().product();
            let rows = tensor.data.chunks_exact_mut(inner.max(1)).zip(units.iter().cycle());
            for (row, _) in rows.filter(|(_, unit)| cut.removes(**unit)) {
                row.fill(0.0);
            }
        }
    }
    Ok(model.clone().with_tensors(tensors)?)
}

/// Statistics of a norm stay as they are: with no scale and no shift it gives 0 whatever they are.
fn is_silenced(role: ParamRole) -> bool {
    match role {
        ParamRole::Weight
        | ParamRole::Bias
        | ParamRole::NormScale
        | ParamRole::NormShift
        | ParamRole::LayerScale
        | ParamRole::Slope => true,
        ParamRole::RunningMean
        | ParamRole::RunningVar
        | ParamRole::BatchesTracked
        | ParamRole::Constant => false,
    }
}
