//! Opcodes of pickles and their arguments.
//!
//! Above: `pickle`. Below: nothing. Not here: what they do (`pickle`).
//! Those that torch's state dicts use, protocols 2 to 5; every other opcode is refused.

use super::{Machine, Object};
use crate::{Error, Result};

/// One instruction, decoded.
pub(super) enum Op<'a> {
    Stop,
    Skip,
    Mark,
    Push(Object<'a>),
    EmptyTuple,
    TupleOf(usize),
    Tuple,
    Append,
    Appends,
    SetItem,
    SetItems,
    Put(usize),
    Memoize,
    Get(usize),
    Global(&'a str, &'a str),
    StackGlobal,
    PersistentId,
    Reduce,
    Build,
}

impl<'a> Machine<'a> {
    /// Decodes the next instruction.
    pub(super) fn opcode(&mut self) -> Result<Op<'a>> {
        let [opcode] = self.array()?;
        Ok(match opcode {
            b'.' => Op::Stop,
            0x80 => self.protocol()?, // PROTO
            0x95 => {
                self.array::<8>()?; // FRAME: a hint for streams
                Op::Skip
            }
            b'(' => Op::Mark,
            b'}' => Op::Push(Object::Dict(Vec::new())),
            b']' => Op::Push(Object::List(Vec::new())),
            b')' => Op::EmptyTuple,
            0x85 => Op::TupleOf(1),
            0x86 => Op::TupleOf(2),
            0x87 => Op::TupleOf(3),
            b't' => Op::Tuple,
            b'a' => Op::Append,
            b'e' => Op::Appends,
            b's' => Op::SetItem,
            b'u' => Op::SetItems,
            b'N' => Op::Push(Object::None),
            0x88 | 0x89 => Op::Push(Object::Bool), // NEWTRUE, NEWFALSE
            b'J' => self.int(i32::from_le_bytes)?, // BININT
            b'K' => self.int(u8::from_le_bytes)?,  // BININT1
            b'M' => self.int(u16::from_le_bytes)?, // BININT2
            0x8a => self.long()?,                  // LONG1
            b'G' => {
                self.array::<8>()?; // BINFLOAT: hyperparameters in a checkpoint
                Op::Push(Object::Float)
            }
            b'X' => {
                let len = self.length(u32::from_le_bytes)?; // BINUNICODE
                Op::Push(Object::Str(self.text(len)?))
            }
            0x8c => {
                let len = self.length(u8::from_le_bytes)?; // SHORT_BINUNICODE
                Op::Push(Object::Str(self.text(len)?))
            }
            b'q' => Op::Put(self.length(u8::from_le_bytes)?), // BINPUT
            b'r' => Op::Put(self.length(u32::from_le_bytes)?), // LONG_BINPUT
            0x94 => Op::Memoize,
            b'h' => Op::Get(self.length(u8::from_le_bytes)?), // BINGET
            b'j' => Op::Get(self.length(u32::from_le_bytes)?), // LONG_BINGET
            b'c' => Op::Global(self.line()?, self.line()?),
            0x93 => Op::StackGlobal,
            b'Q' => Op::PersistentId, // BINPERSID
            b'R' => Op::Reduce,
            b'b' => Op::Build,
            other => {
                return Err(self.damaged(format!("opcode {other:#04x} is not one that torch uses")));
            }
        })
    }

    fn protocol(&mut self) -> Result<Op<'a>> {
        match self.array()? {
            [2..=5] => Ok(Op::Skip),
            [other] => Err(self.damaged(format!("pickle protocol {other} is unknown"))),
        }
    }

    fn int<const N: usize, T: Into<i64>>(&mut self, from: fn([u8; N]) -> T) -> Result<Op<'a>> {
        Ok(Op::Push(Object::Int(from(self.array()?).into())))
    }

    /// A two's complement number of up to 8 bytes.
    fn long(&mut self) -> Result<Op<'a>> {
        let len = self.length(u8::from_le_bytes)?;
        let bytes = self.take(len)?;
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = if negative { [0xff; 8] } else { [0; 8] };
        let Some(low) = wide.get_mut(..len) else {
            return Err(self.damaged(format!("a number of {len} bytes is too large")));
        };
        low.copy_from_slice(bytes);
        Ok(Op::Push(Object::Int(i64::from_le_bytes(wide))))
    }

    fn length<const N: usize, T: TryInto<usize>>(&mut self, from: fn([u8; N]) -> T) -> Result<usize>
    where
        T::Error: std::fmt::Display,
    {
        let len = from(self.array()?).try_into();
        len.map_err(|error| self.damaged(format!("a length is too large: {error}")))
    }

    fn text(&mut self, len: usize) -> Result<&'a str> {
        let bytes = self.take(len)?;
        str::from_utf8(bytes).map_err(|error| self.damaged(format!("text is no UTF-8: {error}")))
    }

    /// Text up to a line feed.
    fn line(&mut self) -> Result<&'a str> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(len) = rest.iter().position(|&byte| byte == b'\n') else {
            return Err(self.ended());
        };
        let line = self.text(len)?;
        self.take(1)?;
        Ok(line)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let rest = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk());
        let array = *rest.ok_or_else(|| self.ended())?;
        self.at += N;
        Ok(array)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.at..).and_then(|rest| rest.get(..len));
        let taken = rest.ok_or_else(|| self.ended())?;
        self.at += len;
        Ok(taken)
    }

    fn ended(&self) -> Error {
        self.damaged("it ends early")
    }
}
