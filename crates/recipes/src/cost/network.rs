//! A network to be counted: its graph, without weights where a name says all.
//!
//! Above: `cost`. Below: `source`, `taper_graph`, `taper_model`. Not here: counting.

use std::path::Path;
use std::{fs, io};

use taper_graph::Graph;
use taper_model::{Model, Preprocess};

use crate::error::{Error, Result};
use crate::source::ModelSource;
use crate::task::LOGITS;

/// The largest description of a graph that is read.
const LARGEST: u64 = 64 << 20;

/// A graph with the size of image that it is meant for.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// How it was named.
    pub name: String,
    /// The network.
    pub graph: Graph,
    /// Height and width.
    pub size: [usize; 2],
    /// Share of ImageNet's validation pictures that its published weights name rightly, if it has any.
    pub top1: Option<f64>,
}

impl Network {
    /// Opens a name, a model file, or a graph in JSON (a file that ends in `.json`).
    ///
    /// # Errors
    /// For names that are not known and files that cannot be read.
    pub fn open(name_or_file: &str) -> Result<Self> {
        if Path::new(name_or_file).extension().is_some_and(|extension| extension == "json") {
            return of_json(name_or_file);
        }
        let source = ModelSource::resolve(name_or_file)?;
        let (graph, size) = source.graph()?;
        let top1 = source.top1();
        Ok(Self { name: name_or_file.to_owned(), graph, size, top1 })
    }

    /// The network with random weights.
    ///
    /// # Errors
    /// Those of [`Model::random`].
    pub(crate) fn model(&self) -> Result<Model> {
        let preprocess = Preprocess { input_size: self.size, ..Preprocess::imagenet() };
        Model::random(self.graph.clone(), 0, preprocess, Vec::new())
            .map_err(|source| Error::Model { source })
    }

    /// Whether it has logits, so that a training step of it can be run.
    pub(crate) fn is_classifier(&self) -> bool {
        self.graph.output(LOGITS).is_ok()
    }
}

fn of_json(path: &str) -> Result<Network> {
    let failed = |source| Error::File { action: "read", path: path.into(), source };
    let len = fs::metadata(path).map_err(failed)?.len();
    if len > LARGEST {
        let reason = format!("has {len} bytes, a graph in JSON has {LARGEST} at most");
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, reason)));
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    let graph = Graph::from_json(&text)
        .map_err(|source| Error::GraphFile { path: path.into(), source: Box::new(source) })?;
    let size = Preprocess::imagenet().input_size;
    Ok(Network { name: path.to_owned(), graph, size, top1: None })
}
