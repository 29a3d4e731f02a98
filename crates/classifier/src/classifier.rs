//! A model made ready once, to classify pictures on any number of threads.
//!
//! Above: `recipes`, programs that only classify. Below: `pool`, `preprocess`, `engine::Session`. Not here: models by name (`zoo`).

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use taper_data::Transform;
use taper_data::random::Rng;
use taper_data::transform::{Resampler, StackedViews};
use taper_engine::{Session, SessionOptions};
use taper_graph::Extent;
use taper_model::{Confidence, Familiarity, Model, Task};

use crate::error::{Error, Result};
use crate::input::Input;
use crate::likeliest::{ClassProbability, likeliest, mean_of_views};
use crate::pool::{Pool, Worker};
use crate::preprocess::eval_transform;

/// The output that says what a picture shows.
const LOGITS: &str = "logits";

/// The output that says how a picture looks to the classifier.
const FEATURES: &str = "pre_logits";

/// Pictures of a batch that are in memory as the network's input at a time.
const AT_ONCE: usize = 32;

/// How a [`Classifier`] works.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ClassifierOptions {
    /// Threads that a call may use while no other runs, 0 for all cores; calls at the same time have one each. Changes no result.
    pub threads: usize,
    /// How pictures are prepared; as the model says ([`eval_transform`](crate::eval_transform)) when absent.
    pub transform: Option<Arc<dyn Transform>>,
    /// Views of a picture that the transform stacks one above the other, whose probabilities are averaged; 0 and 1 are one.
    pub views: usize,
}

impl ClassifierOptions {
    /// The same on so many threads.
    #[must_use]
    pub fn with_threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    /// The same with a transform of one's own, such as the one that the network was trained with.
    #[must_use]
    pub fn with_transform(self, transform: impl Into<Arc<dyn Transform>>) -> Self {
        Self { transform: Some(transform.into()), views: 1, ..self }
    }

    /// The same with several views of a picture ([`eval_views`](crate::eval_views)), whose probabilities are averaged: test-time augmentation.
    #[must_use]
    pub fn with_views(self, views: StackedViews) -> Self {
        Self { views: views.count(), transform: Some(views.into()), ..self }
    }
}

/// A model, what it expects of pictures, and sessions to run it. Loads once, takes `&self`, serves any number of threads.
///
/// Every call has a session and memory of its own, made when more calls run at the same time than before, and kept; the packed
/// weights are shared. The same picture gives the same bits, alone or in a batch, on one thread or many. See the crate's page for an
/// example.
pub struct Classifier {
    classes: Vec<String>,
    task: Task,
    confidence: Option<Confidence>,
    transform: Arc<dyn Transform>,
    /// Views of a picture, one above the other in what the transform makes.
    views: usize,
    pool: Pool,
}

/// What a picture shows, and whether it is like those that the classes were learned from.
#[derive(Debug, Clone, PartialEq)]
pub struct Recognition {
    /// The likeliest classes.
    pub predictions: Vec<ClassProbability>,
    /// [`Familiarity::score`] of the picture, from -1 to 1.
    pub familiarity: f64,
    /// Whether the picture is like those that the classes were learned from; of one that is not, the classes mean nothing.
    pub is_known: bool,
}

impl fmt::Debug for Classifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { classes, task: _, confidence: _, transform, views: _, pool: _ } = self;
        write!(f, "Classifier({} classes, {transform:?})", classes.len())
    }
}

impl Classifier {
    /// Loads a model file.
    ///
    /// # Errors
    /// [`Error::Model`], and those of [`Self::new`].
    pub fn load(path: impl AsRef<Path>, options: &ClassifierOptions) -> Result<Self> {
        let model = Model::load(path.as_ref()).map_err(|source| Error::Model { source })?;
        Self::new(&model, options)
    }

    /// Makes a model ready: folds its norms, packs its weights. The model is not needed any more then.
    ///
    /// # Errors
    /// [`Error::NotAClassifier`] if its logits are a map, [`Error::Engine`] if the network cannot be run on pictures of the transform's
    /// size, [`Error::Preprocess`] for numbers out of range.
    pub fn new(model: &Model, options: &ClassifierOptions) -> Result<Self> {
        let transform = match &options.transform {
            Some(transform) => Arc::clone(transform),
            None => eval_transform(model.preprocess())?.into(),
        };
        let views = options.views.max(1);
        let [height, w] = transform.size();
        let logits = logits(model, [height / views, w])?;
        if logits.size() != [1, 1] {
            let ([h, w], channels) = (logits.size(), logits.channels());
            return Err(Error::NotAClassifier { h, w, channels });
        }
        let (expected, got) = (model.graph().input_channels(), transform.channels());
        if got != expected {
            return Err(Error::Channels { expected, got });
        }
        let confidence = model.confidence().cloned();
        let mut outputs = vec![LOGITS.to_owned()];
        outputs.extend(familiarity(confidence.as_ref()).map(|_| FEATURES.to_owned()));
        let session = SessionOptions { threads: options.threads, outputs };
        let session = Session::new(model, &session).map_err(engine)?;
        let classes = named(model.classes(), logits.channels());
        let (task, pool) = (model.task(), Pool::new(session));
        Ok(Self { classes, task, confidence, transform, views, pool })
    }

