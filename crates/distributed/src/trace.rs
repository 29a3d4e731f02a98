//! When a rank computed and when it communicated: totals, and a trace for Chrome's viewer.
//!
//! Above: `group`. Below: `control`. Not here: writing files and drawing (`recipes`, `report`).
//! Times are for people; nothing that is trained depends on one. Format: "Trace Event Format", complete events (`ph: X`),
//! microseconds, `pid` is the rank and `tid` the track, as <https://ui.perfetto.dev> opens it.

use std::fmt::Write;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::control::lock;

/// The row of a trace that a span stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Track {
    /// What the training's thread does.
    Compute,
    /// What the group's thread does.
    Communication,
}

impl Track {
    fn name(self) -> &'static str {
        match self {
            Track::Compute => "compute",
            Track::Communication => "communication",
        }
    }
}

/// What communication has cost one rank since its start.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Totals {
    /// Reduced buckets.
    pub buckets: u64,
    /// Bytes of their values, as f32.
    pub reduced_bytes: u64,
    /// Of those, bytes that were reduced before anybody waited.
    pub hidden_bytes: u64,
    /// Bytes that this rank sent for them; of the engine's own all-reduce, what a ring sends.
    pub sent_bytes: u64,
    /// Time in which the training's thread waited for them.
    pub stalled: Duration,
    /// Time in which the group's thread reduced.
    pub communicating: Duration,
}

impl Totals {
    /// The share of reduced bytes that the training's thread did not wait for, between 0 and 1; 1 when there were none.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share is read by people")]
    pub fn hidden_share(&self) -> f64 {
        match self.reduced_bytes {
            0 => 1.0,
            bytes => self.hidden_bytes as f64 / bytes as f64,
        }
    }

    /// What came after `earlier`, totals of the same group.
    #[must_use]
    pub fn since(&self, earlier: &Totals) -> Totals {
        Totals {
            buckets: self.buckets.saturating_sub(earlier.buckets),
            reduced_bytes: self.reduced_bytes.saturating_sub(earlier.reduced_bytes),
            hidden_bytes: self.hidden_bytes.saturating_sub(earlier.hidden_bytes),
            sent_bytes: self.sent_bytes.saturating_sub(earlier.sent_bytes),
            stalled: self.stalled.saturating_sub(earlier.stalled),
            communicating: self.communicating.saturating_sub(earlier.communicating),
        }
    }
}

/// One stretch of time.
#[derive(Debug)]
struct Event {
    track: Track,
    name: String,
    start: Instant,
    end: Instant,
    bytes: usize,
}

/// Collects totals always and events on demand, from both threads of a rank.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    totals: Mutex<Totals>,
    events: Option<Mutex<Vec<Event>>>,
    /// The moment that all ranks share: they were all at their first barrier.
    origin: OnceLock<Instant>,
}

impl Recorder {
    pub(crate) fn new(has_events: bool) -> Recorder {
        Recorder { events: has_events.then(Mutex::default), ..Recorder::default() }
    }

    pub(crate) fn set_origin(&self) {
        self.origin.get_or_init(Instant::now);
    }

    pub(crate) fn totals(&self) -> Totals {
        *lock(&self.totals)
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Totals)) {
        change(&mut lock(&self.totals));
    }

    pub(crate) fn span(
        &self,
        track: Track,
        name: impl FnOnce() -> String,
        start: Instant,
        bytes: usize,
    ) {
        if let Some(events) = &self.events {
            let event = Event { track, name: name(), start, end: Instant::now(), bytes };
            lock(events).push(event);
        }
    }

    /// This rank's events, separated by commas, without brackets around them.
    pub(crate) fn events_json(&self, rank: usize) -> String {
        let (Some(events), Some(&origin)) = (&self.events, self.origin.get()) else {
            return String::new();
        };
        let mut json = String::new();
        process(&mut json, rank);
        for event in lock(events).iter() {
            let micros = |time: Instant| time.saturating_duration_since(origin).as_nanos();
            let (start, end) = (micros(event.start), micros(event.end));
            json.push_str(",\n{\"ph\":\"X\",\"name\":");
            quote(&mut json, &event.name);
            let category = event.track.name();
            append(
                &mut json,
                format_args!(
                    ",\"cat\":\"{category}\",\"pid\":{rank},\"tid\":{},\"ts\":{},\"dur\":{},\"args\":{{\"bytes\":{}}}}}",
                    tid(event.track),
                    Micros(start),
                    Micros(end - start),
                    event.bytes
                ),
            );
        }
        json
    }
}

/// A trace of the events of all ranks.
pub(crate) fn whole(ranks: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = ranks.filter(|events| !events.is_empty()).collect();
    format!("{{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n{}\n]}}\n", parts.join(",\n"))
}

fn tid(track: Track) -> u8 {
    match track {
        Track::Compute => 0,
        Track::Communication => 1,
    }
}

/// What the viewer calls a rank and its tracks.
fn process(json: &mut String, rank: usize) {
    append(
        json,
        format_args!(
            "{{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":{rank},\"args\":{{\"name\":\"rank {rank}\"}}}}"
        ),
    );
    for track in [Track::Compute, Track::Communication] {
        let (id, name) = (tid(track), track.name());
        append(
            json,
            format_args!(
                ",\n{{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":{rank},\"tid\":{id},\"args\":{{\"name\":\"{name}\"}}}}"
            ),
        );
    }
}

/// Nanoseconds, written as microseconds.
struct Micros(u128);

impl std::fmt::Display for Micros {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// A JSON string.
fn quote(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if c < ' ' => append(json, format_args!("\\u{:04x}", u32::from(c))),
            c => json.push(c),
        }
    }
    json.push('"');
}

fn append(json: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a string does not fail.
    json.write_fmt(text).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_quoted() {
        let mut json = String::new();
        quote(&mut json, "a \"b\" \\ \n ü");
        assert_eq!(json, "\"a \\\"b\\\" \\\\ \\u000a ü\"");
    }

    #[test]
    fn an_event_stands_after_the_names_of_its_rank() {
        let recorder = Recorder::new(true);
        recorder.set_origin();
        recorder.span(Track::Communication, || "bucket 0".to_owned(), Instant::now(), 8);
        let json = whole([recorder.events_json(3), String::new()].into_iter());
        assert!(json.starts_with("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n{\"ph\":\"M\""));
        assert!(json.contains(
            "{\"ph\":\"X\",\"name\":\"bucket 0\",\"cat\":\"communication\",\"pid\":3,\"tid\":1,\"ts\":"
        ));
        assert!(json.ends_with("\"args\":{\"bytes\":8}}\n]}\n"), "{json}");
    }

    #[test]
    fn without_events_nothing_is_kept() {
        let recorder = Recorder::new(false);
        recorder.span(Track::Compute, || unreachable!(), Instant::now(), 0);
        assert_eq!(recorder.events_json(0), "");
    }
}
