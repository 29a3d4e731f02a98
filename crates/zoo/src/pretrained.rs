//! Models with published weights.
//!
//! Above: `taper-recipes`. Below: `record`, which looks in the binary (feature `embedded`), in caches and on the network (feature `hub`). Not
//! here: downloading (`hub`).

use taper_model::{Model, adapt_channels, reset_classifier};

use crate::{Error, Record, Result, record};

/// The model of that name with its published weights, which are in the binary or, with the feature `hub`, in a cache or on the
/// network, as the variables of the environment say.
///
/// # Errors
/// [`Error::UnknownName`]; [`Error::NoWeights`]; without the feature [`Error::NotEmbedded`] and with it
/// [`Error::NotObtained`], which say where the weights are.
///
/// # Examples
/// ```
/// # #[cfg(feature = "embedded")] {
/// let model = taper_zoo::pretrained("mobilenetv2_100")?;
/// assert_eq!((model.classes().len(), model.tensors().len()), (1000, 262));
/// # }
/// # Ok::<(), taper_zoo::Error>(())
/// ```
pub fn pretrained(name: &str) -> Result<Model> {
    let record = record(name)?;
    match embedded(record) {
        Some(bytes) => from_bytes(record, bytes),
        None => elsewhere(record),
    }
}

pub(crate) fn from_bytes(record: &Record, bytes: &[u8]) -> Result<Model> {
    Model::from_bytes(bytes)
        .map_err(|source| Error::Model { name: record.name.to_owned(), source: Box::new(source) })
}

#[cfg(feature = "hub")]
fn elsewhere(record: &Record) -> Result<Model> {
    use crate::hub::{Environment, Hub, silent};
    let hub = Environment::from_env().and_then(Hub::new);
    let hub = hub.map_err(|source| Error::Hub { source: Box::new(source) })?;
    crate::pretrained_from(record.name, &hub, &mut silent)
}

#[cfg(not(feature = "hub"))]
fn elsewhere(record: &Record) -> Result<Model> {
    let places: Vec<String> = record.sources.iter().map(ToString::to_string).collect();
    Err(Error::NotEmbedded { name: record.name.to_owned(), from: places.join(" or ") })
}

/// What published weights are adapted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adaptation {
    /// Channels of the image; 3 is RGB, as published.
    pub in_channels: usize,
    /// Names of other classes, for which the classifier begins anew; none keeps ImageNet's.
    pub classes: Vec<String>,
    /// Of the new classifier's weights.
    pub seed: u64,
}

impl Default for Adaptation {
    fn default() -> Self {
        Self { in_channels: 3, classes: Vec::new(), seed: 0 }
    }
}

/// The model of that name with its published weights, its first layer and its classifier adapted to other images and classes.
///
/// # Errors
/// As [`pretrained`]; [`Error::Model`] for no channels.
///
/// # Examples
/// ```
/// # #[cfg(feature = "embedded")] {
/// use taper_zoo::Adaptation;
/// let classes = vec!["ants".to_owned(), "bees".to_owned()];
/// let adaptation = Adaptation { in_channels: 1, classes, ..Adaptation::default() };
/// let model = taper_zoo::pretrained_with("mobilenetv2_100", &adaptation)?;
/// assert_eq!((model.classes().len(), model.graph().input_channels()), (2, 1));
/// # }
/// # Ok::<(), taper_zoo::Error>(())
/// ```
pub fn pretrained_with(name: &str, adaptation: &Adaptation) -> Result<Model> {
    let model = pretrained(name)?;
    let Adaptation { in_channels, classes, seed } = adaptation;
    let adapted = adapt_channels(&model, *in_channels).and_then(|model| match classes.is_empty() {
        true => Ok(model),
        false => reset_classifier(&model, classes, *seed),
    });
    adapted.map_err(|source| Error::Model { name: name.to_owned(), source: Box::new(source) })
}

/// The model file of a record, if it is in the binary.
#[must_use]
pub fn embedded(record: &Record) -> Option<&'static [u8]> {
    #[cfg(feature = "embedded")]
    if record.name == "mobilenetv2_100.tv_in1k" {
        return Some(taper_weights_mobilenet_v2::WEIGHTS);
    }
    #[cfg(not(feature = "embedded"))]
    let _ = record;
    None
}