    /// The classes' names, by their index in the logits; numbers if the model names none.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// What the logits mean.
    #[must_use]
    pub fn task(&self) -> Task {
        self.task
    }

    /// What held-out pictures said about the model, by which probabilities are calibrated.
    #[must_use]
    pub fn confidence(&self) -> Option<&Confidence> {
        self.confidence.as_ref()
    }

    /// How pictures are prepared.
    #[must_use]
    pub fn transform(&self) -> &Arc<dyn Transform> {
        &self.transform
    }

    /// The `k` likeliest classes of a picture, or labels of which any number holds, the likeliest first; all of them if there are fewer.
    /// Probabilities are those of the model's [temperature](Confidence::temperature), if it has one.
    ///
    /// # Errors
    /// [`Error::Picture`] if it cannot be read, [`Error::PredictsNumbers`] if the model has no classes but numbers.
    pub fn classify<'a>(
        &self,
        picture: impl Into<Input<'a>>,
        k: usize,
    ) -> Result<Vec<ClassProbability>> {
        self.has_classes()?;
        Ok(self.likeliest(&self.logits(picture)?, k))
    }

    /// [`Self::classify`] with a word on whether the picture is one of other things.
    ///
    /// # Errors
    /// As [`Self::classify`]; [`Error::NoFamiliarity`] if the model was never shown what it does not know.
    pub fn recognize<'a>(&self, picture: impl Into<Input<'a>>, k: usize) -> Result<Recognition> {
        self.has_classes()?;
        let known = familiarity(self.confidence.as_ref()).ok_or(Error::NoFamiliarity)?;
        let [logits, features] = self.outputs(picture.into())?;
        Ok(Recognition {
            predictions: self.likeliest(&logits, k),
            familiarity: known.score(&features),
            is_known: known.is_known(&features),
        })
    }

    fn likeliest(&self, logits: &[f32], k: usize) -> Vec<ClassProbability> {
        let temperature = self.confidence.as_ref().map_or(1.0, Confidence::temperature);
        likeliest(self.task, temperature, logits, &self.classes, k)
    }

    fn has_classes(&self) -> Result<()> {
        match self.task {
            Task::Classification | Task::MultiLabel => Ok(()),
            Task::Regression => Err(Error::PredictsNumbers { names: self.classes.join(", ") }),
        }
    }

    /// [`Self::classify`] for many pictures, read, prepared and run on all threads: one answer for each, in their order, which is
    /// [`Error::Picture`] for one that cannot be read.
    ///
    /// # Errors
    /// [`Error::Engine`] if a batch has no room in memory.
    pub fn classify_batch<'a>(
        &self,
        pictures: impl IntoIterator<Item = impl Into<Input<'a>>>,
        k: usize,
    ) -> Result<Vec<Result<Vec<ClassProbability>>>> {
        self.has_classes()?;
        let all = self.logits_batch(pictures)?.into_iter();
        Ok(all.map(|logits| Ok(self.likeliest(&logits?, k))).collect())
    }

    /// The network's output for a picture, a number a class, before the softmax; the predicted numbers themselves of a model of
    /// [`Task::Regression`].
    ///
    /// # Errors
    /// As [`Self::classify`].
    pub fn logits<'a>(&self, picture: impl Into<Input<'a>>) -> Result<Vec<f32>> {
        let [logits, _] = self.outputs(picture.into())?;
        Ok(logits)
    }

    /// The logits, and the features, which are empty of a model without [`Familiarity`].
    fn outputs(&self, picture: Input<'_>) -> Result<[Vec<f32>; 2]> {
        let ([h, w], c) = (self.transform.size(), self.transform.channels());
        self.pool.with(|Worker { session, resampler, xs }| {
            xs.resize(h * w * c, 0.0);
            self.prepare(picture, resampler, xs)?;
            let shape = [self.views, h / self.views, w];
            let outputs = session.run_all(xs, shape).map_err(engine)?;
            let [logits, features] = [0, 1].map(|at| outputs.get(at).cloned().unwrap_or_default());
            // Of several views, the mean of their features.
            let width = features.len() / self.views;
            let features = mean_of_views(Task::Regression, &features, self.views, width);
            Ok([self.together(&logits), features])
        })
    }

    /// [`Self::logits`] for many pictures: one answer for each, in their order.
    ///
    /// # Errors
    /// As [`Self::classify_batch`].
    pub fn logits_batch<'a>(
        &self,
        pictures: impl IntoIterator<Item = impl Into<Input<'a>>>,
    ) -> Result<Vec<Result<Vec<f32>>>> {
        let pictures: Vec<Input<'a>> = pictures.into_iter().map(Into::into).collect();
        let mut all = Vec::with_capacity(pictures.len());
        self.pool.with(|worker| {
            for pictures in pictures.chunks(AT_ONCE) {
                all.extend(self.some_logits(worker, pictures)?);
            }
            Ok(())
        })?;
        Ok(all)
    }

    /// The logits of at most [`AT_ONCE`] pictures.
    fn some_logits(
        &self,
        worker: &mut Worker,
        pictures: &[Input<'_>],
    ) -> Result<Vec<Result<Vec<f32>>>> {
        let ([h, w], c) = (self.transform.size(), self.transform.channels());
        let Worker { session, resampler, xs } = worker;
        xs.resize(pictures.len() * h * w * c, 0.0);
        let prepared = self.prepare_all(pictures, session.threads(), resampler, xs);
        // Those that can be used move up, so that the network sees them as one batch.
        let mut n = 0;
        for (slot, prepared) in prepared.iter().enumerate() {
            if prepared.is_ok() {
                xs.copy_within(slot * h * w * c..(slot + 1) * h * w * c, n * h * w * c);
                n += 1;
            }
        }
        let shape = [n * self.views, h / self.views, w];
        let logits = session.run(&xs[..n * h * w * c], shape).map_err(engine)?;
        let logits = self.together(logits);
        let mut rows = logits.chunks_exact(self.classes.len().max(1));
        let mut row = |()| rows.next().map(<[f32]>::to_vec).unwrap_or_default();
        Ok(prepared.into_iter().map(|prepared| prepared.map(&mut row)).collect())
    }

    /// What the views of each picture say together.
    fn together(&self, logits: &[f32]) -> Vec<f32> {
        mean_of_views(self.task, logits, self.views, self.classes.len())
    }

    /// Prepares pictures, each to its place in `xs`, on so many threads.
    fn prepare_all(
        &self,
        pictures: &[Input<'_>],
        threads: usize,
        resampler: &mut Resampler,
        xs: &mut [f32],
    ) -> Vec<Result<()>> {
        let ([h, w], c) = (self.transform.size(), self.transform.channels());
        let share = pictures.len().div_ceil(threads.max(1)).max(1);
        let run = |pictures: &[Input<'_>], resampler: &mut Resampler, xs: &mut [f32]| {
            let places = pictures.iter().zip(xs.chunks_exact_mut(h * w * c));
            places.map(|(picture, xs)| self.prepare(*picture, resampler, xs)).collect()
        };
        if share >= pictures.len() {
            return run(pictures, resampler, xs);
        }
        let shares = pictures.chunks(share).zip(xs.chunks_mut(share * h * w * c));
        std::thread::scope(|scope| {
            let started: Vec<_> = shares
                .map(|(pictures, xs)| {
                    scope.spawn(move || run(pictures, &mut Resampler::default(), xs))
                })
                .collect();
            let joined = started.into_iter().map(|share| match share.join() {
                Ok(prepared) => prepared,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            joined.flat_map(|prepared: Vec<Result<()>>| prepared).collect()
        })
    }

    fn prepare(&self, picture: Input<'_>, resampler: &mut Resampler, xs: &mut [f32]) -> Result<()> {
        let image = picture.image()?;
        // Evaluation draws nothing; what a transform of one's own draws is the same for every picture and every call.
        let mut rng = Rng::keyed([0]);
        let applied = self.transform.apply(&image, &mut rng, resampler, xs);
        applied.map_err(|source| picture.unusable(source))
    }
}

/// The classes' names, by their index in the logits; numbers if the model names none.
///
/// # Errors
/// [`Error::Engine`] if the network cannot take pictures of its own input size, which a model that was loaded can.
pub fn class_names(model: &Model) -> Result<Vec<String>> {
    let logits = logits(model, model.preprocess().input_size)?;
    Ok(named(model.classes(), logits.channels()))
}

fn familiarity(confidence: Option<&Confidence>) -> Option<&Familiarity> {
    confidence.and_then(Confidence::familiarity)
}

fn named(classes: &[String], n: usize) -> Vec<String> {
    match classes {
        [] => (0..n).map(|class| class.to_string()).collect(),
        names => names.to_vec(),
    }
}

/// What the logits of a picture are.
fn logits(model: &Model, [h, w]: [usize; 2]) -> Result<Extent> {
    let graph = model.graph();
    let extent = || Ok(graph.extents(h, w)?[graph.output(LOGITS)?.index()]);
    extent().map_err(|source: taper_graph::Error| engine(source.into()))
}

fn engine(source: taper_engine::Error) -> Error {
    Error::Engine { source }
}
