//! Calls and persistent ids: where a pickle says that something is a tensor.
//!
//! Above: `pickle`. Below: `object`. Not here: the stack and its containers (`pickle`).
//! Nothing is called: the arguments of the known functions are checked and noted, all other calls are noted and passed over.

use super::{Foreign, Global, Handle, Machine, Object, Odd, Storage, Stored, Strided};
use crate::Result;

/// Calls in the arguments of calls.
const INNER_CALLS: usize = 4;
/// Bytes of a storage's key, which is a number in decimal.
const LONGEST_KEY: usize = 100;

impl<'a> Machine<'a> {
    /// `("storage", type, key, location, elements)`, with a sixth part in older files: `None`, or what the storage is a part of.
    /// `("module", class, file, source)` is a class whose source torch kept.
    pub(super) fn persistent(&mut self) -> Result<()> {
        let id = self.pop()?;
        let parts = self.tuple(id)?;
        let objects = parts.iter().map(|&part| &self.objects[part]).collect::<Vec<_>>();
        let storage = match objects[..] {
            [Object::Str(kind), ..] if kind == "module" && parts.len() > 1 => {
                self.stack.push(parts[1]);
                return Ok(());
            }
            [
                Object::Str(kind),
                Object::Global(Global::Elements(stored)),
                Object::Str(key),
                Object::Str(_),
                Object::Int(len),
                ref rest @ ..,
            ] if kind == "storage" && rest.len() < 2 && key.len() <= LONGEST_KEY => {
                let start = match rest.first() {
                    None | Some(Object::None) => Some(0),
                    Some(Object::Tuple(view)) => self.start_of(view),
                    Some(_) => None,
                };
                let len = usize::try_from(*len).ok();
                let (key, stored) = (key.clone(), *stored);
                len.zip(start).map(|(len, start)| Storage { key, stored, len, start })
            }
            _ => None,
        };
        match storage {
            Some(storage) => {
                self.push(Object::Storage(storage));
                Ok(())
            }
            None => Err(self.damaged("a persistent id is no storage of torch")),
        }
    }

    /// The offset in `(key, offset, elements)`: a part of a storage.
    fn start_of(&self, view: &[Handle]) -> Option<usize> {
        let [_, offset, len] = view else { return None };
        match (&self.objects[*offset], &self.objects[*len]) {
            (Object::Int(offset), Object::Int(_)) => usize::try_from(*offset).ok(),
            _ => None,
        }
    }

    /// Notes what a call would make.
    pub(super) fn call(&mut self, function: Handle, arguments: Handle) -> Result<()> {
        let (mut class, mut arguments) = (function, arguments);
        let mut inner_calls = 0;
        let known = loop {
            let known = match &self.objects[class] {
                Object::Global(known) => *known,
                Object::Foreign(_) => return self.push_foreign(class),
                _ => return Err(self.damaged("something that is no function is called")),
            };
            if known != Global::RebuildFromType {
                break known;
            }
            // A call in the arguments of another one, of a subclass of a subclass of tensors at most.
            inner_calls += 1;
            match self.tuple(arguments)?[..] {
                _ if inner_calls > INNER_CALLS => {
                    return Err(self.damaged("calls stand in calls without end"));
                }
                [function, _, inner, ..] => (class, arguments) = (function, inner),
                _ => return Err(self.damaged("a tensor's type has no function")),
            }
        };
        match known {
            Global::Other { .. } | Global::DType(_) => self.push_foreign(class),
            Global::RebuildOdd(kind) => {
                self.push(Object::OddTensor(Odd::Kind(kind)));
                Ok(())
            }
            known => self.call_known(known, &self.tuple(arguments)?),
        }
    }

    fn call_known(&mut self, function: Global, arguments: &[Handle]) -> Result<()> {
        match (function, arguments) {
            (Global::Dict, []) | (Global::DefaultDict, [] | [_]) => {
                self.push(Object::Dict(Vec::new()));
                Ok(())
            }
            (Global::Dict, &[from]) | (Global::DefaultDict, &[_, from]) => self.dict_from(from),
            (Global::Reconstructor, &[class, _, value]) => match &self.objects[class] {
                Object::Global(Global::Dict) => self.dict_from(value),
                _ => self.push_foreign(class),
            },
            (Global::RebuildTensor, &[storage, offset, shape, stride, ..]) => {
                self.tensor([storage, offset, shape, stride], None)
            }
            (Global::RebuildTensorV3, &[storage, offset, shape, stride, _, _, dtype, ..]) => {
                self.tensor([storage, offset, shape, stride], Some(dtype))
            }
            (Global::Same, &[argument, ..]) => {
                self.stack.push(argument);
                Ok(())
            }
            (Global::Same, []) => {
                self.push(Object::None);
                Ok(())
            }
            _ => Err(self.damaged(format!("{function:?} is called in an unknown way"))),
        }
    }

