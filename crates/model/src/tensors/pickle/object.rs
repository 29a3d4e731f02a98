//! What a pickle makes, as far as it matters for tensors.
//!
//! Above: `pickle`, `pth`. Below: `element`. Not here: making it (`call`, `opcode`).

use std::borrow::Cow;

use crate::tensors::element::Element;

/// Index of an object.
pub(in crate::tensors) type Handle = usize;

/// A value. Text is that of the file, unless it was escaped there.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::tensors) enum Object<'a> {
    None,
    Int(i64),
    Str(Cow<'a, str>),
    Bytes(&'a [u8]),
    /// A truth value, a float, a number beyond 64 bits: nothing here looks into it.
    Number,
    Tuple(Vec<Handle>),
    /// A set too.
    List(Vec<Handle>),
    Dict(Vec<(Handle, Handle)>),
    Global(Global),
    Storage(Storage<'a>),
    Tensor(Box<Strided<'a>>),
    /// A tensor that cannot be read, which matters only to whoever wants it.
    OddTensor(Odd),
    Foreign(Box<Foreign>),
}

/// What a call of something off the list would make. It was not called.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::tensors) struct Foreign {
    /// The function or class, or what a call of one would make.
    pub(in crate::tensors) class: Handle,
    /// The attributes that it would be given.
    pub(in crate::tensors) state: Option<Handle>,
    /// Keys that would be set in it, if it is a dict.
    pub(in crate::tensors) items: Vec<(Handle, Handle)>,
}

/// Callables and types that tensors are made with, and a name for all others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::tensors) enum Global {
    /// `dict` and its kin that are made from nothing, pairs or a dict.
    Dict,
    /// The same, with a factory before them.
    DefaultDict,
    /// How protocols 0 and 1 make objects: class, base, its value.
    Reconstructor,
    /// Storage, offset, shape, stride.
    RebuildTensor,
    /// The same with the element type as the seventh argument.
    RebuildTensorV3,
    /// What it makes is its first argument: a parameter its tensor, a size its tuple, bytes their text.
    Same,
    /// Function, type, arguments, state of a subclass of tensors.
    RebuildFromType,
    /// Functions for tensors that have no plain run of elements.
    RebuildOdd(&'static str),
    /// A type of storages.
    Elements(Stored),
    /// An element type.
    DType(Element),
    Other {
        module: Handle,
        name: Handle,
    },
}

/// What the elements of a storage are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::tensors) enum Stored {
    Known(Element),
    /// Bytes, which tensors give a type.
    Untyped,
    /// Of a type that is not read, and their bytes.
    Odd(&'static str, usize),
}

impl Stored {
    /// Bytes of an element.
    pub(in crate::tensors) fn size(self) -> usize {
        match self {
            Self::Known(element) => element.size(),
            Self::Untyped => 1,
            Self::Odd(_, size) => size,
        }
    }
}

/// Why a tensor cannot be read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::tensors) enum Odd {
    /// Of this kind: sparse, quantized.
    Kind(&'static str),
    /// Of this element type.
    DType(Handle),
}

/// A run of elements that the file keeps elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::tensors) struct Storage<'a> {
    pub(in crate::tensors) key: Cow<'a, str>,
    pub(in crate::tensors) stored: Stored,
    /// Elements.
    pub(in crate::tensors) len: usize,
    /// The element that it begins with, in one that torch before 0.4 shared.
    pub(in crate::tensors) start: usize,
}

/// A view of a storage.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::tensors) struct Strided<'a> {
    pub(in crate::tensors) storage: Storage<'a>,
    pub(in crate::tensors) element: Element,
    pub(in crate::tensors) offset: usize,
    pub(in crate::tensors) shape: Vec<usize>,
    pub(in crate::tensors) stride: Vec<usize>,
}

