//! Models with published weights that are in the binary.
//!
//! Above: `taper-recipes`. Below: `record`, `taper-weights-mobilenet-v2` (feature `embedded`). Not here: downloading.

use taper_model::Model;

use crate::{Error, Record, Result, record};

/// The model of that name with its published weights.
///
/// # Errors
/// [`Error::UnknownName`]; [`Error::NoWeights`]; [`Error::NotEmbedded`], which says where the weights are.
///
/// # Examples
/// ```
/// # #[cfg(feature = "embedded")] {
/// let model = taper_zoo::pretrained("mobilenetv2_100")?;
/// assert_eq!((model.classes.len(), model.tensors.len()), (1000, 262));
/// # }
/// # Ok::<(), taper_zoo::Error>(())
/// ```
pub fn pretrained(name: &str) -> Result<Model> {
    let record = record(name)?;
    let Some(bytes) = embedded(record) else {
        let places: Vec<String> = record.sources.iter().map(ToString::to_string).collect();
        let (name, from) = (record.name.to_owned(), places.join(" or "));
        return Err(Error::NotEmbedded { name, from });
    };
    Model::from_bytes(bytes)
        .map_err(|source| Error::Model { name: record.name.to_owned(), source: Box::new(source) })
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
