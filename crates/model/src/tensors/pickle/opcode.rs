//! Opcodes of pickles and their arguments.
//!
//! Above: `pickle`. Below: `object`. Not here: what they do (`pickle`).
//! All of protocols 0 to 5, but numbers from a registry of the writer's process and buffers that are not in the file.

use super::{Machine, Object};
use crate::{Error, Result};

/// One instruction, decoded.
pub(super) enum Op<'a> {
    Stop,
    Skip,
    Mark,
    Push(Object<'a>),
    Pop,
    PopMark,
    Dup,
    TupleOf(usize),
    Tuple,
    List,
    Dict,
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
    /// Function or class, arguments, and those with keywords.
    Call {
        keywords: bool,
    },
    /// A class by name or above the mark, with arguments above the mark.
    Construct(Option<(&'a str, &'a str)>),
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
            b'0' => Op::Pop,
            b'1' => Op::PopMark,
            b'2' => Op::Dup,
            b'}' => Op::Push(Object::Dict(Vec::new())),
            b']' | 0x8f => Op::Push(Object::List(Vec::new())), // EMPTY_LIST, EMPTY_SET
            b')' => Op::TupleOf(0),
            0x85 => Op::TupleOf(1),
            0x86 => Op::TupleOf(2),
            0x87 => Op::TupleOf(3),
            b't' => Op::Tuple,
            b'l' | 0x91 => Op::List, // LIST, FROZENSET
            b'd' => Op::Dict,
            b'a' => Op::Append,
            b'e' | 0x90 => Op::Appends, // APPENDS, ADDITEMS
            b's' => Op::SetItem,
            b'u' => Op::SetItems,
            b'q' => Op::Put(self.length(u8::from_le_bytes)?), // BINPUT
            b'r' => Op::Put(self.length(u32::from_le_bytes)?), // LONG_BINPUT
            b'p' => Op::Put(self.index()?),
            0x94 => Op::Memoize,
            b'h' => Op::Get(self.length(u8::from_le_bytes)?), // BINGET
            b'j' => Op::Get(self.length(u32::from_le_bytes)?), // LONG_BINGET
            b'g' => Op::Get(self.index()?),
            b'c' => Op::Global(self.line()?, self.line()?),
            0x93 => Op::StackGlobal,
            b'Q' => Op::PersistentId,                    // BINPERSID
            b'R' | 0x81 => Op::Call { keywords: false }, // REDUCE, NEWOBJ
            0x92 => Op::Call { keywords: true },         // NEWOBJ_EX
            b'i' => Op::Construct(Some((self.line()?, self.line()?))), // INST
            b'o' => Op::Construct(None),                 // OBJ
            b'b' => Op::Build,
            opcode => Op::Push(self.value(opcode)?),
        })
    }

    /// Numbers, text and bytes.
    fn value(&mut self, opcode: u8) -> Result<Object<'a>> {
        Ok(match opcode {
            b'N' => Object::None,
            0x88 | 0x89 => Object::Number,         // NEWTRUE, NEWFALSE
            b'J' => self.int(i32::from_le_bytes)?, // BININT
            b'K' => self.int(u8::from_le_bytes)?,  // BININT1
            b'M' => self.int(u16::from_le_bytes)?, // BININT2
            b'I' | b'L' => self.int_in_text()?,    // INT, LONG
            0x8a => self.long(u8::from_le_bytes)?, // LONG1
            0x8b => self.long(u32::from_le_bytes)?, // LONG4
            b'G' => {
                self.array::<8>()?; // BINFLOAT
                Object::Number
            }
            b'F' => {
                self.line()?; // FLOAT
                Object::Number
            }
            b'X' => self.unicode(u32::from_le_bytes)?, // BINUNICODE
            0x8c => self.unicode(u8::from_le_bytes)?,  // SHORT_BINUNICODE
            0x8d => self.unicode(u64::from_le_bytes)?, // BINUNICODE8
            b'V' => self.escaped_unicode()?,           // UNICODE
            b'S' => self.quoted()?,                    // STRING
            b'T' => self.string(u32::from_le_bytes)?,  // BINSTRING
            b'U' => self.string(u8::from_le_bytes)?,   // SHORT_BINSTRING
            b'B' => self.bytes(u32::from_le_bytes)?,   // BINBYTES
            b'C' => self.bytes(u8::from_le_bytes)?,    // SHORT_BINBYTES
            0x8e | 0x96 => self.bytes(u64::from_le_bytes)?, // BINBYTES8, BYTEARRAY8
            other => {
                return Err(self.damaged(format!("opcode {other:#04x} is not one that torch uses")));
            }
        })
    }

    fn protocol(&mut self) -> Result<Op<'a>> {
        match self.array()? {
            [0..=5] => Ok(Op::Skip),
            [other] => Err(self.damaged(format!("pickle protocol {other} is unknown"))),
        }
    }

    fn int<const N: usize, T: Into<i64>>(&mut self, from: fn([u8; N]) -> T) -> Result<Object<'a>> {
        Ok(Object::Int(from(self.array()?).into()))
    }

    /// A two's complement number; one of more than 8 bytes is nothing's size.
    fn long<const N: usize, T: TryInto<usize>>(
        &mut self,
        from: fn([u8; N]) -> T,
    ) -> Result<Object<'a>>
    where
        T::Error: std::fmt::Display,
    {
        let len = self.length(from)?;
        let bytes = self.take(len)?;
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = if negative { [0xff; 8] } else { [0; 8] };
        let Some(low) = wide.get_mut(..len) else { return Ok(Object::Number) };
        low.copy_from_slice(bytes);
        Ok(Object::Int(i64::from_le_bytes(wide)))
    }

    /// The number that says how much follows.
    pub(super) fn length<const N: usize, T: TryInto<usize>>(
        &mut self,
        from: fn([u8; N]) -> T,
    ) -> Result<usize>
    where
        T::Error: std::fmt::Display,
    {
        let len = from(self.array()?).try_into();
        len.map_err(|error| self.damaged(format!("a length is too large: {error}")))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let rest = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk());
        let array = *rest.ok_or_else(|| self.ended())?;
        self.at += N;
        Ok(array)
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.at..).and_then(|rest| rest.get(..len));
        let taken = rest.ok_or_else(|| self.ended())?;
        self.at += len;
        Ok(taken)
    }

    pub(super) fn ended(&self) -> Error {
        self.damaged("it ends early")
    }
}
