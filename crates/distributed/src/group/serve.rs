//! The thread that owns the communicator: jobs in, answers out, one after another.
//!
//! Above: `group`. Below: `communicator`, `reduce`, `bf16`, `trace`. Not here: engines.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use crate::bf16::Residual;
use crate::reduce::{reduce, sum_f64};
use crate::trace::Recorder;
use crate::{Communicator, Control, Error, ReduceOptions, Result, Track};

/// How long the thread sleeps when there is nothing to do before it lets the engine show signs of life; a job wakes it at once.
const IDLE: Duration = Duration::from_millis(20);

/// One call, with the way back for its answer.
pub(super) enum Job {
    Reduce { bucket: usize, values: Vec<f32>, options: ReduceOptions, reply: Sender<Reduced> },
    Sum { values: Vec<f64>, reply: Sender<Vec<f64>> },
    AllGather { bytes: Vec<u8>, reply: Sender<Vec<Vec<u8>>> },
    Gather { root: usize, bytes: Vec<u8>, reply: Sender<Vec<Vec<u8>>> },
    Broadcast { root: usize, bytes: Vec<u8>, reply: Sender<Vec<u8>> },
    Barrier { reply: Sender<()> },
    Residuals { reply: Sender<Vec<(usize, Vec<f32>)>> },
    RestoreResiduals { residuals: Vec<(usize, Vec<f32>)>, reply: Sender<()> },
}

/// A sum and when it was complete.
#[derive(Debug)]
pub(super) struct Reduced {
    pub(super) values: Vec<f32>,
    pub(super) at: Instant,
}

/// Says that the communicator is not used any more, however the thread ends.
struct OverAtEnd<'c>(&'c Control);

impl Drop for OverAtEnd<'_> {
    fn drop(&mut self) {
        self.0.set_over();
    }
}

/// The whole life of the thread.
pub(super) fn run<C: Communicator>(
    make: impl FnOnce(Control) -> Result<C>,
    ready: &Sender<(usize, usize)>,
    jobs: &Receiver<Job>,
    control: &Control,
    recorder: &Recorder,
) {
    let _over = OverAtEnd(control);
    let mut communicator = match make(control.clone()) {
        Ok(communicator) => communicator,
        Err(error) => return control.fail(error),
    };
    let mut server = Server {
        communicator: &mut communicator,
        recorder,
        residuals: BTreeMap::new(),
        scratch: Vec::new(),
    };
    if let Err(error) = server.start(ready).and_then(|()| server.serve(jobs, control)) {
        control.fail(error.clone());
        communicator.abort(&error);
    }
}

struct Server<'s> {
    communicator: &'s mut dyn Communicator,
    recorder: &'s Recorder,
    residuals: BTreeMap<usize, Owed>,
    scratch: Vec<f32>,
}

/// A bucket's residual, or what a checkpoint says about it before its length is known.
enum Owed {
    Known(Residual),
    Restored(Vec<f32>),
}

impl Server<'_> {
    fn start(&mut self, ready: &Sender<(usize, usize)>) -> Result<()> {
        self.communicator.barrier()?;
        self.recorder.set_origin();
        tell(ready, (self.communicator.rank(), self.communicator.size()));
        Ok(())
    }

    /// Until the group is dropped.
    fn serve(&mut self, jobs: &Receiver<Job>, control: &Control) -> Result<()> {
        loop {
            let job = jobs.recv_timeout(IDLE);
            // Also of a rank that has let go of its group since: the others shall hear why.
            if let Some(message) = control.take_abort() {
                return Err(Error::Aborted { rank: self.communicator.rank(), message });
            }
            match job {
                Ok(job) => self.answer(job)?,
                Err(RecvTimeoutError::Timeout) => self.communicator.idle()?,
                Err(RecvTimeoutError::Disconnected) => return self.communicator.close(),
            }
        }
    }

    /// What is recorded is recorded before the answer: whoever has it finds it in totals and trace.
    fn answer(&mut self, job: Job) -> Result<()> {
        let start = Instant::now();
        match job {
            Job::Reduce { bucket, mut values, options, reply } => {
                let bytes = 4 * values.len();
                let sent = self.reduce(bucket, &mut values, options)?;
                self.recorder.count(|totals| {
                    totals.buckets += 1;
                    totals.reduced_bytes += bytes as u64;
                    totals.sent_bytes += sent as u64;
                    totals.communicating += start.elapsed();
                });
                self.span(|| format!("bucket {bucket}"), start, bytes);
                tell(&reply, Reduced { values, at: Instant::now() });
            }
            Job::Sum { mut values, reply } => {
                let bytes = 8 * values.len();
                let sent = sum_f64(self.communicator, &mut values)?;
                self.recorder.count(|totals| {
                    totals.reduced_bytes += bytes as u64;
                    totals.sent_bytes += sent as u64;
                    totals.communicating += start.elapsed();
                });
                self.span(|| "sum".to_owned(), start, bytes);
                tell(&reply, values);
            }
            Job::AllGather { bytes, reply } => {
                let all = self.communicator.all_gather(&bytes)?;
                self.span(|| "all-gather".to_owned(), start, bytes.len());
                tell(&reply, all);
            }
            Job::Gather { root, bytes, reply } => {
                let all = self.communicator.gather(root, &bytes)?;
                self.span(|| "gather".to_owned(), start, bytes.len());
                tell(&reply, all);
            }
            Job::Broadcast { root, mut bytes, reply } => {
                self.communicator.broadcast(root, &mut bytes)?;
                self.span(|| "broadcast".to_owned(), start, bytes.len());
                tell(&reply, bytes);
            }
            Job::Barrier { reply } => {
                self.communicator.barrier()?;
                self.span(|| "barrier".to_owned(), start, 0);
                tell(&reply, ());
            }
            Job::Residuals { reply } => tell(&reply, self.residuals()),
            Job::RestoreResiduals { residuals, reply } => {
                let restored = residuals.into_iter();
                self.residuals =
                    restored.map(|(bucket, values)| (bucket, Owed::Restored(values))).collect();
                tell(&reply, ());
            }
        }
        Ok(())
    }

    fn reduce(
        &mut self,
        bucket: usize,
        values: &mut [f32],
        options: ReduceOptions,
    ) -> Result<usize> {
        let owed = self.residuals.remove(&bucket);
        let mut residual = match owed {
            Some(Owed::Known(residual)) => residual,
            Some(Owed::Restored(restored)) => Residual::of(restored, values.len()),
            None => Residual::default(),
        };
        let sent = reduce(self.communicator, values, options, &mut residual, &mut self.scratch)?;
        if residual != Residual::default() {
            self.residuals.insert(bucket, Owed::Known(residual));
        }
        Ok(sent)
    }

    fn residuals(&self) -> Vec<(usize, Vec<f32>)> {
        let of = |owed: &Owed| match owed {
            Owed::Known(residual) => residual.to_vec(),
            Owed::Restored(values) => values.clone(),
        };
        self.residuals.iter().map(|(bucket, owed)| (*bucket, of(owed))).collect()
    }

    fn span(&self, name: impl FnOnce() -> String, start: Instant, bytes: usize) {
        self.recorder.span(Track::Communication, name, start, bytes);
    }
}

/// An answer that nobody waits for any more is dropped.
fn tell<T>(reply: &Sender<T>, answer: T) {
    reply.send(answer).ok();
}
