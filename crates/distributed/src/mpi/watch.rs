//! Whether all ranks are alive, and what they have to say besides data.
//!
//! Above: `mpi`. Below: the crate `mpi`. Not here: what is done about it (`mpi`).
//! Ranks stand in a ring: each gives a sign of life to the next one some ten times in the time limit, from the thread that
//! communicates, so that a rank which computes or reads for long is not taken for dead. Whoever misses the signs of the one before
//! tells all others. A rank that leaves in order says goodbye first.

use std::time::{Duration, Instant};

use ::mpi::request::{Request, StaticScope};
use ::mpi::topology::SimpleCommunicator;
use ::mpi::traits::{Communicator as _, Destination as _, Equivalence as _, Source as _};
use ::mpi::{Rank, Tag};

use crate::bytes::{join, split};
use crate::{Error, Result};

const BEAT: Tag = 2;
const NOTICE: Tag = 3;

/// What a sign of life looks like.
static SIGN: [u8; 1] = [1];

/// The longest text of a notice: shorter than what MPI sends only when the other side has asked for it.
const TEXT: usize = 2000;

/// The longest time between two looks that counts as silence: while this process itself did not run, nobody could be heard.
const COUNTED: Duration = Duration::from_secs(1);

/// The longest time in which what a rank sent before its goodbye arrives: a bucket of 2 MB needs 0.2 s at 100 Mb/s.
const ON_ITS_WAY: Duration = Duration::from_secs(5);

type Sent = Request<'static, [u8], StaticScope>;

pub(super) struct Watch {
    rank: usize,
    size: usize,
    limit: Duration,
    looked: Instant,
    silence: Duration,
    gave_sign: Instant,
    sign: Option<Sent>,
    notices: Vec<Sent>,
    has_said_goodbye: bool,
    /// When ranks have said goodbye.
    left: Vec<Option<Instant>>,
}

/// What one rank tells all others.
#[derive(Debug, PartialEq, Eq)]
enum Notice {
    Goodbye,
    Failure(Error),
}

impl Watch {
    pub(super) fn new(rank: usize, size: usize, limit: Duration) -> Watch {
        let now = Instant::now();
        Watch {
            rank,
            size,
            limit,
            looked: now,
            silence: Duration::ZERO,
            gave_sign: now,
            sign: None,
            notices: Vec::new(),
            has_said_goodbye: false,
            left: vec![None; size],
        }
    }

    pub(super) fn is_due(&self, interval: Duration) -> bool {
        self.looked.elapsed() >= interval
    }

    /// Whether a rank has said goodbye.
    pub(super) fn has_left(&self, rank: usize) -> bool {
        self.left[rank].is_some()
    }

    /// Whether a rank left so long ago that nothing of it is on its way any more: one that was done first says goodbye while
    /// others still look at what it has sent.
    pub(super) fn is_long_gone(&self, rank: usize) -> bool {
        self.left[rank].is_some_and(|left| left.elapsed() > self.limit.min(ON_ITS_WAY))
    }

    pub(super) fn have_all_left(&self) -> bool {
        (0..self.size).all(|rank| rank == self.rank || self.has_left(rank))
    }

    /// Whether MPI has no message of this watch any more.
    pub(super) fn is_all_sent(&self) -> bool {
        self.notices.is_empty() && self.sign.is_none()
    }

    /// Gives a sign of life, and fails when the rank before has given none for too long or any rank has told of a failure.
    pub(super) fn look(&mut self, world: &SimpleCommunicator) -> Result<()> {
        self.progress();
        if self.size == 1 {
            return Ok(());
        }
        self.give_sign(world);
        let before = (self.rank + self.size - 1) % self.size;
        let source = world.process_at_rank(number(before));
        let now = Instant::now();
        self.silence += now.duration_since(self.looked).min(COUNTED);
        self.looked = now;
        while let Some((message, _)) = source.immediate_matched_probe_with_tag(BEAT) {
            let mut sign = [0_u8];
            message.matched_receive_into(&mut sign[..]);
            self.silence = Duration::ZERO;
        }
        self.listen(world)?;
        match self.silence > self.limit && !self.has_left(before) {
            true => Err(Error::Silent { rank: before, seconds: self.silence.as_secs() }),
            false => Ok(()),
        }
    }

    /// Looks after messages that are on their way.
    pub(super) fn progress(&mut self) {
        self.sign = self.sign.take().and_then(|sent| sent.test().err());
        self.notices = self.notices.drain(..).filter_map(|sent| sent.test().err()).collect();
    }

    fn give_sign(&mut self, world: &SimpleCommunicator) {
        let is_due = self.gave_sign.elapsed() >= (self.limit / 10).min(COUNTED);
        if is_due && self.sign.is_none() {
            let next = world.process_at_rank(number((self.rank + 1) % self.size));
            self.sign = Some(next.immediate_send_with_tag(StaticScope, &SIGN[..], BEAT));
            self.gave_sign = Instant::now();
        }
    }

