//! Event files, as `TensorBoard` reads them: scalars a step and an epoch.
//!
//! Above: `tune`. Below: the file system, the clock. Not here: the run's own log (`taper_train::log`), which has no times.
//! A file is a row of records, each with its length and checksums (`TFRecord`); a record is an `Event`, a protocol buffer. A call writes a file of
//! its own; one that goes on with a run says from which step on, and `TensorBoard` forgets what files before it say of later steps.
//! Source: `tensorflow/core/lib/io/record_writer.h` and `tensorflow/core/util/event.proto` of TensorFlow 2.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::observer::{Epoch, Event, Observer, Step};

/// Files of one second that are tried.
const MOST_OF_A_SECOND: usize = 1000;

/// Passes events on, and writes scalars of them.
pub(crate) struct EventFiles<'a> {
    observer: &'a mut dyn Observer,
    /// None where nothing is written, or nothing any more.
    file: Option<EventFile>,
    steps_per_epoch: usize,
}

impl<'a> EventFiles<'a> {
    /// Writes into `folder` if one is given.
    pub(crate) fn new(observer: &'a mut dyn Observer, folder: Option<&Path>) -> Self {
        let mut files = Self { observer, file: None, steps_per_epoch: 0 };
        if let Some(folder) = folder {
            match EventFile::begin(folder, now()) {
                Ok(file) => files.file = Some(file),
                Err(error) => files.failed(&error),
            }
        }
        files
    }

    /// The run goes on without.
    fn failed(&mut self, error: &io::Error) {
        self.file = None;
        let (file, reason) = ("TensorBoard's event file", error.to_string());
        self.observer.on_event(&Event::Unwritten { file, reason: &reason });
    }

    fn step(&mut self, step: &Step) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let at = (step.epoch.saturating_sub(1) * step.steps + step.step) as u64;
        let scalars = [
            ("train/loss", step.loss),
            ("train/learning_rate", step.lr),
            ("train/images_per_second", step.images_per_second),
        ];
        file.scalars(now(), at, scalars)
    }

    fn epoch(&mut self, epoch: &Epoch) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let at = (epoch.epoch * self.steps_per_epoch) as u64;
        let scores: Vec<(String, f64)> =
            epoch.val_scores.iter().map(|it| (format!("val/{}", it.name), it.value)).collect();
        let losses = [("epoch/train_loss", epoch.train_loss), ("val/loss", epoch.val_loss)];
        let scores = scores.iter().map(|(name, value)| (name.as_str(), *value));
        file.scalars(now(), at, losses.into_iter().chain(scores))
    }
}

