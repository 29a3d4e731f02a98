//! What the best model answers to the held-out pictures: collected once, kept as `predictions.jsonl`, read again.
//!
//! Above: `run_report`. Below: `taper_train::Metric`, `serde_json`. Not here: what is made of them (`run_report::judged`).
//! Each line is a picture by its name in the data set; a table that pandas and `taper` read. Where the targets are probabilities, the
//! likeliest class is the target.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use taper_data::{Sample, Targets};
use taper_model::Task;
use taper_train::{Goal, Metric, Predictions};

/// The longest line that is read: thousands of labels.
const LONGEST: u64 = 8 << 20;

/// The least probability of a label that does not hold that is kept: of a thousand labels, a picture has a few.
const LEAST: f64 = 0.01;

/// An answer; `None` is a number that is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    /// One class.
    Class {
        image: String,
        target: String,
        predicted: String,
        /// Of the predicted class.
        probability: Option<f64>,
    },
    /// Any number of labels.
    Labels {
        image: String,
        /// Those that hold.
        targets: Vec<String>,
        /// Of those that hold, and of others from [`LEAST`] on; of none that nobody knows.
        probabilities: BTreeMap<String, Option<f64>>,
    },
    /// Numbers.
    Numbers {
        image: String,
        targets: BTreeMap<String, Option<f64>>,
        predicted: BTreeMap<String, Option<f64>>,
    },
}

/// Collects answers as if it were a metric.
pub(crate) struct Collector<'a> {
    task: Task,
    /// Of the model's outputs.
    names: &'a [String],
    samples: &'a [Sample],
    pub(crate) answers: Vec<Answer>,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(task: Task, names: &'a [String], samples: &'a [Sample]) -> Self {
        Self { task, names, samples, answers: Vec::new() }
    }

    fn name(&self, index: usize) -> String {
        self.names.get(index).cloned().unwrap_or_else(|| index.to_string())
    }

    fn named(&self, values: impl Iterator<Item = f64>) -> BTreeMap<String, Option<f64>> {
        values.enumerate().map(|(index, value)| (self.name(index), finite(value))).collect()
    }

    fn answer(&self, image: String, logits: &[f32], target: &Row<'_>) -> Answer {
        let said = self.task.probabilities(logits);
        match (self.task, target) {
            (Task::Regression, target) => Answer::Numbers {
                image,
                targets: self.named(target.values().iter().map(|&value| f64::from(value))),
                predicted: self.named(said.into_iter()),
            },
            (Task::MultiLabel, target) => {
                let holds = target.values().iter().enumerate().filter(|(_, value)| **value >= 0.5);
                let targets: Vec<String> = holds.map(|(index, _)| self.name(index)).collect();
                let mut probabilities = self.named(said.into_iter());
                // Of what nobody knows, no answer is right or wrong.
                let unknown = target.values().iter().enumerate().filter(|(_, it)| it.is_nan());
                unknown.for_each(|(index, _)| {
                    probabilities.remove(&self.name(index));
                });
                probabilities.retain(|name, said| {
                    said.is_none_or(|said| said >= LEAST) || targets.contains(name)
                });
                Answer::Labels { image, targets, probabilities }
            }
            (Task::Classification, target) => {
                let predicted = largest(&said);
                let target = match target {
                    Row::Class(class) => *class as usize,
                    Row::Values(values) => {
                        let values: Vec<f64> = values.iter().map(|&it| f64::from(it)).collect();
                        largest(&values)
                    }
                };
                Answer::Class {
                    image,
                    target: self.name(target),
                    predicted: self.name(predicted),
                    probability: said.get(predicted).copied().and_then(finite),
                }
            }
        }
    }
}

/// A picture's target.
enum Row<'t> {
    Class(u32),
    Values(&'t [f32]),
}

impl Row<'_> {
    fn values(&self) -> &[f32] {
        match self {
            Self::Class(_) => &[],
            Self::Values(values) => values,
        }
    }
}

