//! What samples should give: a class, probabilities, labels, numbers, a map of classes, or several of these by name.
//!
//! Above: `batch`, `train`. Below: `array` (candle behind its feature). Not here: which loss and which metric take which of them (`layers`,
//! `train`).

use std::collections::BTreeMap;

use crate::array::Array;
use crate::error::{Error, Result};

/// What one sample should give.
///
/// # Examples
/// ```
/// use taper_data::{Array, Target, Targets};
/// # fn main() -> taper_data::Result<()> {
/// let class = Target::from(3);
/// let tags = Target::labels(&[0, 2], 4)?; // two of four: 1, 0, 1, 0
/// let age = Target::Numbers(Array::new(vec![31.5], vec![1])?);
/// let mask = Target::ClassMap(Array::new(vec![0, 1, 1, 0, 0, 1], vec![2, 3])?);
/// let both = Target::named([("species", class), ("age", age)]);
///
/// let batch = Targets::collate([both.clone(), both])?;
/// assert_eq!(batch.len(), 2);
/// assert_eq!(batch.named("age").and_then(Targets::values), Some(&[31.5, 31.5][..]));
/// assert!(Targets::collate([tags, mask]).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// The index of its class.
    Class(u32),
    /// How probable each class is: `(k)`, or `(k, h, w)` for a map; not negative, with sum 1, which is not checked.
    Probabilities(Array<f32>),
    /// Independent labels: `(k)`, or `(k, h, w)` for a map; 1 for each that holds, else 0, or what smoothing makes of these; NaN where
    /// nobody knows, which counts nowhere.
    Labels(Array<f32>),
    /// Numbers of any shape, `(k)` or `(k, h, w)` as the network's output is.
    Numbers(Array<f32>),
    /// The index of the class of each position, `(h, w)`.
    ClassMap(Array<u32>),
    /// Several, by name: that of the output which should give it, where the loss does not say otherwise.
    Named(BTreeMap<String, Target>),
}

/// What targets are, where they are not maps and not several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetKind {
    /// One class out of many.
    #[default]
    Class,
    /// Any number of labels, each of which holds or not.
    Labels,
    /// How probable each class is.
    Probabilities,
    /// Numbers.
    Numbers,
}

impl From<u32> for Target {
    fn from(class: u32) -> Self {
        Self::Class(class)
    }
}

impl Target {
    /// [`Target::Labels`] of `k` labels, of which those in `present` hold.
    ///
    /// # Errors
    /// [`Error::Label`] if one is not below `k`.
    pub fn labels(present: &[usize], k: usize) -> Result<Self> {
        let mut values = vec![0.0; k];
        for &label in present {
            *values.get_mut(label).ok_or(Error::Label { got: label, labels: k })? = 1.0;
        }
        Array::new(values, vec![k]).map(Self::Labels)
    }

    /// [`Target::Numbers`] `(k)`.
    #[must_use]
    pub fn numbers(values: Vec<f32>) -> Self {
        Self::Numbers(Array::vector(values))
    }

    /// What it is, and of how many names it speaks, where that is not told by a class alone; none of maps and of several.
    #[must_use]
    pub fn kind(&self) -> Option<(TargetKind, Option<usize>)> {
        let (kind, array) = match self {
            Self::Class(_) => return Some((TargetKind::Class, None)),
            Self::Labels(array) => (TargetKind::Labels, array),
            Self::Probabilities(array) => (TargetKind::Probabilities, array),
            Self::Numbers(array) => (TargetKind::Numbers, array),
            Self::ClassMap(_) | Self::Named(_) => return None,
        };
        match *array.shape() {
            [k] => Some((kind, Some(k))),
            _ => None,
        }
    }

    /// The index of its class; none where that is not what it is.
    #[must_use]
    pub fn class(&self) -> Option<u32> {
        if let Self::Class(class) = self { Some(*class) } else { None }
    }

