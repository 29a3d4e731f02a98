//! A pickle interpreter that knows tensors and nothing else.
//!
//! Above: `pth`. Below: `object`, `opcode`, `call`. Not here: the tensors' numbers (`pth`), which of the values is wanted (`pth::search`).
//! It executes nothing: a `GLOBAL` is a label, and what is off a fixed list makes a value that is passed over.
//! Objects live in one flat list and refer to each other by index, so neither depth nor cycles can exhaust the stack, and every
//! opcode allocates no more than a constant and what it takes off the stack; what is copied is counted.
//! Source: Python's `pickletools`, protocols 0 to 5; torch/_utils.py `_rebuild_tensor_v2` and its siblings.

mod call;
mod object;
mod opcode;
mod text;

use std::collections::BTreeMap;

use crate::{Error, Result};
pub(super) use object::{Foreign, Global, Handle, Object, Odd, Storage, Stored, Strided};
use opcode::Op;

/// Most objects of a pickle: 200 MB of them, a hundred times what a large network has.
const MAX_OBJECTS: usize = 1 << 22;

/// Bytes of a name; an honest one has a few dozen.
pub(super) const LONGEST: usize = 1 << 10;

/// All objects, and the one that the pickle ends with.
pub(super) struct Pickle<'a> {
    pub(super) objects: Vec<Object<'a>>,
    pub(super) root: Handle,
    /// Bytes read.
    pub(super) len: usize,
}

impl Pickle<'_> {
    /// The text of an object, if it is some and not longer than a name: Python 2 and files that were read as bytes have bytes for
    /// names.
    pub(super) fn text(&self, handle: Handle) -> Option<&str> {
        match &self.objects[handle] {
            Object::Str(text) if text.len() <= LONGEST => Some(text),
            Object::Bytes(bytes) if bytes.len() <= LONGEST => str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// What a function or class is called, up to 200 letters.
    pub(super) fn name(&self, mut handle: Handle) -> String {
        for _ in 0..8 {
            match &self.objects[handle] {
                Object::Foreign(foreign) => handle = foreign.class,
                Object::Global(Global::Other { module, name }) => {
                    let part = |at: Handle| self.text(at).unwrap_or_default().to_owned();
                    return format!("{}.{}", part(*module), part(*name))
                        .chars()
                        .take(200)
                        .collect();
                }
                object => return object.kind().to_owned(),
            }
        }
        "something".to_owned()
    }
}

/// Interprets one pickle at the beginning of `bytes`.
pub(super) fn read(bytes: &[u8]) -> Result<Pickle<'_>> {
    let mut machine = Machine::new(bytes);
    while !machine.step()? {
        if machine.objects.len() + machine.copied > MAX_OBJECTS {
            return Err(machine.damaged("it has more objects than any network"));
        }
    }
    let root = machine.pop()?;
    Ok(Pickle { objects: machine.objects, root, len: machine.at })
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    objects: Vec<Object<'a>>,
    stack: Vec<Handle>,
    /// Heights of the stack at open marks.
    marks: Vec<usize>,
    /// Sparse: a hostile index costs nothing.
    memo: BTreeMap<usize, Handle>,
    /// Items that were copied from one container to another.
    copied: usize,
}

