//! A run as it goes on: a small dashboard on a terminal, plain lines elsewhere.
//!
//! Above: `finetune`, `eval`. Below: `progress::{dashboard, share}`, `indicatif`, `console`. Not here: the end of a run
//! (`confusion`), weights that come (`download`).

mod dashboard;
mod share;

use std::time::{Duration, Instant};

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use taper_recipes::{Epoch, Event, LrReport, MemoryPlan, Observer, RunPlan, Step, TargetKind};

use crate::download::Download;
use crate::finetune::find_lr;
use crate::output::Output;
use crate::scores;
use dashboard::Dashboard;
pub(crate) use share::Share;

/// How often plain lines tell of steps.
const EVERY: Duration = Duration::from_secs(10);

/// Files that are no pictures and are named; the rest is counted.
const NAMED: usize = 20;

/// Listens to a run and shows it.
#[derive(Debug)]
pub(crate) struct Progress {
    output: Output,
    bar: Option<ProgressBar>,
    dashboard: Dashboard,
    download: Download,
    is_terminal: bool,
    last_line: Instant,
    skipped: usize,
    steps: usize,
}

impl Progress {
    pub(crate) fn new(output: Output) -> Self {
        Progress {
            download: Download::new(output.clone()),
            output,
            bar: None,
            dashboard: Dashboard::default(),
            is_terminal: can_be_redrawn(),
            last_line: Instant::now(),
            skipped: 0,
            steps: 0,
        }
    }

    /// Files that were skipped so far.
    pub(crate) fn skipped(&self) -> usize {
        self.skipped
    }

    /// Takes the bar away.
    pub(crate) fn end(&mut self) {
        self.download.end();
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Prints above the bar.
    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.output.say(line)),
            None => self.output.say(line),
        }
    }

    /// Complains above the bar.
    fn warn(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.output.warn(line)),
            None => self.output.warn(line),
        }
    }

    fn planned(&mut self, plan: &RunPlan) {
        for line in describe(plan) {
            self.say(&line);
        }
        self.steps = plan.steps_per_epoch;
        self.dashboard = Dashboard::new(plan.options.epochs * plan.steps_per_epoch);
        if self.is_terminal {
            self.bar = Some(new_bar(plan.options.epochs * plan.steps_per_epoch));
        }
    }

    fn resumed(&mut self, epoch: usize, step: usize) {
        self.say(&format!("going on after {epoch} epochs and {step} steps"));
        self.dashboard.resumed(epoch);
        if let Some(bar) = &self.bar {
            bar.set_position((epoch * self.steps + step) as u64);
            bar.reset_eta();
        }
    }

    fn step(&mut self, step: &Step) {
        self.dashboard.step(step);
        if let Some(bar) = &self.bar {
            bar.set_position(((step.epoch - 1) * step.steps + step.step) as u64);
            bar.set_message(self.dashboard.lines(width()));
        } else if self.last_line.elapsed() >= EVERY {
            self.last_line = Instant::now();
            let line = format!(
                "epoch {}/{} loss {:.3} {:.0} images/s",
                step.epoch, step.epochs, step.loss, step.images_per_second
            );
            self.say(&format!("  step {}/{} of {line}", step.step, step.steps));
        }
    }

    fn tried_lr(&mut self, [step, steps]: [usize; 2], lr: f64, loss: f64) {
        let line = format!("looking for a learning rate: {lr:.1e} loss {loss:.3}");
        if self.is_terminal {
            let bar = self.bar.get_or_insert_with(|| new_bar(steps));
            bar.set_position(step as u64);
            bar.set_message(line);
        } else if self.last_line.elapsed() >= EVERY {
            self.last_line = Instant::now();
            self.say(&format!("  step {step}/{steps} of {line}"));
        }
    }

    fn found_lr(&mut self, report: &LrReport) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.say(&find_lr::words(report));
    }

    fn epoch(&mut self, epoch: &Epoch) {
        self.dashboard.epoch(epoch);
        if let Some(bar) = &self.bar {
            bar.set_message(self.dashboard.lines(width()));
        }
        self.say(&format!(
            "epoch {}/{}  train loss {:.3}  val loss {:.3}  val {} of {}{}",
            epoch.epoch,
            epoch.epochs,
            epoch.train_loss,
            epoch.val_loss,
            scores::words(&epoch.score.name, epoch.score.value),
            epoch.val_images,
            if epoch.is_best { "  best so far" } else { "" }
        ));
    }
}

