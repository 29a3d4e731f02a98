//! One picture through the network, and what is seen on the way.
//!
//! Above: `look`. Below: `look::{cam, layers, reader}`, `taper_engine`, `taper_report`. Not here: files (`look::files`), words
//! (`look::page`).

use std::path::Path;

use taper_classifier::{ClassProbability, class_names, likeliest};
use taper_data::Image;
use taper_engine::Session;
use taper_graph::{Extent, nearest};
use taper_model::{Confidence, Familiarity, Model, Preprocess, Task};
use taper_report::{HeatMap, Picture, feature_map, strongest};

use crate::confidence::FEATURES;
use crate::error::{Error, Result};
use crate::look::cam::GradCam;
use crate::look::layers::{Layer, choose, last_map};
use crate::look::reader::Reader;
use crate::options::LookOptions;
use crate::report::PredictedNumber;
use crate::setup;

/// A network made ready to be looked into.
pub(crate) struct Inspector<'m> {
    preprocess: &'m Preprocess,
    reader: Reader,
    /// Gives the logits, then what the evidence begins with, then the layers.
    session: Session,
    pub(crate) evidence: GradCam<'m>,
    pub(crate) layers: Vec<Layer>,
    classes: Vec<String>,
    n_classes: usize,
    task: Task,
    temperature: f64,
    /// What tells pictures of other things; then the session gives features, too, at the end.
    familiarity: Option<Familiarity>,
    /// The class whose evidence is asked for.
    class: Option<usize>,
    top: usize,
    channels: usize,
}

/// What is seen of one picture.
pub(crate) struct Inspection {
    /// The network's input, as a picture again.
    pub(crate) input: Picture,
    /// None of a model that predicts numbers.
    pub(crate) predictions: Vec<ClassProbability>,
    /// Those of a model that predicts some, by name.
    pub(crate) numbers: Vec<PredictedNumber>,
    /// Whether it is like the pictures that the classes were learned from, of a model that can tell.
    pub(crate) is_known: Option<bool>,
    /// Whose evidence `heat` shows.
    pub(crate) class: ClassProbability,
    /// The evidence over the input.
    pub(crate) heat: Picture,
    /// Whether anything speaks for the class.
    pub(crate) is_warm: bool,
    /// By layer: the strongest channels.
    pub(crate) layers: Vec<Vec<Channel>>,
}

/// One channel of a layer.
pub(crate) struct Channel {
    pub(crate) index: usize,
    /// Mean absolute value.
    pub(crate) strength: f64,
    pub(crate) picture: Picture,
}

impl<'m> Inspector<'m> {
    /// Shows what the options ask for.
    pub(crate) fn new(model: &'m Model, options: &LookOptions) -> Result<Self> {
        let extents = extents(model)?;
        let layers = choose(model.graph(), &extents, &options.layers)?;
        let mut inspector = Self::of_layers(model, &extents, layers, options.threads)?;
        let (classes, n_classes) = (&inspector.classes, inspector.n_classes);
        let class = options.class.as_deref().map(|name| class_of(name, classes, n_classes));
        inspector.class = class.transpose()?;
        (inspector.top, inspector.channels) = (options.top, options.channels);
        Ok(inspector)
    }

    /// Shows the `top` likeliest classes and the evidence for the first, and no layer.
    pub(crate) fn of_classes(model: &'m Model, top: usize, threads: usize) -> Result<Self> {
        let inspector = Self::of_layers(model, &extents(model)?, Vec::new(), threads)?;
        Ok(Self { top, ..inspector })
    }

    fn of_layers(
        model: &'m Model,
        extents: &[Extent],
        layers: Vec<Layer>,
        threads: usize,
    ) -> Result<Self> {
        let (graph, size) = (model.graph(), model.preprocess().input_size);
        let logits = graph.output("logits").map_err(refused)?;
        let params: Vec<&[f32]> = model.tensors().iter().map(|t| t.data.as_slice()).collect();
        let last = Layer::of(graph, extents, last_map(graph, extents))?;
        let evidence = GradCam::new(graph, params.clone(), last, threads)?;
        let layer_nodes = layers.iter().map(|layer| layer.node);
        let confidence = model.confidence();
        let familiarity = confidence.and_then(Confidence::familiarity).cloned();
        let features = match familiarity {
            Some(_) => Some(graph.output(FEATURES).map_err(refused)?),
            None => None,
        };
        let nodes: Vec<_> = std::iter::once(logits)
            .chain(evidence.given.iter().copied())
            .chain(layer_nodes)
            .chain(features)
            .collect();
        Ok(Self {
            preprocess: model.preprocess(),
            reader: Reader::new(model.preprocess())?,
            session: Session::of_nodes(graph, &params, &nodes, size, threads).map_err(engine)?,
            evidence,
            layers,
            classes: class_names(model).map_err(setup::classifier)?,
            n_classes: extents[logits.index()].channels(),
            task: model.task(),
            temperature: confidence.map_or(1.0, Confidence::temperature),
            familiarity,
            class: None,
            top: 1,
            channels: 0,
        })
    }

    /// Reads a picture and looks at everything.
    pub(crate) fn look_at(&mut self, path: &Path) -> Result<Inspection> {
        let xs = self.reader.read(path)?;
        self.inspect(&xs)
    }

    /// The network's input for a picture, `(h, w, 3)`, normalized.
    pub(crate) fn see(&mut self, picture: &Image) -> taper_data::Result<Vec<f32>> {
        self.reader.see(picture)
    }

