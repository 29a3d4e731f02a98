//! One rank's end of all ranks, and the thread that owns its communicator.
//!
//! Above: the training, `buckets`, `agreement`. Below: `serve`, `control`, `trace`. Not here: how ranks are summed (`reduce`).
//! Calls are jobs in a channel, served strictly in order, so that ranks which make the same calls meet. A call that waits looks
//! every now and then whether the job has failed, because the thread may be inside an operation that will never end.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::trace::{self, Recorder};
use crate::{Communicator, Control, Error, ReduceOptions, Result, Threads, Totals, Track, threads};

mod serve;

use serve::{Job, Reduced};

/// How long a rank may be silent.
pub const TIME_LIMIT: Duration = Duration::from_secs(20);

/// How often a call that waits looks whether the job has failed.
const LOOK: Duration = Duration::from_millis(50);

/// How long leaving a job that has failed waits for the thread, which waits for rank 0 for a little less.
const FAREWELL: Duration = Duration::from_secs(10);

/// How a group behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupOptions {
    /// How long a rank may give no sign of life before the job ends. Ranks give signs while they compute, too.
    pub time_limit: Duration,
    /// Whether spans are kept for [`Group::trace`].
    pub trace: bool,
}

impl Default for GroupOptions {
    fn default() -> GroupOptions {
        GroupOptions { time_limit: TIME_LIMIT, trace: false }
    }
}

/// One rank's end of all ranks.
///
/// All ranks make the same calls in the same order. Processes that drop theirs, or [`Self::leave`], wait until all have; when the
/// job has failed, for some seconds until the one that says why has: the launcher ends all processes as soon as one has failed.
#[derive(Debug)]
pub struct Group {
    rank: usize,
    size: usize,
    recorder: Arc<Recorder>,
    control: Control,
    /// Nothing when there is one rank that no engine has started.
    served: Option<Served>,
}

#[derive(Debug)]
struct Served {
    jobs: Sender<Job>,
    thread: JoinHandle<()>,
}

impl Group {
    /// One rank: no thread, no copy, every call gives back what it was given.
    #[must_use]
    pub fn alone() -> Group {
        Group::alone_with(GroupOptions::default())
    }

    /// As [`Self::alone`], with options.
    #[must_use]
    pub fn alone_with(options: GroupOptions) -> Group {
        let recorder = Arc::new(Recorder::new(options.trace));
        recorder.set_origin();
        Group { rank: 0, size: 1, recorder, control: Control::default(), served: None }
    }

    /// `size` ranks in this process, each to be moved to a thread of its own.
    ///
    /// # Errors
    /// [`Error::Engine`] when the system gives no threads.
    pub fn threads(size: usize) -> Result<Vec<Group>> {
        Group::threads_with(size, GroupOptions::default())
    }

    /// As [`Self::threads`], with options.
    ///
    /// # Errors
    /// As [`Self::threads`].
    pub fn threads_with(size: usize, options: GroupOptions) -> Result<Vec<Group>> {
        let start =
            |rank: Threads| Starting::new(|control| Ok(rank.with_control(control)), options);
        let all: Vec<Starting> = threads(size).into_iter().map(start).collect::<Result<_>>()?;
        all.into_iter().map(Starting::wait).collect()
    }

