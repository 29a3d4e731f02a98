//! Calls and persistent ids: where a pickle says that something is a tensor.
//!
//! Above: `pickle`. Below: `element`. Not here: the stack and its containers (`pickle`).
//! Nothing is called: the arguments of the known functions are checked and noted.

use super::{Global, Handle, Machine, Object, Storage, Strided};
use crate::Result;

impl<'a> Machine<'a> {
    /// `("storage", type, key, location, elements)`, where older files have a sixth part that is `None`.
    pub(super) fn storage(&mut self) -> Result<()> {
        let id = self.pop()?;
        let parts = self.tuple(id)?;
        let objects = parts.iter().map(|&part| &self.objects[part]).collect::<Vec<_>>();
        let storage = match objects[..] {
            [
                Object::Str("storage"),
                Object::Global(Global::Elements(element)),
                Object::Str(key),
                Object::Str(_),
                Object::Int(len),
                ref rest @ ..,
            ] if rest.iter().all(|part| **part == Object::None) && rest.len() < 2 => {
                usize::try_from(*len).ok().map(|len| Storage { key, element: *element, len })
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

    /// Calls of the known functions only, and only to note what they would make.
    pub(super) fn reduce(&mut self) -> Result<()> {
        let call = self.pop_n(2)?;
        let Object::Global(function) = self.objects[call[0]] else {
            return Err(self.damaged("something that is no function is called"));
        };
        let arguments = self.tuple(call[1])?;
        match (function, &arguments[..]) {
            (Global::OrderedDict, []) => {
                self.push(Object::Dict(Vec::new()));
                Ok(())
            }
            (Global::RebuildTensor, &[storage, offset, shape, stride, ..]) => {
                let tensor = self.strided(storage, offset, shape, stride)?;
                self.push(Object::Tensor(Box::new(tensor)));
                Ok(())
            }
            (Global::RebuildParameter, &[tensor, ..]) => {
                self.stack.push(tensor);
                Ok(())
            }
            _ => Err(self.damaged(format!("{function:?} is called in an unknown way"))),
        }
    }

    /// A state that is set on a dict is torch's `_metadata` (versions of modules): not needed.
    pub(super) fn build(&mut self) -> Result<()> {
        self.pop()?;
        let target = self.top()?;
        match self.objects[target] {
            Object::Dict(_) => Ok(()),
            _ => Err(self.damaged("a state is set on something that is no dict")),
        }
    }

    fn strided(
        &self,
        storage: Handle,
        offset: Handle,
        shape: Handle,
        stride: Handle,
    ) -> Result<Strided<'a>> {
        let (&Object::Storage(storage), offset) = (&self.objects[storage], self.size(offset)?)
        else {
            return Err(self.damaged("a tensor has no storage"));
        };
        let (shape, stride) = (self.sizes(shape)?, self.sizes(stride)?);
        if shape.len() != stride.len() || shape.len() > 16 {
            return Err(self.damaged("a tensor's shape and stride do not belong together"));
        }
        Ok(Strided { storage, offset, shape, stride })
    }

    fn sizes(&self, handle: Handle) -> Result<Vec<usize>> {
        self.tuple(handle)?.into_iter().map(|size| self.size(size)).collect()
    }

    fn tuple(&self, handle: Handle) -> Result<Vec<Handle>> {
        match &self.objects[handle] {
            // Only calls and shapes come here; a long tuple cannot be one, and copying it again and again would cost.
            Object::Tuple(items) if items.len() <= 16 => Ok(items.clone()),
            _ => Err(self.damaged("there is no short tuple where one is needed")),
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
