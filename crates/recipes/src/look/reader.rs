//! Pictures as a network sees them when it is not trained.
//!
//! Above: `look::inspector`. Below: `setup`, `taper_data`. Not here: what the network makes of them (`look::inspector`).

use std::path::Path;
use std::sync::Arc;

use taper_data::random::Rng;
use taper_data::transform::Resampler;
use taper_data::{Image, Transform, image};
use taper_model::Preprocess;

use crate::error::{Error, Result};
use crate::setup;

/// Reads and prepares pictures.
pub(crate) struct Reader {
    transform: Arc<dyn Transform>,
    resampler: Resampler,
}

impl Reader {
    pub(crate) fn new(preprocess: &Preprocess) -> Result<Self> {
        let transform = setup::eval_transform(preprocess)?;
        Ok(Self { transform, resampler: Resampler::default() })
    }

    /// The network's input for a file, `(h, w, 3)`, normalized.
    pub(crate) fn read(&mut self, path: &Path) -> Result<Vec<f32>> {
        let seen = image::read(path).and_then(|image| self.see(&image));
        seen.map_err(|source| Error::Picture { path: path.to_path_buf(), source })
    }

    /// The same for a picture.
    pub(crate) fn see(&mut self, image: &Image) -> taper_data::Result<Vec<f32>> {
        let [h, w] = self.transform.size();
        let mut xs = vec![0.0; h * w * 3];
        let mut rng = Rng::keyed([0]); // evaluation draws nothing
        self.transform.apply(image, &mut rng, &mut self.resampler, &mut xs)?;
        Ok(xs)
    }
}