    fn listen(&mut self, world: &SimpleCommunicator) -> Result<()> {
        let anybody = world.any_process();
        while let Some((message, status)) = anybody.immediate_matched_probe_with_tag(NOTICE) {
            let length =
                usize::try_from(status.count(u8::equivalent_datatype())).unwrap_or_default();
            let mut bytes = vec![0_u8; length];
            message.matched_receive_into(bytes.as_mut_slice());
            let from = usize::try_from(status.source_rank()).unwrap_or_default();
            match parse(&bytes, from) {
                Notice::Goodbye => self.left[from] = Some(Instant::now()),
                Notice::Failure(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Tells all others why the job has failed.
    pub(super) fn tell_failure(&mut self, world: &SimpleCommunicator, error: &Error) {
        self.tell(world, text(&Notice::Failure(error.clone()), self.rank));
    }

    /// Tells all others, once, that this rank needs nothing any more.
    pub(super) fn say_goodbye(&mut self, world: &SimpleCommunicator) {
        if !std::mem::replace(&mut self.has_said_goodbye, true) {
            self.tell(world, text(&Notice::Goodbye, self.rank));
        }
    }

    fn tell(&mut self, world: &SimpleCommunicator, bytes: Vec<u8>) {
        // A few hundred bytes at the end of a process, which MPI may hold for as long as it likes.
        let bytes: &'static [u8] = Vec::leak(bytes);
        for rank in (0..self.size).filter(|&rank| rank != self.rank) {
            let process = world.process_at_rank(number(rank));
            self.notices.push(process.immediate_send_with_tag(StaticScope, bytes, NOTICE));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // A request that is dropped before it is done would panic; its bytes live as long as the process.
        let sent = self.sign.take().into_iter().chain(self.notices.drain(..));
        sent.for_each(std::mem::forget);
    }
}

fn text(notice: &Notice, rank: usize) -> Vec<u8> {
    let cut = |text: String| text.chars().take(TEXT / 4).collect::<String>();
    match notice {
        Notice::Goodbye => join(["goodbye"]),
        Notice::Failure(Error::Silent { rank, seconds }) => {
            join(["silent", &rank.to_string(), &seconds.to_string()])
        }
        Notice::Failure(Error::Lost { rank, expected }) => {
            join(["lost", &rank.to_string(), &cut(expected.clone())])
        }
        Notice::Failure(Error::Aborted { rank, message }) => {
            join(["aborted", &rank.to_string(), &cut(message.clone())])
        }
        // Others see it as what ended this rank.
        Notice::Failure(error) => join(["aborted", &rank.to_string(), &cut(error.to_string())]),
    }
}

fn parse(bytes: &[u8], from: usize) -> Notice {
    let texts = split(bytes).unwrap_or_default();
    let words: Vec<&str> = texts.iter().map(String::as_str).collect();
    let rank_of = |word: &str| word.parse().unwrap_or(from);
    Notice::Failure(match words[..] {
        ["goodbye"] => return Notice::Goodbye,
        ["silent", rank, seconds] => {
            Error::Silent { rank: rank_of(rank), seconds: seconds.parse().unwrap_or_default() }
        }
        ["lost", rank, expected] => {
            Error::Lost { rank: rank_of(rank), expected: expected.to_owned() }
        }
        ["aborted", rank, message] => {
            Error::Aborted { rank: rank_of(rank), message: message.to_owned() }
        }
        _ => {
            let message = "it speaks otherwise; do all ranks run the same program?".to_owned();
            Error::Aborted { rank: from, message }
        }
    })
}

fn number(rank: usize) -> Rank {
    Rank::try_from(rank).unwrap_or(Rank::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_comes_back() {
        let failures = [
            Error::Silent { rank: 3, seconds: 20 },
            Error::Lost { rank: 1, expected: "rank 0 waited".to_owned() },
            Error::Aborted { rank: 2, message: "disk full".to_owned() },
        ];
        for notice in failures.map(Notice::Failure).into_iter().chain([Notice::Goodbye]) {
            assert_eq!(parse(&text(&notice, 7), 0), notice);
        }
    }

    #[test]
    fn any_other_error_is_told_as_the_end_of_its_rank() {
        let error = Error::Length { rank: 1, came: 2, expected: 3, what: "a sum".to_owned() };
        let message = error.to_string();
        let told = Notice::Failure(error);
        let expected = Notice::Failure(Error::Aborted { rank: 5, message });
        assert_eq!(parse(&text(&told, 5), 0), expected);
    }

    #[test]
    fn a_long_text_is_cut_and_noise_is_an_error() {
        let message = "ü".repeat(10_000);
        assert!(text(&Notice::Failure(Error::Aborted { rank: 0, message }), 0).len() <= TEXT);
        assert!(matches!(parse(b"\xff", 4), Notice::Failure(Error::Aborted { rank: 4, .. })));
    }
}