    /// Shows the evidence for this class from now on.
    pub(crate) fn show(&mut self, class: usize) {
        self.class = Some(class);
    }

    /// How many classes, labels or numbers the network answers with.
    pub(crate) fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// Looks at everything in an input of the network.
    pub(crate) fn inspect(&mut self, xs: &[f32]) -> Result<Inspection> {
        let size @ [h, w] = self.preprocess.input_size;
        let values = self.session.run_all(xs, [1, h, w]).map_err(engine)?;
        let (given, maps) = values[1..].split_at(self.evidence.given.len());
        let logits = &values[0];
        let mut predictions =
            likeliest(self.task, self.temperature, logits, &self.classes, logits.len());
        let chosen = predictions.iter().position(|found| Some(found.index) == self.class);
        let class = predictions[chosen.unwrap_or(0)].clone();
        let mut numbers = Vec::new();
        if self.task == Task::Regression {
            predictions.clear();
            let named = self.classes.iter().cloned().zip(logits.iter().copied());
            numbers
                .extend(named.map(|(name, value)| PredictedNumber { name, value: value.into() }));
        }
        predictions.truncate(self.top);
        let layers = self.layers.iter().zip(maps);
        let layers = layers.map(|(layer, map)| strong_channels(map, layer.shape, self.channels));
        let layers = layers.collect::<taper_report::Result<_>>().map_err(draw)?;
        let heat = self.evidence.heat(given, size, class.index).map_err(engine)?;
        let [rows, columns, _] = self.evidence.layer.shape;
        let heat = HeatMap::new(rows, columns, &heat).map_err(draw)?;
        let input = picture_of(xs, self.preprocess).map_err(draw)?;
        let (is_warm, heat) = (heat.largest() > 0.0, heat.over(&input));
        let features = values.last().map(Vec::as_slice).unwrap_or_default();
        let is_known = self.familiarity.as_ref().map(|known| known.is_known(features));
        Ok(Inspection { input, predictions, numbers, is_known, class, heat, is_warm, layers })
    }
}

/// The sizes of a network's nodes at its input's size.
fn extents(model: &Model) -> Result<Vec<Extent>> {
    let [h, w] = model.preprocess().input_size;
    model.graph().extents(h, w).map_err(refused)
}

fn refused(source: taper_graph::Error) -> Error {
    engine(taper_engine::Error::Graph(source))
}

/// The index of a class by its name, or else by its number.
fn class_of(name: &str, classes: &[String], n_classes: usize) -> Result<usize> {
    let number = || name.parse().ok().filter(|&index: &usize| index < n_classes);
    let index = classes.iter().position(|class| class == name).or_else(number);
    index.ok_or_else(|| Error::UnknownClass {
        name: name.to_owned(),
        nearest: nearest(name, classes.iter().map(String::as_str)).unwrap_or_default().to_owned(),
        last: n_classes.saturating_sub(1),
    })
}

/// The `most` strongest channels of a map, the strongest first.
fn strong_channels(
    map: &[f32],
    shape: [usize; 3],
    most: usize,
) -> taper_report::Result<Vec<Channel>> {
    let strongest = strongest(map, shape)?.into_iter().take(most);
    let draw = |(index, strength)| {
        Ok(Channel { index, strength, picture: feature_map(map, shape, index)? })
    };
    strongest.map(draw).collect()
}

/// The input of the network as the picture that it was.
pub(crate) fn picture_of(xs: &[f32], preprocess: &Preprocess) -> taper_report::Result<Picture> {
    let Preprocess { input_size: [h, w], mean, std, .. } = *preprocess;
    let samples = xs.iter().zip([0, 1, 2].into_iter().cycle());
    Picture::new(
        h,
        w,
        samples.map(|(x, channel)| sample(x * std[channel] + mean[channel])).collect(),
    )
}

/// From 0–1 to 0–255.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from 0 to 255, and the conversion saturates"
)]
fn sample(share: f32) -> u8 {
    (255.0 * share).round() as u8
}

fn engine(source: taper_engine::Error) -> Error {
    Error::Engine { source }
}

fn draw(source: taper_report::Error) -> Error {
    Error::Draw { source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_found_by_name_then_by_number() {
        let classes = ["7", "ants", "bees"].map(str::to_owned);
        assert_eq!(class_of("ants", &classes, 3).unwrap(), 1);
        assert_eq!(class_of("7", &classes, 3).unwrap(), 0);
        assert_eq!(class_of("2", &classes, 3).unwrap(), 2);
        let error = class_of("3", &classes, 3).unwrap_err();
        assert!(error.is_request());
        let error = class_of("bee", &classes, 3).unwrap_err().to_string();
        assert!(error.contains("`bees`") && error.contains("0 to 2"), "{error}");
    }

    #[test]
    fn the_input_becomes_the_picture_it_was() {
        let preprocess =
            Preprocess { input_size: [16, 16], crop_pct: 1.0, ..Preprocess::imagenet() };
        let bytes: Vec<u8> = (0..=255).flat_map(|level| [level, 255 - level, level / 2]).collect();
        let image = Image::new(16, 16, bytes.clone()).unwrap();
        let xs = Reader::new(&preprocess).unwrap().see(&image).unwrap();
        assert_eq!(picture_of(&xs, &preprocess).unwrap().rgb(), bytes);
    }
}
