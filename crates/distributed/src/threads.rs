//! Ranks that are threads of one process, for tests and documentation.
//!
//! Above: `group`. Below: `communicator`, `control`. Not here: processes.
//! Messages are queues behind one lock, one queue for each pair of ranks and direction.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::control::lock;
use crate::{Communicator, Control, Error, Result};

/// How often a rank that waits looks whether its own main thread wants to end the job.
const LOOK: Duration = Duration::from_millis(20);

/// One rank of [`threads()`].
#[derive(Debug)]
pub struct Threads {
    rank: usize,
    world: Arc<World>,
    control: Control,
}

#[derive(Debug)]
struct World {
    size: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// From rank `a` to rank `b` at `a * size + b`.
    queues: Vec<VecDeque<Vec<u8>>>,
    has_left: Vec<bool>,
    failure: Option<Error>,
}

/// `size` ranks that reach each other.
///
/// ```
/// use taper_distributed::{Communicator, threads};
///
/// let mut ranks = threads(2).into_iter();
/// let (mut first, mut second) = (ranks.next().unwrap(), ranks.next().unwrap());
/// let other = std::thread::spawn(move || second.all_gather(b"there"));
/// assert_eq!(first.all_gather(b"here")?, [b"here".to_vec(), b"there".to_vec()]);
/// # other.join().unwrap()?;
/// # Ok::<(), taper_distributed::Error>(())
/// ```
#[must_use]
pub fn threads(size: usize) -> Vec<Threads> {
    let state = State {
        queues: vec![VecDeque::new(); size * size],
        has_left: vec![false; size],
        failure: None,
    };
    let world = Arc::new(World { size, state: Mutex::new(state), changed: Condvar::new() });
    (0..size)
        .map(|rank| Threads { rank, world: world.clone(), control: Control::default() })
        .collect()
}

impl Threads {
    /// This rank, which ends the job when `control` asks it to.
    #[must_use]
    pub fn with_control(mut self, control: Control) -> Threads {
        self.control = control;
        self
    }

    /// Fails when somebody has ended the job, this rank's main thread included.
    fn check(&self, state: &mut State) -> Result<()> {
        if let Some(error) = &state.failure {
            return Err(error.clone());
        }
        match self.control.take_abort() {
            Some(message) => Err(Error::Aborted { rank: self.rank, message }),
            None => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.world.state)
    }
}

impl Communicator for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.world.size
    }

    fn exchange(&mut self, peer: usize, send: &[u8], receive: &mut Vec<u8>) -> Result<()> {
        let size = self.world.size;
        let mut state = self.state();
        state.queues[self.rank * size + peer].push_back(send.to_vec());
        self.world.changed.notify_all();
        loop {
            self.check(&mut state)?;
            if let Some(message) = state.queues[peer * size + self.rank].pop_front() {
                *receive = message;
                return Ok(());
            }
            if state.has_left[peer] {
                let expected = format!("rank {} waited for a message of it", self.rank);
                return Err(Error::Lost { rank: peer, expected });
            }
            let waited = self.world.changed.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn abort(&mut self, error: &Error) {
        self.state().failure.get_or_insert_with(|| error.clone());
        self.control.set_told();
        self.world.changed.notify_all();
    }

    fn idle(&mut self) -> Result<()> {
        self.check(&mut self.state())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.state().has_left[self.rank] = true;
        self.world.changed.notify_all();
    }
}
