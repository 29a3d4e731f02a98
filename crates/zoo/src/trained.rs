//! Weights that somebody trained: a network of the zoo with the tensors of a file that no record is of.
//!
//! Above: `taper-recipes`. Below: `architecture`, `record`. Not here: published weights (`record`), reading files
//! (`taper_model::tensors`).

use std::collections::{BTreeMap, BTreeSet};

use taper_graph::Graph;
use taper_model::{Model, Preprocess, Provenance, Tensor};

use crate::{Architecture, Error, Keys, Record, Result, imagenet, records};

/// Modules under which training scripts have the whole network, and which are no part of any.
const WRAPPERS: [&str; 8] =
    ["model", "module", "net", "network", "backbone", "encoder", "student", "teacher"];

impl Architecture {
    /// The model that tensors of a file make, for as many classes as its classifier has. The names are timm's or those of a project
    /// that the records know (torchvision's), whichever are more; a module that all are in (`model.`, `net.`) is taken off. Images
    /// are prepared as for the published weights of those names, and 1000 classes are ImageNet's.
    ///
    /// # Errors
    /// [`Error::Model`] with every tensor that is missing, surplus or misshapen.
    ///
    /// # Examples
    /// ```
    /// use taper_model::{Model, Preprocess};
    /// let architecture = taper_zoo::architecture("mobilenetv2_035")?;
    /// let model = Model::random(architecture.graph(5)?, 0, Preprocess::imagenet(), vec![]).unwrap();
    /// let names = model.graph().params().iter().map(|spec| format!("model.{}", spec.name));
    /// let tensors = names.zip(model.tensors().iter().cloned()).collect();
    /// let read = architecture.model_of(tensors, "mine.pth")?;
    /// assert_eq!((read.tensors(), read.graph()), (model.tensors(), model.graph()));
    /// # Ok::<(), taper_zoo::Error>(())
    /// ```
    pub fn model_of(&self, tensors: BTreeMap<String, Tensor>, source: &str) -> Result<Model> {
        let any = self.graph(CLASSES[0])?;
        let (tensors, keys) = self.unwrapped(tensors, &any);
        let classes = self.classes_of(&tensors, keys, &any)?;
        let graph = self.graph(classes)?;
        let mismatch = |error| Error::Model {
            name: format!("{source}` in `{}", self.name),
            source: Box::new(error),
        };
        let graph = match keys.naming() {
            Some(naming) => naming.with_norms(&graph).map_err(mismatch)?,
            None => graph,
        };
        let names = if classes == CLASSES[0] { imagenet::classes() } else { Vec::new() };
        let provenance = Provenance { source: source.to_owned(), ..Provenance::default() };
        let (keymap, preprocess) = (keys.keymap(&graph), self.preprocess_of(keys));
        Model::from_tensors(graph, tensors, &keymap, preprocess, names, provenance)
            .map_err(mismatch)
    }

    /// The tensors without the module that all are in, and whose names they have.
    fn unwrapped(
        &self,
        mut tensors: BTreeMap<String, Tensor>,
        graph: &Graph,
    ) -> (BTreeMap<String, Tensor>, Keys) {
        loop {
            let known = |keys: &Keys| {
                let keymap = keys.keymap(graph);
                let names = graph.params().iter().map(|spec| keymap.name_in_file(&spec.name));
                names.filter(|name| tensors.contains_key(name)).count()
            };
            // Of equals the first: timm's names.
            let best = Keys::ALL.into_iter().rev().max_by_key(known).unwrap_or(Keys::Timm);
            let prefix = tensors.keys().next().and_then(|name| name.split_once('.'));
            let prefix = prefix.map(|(module, _)| module).filter(|it| WRAPPERS.contains(it));
            let prefix = prefix.map(|module| format!("{module}."));
            let prefix = prefix.filter(|it| tensors.keys().all(|name| name.starts_with(it)));
            match prefix {
                Some(prefix) if known(&best) == 0 => {
                    let inner = |name: String| name[prefix.len()..].to_owned();
                    tensors = tensors.into_iter().map(|(name, it)| (inner(name), it)).collect();
                }
                _ => return (tensors, best),
            }
        }
    }

    /// The first axis of a parameter that has another one for other classes.
    fn classes_of(
        &self,
        tensors: &BTreeMap<String, Tensor>,
        keys: Keys,
        graph: &Graph,
    ) -> Result<usize> {
        let (other, keymap) = (self.graph(CLASSES[1])?, keys.keymap(graph));
        let pairs = graph.params().iter().zip(other.params());
        let depends = pairs.filter(|(a, b)| a.shape != b.shape).map(|(spec, _)| &spec.name);
        let found = depends.filter_map(|name| tensors.get(&keymap.name_in_file(name)));
        let counts: BTreeSet<usize> = found.filter_map(|it| it.shape.first().copied()).collect();
        // Several do not fit whichever is taken, and none is a mismatch too; no network is of more than a million.
        Ok(counts.first().copied().filter(|n| (1..1 << 20).contains(n)).unwrap_or(CLASSES[0]))
    }

    /// How images are prepared for the published weights of these names, or of any, or as usual.
    fn preprocess_of(&self, keys: Keys) -> Preprocess {
        let of = |record: &&Record| record.architecture_name() == self.name;
        let has = |record: &&Record| record.sources.iter().any(|source| source.keys == keys);
        let found = records().iter().filter(of).find(has).or_else(|| records().iter().find(of));
        let usual = Preprocess { input_size: [self.input_size; 2], ..Preprocess::imagenet() };
        found.map_or(usual, |record| record.preprocess)
    }
}

/// Of ImageNet, and any other number.
const CLASSES: [usize; 2] = [1000, 7];
