//! Ranks that are processes, over MPI.
//!
//! Above: `group`. Below: `watch`, the crate `mpi`. Not here: who starts the processes (`mpirun`, `srun`), what is sent (`reduce`).
//! One thread initializes, uses and finalizes MPI (`MPI_THREAD_FUNNELED`). Nothing blocks inside of MPI: every operation is begun
//! and then looked at with growing pauses, so that waiting costs the core that computes next to nothing, and other ranks are heard
//! meanwhile. An operation that can never end cannot be taken back from MPI either; so when the job fails, this thread tells the
//! others, waits until its process has said why, and never returns. Source: MPI 3.1, <https://www.mpi-forum.org/docs/>.

mod watch;

use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use ::mpi::collective::SystemOperation;
use ::mpi::environment::Universe;
use ::mpi::request::{Request, Scope};
use ::mpi::topology::SimpleCommunicator;
use ::mpi::traits::{
    Communicator as _, CommunicatorCollectives as _, Destination as _, Equivalence, Source as _,
};
use ::mpi::{Rank, Tag, Threading};

use crate::forecast::LONGEST_PAUSE;
use crate::{Communicator, Control, Error, Group, GroupOptions, Result};
use watch::Watch;

/// Messages of [`Communicator::exchange`]: how much comes, and its pieces. 2 and 3 are the watch's.
const LENGTH: Tag = 4;
const DATA: Tag = 1;

/// Bytes that are sent at once: less than the 64 KiB from which on Open MPI over TCP asks the other side first. Such a question waits behind what
/// is on its way to the one who asks, so that links carried two long messages one after the other that should have passed each other.
const PIECE: usize = 60_000;

/// The first pause between two looks at an operation; they grow up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_micros(20);

/// How often other ranks are listened to.
const LOOK: Duration = Duration::from_millis(10);

/// How long a rank of a job that has failed waits for the one that says why, and that one for others to hear it.
const FAREWELL: Duration = Duration::from_secs(8);

/// One rank of an MPI job.
struct Mpi {
    rank: usize,
    size: usize,
    watch: Watch,
    control: Control,
    /// Counted, so that an operation on it and the watch can be held at once.
    world: Rc<SimpleCommunicator>,
    /// To be used again.
    sum: Vec<f32>,
    /// Finalizes MPI when it is dropped; last.
    _universe: Universe,
}

impl Group {
    /// This process's rank of the job that `mpirun` or `srun` has started; without one of them, a job of one rank. Once a process.
    ///
    /// # Errors
    /// [`Error::Engine`] when MPI is in use already or knows no threads; whatever ended the job meanwhile.
    pub fn mpi(options: GroupOptions) -> Result<Group> {
        Group::start(move |control| Mpi::new(control, options.time_limit), options)
    }
}

impl Mpi {
    fn new(control: Control, time_limit: Duration) -> Result<Mpi> {
        let failed = |message: &str| Error::Engine { engine: "MPI", message: message.to_owned() };
        let (universe, threading) = ::mpi::initialize_with_threading(Threading::Funneled)
            .ok_or_else(|| failed("it was initialized before; a process has one MPI group"))?;
        if threading < Threading::Funneled {
            return Err(failed(
                "it was built without threads; use a build with MPI_THREAD_FUNNELED",
            ));
        }
        let world = Rc::new(universe.world());
        let (rank, size) = (index(world.rank()), index(world.size()));
        let watch = Watch::new(rank, size, time_limit);
        Ok(Mpi { rank, size, watch, control, world, sum: Vec::new(), _universe: universe })
    }