    /// Starts the thread that owns a communicator, makes it there, and waits for all other ranks.
    ///
    /// `make` gets the [`Control`] through which the engine and the group talk.
    ///
    /// # Errors
    /// Those of `make`; whatever ended the job meanwhile.
    pub fn start<C: Communicator + 'static>(
        make: impl FnOnce(Control) -> Result<C> + Send + 'static,
        options: GroupOptions,
    ) -> Result<Group> {
        Starting::new(make, options)?.wait()
    }

    /// This rank, from 0.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Number of ranks.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether this is the only rank.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.size == 1
    }

    /// Whether this is rank 0, the one that prints, writes and logs.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// Begins to sum `values` over all ranks, and returns at once.
    ///
    /// `bucket` names the vector from step to step: with [`ReduceDtype::Bf16`](crate::ReduceDtype::Bf16) its residual goes by it.
    pub fn reduce(&self, bucket: usize, values: Vec<f32>, options: ReduceOptions) -> Pending {
        let bytes = 4 * values.len();
        if self.is_alone() {
            return Pending { state: State::Ready(values), ..self.pending(bytes) };
        }
        let (reply, receiver) = mpsc::channel();
        let state = match self.submit(Job::Reduce { bucket, values, options, reply }) {
            Ok(()) => State::Sent(receiver),
            Err(error) => State::Failed(error),
        };
        Pending { state, ..self.pending(bytes) }
    }

    /// Sums a few `values` over any number of ranks, in the tree that shards are summed in, and waits for it: the same bits on all ranks.
    ///
    /// # Errors
    /// Whatever ended the job.
    pub fn sum(&self, values: Vec<f64>) -> Result<Vec<f64>> {
        if self.is_alone() {
            return Ok(values);
        }
        let (start, bytes) = (Instant::now(), 8 * values.len());
        let sum = self.call(|reply| Job::Sum { values, reply })?;
        self.recorder.count(|totals| totals.stalled += start.elapsed());
        self.recorder.span(Track::Compute, || "wait".to_owned(), start, bytes);
        Ok(sum)
    }

    /// What every rank has given, by rank; lengths may differ.
    ///
    /// # Errors
    /// Whatever ended the job.
    pub fn all_gather(&self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        match self.is_alone() {
            true => Ok(vec![bytes]),
            false => self.call(|reply| Job::AllGather { bytes, reply }),
        }
    }

    /// What every rank has given, by rank, on `root`, and nothing on others; lengths may differ.
    ///
    /// # Errors
    /// Whatever ended the job; [`Error::Call`] when there is no such rank.
    pub fn gather(&self, root: usize, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        self.check_rank("what is gathered on", root)?;
        match self.is_alone() {
            true => Ok(vec![bytes]),
            false => self.call(|reply| Job::Gather { root, bytes, reply }),
        }
    }

    /// What `root` has given, on all ranks; what others give is not looked at.
    ///
    /// # Errors
    /// Whatever ended the job; [`Error::Call`] when there is no such rank.
    pub fn broadcast(&self, root: usize, bytes: Vec<u8>) -> Result<Vec<u8>> {
        self.check_rank("a broadcast from", root)?;
        match self.is_alone() {
            true => Ok(bytes),
            false => self.call(|reply| Job::Broadcast { root, bytes, reply }),
        }
    }

    /// Returns when all ranks have called it.
    ///
    /// # Errors
    /// Whatever ended the job.
    pub fn barrier(&self) -> Result<()> {
        match self.is_alone() {
            true => Ok(()),
            false => self.call(|reply| Job::Barrier { reply }),
        }
    }

    /// What rounding to bf16 still owes, (bucket, values), of this rank: state to be saved, which goes with the number of ranks.
    ///
    /// # Errors
    /// Whatever ended the job.
    pub fn residuals(&self) -> Result<Vec<(usize, Vec<f32>)>> {
        match self.is_alone() {
            true => Ok(Vec::new()),
            false => self.call(|reply| Job::Residuals { reply }),
        }
    }

    /// Takes up the residuals that [`Self::residuals`] gave on the same rank of as many.
    ///
    /// # Errors
    /// Whatever ended the job. Another length is refused by the next reduction.
    pub fn restore_residuals(&self, residuals: Vec<(usize, Vec<f32>)>) -> Result<()> {
        match self.is_alone() {
            true => Ok(()),
            false => self.call(|reply| Job::RestoreResiduals { residuals, reply }),
        }
    }

    /// Fails when the job has: for a rank that computes for long without needing others.
    ///
    /// # Errors
    /// Whatever ended the job.
    pub fn check(&self) -> Result<()> {
        self.control.failure().map_or(Ok(()), Err)
    }

    /// Ends the job on all ranks: their calls fail with [`Error::Aborted`], this rank and `message`. Does not wait for them. The
    /// first message stays; without other ranks it does nothing.
    pub fn abort(&self, message: &str) {
        if !self.is_alone() && self.control.failure().is_none() {
            self.control.want_abort(message.to_owned());
        }
    }

    /// What communication has cost so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.recorder.totals()
    }

    /// A stretch of this rank's compute, until the guard is dropped; for the trace alone.
    #[must_use = "a span ends when it is dropped"]
    pub fn span(&self, name: &'static str) -> Span<'_> {
        Span { recorder: &self.recorder, name, start: Instant::now() }
    }

    /// The trace of all ranks as JSON for Chrome's viewer, on rank 0; nothing on others. All ranks call it.
    ///
    /// # Errors
    /// Whatever ended the job.
    pub fn trace(&self) -> Result<Option<String>> {
        let mine = self.recorder.events_json(self.rank).into_bytes();
        let all = self.all_gather(mine)?;
        let texts = all.iter().map(|events| String::from_utf8_lossy(events).into_owned());
        Ok(self.is_first().then(|| trace::whole(texts)))
    }

    /// Leaves, as dropping does, and says whether the user knows why the job has failed, if it has: the rank that is the
    /// [`Error::spokesman`] prints the error and then leaves; any other leaves, and prints it if this returns `false`.
    #[must_use]
    pub fn leave(self) -> bool {
        let (control, is_alone) = (self.control.clone(), self.is_alone());
        drop(self);
        is_alone || control.failure().is_none() || control.is_told()
    }

    fn check_rank(&self, what: &str, rank: usize) -> Result<()> {
        match rank < self.size {
            true => Ok(()),
            false => Err(Error::Call {
                what: format!("{what} rank {rank}"),
                expected: format!("ranks are 0 to {}", self.size - 1),
            }),
        }
    }

    fn pending(&self, bytes: usize) -> Pending {
        let (control, recorder) = (self.control.clone(), self.recorder.clone());
        Pending { state: State::Taken, rank: self.rank, bytes, control, recorder }
    }

    fn submit(&self, job: Job) -> Result<()> {
        self.check()?;
        let sent = self.served.as_ref().is_some_and(|served| served.jobs.send(job).is_ok());
        if sent { Ok(()) } else { Err(self.over()) }
    }

    fn call<T>(&self, job: impl FnOnce(Sender<T>) -> Job) -> Result<T> {
        let (reply, receiver) = mpsc::channel();
        self.submit(job(reply))?;
        receive(&receiver, &self.control, self.rank)
    }

    fn over(&self) -> Error {
        self.control.failure().unwrap_or(Error::Ended { rank: self.rank })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(Served { jobs, thread }) = self.served.take() else { return };
        self.control.set_closing();
        drop(jobs);
        while !self.control.wait_over(LOOK) {
            if self.control.failure().is_some() {
                // The thread may be inside an operation that will not end; the process is about to.
                self.control.wait_over(FAREWELL);
                return;
            }
        }
        // It has said its last word, so that it ends unless the job has failed.
        if self.control.failure().is_none() {
            drop(thread.join());
        }
    }
}