impl Observer for EventFiles<'_> {
    fn on_event(&mut self, event: &Event<'_>) {
        let written = match event {
            Event::Planned(plan) => {
                self.steps_per_epoch = plan.steps_per_epoch;
                Ok(())
            }
            Event::Resumed { epoch, step } => {
                let at = (epoch * self.steps_per_epoch + step + 1) as u64;
                self.file.as_mut().map_or(Ok(()), |file| file.restart(now(), at))
            }
            Event::Step(step) => self.step(step),
            Event::Epoch(epoch) => self.epoch(epoch),
            _ => Ok(()),
        };
        if let Err(error) = written {
            self.failed(&error);
        }
        self.observer.on_event(event);
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// An open file.
struct EventFile {
    file: File,
}

impl EventFile {
    /// A new file under a name that `TensorBoard` looks for, with the line that says what it is.
    fn begin(folder: &Path, time: f64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        for number in 0..MOST_OF_A_SECOND {
            let name = format!("events.out.tfevents.{time:010.0}.{number:03}.taper");
            match OpenOptions::new().write(true).create_new(true).open(folder.join(name)) {
                Ok(file) => {
                    let mut file = Self { file };
                    file.record(&Message::event(time, 0).text(3, "brain.Event:2"))?;
                    return Ok(file);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    /// What files before this one say of `step` and of later ones is void.
    fn restart(&mut self, time: f64, step: u64) -> io::Result<()> {
        // SessionLog.status START
        let started = Message::default().number(1, 1);
        self.record(&Message::event(time, step).message(7, &started))
    }

    /// The values of some scalars at a step.
    fn scalars<'s>(
        &mut self,
        time: f64,
        step: u64,
        scalars: impl IntoIterator<Item = (&'s str, f64)>,
    ) -> io::Result<()> {
        let summary = scalars.into_iter().fold(Message::default(), |summary, (tag, value)| {
            summary.message(1, &Message::default().text(1, tag).single(2, value))
        });
        self.record(&Message::event(time, step).message(5, &summary))
    }

    /// One record in one write, so that a kill leaves whole ones.
    fn record(&mut self, Message(data): &Message) -> io::Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        let record = [
            &length[..],
            &masked(crc32c(&length)).to_le_bytes(),
            data,
            &masked(crc32c(data)).to_le_bytes(),
        ];
        self.file.write_all(&record.concat())
    }
}

/// A protocol buffer that grows field by field.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    /// An `Event` at a time and a step.
    fn event(time: f64, step: u64) -> Self {
        let mut event = Self::default();
        event.key(1, 1);
        event.0.extend(time.to_le_bytes());
        event.number(2, step)
    }

    fn number(mut self, field: u64, value: u64) -> Self {
        self.key(field, 0);
        self.varint(value);
        self
    }

    #[expect(clippy::cast_possible_truncation, reason = "scalars have single precision")]
    fn single(mut self, field: u64, value: f64) -> Self {
        self.key(field, 5);
        self.0.extend((value as f32).to_le_bytes());
        self
    }

    fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    fn message(self, field: u64, message: &Message) -> Self {
        self.bytes(field, &message.0)
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.key(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    fn key(&mut self, field: u64, wire_type: u64) {
        self.varint(field << 3 | wire_type);
    }

    /// Seven bits a byte, the lowest first; all but the last have the eighth set.
    fn varint(&mut self, mut value: u64) {
        loop {
            let [low, ..] = value.to_le_bytes();
            value >>= 7;
            if value == 0 {
                self.0.push(low & 0x7f);
                return;
            }
            self.0.push(low | 0x80);
        }
    }
}

/// CRC-32C (Castagnoli), reflected. Source: RFC 3720, appendix B.4.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let add = |crc: u32, &byte: &u8| {
        let crc = crc ^ u32::from(byte);
        (0..8).fold(crc, |crc, _| (crc >> 1) ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 })
    };
    !bytes.iter().fold(!0, add)
}

/// A checksum of data that may have checksums in it. Source: `tensorflow/core/lib/hash/crc32c.h`.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_rfc_and_of_tensorflow() {
        // RFC 3720, B.4: 32 bytes of zeros, of ones, and rising ones; and the usual check.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        // The masked checksum of the length 24, as every file that TensorBoard's own writer begins has it.
        assert_eq!(masked(crc32c(&24u64.to_le_bytes())).to_le_bytes(), [0xa3, 0x7f, 0x4b, 0x22]);
    }

    /// Fields of a message: number, wire type and content.
    fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
        fn varint(bytes: &mut &[u8]) -> u64 {
            let mut value = 0;
            for shift in (0..).step_by(7) {
                let byte = bytes[0];
                *bytes = &bytes[1..];
                value |= u64::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            value
        }
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let length = match key & 7 {
                0 => {
                    all.push((key >> 3, varint(&mut bytes).to_le_bytes().to_vec()));
                    continue;
                }
                1 => 8,
                2 => usize::try_from(varint(&mut bytes)).unwrap(),
                5 => 4,
                other => panic!("wire type {other}"),
            };
            all.push((key >> 3, bytes[..length].to_vec()));
            bytes = &bytes[length..];
        }
        all
    }

    /// The records of a file, whose checksums hold.
    fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_at(8);
            let (crc, rest) = rest.split_at(4);
            assert_eq!(crc, masked(crc32c(length)).to_le_bytes());
            let n = usize::try_from(u64::from_le_bytes(length.try_into().unwrap())).unwrap();
            let (data, rest) = rest.split_at(n);
            assert_eq!(rest[..4], masked(crc32c(data)).to_le_bytes());
            all.push(data.to_vec());
            bytes = &rest[4..];
        }
        all
    }

    #[test]
    fn scalars_are_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = EventFile::begin(dir.path(), 1.5e9).unwrap();
        file.restart(1.5e9, 300).unwrap();
        file.scalars(1.5e9 + 0.25, 300, [("train/loss", 0.5), ("val/top1", 0.75)]).unwrap();
        EventFile::begin(dir.path(), 1.5e9).unwrap(); // of the same second
        let mut names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().path()).collect();
        names.sort();
        assert_eq!(names.len(), 2);
        assert!(names[0].ends_with("events.out.tfevents.1500000000.000.taper"), "{names:?}");
        let records = records(&fs::read(&names[0]).unwrap());
        assert_eq!(records.len(), 3);
        assert!(fields(&records[0]).contains(&(3, b"brain.Event:2".to_vec())));
        let restart = fields(&records[1]);
        assert!(restart.contains(&(2, 300u64.to_le_bytes().to_vec())), "{restart:?}");
        assert!(restart.contains(&(7, vec![8, 1])), "{restart:?}");
        let event = fields(&records[2]);
        assert_eq!(event[0], (1, (1.5e9f64 + 0.25).to_le_bytes().to_vec()));
        assert_eq!(event[1], (2, 300u64.to_le_bytes().to_vec()));
        let values: Vec<_> =
            fields(&event[2].1).into_iter().map(|(_, value)| fields(&value)).collect();
        assert_eq!(values[0], [(1, b"train/loss".to_vec()), (2, 0.5f32.to_le_bytes().to_vec())]);
        assert_eq!(values[1], [(1, b"val/top1".to_vec()), (2, 0.75f32.to_le_bytes().to_vec())]);
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_told_once_and_stops_nothing() {
        struct All(Vec<String>);
        impl Observer for All {
            fn on_event(&mut self, event: &Event<'_>) {
                self.0.push(format!("{event:?}"));
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let mut told = All(Vec::new());
        let mut files = EventFiles::new(&mut told, Some(&file.join("a")));
        files.on_event(&Event::Caching { done: 1, total: 2 });
        assert_eq!(told.0.len(), 2, "{:?}", told.0);
        assert!(told.0[0].contains("event file"), "{:?}", told.0);
    }
}