impl<'a> Machine<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let (objects, stack, marks) = (Vec::new(), Vec::new(), Vec::new());
        Self { bytes, at: 0, objects, stack, marks, memo: BTreeMap::new(), copied: 0 }
    }

    /// Executes one opcode; true at the end.
    fn step(&mut self) -> Result<bool> {
        let op = self.opcode()?;
        match op {
            Op::Stop => return Ok(true),
            Op::Skip => {}
            Op::Mark => self.marks.push(self.stack.len()),
            Op::Push(object) => self.push(object),
            Op::Pop => self.discard()?,
            Op::PopMark => drop(self.pop_mark()?),
            Op::Dup => {
                let top = self.top()?;
                self.stack.push(top);
            }
            Op::TupleOf(n) => {
                let items = self.pop_n(n)?;
                self.push(Object::Tuple(items));
            }
            Op::Tuple => {
                let items = self.pop_mark()?;
                self.push(Object::Tuple(items));
            }
            Op::List => {
                let items = self.pop_mark()?;
                self.push(Object::List(items));
            }
            Op::Dict => {
                let items = self.pop_mark()?;
                self.push(Object::Dict(Vec::new()));
                self.extend_dict(&items)?;
            }
            Op::Append => {
                let items = self.pop_n(1)?;
                self.extend_list(items)?;
            }
            Op::Appends => {
                let items = self.pop_mark()?;
                self.extend_list(items)?;
            }
            Op::SetItem => {
                let items = self.pop_n(2)?;
                self.extend_dict(&items)?;
            }
            Op::SetItems => {
                let items = self.pop_mark()?;
                self.extend_dict(&items)?;
            }
            Op::Put(slot) => self.put(slot)?,
            Op::Memoize => self.put(self.memo.len())?,
            Op::Get(slot) => match self.memo.get(&slot) {
                Some(&handle) => self.stack.push(handle),
                None => return Err(self.damaged(format!("memo {slot} is empty"))),
            },
            Op::Global(module, name) => self.push_global(module, name),
            Op::StackGlobal => self.stack_global()?,
            Op::PersistentId => self.persistent()?,
            Op::Call { keywords } => {
                let call = self.pop_n(if keywords { 3 } else { 2 })?;
                self.call(call[0], call[1])?;
            }
            Op::Construct(class) => self.construct(class)?,
            Op::Build => self.build()?,
        }
        Ok(false)
    }

    fn damaged(&self, reason: impl Into<String>) -> Error {
        Error::Pickle { offset: self.at, reason: reason.into() }
    }

    /// Adds an object without putting it on the stack.
    fn add(&mut self, object: Object<'a>) -> Handle {
        self.objects.push(object);
        self.objects.len() - 1
    }

    fn push(&mut self, object: Object<'a>) {
        let handle = self.add(object);
        self.stack.push(handle);
    }

    fn put(&mut self, slot: usize) -> Result<()> {
        let top = self.top()?;
        self.memo.insert(slot, top);
        Ok(())
    }

    /// Items below a mark belong to it: popping stops there.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Handle> {
        let top = self.stack[self.floor()..].last();
        top.copied().ok_or_else(|| self.damaged("the stack is empty"))
    }

    fn pop(&mut self) -> Result<Handle> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// The top, or the mark if nothing is above it.
    fn discard(&mut self) -> Result<()> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    fn pop_n(&mut self, n: usize) -> Result<Vec<Handle>> {
        if self.stack.len() - self.floor() < n {
            return Err(self.damaged("the stack is empty"));
        }
        Ok(self.stack.split_off(self.stack.len() - n))
    }

    fn pop_mark(&mut self) -> Result<Vec<Handle>> {
        match self.marks.pop() {
            Some(height) => Ok(self.stack.split_off(height)),
            None => Err(self.damaged("there is no mark")),
        }
    }

    /// What is appended to an object of a foreign class (a deque, a list of one's own) is of no interest.
    fn extend_list(&mut self, items: Vec<Handle>) -> Result<()> {
        let list = self.top()?;
        match &mut self.objects[list] {
            Object::List(list) => list.extend(items),
            Object::Foreign(_) => {}
            _ => return Err(self.damaged("items are appended to no list")),
        }
        Ok(())
    }

    fn extend_dict(&mut self, items: &[Handle]) -> Result<()> {
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.damaged("a key has no value"));
        }
        let dict = self.top()?;
        let entries = match &mut self.objects[dict] {
            Object::Dict(entries) => entries,
            Object::Foreign(foreign) => &mut foreign.items,
            _ => return Err(self.damaged("items are set in no dict")),
        };
        entries.extend(pairs.iter().map(|&[key, value]| (key, value)));
        Ok(())
    }

    fn stack_global(&mut self) -> Result<()> {
        let names = self.pop_n(2)?;
        let names: [Handle; 2] = [names[0], names[1]];
        match names.map(|name| &self.objects[name]) {
            [Object::Str(module), Object::Str(name)] => {
                let global = object::global(module, name);
                self.push_known(global, names);
                Ok(())
            }
            _ => Err(self.damaged("a global has no name")),
        }
    }

    fn push_global(&mut self, module: &'a str, name: &'a str) {
        let global = object::global(module, name);
        let names = match global {
            Some(_) => [0; 2],
            None => [module, name].map(|part| self.add(Object::Str(part.into()))),
        };
        self.push_known(global, names);
    }

    fn push_known(&mut self, global: Option<Global>, [module, name]: [Handle; 2]) {
        self.push(Object::Global(global.unwrap_or(Global::Other { module, name })));
    }
}