impl Observer for Progress {
    fn on_event(&mut self, event: &Event<'_>) {
        let is_download = matches!(
            event,
            Event::Downloading { .. }
                | Event::Downloaded { .. }
                | Event::DownloadingElsewhere { .. }
                | Event::DownloadPaused { .. }
        );
        if !is_download {
            self.download.end();
        }
        match event {
            Event::Downloading { file, bytes, total } => self.download.came(file, *bytes, *total),
            Event::Downloaded { file, check } => self.download.whole(file, check),
            Event::DownloadingElsewhere { file } => self.download.elsewhere(file),
            Event::DownloadPaused { pause, reason } => self.download.paused(*pause, reason),
            Event::Recovered { epoch, scale, reason } => self.say(&format!(
                "{reason}: back to the last checkpoint, in epoch {epoch}, and on at {scale} of the rate"
            )),
            Event::Warning(text) => self.warn(text),
            Event::Soup { epochs, of, score } => {
                let epochs = epochs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let score = scores::words(&score.name, score.value);
                self.say(&format!("soup: of the {of} best epochs the mean of {epochs}: val {score}"));
            }
            Event::Memory(plan) => self.say(&memory(plan)),
            Event::Planned(plan) => self.planned(plan),
            Event::Skipped(skipped) => {
                self.skipped += 1;
                if self.skipped <= NAMED {
                    let path = skipped.path.display();
                    self.warn(&format!("skipped `{path}`: {}", skipped.reason));
                } else if self.skipped == NAMED + 1 {
                    self.warn("skipped: more files, counted below");
                }
            }
            Event::TooFew { epoch, step, images, needed } => self.warn(&format!(
                "epoch {epoch} step {step} is left out: {images} of its pictures could be read, and batch norms need {needed}"
            )),
            Event::Caching { done, total } if done == total => {
                self.say(&format!("the frozen backbone has seen all {total} pictures, once"));
            }
            Event::Caching { done, total } if self.last_line.elapsed() >= EVERY => {
                self.last_line = Instant::now();
                self.say(&format!("  seen once: {done} of {total} pictures"));
            }
            Event::Looked { done, total } if self.last_line.elapsed() >= EVERY => {
                self.last_line = Instant::now();
                self.say(&format!("  looked at {done} of {total} pictures"));
            }
            Event::Unwritten { file, reason } => {
                self.warn(&format!("{file} is not written: {reason}"));
            }
            Event::Part { name, number, of } => self.say(&format!("{number}/{of}: {name}")),
            Event::TriedLr { step, steps, lr, loss } => self.tried_lr([*step, *steps], *lr, *loss),
            Event::FoundLr(report) => self.found_lr(report),
            Event::Resumed { epoch, step } => self.resumed(*epoch, *step),
            Event::Step(step) => self.step(step),
            Event::Epoch(epoch) => self.epoch(epoch),
            _ => {}
        }
    }
}

/// How a run keeps to an amount of memory, and what that costs.
fn memory(plan: &MemoryPlan) -> String {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let MemoryPlan { limit, needed, batch, shards, recomputed } = *plan;
    let (share, each) = (100.0 * recomputed.unwrap_or(0.0), batch.div_ceil(shards));
    let again = match recomputed {
        Some(_) => format!("gradients are checkpointed ({share:.0} % more products)"),
        None => "everything is kept for the way back".to_owned(),
    };
    let cut = match shards {
        1 => format!("steps of {batch} pictures are whole"),
        _ => format!(
            "steps of {batch} pictures are cut into {shards} shards of {each}, each with batch statistics of its own"
        ),
    };
    format!("memory: at most {} of {} MiB; {again}, {cut}", mib(needed), mib(limit))
}

/// What a run is going to do, with the options that are other than by default.
fn describe(plan: &RunPlan) -> Vec<String> {
    let options = &plan.options;
    let data = match &options.data {
        Some(path) => path.display().to_string(),
        None => "built-in pictures (emoji6)".to_owned(),
    };
    let size = options.image_size.unwrap_or(0);
    let teacher = options.teacher.as_ref();
    let taught = teacher.map_or_else(String::new, |teacher| format!(", taught by {teacher}"));
    vec![
        format!(
            "data: {data}: {} pictures to train with, {} held out, {} skipped; {}",
            plan.train_images,
            plan.val_images,
            plan.skipped,
            targets(plan)
        ),
        format!(
            "model: {}, pretrained {}, freeze {}: {} of {} parameters are trained, at {size}x{size} pixels{taught}",
            options.model, options.pretrained, options.freeze, plan.trained_params, plan.params
        ),
        format!("recipe: {} (all options: config.json)", recipe(plan)),
        format!("run: {}", plan.out.display()),
    ]
}

/// What is other than by default, but for what is told of the model.
fn recipe(plan: &RunPlan) -> String {
    let is_told = |name| ["pretrained", "freeze", "image_size"].contains(&name);
    let changes = plan.changes.iter().filter(|option| !is_told(option.name));
    let words = changes.map(|option| format!("{} {}", option.name.replace('_', " "), option.value));
    let words: Vec<String> = words.collect();
    match words.is_empty() {
        true => "the defaults".to_owned(),
        false => format!("the defaults but for {}", words.join(", ")),
    }
}

/// What is told of the pictures.
fn targets(plan: &RunPlan) -> String {
    let what = match plan.targets {
        TargetKind::Class => "classes",
        TargetKind::Labels => "labels, any number a picture",
        TargetKind::Probabilities => "classes with probabilities",
        TargetKind::Numbers => "numbers to predict",
    };
    format!("{} {what}: {}", plan.classes.len(), names(&plan.classes))
}

/// The first few classes.
fn names(classes: &[String]) -> String {
    let mut text = classes.iter().take(10).map(String::as_str).collect::<Vec<_>>().join(", ");
    if classes.len() > 10 {
        text.push_str(", …");
    }
    text
}

/// Whether standard error is a terminal that can take back what it has shown.
fn can_be_redrawn() -> bool {
    let is_dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
    Term::stderr().features().is_attended() && !is_dumb
}

/// Characters of a line of the terminal.
fn width() -> usize {
    usize::from(Term::stderr().size().1)
}

fn new_bar(steps: usize) -> ProgressBar {
    let target = ProgressDrawTarget::stderr();
    let bar = ProgressBar::with_draw_target(Some(steps as u64), target);
    let template = "{msg}\n{wide_bar} {pos}/{len} {eta} left";
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
