//! A pickle interpreter that knows tensors and nothing else.
//!
//! Above: `pth`. Below: nothing. Not here: the tensors' numbers (`pth`).
//! It executes nothing: a `GLOBAL` is looked up in a fixed list and is only a label; everything off the list is refused by name.
//! Objects live in one flat list and refer to each other by index, so neither depth nor cycles can exhaust the stack, and every
//! opcode allocates no more than a constant and what it takes off the stack.
//! Source: Python's `pickletools`, protocols 2 to 5; torch/_utils.py `_rebuild_tensor_v2`.

mod call;
mod opcode;

use std::collections::BTreeMap;

use super::element::Element;
use crate::{Error, Result};
use opcode::Op;

/// Most objects of a pickle: 200 MB of them, a hundred times what a large network has.
const MAX_OBJECTS: usize = 1 << 22;

/// Index of an object.
pub(super) type Handle = usize;

/// What a pickle made. Strings are those of the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Object<'a> {
    None,
    Bool,
    Int(i64),
    Float,
    Str(&'a str),
    Tuple(Vec<Handle>),
    List(Vec<Handle>),
    Dict(Vec<(Handle, Handle)>),
    Global(Global),
    Storage(Storage<'a>),
    Tensor(Box<Strided<'a>>),
}

/// The callables and types that a state dict of torch refers to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Elements(Element),
}

/// A run of elements that the file keeps elsewhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Storage<'a> {
    pub(super) key: &'a str,
    pub(super) element: Element,
    /// Elements.
    pub(super) len: usize,
}

/// A view of a storage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Strided<'a> {
    pub(super) storage: Storage<'a>,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) stride: Vec<usize>,
}

/// All objects, and the one that the pickle ends with.
pub(super) struct Pickle<'a> {
    pub(super) objects: Vec<Object<'a>>,
    pub(super) root: Handle,
    /// Bytes read.
    pub(super) len: usize,
}

/// A global of that name, if a state dict may refer to it.
fn global(module: &str, name: &str) -> Option<Global> {
    Some(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
        ("torch", "DoubleStorage") => Global::Elements(Element::F64),
        ("torch", "FloatStorage") => Global::Elements(Element::F32),
        ("torch", "HalfStorage") => Global::Elements(Element::F16),
        ("torch", "BFloat16Storage") => Global::Elements(Element::BF16),
        ("torch", "LongStorage") => Global::Elements(Element::I64),
        ("torch", "IntStorage") => Global::Elements(Element::I32),
        ("torch", "ShortStorage") => Global::Elements(Element::I16),
        ("torch", "CharStorage") => Global::Elements(Element::I8),
        ("torch", "ByteStorage") => Global::Elements(Element::U8),
        ("torch", "BoolStorage") => Global::Elements(Element::Bool),
        _ => return None,
    })
}

/// Interprets one pickle at the beginning of `bytes`.
pub(super) fn read(bytes: &[u8]) -> Result<Pickle<'_>> {
    let mut machine = Machine::new(bytes);
    while !machine.step()? {
        if machine.objects.len() > MAX_OBJECTS {
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
}

impl<'a> Machine<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let (objects, stack, marks) = (Vec::new(), Vec::new(), Vec::new());
        Self { bytes, at: 0, objects, stack, marks, memo: BTreeMap::new() }
    }

    /// Executes one opcode; true at the end.
    fn step(&mut self) -> Result<bool> {
        let op = self.opcode()?;
        match op {
            Op::Stop => return Ok(true),
            Op::Skip => {}
            Op::Mark => self.marks.push(self.stack.len()),
            Op::Push(object) => self.push(object),
            Op::EmptyTuple => self.push(Object::Tuple(Vec::new())),
            Op::TupleOf(n) => {
                let items = self.pop_n(n)?;
                self.push(Object::Tuple(items));
            }
            Op::Tuple => {
                let items = self.pop_mark()?;
                self.push(Object::Tuple(items));
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
            Op::Put(slot) => {
                let top = self.top()?;
                self.memo.insert(slot, top);
            }
            Op::Memoize => {
                let top = self.top()?;
                self.memo.insert(self.memo.len(), top);
            }
            Op::Get(slot) => match self.memo.get(&slot) {
                Some(&handle) => self.stack.push(handle),
                None => return Err(self.damaged(format!("memo {slot} is empty"))),
            },
            Op::Global(module, name) => self.push_global(module, name)?,
            Op::StackGlobal => self.stack_global()?,
            Op::PersistentId => self.storage()?,
            Op::Reduce => self.reduce()?,
            Op::Build => self.build()?,
        }
        Ok(false)
    }

    fn damaged(&self, reason: impl Into<String>) -> Error {
        Error::Pickle { offset: self.at, reason: reason.into() }
    }

    fn push(&mut self, object: Object<'a>) {
        self.stack.push(self.objects.len());
        self.objects.push(object);
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

    fn extend_list(&mut self, items: Vec<Handle>) -> Result<()> {
        let list = self.top()?;
        match &mut self.objects[list] {
            Object::List(list) => {
                list.extend(items);
                Ok(())
            }
            _ => Err(self.damaged("items are appended to no list")),
        }
    }

    fn extend_dict(&mut self, items: &[Handle]) -> Result<()> {
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.damaged("a key has no value"));
        }
        let dict = self.top()?;
        match &mut self.objects[dict] {
            Object::Dict(dict) => {
                dict.extend(pairs.iter().map(|&[key, value]| (key, value)));
                Ok(())
            }
            _ => Err(self.damaged("items are set in no dict")),
        }
    }

    fn push_global(&mut self, module: &str, name: &str) -> Result<()> {
        let Some(global) = global(module, name) else {
            let name = format!("{module}.{name}").chars().take(200).collect();
            return Err(Error::Global { name });
        };
        self.push(Object::Global(global));
        Ok(())
    }

    fn stack_global(&mut self) -> Result<()> {
        let names = self.pop_n(2)?;
        match (&self.objects[names[0]], &self.objects[names[1]]) {
            (&Object::Str(module), &Object::Str(name)) => self.push_global(module, name),
            _ => Err(self.damaged("a global has no name")),
        }
    }
}