/// The first of the largest; 0 of none.
fn largest(values: &[f64]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

impl Metric for Collector<'_> {
    fn name(&self) -> String {
        "answers".to_owned()
    }

    fn goal(&self) -> Goal {
        Goal::Maximize
    }

    fn reset(&mut self) {
        self.answers.clear();
    }

    fn update(&mut self, batch: &Predictions<'_>) -> taper_train::Result<()> {
        let output = batch.single()?;
        let n = batch.indices().len();
        let width = batch.targets().values().map_or(0, |values| values.len() / n.max(1));
        for ((at, &index), logits) in batch.indices().iter().enumerate().zip(output.rows()) {
            let target = match batch.targets() {
                Targets::Classes(classes) => {
                    Row::Class(classes.get(at).copied().unwrap_or_default())
                }
                targets => {
                    let values = targets.values().unwrap_or_default();
                    Row::Values(values.get(at * width..(at + 1) * width).unwrap_or_default())
                }
            };
            let image = self.samples.get(index).map(|sample| sample.name().to_owned());
            let answer = self.answer(image.unwrap_or_default(), logits, &target);
            self.answers.push(answer);
        }
        Ok(())
    }

    fn compute(&self) -> Option<f64> {
        None
    }

    fn state(&self) -> Vec<f64> {
        Vec::new()
    }

    fn load_state(&mut self, _state: &[f64]) {
        self.reset();
    }
}

/// The answers that a file holds; none if it is not there or one of its lines is no answer.
pub(crate) fn read(path: &Path) -> Option<Vec<Answer>> {
    let mut file = BufReader::new(File::open(path).ok()?);
    let (mut answers, mut line) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        match Read::by_ref(&mut file).take(LONGEST).read_until(b'\n', &mut line).ok()? {
            0 => return Some(answers),
            _ => answers.push(serde_json::from_slice(&line).ok()?),
        }
    }
}

#[cfg(test)]
mod tests {
    use taper_data::{Array, Image};
    use taper_train::Output;

    use super::*;

    fn collected(task: Task, targets: &Targets, logits: &[f32]) -> Vec<Answer> {
        let image = || Image::new(1, 1, vec![0; 3]).unwrap();
        let samples = ["a \"b\".jpg", "c.jpg"].map(|name| Sample::from_image(name, 0, image()));
        let names = ["ant", "<script>"].map(str::to_owned);
        let mut collector = Collector::new(task, &names, &samples);
        let output = Output { name: "logits", values: logits, shape: &[2, 2] };
        collector.update(&Predictions::new(vec![output], targets, &[1, 0]).unwrap()).unwrap();
        collector.answers
    }

    #[test]
    fn answers_of_every_task_are_kept_and_read_again() {
        let values = |values: &[f32]| Array::new(values.to_vec(), vec![2, 2]).unwrap();
        let nine = 9.0f32.ln();
        let soft = Targets::Probabilities(values(&[0.25, 0.75, 0.5, 0.5]));
        let labels = Targets::Labels(values(&[0.0, 1.0, 0.0, 0.0]));
        let numbers = Targets::Numbers(values(&[1.0, 2.0, 3.0, 4.0]));
        let of = |task, targets: &Targets| collected(task, targets, &[nine, 0.0, f32::NAN, 0.0]);
        let all = [
            of(Task::Classification, &vec![1, 0].into()),
            of(Task::Classification, &soft),
            of(Task::MultiLabel, &labels),
            of(Task::Regression, &numbers),
        ];
        match &all[0][0] {
            Answer::Class { image, target, predicted, probability } => {
                assert_eq!(
                    (image.as_str(), target.as_str(), predicted.as_str()),
                    ("c.jpg", "<script>", "ant")
                );
                assert!((probability.unwrap() - 0.9).abs() < 1e-6);
            }
            other => panic!("{other:?}"),
        }
        assert!(
            matches!(&all[0][1], Answer::Class { image, probability: None, .. } if image == "a \"b\".jpg")
        );
        assert!(matches!(&all[1][0], Answer::Class { target, .. } if target == "<script>"));
        assert!(matches!(&all[2][0], Answer::Labels { targets, .. } if targets == &["<script>"]));
        match &all[3][1] {
            Answer::Numbers { targets, predicted, .. } => {
                assert_eq!(
                    (targets["ant"], predicted["ant"], predicted["<script>"]),
                    (Some(3.0), None, Some(0.0))
                );
            }
            other => panic!("{other:?}"),
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("predictions.jsonl");
        for answers in all {
            crate::run_report::write_lines(&path, &answers).unwrap();
            assert_eq!(read(&path), Some(answers));
        }
        std::fs::write(&path, "{\"image\":1}\n").unwrap();
        assert_eq!(read(&path), None);
    }
}