    /// Whether both can be in one batch: of one kind and shape.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Class(_), Self::Class(_)) => true,
            (Self::Probabilities(a), Self::Probabilities(b))
            | (Self::Labels(a), Self::Labels(b))
            | (Self::Numbers(a), Self::Numbers(b)) => a.shape() == b.shape(),
            (Self::ClassMap(a), Self::ClassMap(b)) => a.shape() == b.shape(),
            (Self::Named(a), Self::Named(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|((x, a), (y, b))| x == y && a.is_like(b))
            }
            (
                Self::Class(_)
                | Self::Probabilities(_)
                | Self::Labels(_)
                | Self::Numbers(_)
                | Self::ClassMap(_)
                | Self::Named(_),
                _,
            ) => false,
        }
    }

    /// [`Target::Named`].
    pub fn named<N: Into<String>>(targets: impl IntoIterator<Item = (N, Self)>) -> Self {
        Self::Named(targets.into_iter().map(|(name, target)| (name.into(), target)).collect())
    }
}

/// What the samples of a batch should give: [`Target`]s of one kind, with the sample as first axis.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// Indices of classes, `(n)`.
    Classes(Vec<u32>),
    /// How probable each class is, `(n, k)` or `(n, k, h, w)`: what mixing of images or a teacher gives.
    Probabilities(Array<f32>),
    /// Independent labels, `(n, k)` or `(n, k, h, w)`, 0 to 1.
    Labels(Array<f32>),
    /// Numbers, `(n, k)` or `(n, k, h, w)`.
    Numbers(Array<f32>),
    /// Indices of classes by position, `(n, h, w)`.
    ClassMaps(Array<u32>),
    /// Several, by name, all of `n` samples.
    Named(BTreeMap<String, Targets>),
}

impl From<Vec<u32>> for Targets {
    fn from(classes: Vec<u32>) -> Self {
        Self::Classes(classes)
    }
}

impl Default for Targets {
    /// Of no samples.
    fn default() -> Self {
        Self::Classes(Vec::new())
    }
}

impl Targets {
    /// Those of a batch from those of its samples, in order; of no samples [`Targets::default`].
    ///
    /// # Errors
    /// [`Error::MixedTargets`] if they are not of one kind and shape.
    pub fn collate(targets: impl IntoIterator<Item = Target>) -> Result<Self> {
        let mut all = Self::default();
        for target in targets {
            all.push(target)?;
        }
        Ok(all)
    }

    /// Adds a sample.
    ///
    /// # Errors
    /// [`Error::MixedTargets`] if it is of another kind or shape than those before; then nothing has changed.
    pub fn push(&mut self, target: Target) -> Result<()> {
        self.append(&target.into())
    }

    /// Adds the samples of another batch.
    ///
    /// # Errors
    /// [`Error::MixedTargets`] if they are of another kind or shape; then nothing has changed.
    pub fn append(&mut self, other: &Self) -> Result<()> {
        if other.is_empty() {
            return Ok(());
        }
        if self.is_empty() {
            *self = other.clone();
            return Ok(());
        }
        let (expected, got) = (self.describe(), other.describe());
        if expected != got {
            return Err(Error::MixedTargets { expected, got });
        }
        match (self, other) {
            (Self::Classes(all), Self::Classes(more)) => all.extend(more),
            (Self::Probabilities(all), Self::Probabilities(more))
            | (Self::Labels(all), Self::Labels(more))
            | (Self::Numbers(all), Self::Numbers(more)) => all.append(more),
            (Self::ClassMaps(all), Self::ClassMaps(more)) => all.append(more),
            (Self::Named(all), Self::Named(more)) => {
                // Their names are equal, or they would be described otherwise.
                all.values_mut().zip(more.values()).try_for_each(|(all, more)| all.append(more))?;
            }
            _ => return Err(Error::MixedTargets { expected, got }),
        }
        Ok(())
    }

