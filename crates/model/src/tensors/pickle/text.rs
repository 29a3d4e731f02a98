//! Text and bytes of pickles, in all spellings since protocol 0.
//!
//! Above: `opcode`. Below: `object`. Not here: what else an opcode has (`opcode`).
//! Python 2's strings are bytes: they are text where they are UTF-8.

use std::fmt::Display;

use super::{Machine, Object};
use crate::Result;

impl<'a> Machine<'a> {
    pub(super) fn unicode<const N: usize, T: TryInto<usize>>(
        &mut self,
        from: fn([u8; N]) -> T,
    ) -> Result<Object<'a>>
    where
        T::Error: Display,
    {
        let len = self.length(from)?;
        Ok(Object::Str(self.text(len)?.into()))
    }

    /// A string of Python 2.
    pub(super) fn string<const N: usize, T: TryInto<usize>>(
        &mut self,
        from: fn([u8; N]) -> T,
    ) -> Result<Object<'a>>
    where
        T::Error: Display,
    {
        let len = self.length(from)?;
        Ok(of_bytes(self.take(len)?))
    }

    pub(super) fn bytes<const N: usize, T: TryInto<usize>>(
        &mut self,
        from: fn([u8; N]) -> T,
    ) -> Result<Object<'a>>
    where
        T::Error: Display,
    {
        let len = self.length(from)?;
        Ok(Object::Bytes(self.take(len)?))
    }

    /// A string of Python 2 as its `repr`.
    pub(super) fn quoted(&mut self) -> Result<Object<'a>> {
        let line = self.raw_line()?;
        let inside = match line {
            [first @ (b'\'' | b'"'), inside @ .., last] if first == last => inside,
            _ => return Err(self.damaged("a string has no quotes")),
        };
        if !inside.contains(&b'\\') {
            return Ok(of_bytes(inside));
        }
        match String::from_utf8(unescaped(inside)) {
            Ok(text) => Ok(Object::Str(text.into())),
            Err(_) => Ok(Object::Bytes(inside)), // no name is such a thing
        }
    }

    /// Text of protocol 0: Latin-1, with `\uXXXX` and `\UXXXXXXXX` for what is beyond it.
    pub(super) fn escaped_unicode(&mut self) -> Result<Object<'a>> {
        let line = self.raw_line()?;
        if line.is_ascii() && !line.contains(&b'\\') {
            return Ok(of_bytes(line));
        }
        let mut text = String::new();
        let mut rest = line;
        while let [byte, after @ ..] = rest {
            let digits = match (byte, after.first()) {
                (b'\\', Some(b'u')) => after.get(1..5),
                (b'\\', Some(b'U')) => after.get(1..9),
                _ => None,
            };
            let code = digits.and_then(|digits| str::from_utf8(digits).ok());
            let code = code.and_then(|digits| u32::from_str_radix(digits, 16).ok());
            match (code.and_then(char::from_u32), digits) {
                (Some(letter), Some(digits)) => {
                    text.push(letter);
                    rest = &after[1 + digits.len()..];
                }
                _ => {
                    text.push(char::from(*byte));
                    rest = after;
                }
            }
        }
        Ok(Object::Str(text.into()))
    }

    /// `123`, `123L`, or `00` and `01` for truth values.
    pub(super) fn int_in_text(&mut self) -> Result<Object<'a>> {
        let line = self.line()?;
        let digits = line.strip_suffix('L').unwrap_or(line);
        let is_number =
            digits.strip_prefix('-').unwrap_or(digits).bytes().all(|c| c.is_ascii_digit());
        match digits.parse() {
            Ok(number) if line != "00" && line != "01" => Ok(Object::Int(number)),
            _ if is_number => Ok(Object::Number),
            _ => Err(self.damaged("a number has no digits")),
        }
    }

    /// The index of a memo in digits.
    pub(super) fn index(&mut self) -> Result<usize> {
        let line = self.line()?;
        line.parse()
            .map_err(|error| self.damaged(format!("`{}` is no index: {error}", short(line))))
    }

    fn text(&mut self, len: usize) -> Result<&'a str> {
        let bytes = self.take(len)?;
        str::from_utf8(bytes).map_err(|error| self.damaged(format!("text is no UTF-8: {error}")))
    }

    /// Text up to a line feed.
    pub(super) fn line(&mut self) -> Result<&'a str> {
        let line = self.raw_line()?;
        str::from_utf8(line).map_err(|error| self.damaged(format!("text is no UTF-8: {error}")))
    }

    fn raw_line(&mut self) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(len) = rest.iter().position(|&byte| byte == b'\n') else {
            return Err(self.ended());
        };
        let line = self.take(len)?;
        self.take(1)?;
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

fn of_bytes(bytes: &[u8]) -> Object<'_> {
    match str::from_utf8(bytes) {
        Ok(text) => Object::Str(text.into()),
        Err(_) => Object::Bytes(bytes),
    }
}

fn short(text: &str) -> String {
    text.chars().take(20).collect()
}

/// What Python's escapes in a string mean.
fn unescaped(mut text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    while let [byte, rest @ ..] = text {
        let (escaped, len) = match (byte, rest) {
            (b'\\', [b'x', digits @ ..]) => number(digits, 2, 16).map_or((None, 0), |it| (it, 3)),
            (b'\\', [b'0'..=b'7', ..]) => {
                let len = rest.iter().take(3).take_while(|it| matches!(it, b'0'..=b'7')).count();
                number(rest, len, 8).map_or((None, 0), |it| (it, len))
            }
            (b'\\', [letter, ..]) => (simple(*letter), 1),
            _ => (None, 0),
        };
        match escaped {
            Some(value) => {
                bytes.push(value);
                text = &rest[len..];
            }
            None => {
                bytes.push(*byte);
                text = rest;
            }
        }
    }
    bytes
}

fn number(digits: &[u8], len: usize, radix: u32) -> Option<Option<u8>> {
    let digits = str::from_utf8(digits.get(..len)?).ok()?;
    Some(u32::from_str_radix(digits, radix).ok().map(|value| value.to_le_bytes()[0]))
}

fn simple(letter: u8) -> Option<u8> {
    Some(match letter {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'v' => 11,
        b'\\' | b'\'' | b'"' => letter,
        _ => return None,
    })
}