/// A group whose thread has begun and does not yet know the others.
struct Starting {
    served: Served,
    ready: Receiver<(usize, usize)>,
    control: Control,
    recorder: Arc<Recorder>,
}

impl Starting {
    fn new<C: Communicator + 'static>(
        make: impl FnOnce(Control) -> Result<C> + Send + 'static,
        options: GroupOptions,
    ) -> Result<Starting> {
        let (control, recorder) = (Control::default(), Arc::new(Recorder::new(options.trace)));
        let (jobs, received) = mpsc::channel();
        let (tell, ready) = mpsc::channel();
        let thread = {
            let (control, recorder) = (control.clone(), recorder.clone());
            thread::Builder::new().name("taper-communication".to_owned()).spawn(move || {
                serve::run(make, &tell, &received, &control, &recorder);
            })
        };
        let thread = thread.map_err(|error| Error::Engine {
            engine: "threads",
            message: format!("the system gives no thread: {error}"),
        })?;
        Ok(Starting { served: Served { jobs, thread }, ready, control, recorder })
    }

    fn wait(self) -> Result<Group> {
        let (rank, size) = receive(&self.ready, &self.control, 0)?;
        let Starting { served, control, recorder, .. } = self;
        Ok(Group { rank, size, recorder, control, served: Some(served) })
    }
}

/// Waits for the thread's answer, or for the job to fail.
fn receive<T>(receiver: &Receiver<T>, control: &Control, rank: usize) -> Result<T> {
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(answer) => return Ok(answer),
            Err(RecvTimeoutError::Disconnected) => {
                // The thread has dropped the job and is about to say why.
                control.wait_failure(FAREWELL);
                return Err(control.failure().unwrap_or(Error::Ended { rank }));
            }
            Err(RecvTimeoutError::Timeout) => control.failure().map_or(Ok(()), Err)?,
        }
    }
}

/// A sum that is on its way.
#[derive(Debug)]
#[must_use = "the sum is there when `wait` returns"]
pub struct Pending {
    state: State,
    rank: usize,
    bytes: usize,
    control: Control,
    recorder: Arc<Recorder>,
}

#[derive(Debug)]
enum State {
    Ready(Vec<f32>),
    Sent(Receiver<Reduced>),
    Failed(Error),
    Taken,
}

impl Pending {
    /// The sum.
    ///
    /// # Errors
    /// Whatever ended the job.
    pub fn wait(self) -> Result<Vec<f32>> {
        self.wait_from(Instant::now())
    }

    /// As [`Self::wait`]; what was reduced before `begin` counts as hidden.
    pub(crate) fn wait_from(self, begin: Instant) -> Result<Vec<f32>> {
        let receiver = match self.state {
            State::Ready(values) => return Ok(values),
            State::Failed(error) => return Err(error),
            State::Taken => return Err(Error::Ended { rank: self.rank }),
            State::Sent(receiver) => receiver,
        };
        let start = Instant::now();
        let Reduced { values, at } = receive(&receiver, &self.control, self.rank)?;
        self.recorder.count(|totals| {
            totals.stalled += start.elapsed();
            totals.hidden_bytes += if at <= begin { self.bytes as u64 } else { 0 };
        });
        self.recorder.span(Track::Compute, || "wait".to_owned(), start, self.bytes);
        Ok(values)
    }
}

/// A stretch of compute in the trace; see [`Group::span`].
#[derive(Debug)]
pub struct Span<'g> {
    recorder: &'g Recorder,
    name: &'static str,
    start: Instant,
}

impl Drop for Span<'_> {
    fn drop(&mut self) {
        self.recorder.span(Track::Compute, || self.name.to_owned(), self.start, 0);
    }
}

#[cfg(test)]
mod tests;
