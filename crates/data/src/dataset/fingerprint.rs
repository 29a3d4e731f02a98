//! A number that names a data set.
//!
//! Above: `dataset`. Below: `dataset`. Not here: what the number is compared with (`recipes`).

use super::sample::Contents;
use super::{Dataset, Sample};
use crate::array::Array;
use crate::targets::Target;

impl Dataset {
    /// A number that names this data set: of its classes and of every sample's name, target and length in bytes, and of the contents
    /// of samples in memory.
    ///
    /// Equal on every machine; a resumed run compares it to tell that the data changed.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Fnv1a::default();
        for class in &self.classes {
            hash.write(class.as_bytes());
        }
        for part in [&self.train, &self.val] {
            hash.write(&(part.len() as u64).to_le_bytes());
            for sample in part {
                sample.write_to(&mut hash);
            }
        }
        hash.0
    }
}

impl Sample {
    /// What two runs must have in common for the sample to be the same, as far as it can be told without reading a file.
    fn write_to(&self, hash: &mut Fnv1a) {
        hash.write(self.name.as_bytes());
        write_target(&self.target, hash);
        hash.write(&self.bytes.to_le_bytes());
        match &self.contents {
            Contents::File(_) | Contents::Static(_) | Contents::Member(_) => {}
            Contents::Planes(planes) => hash.write(planes.values()),
            // A program may make other pictures under the same names and of the same size the next time it runs.
            Contents::Bytes(bytes) => hash.write(bytes),
            Contents::Image(image) => {
                hash.write(&(image.width() as u64).to_le_bytes());
                hash.write(image.rgb());
            }
        }
    }
}

/// A class as it was before there were other targets, so that runs that were begun then go on.
fn write_target(target: &Target, hash: &mut Fnv1a) {
    let mut array = |kind: &str, shape: &[usize], bits: &mut dyn Iterator<Item = u32>| {
        hash.write(kind.as_bytes());
        hash.write(format!("{shape:?}").as_bytes());
        bits.for_each(|bits| hash.write(&bits.to_le_bytes()));
    };
    let mut floats = |kind: &str, values: &Array<f32>| {
        array(kind, values.shape(), &mut values.values().iter().map(|value| value.to_bits()));
    };
    match target {
        Target::Class(class) => hash.write(&class.to_le_bytes()),
        Target::Probabilities(values) => floats("probabilities", values),
        Target::Labels(values) => floats("labels", values),
        Target::Numbers(values) => floats("numbers", values),
        Target::ClassMap(classes) => {
            array("class map", classes.shape(), &mut classes.values().iter().copied());
        }
        Target::Named(targets) => {
            for (name, target) in targets {
                hash.write(name.as_bytes());
                write_target(target, hash);
            }
        }
    }
}

/// The 64-bit FNV-1a hash, a length before every field. Source: <http://www.isthe.com/chongo/tech/comp/fnv/>.
struct Fnv1a(u64);

impl Default for Fnv1a {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv1a {
    fn write(&mut self, field: &[u8]) {
        for byte in (field.len() as u64).to_le_bytes().iter().chain(field) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Fnv1a;

    #[test]
    fn the_hash_is_fnv1a() {
        let mut hash = Fnv1a::default();
        hash.write(b"");
        // FNV-1a of eight zero bytes.
        let expected =
            (0..8).fold(0xcbf2_9ce4_8422_2325_u64, |h, _| h.wrapping_mul(0x0000_0100_0000_01b3));
        assert_eq!(hash.0, expected);
    }
}