    /// Sends to `peer` and receives what it sends where `room` says for so many. Does not return when the job fails.
    fn swap<'a, T: Equivalence>(
        &mut self,
        peer: usize,
        send: &'a [T],
        room: impl FnOnce(usize) -> Result<&'a mut [T]>,
    ) -> Result<()> {
        let world = self.world.clone();
        let process = world.process_at_rank(number(peer));
        let length = [send.len() as u64];
        let piece = PIECE / size_of::<T>();
        ::mpi::request::scope(|scope| {
            let told = process.immediate_send_with_tag(scope, &length[..], LENGTH);
            let begin = |piece| process.immediate_send_with_tag(scope, piece, DATA);
            let sending: Vec<_> = send.chunks(piece).map(begin).collect();
            let receive = match room(self.length_from(peer)) {
                Ok(receive) => receive,
                Err(error) => self.end(&error),
            };
            let begin = |piece| process.immediate_receive_into_with_tag(scope, piece, DATA);
            let receiving: Vec<_> = receive.chunks_mut(piece).map(begin).collect();
            receiving.into_iter().for_each(|it| self.wait(it, Owing::Rank(peer)));
            sending.into_iter().for_each(|it| self.wait(it, Owing::Rank(peer)));
            self.wait(told, Owing::Rank(peer));
        });
        Ok(())
    }

    /// How much `peer` is about to send. Does not return when the job fails.
    fn length_from(&mut self, peer: usize) -> usize {
        let world = self.world.clone();
        let process = world.process_at_rank(number(peer));
        let mut pauses = Pauses::default();
        let message = loop {
            match process.immediate_matched_probe_with_tag(LENGTH) {
                Some((message, _)) => break message,
                None => self.pause(&mut pauses, Owing::Rank(peer)),
            }
        };
        let mut length = [0_u64];
        message.matched_receive_into(&mut length[..]);
        usize::try_from(length[0]).unwrap_or(usize::MAX)
    }

    /// Looks at `request` until it is done. Does not return when the job fails.
    fn wait<'a, D: ?Sized, S: Scope<'a>>(&mut self, mut request: Request<'a, D, S>, owing: Owing) {
        let mut pauses = Pauses::default();
        loop {
            match request.test() {
                Ok(_) => return,
                Err(not_yet) => request = not_yet,
            }
            self.pause(&mut pauses, owing);
        }
    }

    /// Sleeps a little, and listens when it is time to. Does not return when the job fails.
    fn pause(&mut self, pauses: &mut Pauses, owing: Owing) {
        if self.watch.is_due(LOOK) {
            let looked = self.look();
            let owes = |rank: usize| Error::Lost {
                rank,
                expected: format!("rank {} waited for a message of it", self.rank),
            };
            let lost = match owing {
                Owing::Nobody => None,
                Owing::Rank(rank) => Some(rank).filter(|&rank| self.watch.is_long_gone(rank)),
                Owing::All => (0..self.size).find(|&rank| self.watch.is_long_gone(rank)),
            };
            if let Some(error) = looked.err().or(lost.map(owes)) {
                self.end(&error);
            }
        }
        pauses.sleep();
    }

    fn look(&mut self) -> Result<()> {
        if let Some(message) = self.control.take_abort() {
            return Err(Error::Aborted { rank: self.rank, message });
        }
        self.watch.look(&self.world)
    }

    /// Tells this process and all others why the job has failed, keeps MPI going until they know, and stays here for good: an
    /// operation may be under way whose buffers MPI still holds.
    fn end(&mut self, error: &Error) -> ! {
        self.control.fail(error.clone());
        self.watch.tell_failure(&self.world, error);
        let mut closing: Option<Instant> = None;
        loop {
            // What others tell now is a consequence.
            self.watch.look(&self.world).ok();
            if self.control.is_closing() {
                self.watch.say_goodbye(&self.world);
                let is_told = match error.spokesman() {
                    rank if rank == self.rank => self.watch.is_all_sent(),
                    rank => self.watch.has_left(rank),
                };
                if is_told {
                    self.control.set_told();
                    break;
                }
                if closing.get_or_insert_with(Instant::now).elapsed() > FAREWELL {
                    break;
                }
            }
            thread::sleep(LOOK);
        }
        self.control.set_over();
        loop {
            thread::park();
        }
    }
}