    fn push_foreign(&mut self, class: Handle) -> Result<()> {
        self.push(Object::Foreign(Box::new(Foreign { class, state: None, items: Vec::new() })));
        Ok(())
    }

    /// A dict of another one, or of pairs.
    fn dict_from(&mut self, from: Handle) -> Result<()> {
        let pairs = match &self.objects[from] {
            // The same one: what is said about a copy later is not worth the memory.
            Object::Dict(_) => {
                self.stack.push(from);
                return Ok(());
            }
            Object::List(pairs) | Object::Tuple(pairs) => pairs,
            object => {
                let reason = format!("a dict is made of {} in an unknown way", object.kind());
                return Err(self.damaged(reason));
            }
        };
        let pair = |&pair: &Handle| match &self.objects[pair] {
            Object::List(pair) | Object::Tuple(pair) => match pair[..] {
                [key, value] => Some((key, value)),
                _ => None,
            },
            _ => None,
        };
        let Some(entries) = pairs.iter().map(pair).collect::<Option<Vec<_>>>() else {
            return Err(self.damaged("a dict is made of something other than pairs"));
        };
        self.copied += entries.len();
        self.push(Object::Dict(entries));
        Ok(())
    }

    /// An object of `class`, or of the class above the mark if there is none, with all that is above the mark.
    pub(super) fn construct(&mut self, class: Option<(&'a str, &'a str)>) -> Result<()> {
        let mut arguments = self.pop_mark()?;
        let class = match class {
            Some((module, name)) => {
                self.push_global(module, name);
                self.pop()?
            }
            None if arguments.is_empty() => return Err(self.damaged("an object has no class")),
            None => arguments.remove(0),
        };
        let arguments = self.add(Object::Tuple(arguments));
        self.call(class, arguments)
    }

    /// Notes the attributes of a foreign object. Those of a dict are torch's `_metadata` (versions of modules), those of a tensor
    /// are hooks and the like: not needed.
    pub(super) fn build(&mut self) -> Result<()> {
        let state = self.pop()?;
        let target = self.top()?;
        match &mut self.objects[target] {
            Object::Foreign(foreign) => foreign.state = Some(state),
            Object::Dict(_)
            | Object::List(_)
            | Object::Tensor(_)
            | Object::OddTensor(_)
            | Object::Global(_) => {}
            _ => return Err(self.damaged("a state is set on something that has none")),
        }
        Ok(())
    }

    fn tensor(
        &mut self,
        [storage, offset, shape, stride]: [Handle; 4],
        dtype: Option<Handle>,
    ) -> Result<()> {
        let Object::Storage(storage) = &self.objects[storage] else {
            return Err(self.damaged("a tensor has no storage"));
        };
        let element = match (dtype.map(|dtype| &self.objects[dtype]), storage.stored) {
            (None, Stored::Known(element)) => Ok(element),
            (Some(Object::Global(Global::DType(element))), _) => Ok(*element),
            (None, Stored::Untyped) => Err(Odd::Kind("a run of bytes without a type")),
            (None, Stored::Odd(name, _)) => Err(Odd::Kind(name)),
            (Some(_), _) => Err(dtype.map_or(Odd::Kind("of no type"), Odd::DType)),
        };
        let tensor = match element {
            Ok(element) => {
                let (storage, offset) = (storage.clone(), self.size(offset)?);
                let (shape, stride) = (self.sizes(shape)?, self.sizes(stride)?);
                if shape.len() != stride.len() {
                    return Err(self.damaged("a tensor's shape and stride do not belong together"));
                }
                let view = Strided { storage, element, offset, shape, stride };
                Object::Tensor(Box::new(view))
            }
            Err(odd) => Object::OddTensor(odd),
        };
        self.push(tensor);
        Ok(())
    }

    fn sizes(&self, handle: Handle) -> Result<Vec<usize>> {
        self.tuple(handle)?.into_iter().map(|size| self.size(size)).collect()
    }

    /// Calls and shapes are short; a long tuple cannot be one, and copying it again and again would cost.
    fn tuple(&self, handle: Handle) -> Result<Vec<Handle>> {
        let items = match &self.objects[handle] {
            Object::Tuple(items) | Object::List(items) => items,
            _ => return Err(self.damaged("there is no short tuple where one is needed")),
        };
        match items.len() <= 16 {
            true => Ok(items.clone()),
            false => Err(self.damaged("there is no short tuple where one is needed")),
        }
    }

    fn size(&self, handle: Handle) -> Result<usize> {
        match self.objects[handle] {
            Object::Int(size) => usize::try_from(size)
                .map_err(|error| self.damaged(format!("{size} is no size: {error}"))),
            _ => Err(self.damaged("there is no number where a size is needed")),
        }
    }
}
