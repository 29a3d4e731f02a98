//! Tensors by name: the outputs of a network, and the targets that belong to them.
//!
//! Above: `network`, `loss`, `train`. Below: candle. Not here: parameters (`parameter`).

use candle_core::{Result, Tensor, bail};

/// A few tensors, each with a name, in a fixed order.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use taper_layers::NamedTensors;
/// let age = Tensor::new(&[31f32], &Device::Cpu)?;
/// let both = NamedTensors::new([("age", age.clone()), ("height", age)]);
/// assert_eq!(both.get("age")?.dims(), [1]);
/// let message = both.get("weight").unwrap_err().to_string();
/// assert!(message.starts_with("there is no `weight`; there are `age`, `height`"), "{message}");
/// assert!(both.single().is_err());
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct NamedTensors {
    entries: Vec<(String, Tensor)>,
}

impl NamedTensors {
    /// Tensors in this order.
    pub fn new<N: Into<String>>(tensors: impl IntoIterator<Item = (N, Tensor)>) -> Self {
        Self { entries: tensors.into_iter().map(|(name, it)| (name.into(), it)).collect() }
    }

    /// The tensor of that name.
    ///
    /// # Errors
    /// A message with the names there are, as candle's error, so that a loss can pass it on.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        match self.entries.iter().find(|(known, _)| known == name) {
            Some((_, tensor)) => Ok(tensor),
            None => bail!("there is no `{name}`; there are {}", self.listed()),
        }
    }

    /// The tensor, where there is one only, whatever its name.
    ///
    /// # Errors
    /// A message with the names, if there are several.
    pub fn single(&self) -> Result<&Tensor> {
        match self.entries.as_slice() {
            [(_, tensor)] => Ok(tensor),
            _ => {
                bail!("one tensor was expected, there are {}; take one by its name", self.listed())
            }
        }
    }

    /// Names and tensors in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Tensor)> {
        self.entries.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    fn listed(&self) -> String {
        let names: Vec<String> = self.iter().map(|(name, _)| format!("`{name}`")).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}