    /// How many samples.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Classes(classes) => classes.len(),
            Self::Probabilities(array) | Self::Labels(array) | Self::Numbers(array) => array.len(),
            Self::ClassMaps(array) => array.len(),
            Self::Named(targets) => targets.values().next().map_or(0, Self::len),
        }
    }

    /// Whether there are no samples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The samples at `indices`, in that order; indices beyond the last are left out.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        match self {
            Self::Classes(classes) => {
                Self::Classes(indices.iter().filter_map(|&i| classes.get(i)).copied().collect())
            }
            Self::Probabilities(array) => Self::Probabilities(array.select(indices)),
            Self::Labels(array) => Self::Labels(array.select(indices)),
            Self::Numbers(array) => Self::Numbers(array.select(indices)),
            Self::ClassMaps(array) => Self::ClassMaps(array.select(indices)),
            Self::Named(targets) => {
                let each = targets.iter().map(|(name, it)| (name.clone(), it.select(indices)));
                Self::Named(each.collect())
            }
        }
    }

    /// The class of each sample, `(n)`, or of each position of each, `(n, h, w)`; none where classes are not what it is.
    #[must_use]
    pub fn classes(&self) -> Option<&[u32]> {
        match self {
            Self::Classes(classes) => Some(classes),
            Self::ClassMaps(array) => Some(array.values()),
            Self::Probabilities(_) | Self::Labels(_) | Self::Numbers(_) | Self::Named(_) => None,
        }
    }

    /// Probabilities, labels or numbers, one sample after the other; none where these are not what it is.
    #[must_use]
    pub fn values(&self) -> Option<&[f32]> {
        match self {
            Self::Probabilities(array) | Self::Labels(array) | Self::Numbers(array) => {
                Some(array.values())
            }
            Self::Classes(_) | Self::ClassMaps(_) | Self::Named(_) => None,
        }
    }

    /// Those of that name, if there are several and one is called so.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Self> {
        if let Self::Named(targets) = self { targets.get(name) } else { None }
    }

    /// What they are and of which shape, without the first axis: `class`, `labels [4]`.
    #[must_use]
    pub fn describe(&self) -> String {
        let of_one = |array: &Array<f32>| format!("{:?}", &array.shape()[1..]);
        match self {
            Self::Classes(_) => "class".to_owned(),
            Self::Probabilities(array) => format!("probabilities {}", of_one(array)),
            Self::Labels(array) => format!("labels {}", of_one(array)),
            Self::Numbers(array) => format!("numbers {}", of_one(array)),
            Self::ClassMaps(array) => format!("class map {:?}", &array.shape()[1..]),
            Self::Named(targets) => {
                let each = targets.iter().map(|(name, it)| format!("{name}: {}", it.describe()));
                format!("{{{}}}", each.collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// Each of several by its name, in the order of the names (`outer.inner` where one of them is several again); one alone is called the empty
    /// string.
    #[must_use]
    pub fn parts(&self) -> Vec<(String, &Self)> {
        let Self::Named(targets) = self else { return vec![(String::new(), self)] };
        let mut parts = Vec::new();
        for (outer, targets) in targets {
            parts.extend(targets.parts().into_iter().map(|(inner, part)| {
                let name =
                    if inner.is_empty() { outer.clone() } else { format!("{outer}.{inner}") };
                (name, part)
            }));
        }
        parts
    }

    /// Them as a candle tensor: `u32`, `(n)` or `(n, h, w)`, for classes, `f32` for all else.
    ///
    /// # Errors
    /// [`Error::SeveralTargets`] for [`Targets::Named`], whose [`Targets::parts`] are a tensor each; [`Error::Tensor`] if the device has no
    /// memory left.
    #[cfg(feature = "candle")]
    pub fn to_tensor(&self, device: &candle_core::Device) -> Result<candle_core::Tensor> {
        use candle_core::Tensor;
        let tensor = match self {
            Self::Classes(classes) => Tensor::from_slice(classes, classes.len(), device),
            Self::Probabilities(array) | Self::Labels(array) | Self::Numbers(array) => {
                Tensor::from_slice(array.values(), array.shape(), device)
            }
            Self::ClassMaps(array) => Tensor::from_slice(array.values(), array.shape(), device),
            Self::Named(targets) => {
                return Err(Error::SeveralTargets { names: targets.keys().cloned().collect() });
            }
        };
        tensor.map_err(|source| Error::Tensor { source })
    }
}

impl From<Target> for Targets {
    /// Those of a batch of one.
    fn from(target: Target) -> Self {
        match target {
            Target::Class(class) => Self::Classes(vec![class]),
            Target::Probabilities(array) => Self::Probabilities(array.unsqueeze()),
            Target::Labels(array) => Self::Labels(array.unsqueeze()),
            Target::Numbers(array) => Self::Numbers(array.unsqueeze()),
            Target::ClassMap(array) => Self::ClassMaps(array.unsqueeze()),
            Target::Named(targets) => {
                Self::Named(targets.into_iter().map(|(name, it)| (name, it.into())).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests;