impl Object<'_> {
    /// The kind in a word or two.
    pub(in crate::tensors) fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Int(_) | Self::Number => "a number",
            Self::Str(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dict",
            Self::Global(_) => "a function or a type",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) | Self::OddTensor(_) => "a tensor",
            Self::Foreign(_) => "an object",
        }
    }
}

/// A global of that name, if tensors are made with it.
pub(super) fn global(module: &str, name: &str) -> Option<Global> {
    Some(match (module, name) {
        ("collections", "OrderedDict" | "Counter") | ("builtins" | "__builtin__", "dict") => {
            Global::Dict
        }
        ("collections", "defaultdict") => Global::DefaultDict,
        ("copyreg" | "copy_reg", "_reconstructor") => Global::Reconstructor,
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_tensor_v3") => Global::RebuildTensorV3,
        (
            "torch._utils",
            "_rebuild_parameter"
            | "_rebuild_parameter_with_state"
            | "_rebuild_device_tensor_from_cpu_tensor",
        )
        | ("torch", "Size")
        | ("_codecs", "encode") // bytes, in protocols before 3, of the same letters
        | ("torch.nn.parameter", "Parameter" | "Buffer")
        | ("torch.autograd.variable", "Variable") => Global::Same,
        ("torch._tensor", "_rebuild_from_type_v2") => Global::RebuildFromType,
        ("torch._utils", "_rebuild_sparse_tensor" | "_rebuild_sparse_csr_tensor") => {
            Global::RebuildOdd("sparse; save it as `.to_dense()`")
        }
        ("torch._utils", "_rebuild_qtensor") => {
            Global::RebuildOdd("quantized; save it as `.dequantize()`")
        }
        ("torch._utils", "_rebuild_nested_tensor") => {
            Global::RebuildOdd("nested; save its parts one by one")
        }
        ("torch._utils", "_rebuild_meta_tensor_no_storage") => {
            Global::RebuildOdd("on the device `meta` and has no values")
        }
        (
            "torch._utils",
            "_rebuild_wrapper_subclass"
            | "_rebuild_device_tensor_from_numpy"
            | "_rebuild_xla_tensor",
        ) => Global::RebuildOdd("of a device or class of its own; save it as `.cpu()`"),
        ("torch" | "torch.cuda" | "torch.storage", name) => return of_elements(name),
        _ => return None,
    })
}

/// Types of storages and of elements.
fn of_elements(name: &str) -> Option<Global> {
    let storage = |stored| Some(Global::Elements(stored));
    let known = match name {
        "UntypedStorage" | "_UntypedStorage" => return storage(Stored::Untyped),
        "ComplexFloatStorage" => return storage(Stored::Odd("complex64", 8)),
        "ComplexDoubleStorage" => return storage(Stored::Odd("complex128", 16)),
        "QInt8Storage" => return storage(Stored::Odd("qint8", 1)),
        "QUInt8Storage" => return storage(Stored::Odd("quint8", 1)),
        "QInt32Storage" => return storage(Stored::Odd("qint32", 4)),
        "QUInt4x2Storage" => return storage(Stored::Odd("quint4x2", 1)),
        "QUInt2x4Storage" => return storage(Stored::Odd("quint2x4", 1)),
        "DoubleStorage" | "float64" | "double" => Element::F64,
        "FloatStorage" | "float32" | "float" => Element::F32,
        "HalfStorage" | "float16" | "half" => Element::F16,
        "BFloat16Storage" | "bfloat16" => Element::BF16,
        "LongStorage" | "int64" | "long" => Element::I64,
        "IntStorage" | "int32" | "int" => Element::I32,
        "ShortStorage" | "int16" | "short" => Element::I16,
        "CharStorage" | "int8" => Element::I8,
        "ByteStorage" | "uint8" => Element::U8,
        "BoolStorage" | "bool" => Element::Bool,
        _ => return None,
    };
    Some(match name.ends_with("Storage") {
        true => Global::Elements(Stored::Known(known)),
        false => Global::DType(known),
    })
}