impl Communicator for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn exchange(&mut self, peer: usize, send: &[u8], receive: &mut Vec<u8>) -> Result<()> {
        self.swap(peer, send, |length| {
            receive.resize(length, 0);
            Ok(receive.as_mut_slice())
        })
    }

    fn exchange_f32(&mut self, peer: usize, send: &[f32], receive: &mut [f32]) -> Result<()> {
        self.swap(peer, send, |length| match length == receive.len() {
            true => Ok(receive),
            false => Err(Error::Length {
                rank: peer,
                came: 4 * length,
                expected: 4 * receive.len(),
                what: "an exchange of values".to_owned(),
            }),
        })
    }

    fn abort(&mut self, error: &Error) {
        self.end(error);
    }

    fn idle(&mut self) -> Result<()> {
        self.pause(&mut Pauses::default(), Owing::Nobody);
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.watch.say_goodbye(&self.world);
        let mut pauses = Pauses::default();
        while !(self.watch.have_all_left() && self.watch.is_all_sent()) {
            self.pause(&mut pauses, Owing::Nobody);
            self.watch.progress();
        }
        Ok(())
    }

    fn all_reduce(&mut self, values: &mut [f32]) -> Result<()> {
        self.expect_equal_lengths(values.len())?;
        let world = self.world.clone();
        let mut sum = std::mem::take(&mut self.sum);
        sum.resize(values.len(), 0.0);
        ::mpi::request::scope(|scope| {
            let (given, sum): (&[f32], &mut [f32]) = (values, &mut sum);
            let operation = SystemOperation::sum();
            self.wait(world.immediate_all_reduce_into(scope, given, sum, operation), Owing::All);
        });
        values.copy_from_slice(&sum);
        self.sum = sum;
        Ok(())
    }
}

impl Mpi {
    /// MPI leaves open what becomes of an all-reduce of other lengths on other ranks: two numbers that are reduced first tell. They are
    /// `f64` because Open MPI 4.1.4 has no largest `i64` on all machines: `MPI_MAX` of them ends the process.
    #[expect(clippy::cast_precision_loss, reason = "lengths stay far below 2^53")]
    fn expect_equal_lengths(&mut self, length: usize) -> Result<()> {
        let world = self.world.clone();
        let mine = length as f64;
        let (given, mut bounds) = ([mine, -mine], [0.0; 2]);
        ::mpi::request::scope(|scope| {
            let (given, bounds, operation) = (&given[..], &mut bounds[..], SystemOperation::max());
            self.wait(world.immediate_all_reduce_into(scope, given, bounds, operation), Owing::All);
        });
        if bounds[0] + bounds[1] == 0.0 {
            return Ok(());
        }
        let lengths = self.all_gather(&(length as u64).to_le_bytes())?;
        let theirs = lengths.iter().map(|bytes| {
            let (words, _) = bytes.as_chunks::<8>();
            words.first().map_or(0, |word| usize::try_from(u64::from_le_bytes(*word)).unwrap_or(0))
        });
        match theirs.enumerate().find(|&(_, theirs)| theirs != length) {
            None => Ok(()),
            Some((rank, theirs)) => Err(Error::Length {
                rank,
                came: theirs.saturating_mul(4),
                expected: 4 * length,
                what: "an all-reduce".to_owned(),
            }),
        }
    }
}

/// Who must not have left, because something is expected of it.
#[derive(Debug, Clone, Copy)]
enum Owing {
    Nobody,
    Rank(usize),
    All,
}

/// Pauses that grow.
#[derive(Debug, Default)]
struct Pauses {
    taken: u32,
}

impl Pauses {
    fn sleep(&mut self) {
        let longest = Duration::from_secs_f64(LONGEST_PAUSE);
        thread::sleep((FIRST_PAUSE * 2_u32.saturating_pow(self.taken)).min(longest));
        self.taken = (self.taken + 1).min(8);
    }
}

/// What MPI calls a rank or a count, which is never negative here.
fn index(number: Rank) -> usize {
    usize::try_from(number).unwrap_or_default()
}

fn number(rank: usize) -> Rank {
    Rank::try_from(rank).unwrap_or(Rank::MAX)
}
